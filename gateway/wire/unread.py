"""What messages and answers of the chat form hold that no guard can read: pictures, sound, files. Transcripts are text, and are read.

Who wants none of it to pass unjudged asks here (``on_media: closed`` of a section of guardrails). What is not known to be text counts.
Source: the content parts and ``audio`` of the published OpenAPI document of the Chat Completions API; ``images`` is OpenRouter's.
"""

from typing import Any, cast

import msgspec

from gateway.wire.chat_asides import is_plain_message
from gateway.wire.chat_said import is_known

_TEXT_PARTS = frozenset({"text", "refusal", "thinking", "redacted_thinking"})
_ENCODED = frozenset({"data", "b64_json", "file_data"})
"""Names of what holds bytes."""
_PICTURES = frozenset({"images", "image_url"})
_decode = msgspec.json.Decoder().decode


def unread_in_message(raw: bytes) -> bool:
    """Whether a message has something but text. Raises one of ``DECODE_ERRORS``."""
    if is_plain_message(raw):
        return False
    message = cast("dict[str, Any]", _decode(raw))
    if message.get("audio"):
        return True  # sound of an earlier answer, by its id
    content = message.get("content")
    parts = cast("list[Any]", content) if isinstance(content, list) else []
    return any(not isinstance(part, dict) or cast("dict[str, Any]", part).get("type") not in _TEXT_PARTS for part in parts)


def unread_in_answer(data: bytes) -> bool:
    """Whether a whole answer or a chunk has something but text. Raises one of ``DECODE_ERRORS``."""
    if is_known(data):
        return False
    left: list[Any] = [_decode(data)]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left += cast("list[Any]", value)
        elif isinstance(value, dict):
            for name, inner in cast("dict[str, Any]", value).items():
                if inner and (name in _PICTURES or (isinstance(inner, str) and _is_encoded(name, inner))):
                    return True
                left.append(inner)
    return False


def _is_encoded(name: str, text: str) -> bool:
    # What a model says may well begin like an address.
    return name in _ENCODED or (name != "content" and text.startswith("data:"))
