"""Serving processes and what they have applied."""
