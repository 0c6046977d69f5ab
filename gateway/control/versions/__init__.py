"""Versions: the immutable content of a prompt; publishing and comparing them."""
