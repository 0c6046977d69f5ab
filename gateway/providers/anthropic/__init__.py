"""Anthropic's Messages API as a provider: native exchanges, and translation from and to the chat form."""
