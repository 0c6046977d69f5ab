"""One file per provider family: a pure translator from our call to its bytes, and from its bytes to our events."""
