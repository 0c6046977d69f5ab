"""The messages of a prompt without logic, made into JSON once: a call's values are put between pieces that are ready to be sent."""

from typing import Any

import msgspec
from msgspec import structs

from gateway.core.conversation import NEAR, Message
from gateway.prompts.merge import before_text, encode_message
from gateway.prompts.simple import SimpleText
from gateway.prompts.values import MAX_OUTPUT, too_long

_encode = msgspec.json.Encoder().encode
_NUL = b"\\u0000"
"""As JSON says it."""


def fixed_message(role: str, text: str) -> Message:
    """A message that is the same in every call."""
    return structs.replace(encode_message(role, text), near="")


class StoredText:
    """One message of a prompt with tags in it. Raises ``UnicodeEncodeError`` for a template that is no Unicode."""

    __slots__ = ("_near", "_raw", "_role", "_text")

    def __init__(self, role: str, text: SimpleText) -> None:
        self._role = role
        self._text = text
        parts = text.parts
        self._raw = [_inner(part) for part in parts]
        """The pieces of the message's JSON, as the parts of the text."""
        self._raw[0] = before_text(role) + b'"' + self._raw[0]
        self._raw[-1] += b'"}'
        self._near = [*parts]
        """The parts of :attr:`Message.near`."""
        self._near[0] = parts[0][-NEAR:]
        self._near[-1] = parts[-1][:NEAR]
        for i in range(2, len(parts) - 1, 2):
            if len(parts[i]) > 2 * NEAR:
                self._near[i] = f"{parts[i][:NEAR]}\0{parts[i][-NEAR:]}"

    def fill(self, values: dict[str, Any], *, near: bool) -> Message:
        """The message with these values in it; ``near`` as for a prompt. Raises as :meth:`SimpleText.render`."""
        text = self._text
        if text.pick is None:
            return encode_message(self._role, text.render(values))
        try:
            # Nearly every template: names alone, and texts for all of them.
            texts = text.pick(values)
            if text.length + sum(map(len, texts)) > MAX_OUTPUT:
                raise too_long()
            # One pass for all of them; a NUL of a value's own shows by the number of pieces.
            inner = _encode("\0".join(texts))[1:-1].split(_NUL)
        except (KeyError, TypeError):
            return encode_message(self._role, text.render(values))
        if len(inner) != len(texts):
            inner = map(_inner, texts)
        parts, raw = text.parts.copy(), self._raw.copy()
        parts[1::2] = texts
        raw[1::2] = inner
        if not near:
            return Message(self._role, "".join(parts), b"".join(raw), None, None, True)
        close = self._near.copy()
        close[1::2] = texts
        return Message(self._role, "".join(parts), b"".join(raw), None, None, True, "".join(close))


def _inner(text: str) -> bytes:
    return _encode(text)[1:-1]
