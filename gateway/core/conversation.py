"""Messages on their way to a model."""

from msgspec import Struct


class Message(Struct, frozen=True, gc=False):
    """One message: the exact JSON to send, and its text for those who read it (guards, token estimates)."""

    role: str
    text: str
    """All text parts, joined with line feeds; empty for a pure tool call or image."""
    raw: bytes
    """A JSON object in the OpenAI chat form. A caller's message in that form is kept byte for byte."""
    native: bytes | None = None
    """The caller's own JSON where its dialect is not the chat form (a Messages API message, a Responses API item), so that a
    provider that speaks the same dialect gets it byte for byte. None for stored messages. Empty: the message before this one has
    all of it, as one message of the caller made several in the chat form."""
    thoughts: bytes | None = None
    """What the model thought, for providers that want it back signed: the fields ``reasoning_content``, ``thinking_blocks``,
    ``extra_content`` and ``tool_calls`` (with ``id`` and ``extra_content`` only) of a message in the chat form. Apart from ``raw``,
    because OpenAI and its like refuse fields that they do not know, and callers of other dialects do not know who answers."""
    ours: bool = False
    """Whether it is a message of the prompt, which says its text and nothing beside it."""
    near: str | None = None
    """Of a message of the prompt, what differs from call to call, with :data:`NEAR` characters of its text on either side and a NUL
    for what is left out: all there is to search once the rest, the same in every call, has been. None: the text must be."""

    @property
    def is_bare(self) -> bool:
        """Whether it says its text and nothing beside it, as far as that shows at once."""
        # No shorter object than {"role":"user","content":"Hello"} can say as much, so one of its length says nothing else.
        return self.ours or (len(self.raw) == len(self.text) + len(self.role) + _AROUND and self.text != "")


NEAR = 64
"""Characters around a value, in :attr:`Message.near`: longer than what lists of prohibited terms hold, and a line of a template."""
_AROUND = len('{"role":"","content":""}')


Conversation = tuple[Message, ...]
