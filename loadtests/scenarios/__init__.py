"""Locust users, one kind of caller per file."""
