"""Aliases: the movable names that callers use."""
