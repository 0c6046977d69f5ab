"""Prompts: named things with versions."""
