"""Permits per minute, admission under load, and token counts. Pure."""
