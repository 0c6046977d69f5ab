"""How callers speak: one file per client format, a pure translator from the caller's bytes and back to them."""
