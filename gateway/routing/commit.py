"""The commit point of a stream: the first event that says something. Until then another target may still answer. Pure.

Providers open a stream before the model has said a word: a chunk with only a role, an empty block, a ping. Such events are held back,
because an error often follows them, and a caller who got one could not be given another target's answer.
"""

from typing import Any

import msgspec

from gateway.core.events import Event
from gateway.core.upstream import CHAT

_OPENINGS = frozenset(
    (
        # Responses API
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.reasoning_summary_part.added",
        # Messages API
        "message_start",
        "content_block_start",
        "ping",
    )
)
"""Events of the typed dialects that open something without filling it."""
_SILENT = frozenset(("role", "content", "refusal"))
"""Fields of a chat delta that may stand there empty."""


class _Typed(msgspec.Struct):
    type: str = ""


class _Choice(msgspec.Struct):
    delta: dict[str, Any] = {}
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []


_typed = msgspec.json.Decoder(_Typed).decode
_chunk = msgspec.json.Decoder(_Chunk).decode


def says_something(event: Event, dialect: str) -> bool:
    """Whether a caller who was given this event has begun to be answered. In doubt, yes: what is unknown is not held back."""
    if event.finish is not None or event.usage_only or any(text for _, text in event.texts):
        return True
    try:
        if dialect != CHAT:
            return _typed(event.data).type not in _OPENINGS
        choices = _chunk(event.data).choices
    except (msgspec.DecodeError, UnicodeDecodeError):
        return True
    return any(_fills(choice.delta) for choice in choices)


def _fills(delta: dict[str, Any]) -> bool:
    return any(name != "role" and (bool(value) if name in _SILENT else value is not None) for name, value in delta.items())
