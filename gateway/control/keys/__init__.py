"""API keys of an application."""
