"""Limits and budgets of an application."""
