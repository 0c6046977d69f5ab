"""Prompt injection and jailbreak: a text is made plain, what is encoded in it is decoded, and patterns of known attacks are scored."""
