"""Messages on their way to a model."""

from msgspec import Struct


class Message(Struct, frozen=True, gc=False):
    """One message: the exact JSON to send, and its text for those who read it (guards, token estimates)."""

    role: str
    text: str
    """All text parts, joined with line feeds; empty for a pure tool call or image."""
    raw: bytes
    """A JSON object in the OpenAI chat form. A caller's message is kept byte for byte."""


Conversation = tuple[Message, ...]
