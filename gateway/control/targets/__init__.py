"""Targets: where calls can go, and how it goes there."""
