"""The guard ``language``: which languages a text may be in."""
