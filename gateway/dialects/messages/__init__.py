"""Anthropic's Messages API as a client format, in front of any provider."""
