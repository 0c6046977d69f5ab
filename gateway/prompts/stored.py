"""The messages of a prompt without logic, and what of each is still to be searched in a call."""

from typing import Any

from gateway.core.conversation import NEAR, Message
from gateway.prompts.merge import encode_message
from gateway.prompts.simple import SimpleText
from gateway.prompts.values import MAX_OUTPUT, too_long


def fixed_message(role: str, text: str) -> Message:
    """A message that is the same in every call."""
    return encode_message(role, text, "")


class StoredText:
    """One message of a prompt with tags in it."""

    __slots__ = ("_near", "_role", "_text")

    def __init__(self, role: str, text: SimpleText) -> None:
        self._role = role
        self._text = text
        parts = text.parts
        self._near = [*parts]
        """The parts of :attr:`Message.near`."""
        self._near[0] = parts[0][-NEAR:]
        self._near[-1] = parts[-1][:NEAR]
        for i in range(2, len(parts) - 1, 2):
            if len(parts[i]) > 2 * NEAR:
                self._near[i] = f"{parts[i][:NEAR]}\0{parts[i][-NEAR:]}"

    def fill(self, values: dict[str, Any], *, near: bool) -> Message:
        """The message with these values in it; ``near`` as for a prompt. Raises as :meth:`SimpleText.render`."""
        role, text = self._role, self._text
        if text.pick is None:
            return encode_message(role, text.render(values))
        try:
            # Nearly every template: names alone, and texts for all of them.
            texts = text.pick(values)
            if text.length + sum(map(len, texts)) > MAX_OUTPUT:
                raise too_long()
            parts = text.parts.copy()
            parts[1::2] = texts
            whole = "".join(parts)
        except (KeyError, TypeError):
            return encode_message(role, text.render(values))
        if not near:
            return encode_message(role, whole)
        parts = self._near.copy()
        parts[1::2] = texts
        return encode_message(role, whole, "".join(parts))
