"""When two requests are the same: digests to find an answer by. Pure; every part is length-prefixed, so parts cannot trade bytes.

A difference in spelling (a space in the JSON, another order of keys) makes another digest: a missed hit, never a wrong one.
"""

import hashlib
from collections.abc import Iterable, Mapping

from msgspec import Raw

from gateway.core.conversation import Conversation

SILENT_FIELDS = frozenset(("user", "safety_identifier", "prompt_cache_key", "stream_options"))
"""Fields that tell a provider who asks, how to cache and how to stream, and nothing of what to answer."""
SHAPING_HEADERS = (b"x-prompt", b"anthropic-")
"""How request headers begin that choose what is answered, beside the body."""


def rendered_digest(
    application_id: str, version: str, variant: str, model: str, conversation: Conversation, fields: Mapping[str, Raw]
) -> str:
    """The name of an answer: 64 hex digits of everything that it may depend on, whatever dialect the caller speaks.

    ``version`` is the content hash of the prompt's version; ``fields`` are the merged body fields, in chat terms.
    """
    parts = [application_id.encode(), version.encode(), variant.encode(), model.encode()]
    for message in conversation:
        parts.append(message.raw)
        if message.thoughts is not None:
            parts.append(b"thoughts" + message.thoughts)
    parts.append(b"")  # no message is empty: the fields begin here
    for name in sorted(fields.keys() - SILENT_FIELDS):
        parts += (name.encode(), bytes(fields[name]))
    return _digest(parts)


def once_name(owner: str, door: str, key: bytes) -> str:
    """The name of what an ``idempotency-key`` stands for: its scope is its owner (an application, or a key) and the door."""
    return "once:" + _digest((owner.encode(), door.encode(), key))


def received_digest(headers: Mapping[bytes, bytes], said: Iterable[bytes]) -> str:
    """What a request says, byte for byte: the body, in one piece or more, and the headers that shape the answer."""
    parts = list(said)
    for name in sorted(headers):
        if name.startswith(SHAPING_HEADERS):
            parts += (name, headers[name])
    return _digest(parts)


def _digest(parts: Iterable[bytes]) -> str:
    made = hashlib.sha256()
    for part in parts:
        made.update(b"%d:" % len(part))
        made.update(part)
    return made.hexdigest()
