"""Texts of a message that stand beside its content: a name, a refusal, what a model thought, and fields that are newer than this file.

A provider is sent the whole message, so a guard must see the whole message. Tool calls are not among them: they are judged as such
(``stage: tools``). What is encoded (pictures, sound, files, signatures) is no text.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

import msgspec
from msgspec import Raw, Struct

from gateway.wire.chat_said import NO_TEXT

Path = tuple[str | int, ...]
"""The way to a text: names of fields, and places in lists."""
SIGNED = "thinking_blocks"
"""Thoughts whose words are signed: they are not rewritten, but left out."""
_CALLS = frozenset({"tool_calls", "function_call", "tool_call_id", "tool_use_id", "call_id"})
_MADE = frozenset({"tool_use", "server_tool_use", "function_call", "custom_tool_call", "mcp_call"})
"""Kinds of blocks and items that are tool calls in other dialects."""
_ENCODED = frozenset({"file_data", "file_id", "image_url", "media_type", "detail", "cache_control", "status"})


class _PlainPart(Struct, forbid_unknown_fields=True):
    type: str = ""
    text: str = ""


class _Plain(Struct, forbid_unknown_fields=True):
    role: Raw = Raw()
    content: str | list[_PlainPart] | None = None
    tool_calls: Raw = Raw()
    tool_call_id: Raw = Raw()


_decode_plain = msgspec.json.Decoder(_Plain).decode
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def is_plain_message(raw: bytes) -> bool:
    """Whether a message has nothing but its text, and tool calls. Raises ``msgspec.DecodeError`` for what is no JSON."""
    try:
        _decode_plain(raw)
    except msgspec.ValidationError:
        return False
    return True


def message_asides(raw: bytes) -> list[tuple[Path, str]]:
    """Those of a message in the chat form. Nearly every message has none, and is read once."""
    if is_plain_message(raw):
        return []
    message = cast("dict[str, Any]", _decode(raw))
    content = message.get("content")
    if isinstance(content, str):
        del message["content"]
    found = list(_texts(message, ()))
    return [(path, text) for path, text in found if not (path[0] == "content" and path[-1] == "text" and len(path) == _PART)]


_PART = 3
"""Steps to the text of a part: ``content``, its place, ``text``. That is the message's own text."""


def with_asides(raw: bytes, texts: Mapping[Path, str]) -> bytes:
    """The message with other texts in those places."""
    message = cast("dict[str, Any]", _decode(raw))
    for path, text in texts.items():
        if path[0] == SIGNED:
            message.pop(SIGNED, None)
            continue
        place: Any = message
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = text
    return _encode(message)


def native_asides(native: bytes, known: str) -> list[str]:
    """The texts of a message or item as its caller wrote it in another dialect, but for those that ``known`` holds."""
    return [text for _, text in _texts(_decode(native), ()) if text not in known] if native else []


def field_texts(raw: bytes) -> list[str]:
    """All texts of a field of a request, such as a predicted answer."""
    return [text for _, text in _texts(_decode(raw), ())]


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    left: list[tuple[Path, Any]] = [(path, value)]
    while left:
        path, value = left.pop()
        if isinstance(value, str):
            if value and not value.startswith("data:"):
                yield path, value
        elif isinstance(value, list):
            items = cast("list[Any]", value)
            left += [((*path, i), items[i]) for i in reversed(range(len(items)))]
        elif isinstance(value, dict):
            fields = cast("dict[str, Any]", value)
            left += [((*path, name), fields[name]) for name in reversed(fields) if _may_say(name, fields)]


def _may_say(name: str, fields: Mapping[str, Any]) -> bool:
    kind = fields.get("type")
    if name == "data":
        return kind == "text"  # a document that is given as text
    if name in NO_TEXT or name in _CALLS or name in _ENCODED:
        return False
    return not (isinstance(kind, str) and kind in _MADE and name in {"input", "arguments", "name"})
