"""What changed between two versions: text per message, and the other fields by key. Pure."""

import difflib
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, cast

import msgspec
from msgspec import Struct

from gateway.core.documents import MessageTemplate, Placeholder, VersionContent

_encode = msgspec.json.Encoder(order="deterministic").encode


class MessageDiff(Struct, frozen=True):
    """One message that differs."""

    index: int
    """From 0."""
    diff: str
    """A unified diff of its template, roles in the head."""


class ConfigDiff(Struct, frozen=True):
    """One field that differs, by its path (``params.temperature``)."""

    key: str
    before: Any = msgspec.field(name="from")
    """None when it was not set."""
    after: Any = msgspec.field(name="to")


class VersionDiff(Struct, frozen=True):
    """Everything that changed."""

    before: int = msgspec.field(name="from")
    after: int = msgspec.field(name="to")
    identical: bool
    messages: list[MessageDiff]
    config: list[ConfigDiff]


def compare(before: VersionContent, after: VersionContent, numbers: tuple[int, int]) -> VersionDiff:
    """The difference; ``numbers`` are the version numbers, for labels."""
    messages = [
        MessageDiff(index, text)
        for index, (a, b) in enumerate(zip_longest(before.messages, after.messages))
        if (text := _message(index, a, b, numbers))
    ]
    config = list(_fields("", _settings(before), _settings(after)))
    return VersionDiff(numbers[0], numbers[1], not messages and not config, messages, config)


def _message(
    index: int,
    before: MessageTemplate | Placeholder | None,
    after: MessageTemplate | Placeholder | None,
    numbers: tuple[int, int],
) -> str:
    if before == after:
        return ""
    heads = [_head(index, message, number) for message, number in zip((before, after), numbers, strict=True)]
    lines = list(difflib.unified_diff(_lines(before), _lines(after), heads[0], heads[1], lineterm=""))
    return "\n".join(lines or [f"--- {heads[0]}", f"+++ {heads[1]}"])


def _head(index: int, message: MessageTemplate | Placeholder | None, number: int) -> str:
    if message is None:
        return "(none)"
    kind = message.role if isinstance(message, MessageTemplate) else "placeholder"
    return f":{number} messages[{index}] {kind}"


def _lines(message: MessageTemplate | Placeholder | None) -> list[str]:
    if message is None:
        return []
    return message.content.splitlines() if isinstance(message, MessageTemplate) else [f"({message.name})"]


def _settings(content: VersionContent) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(content)
    return {key: value for key, value in fields.items() if key != "messages"}


def _fields(path: str, before: Any, after: Any) -> Iterator[ConfigDiff]:
    if not isinstance(before, dict) or not isinstance(after, dict):
        # As the content hash sees it: in Python True equals 1, in JSON it does not.
        if _encode(before) != _encode(after):
            yield ConfigDiff(path, before, after)
        return
    old, new = cast("dict[str, Any]", before), cast("dict[str, Any]", after)
    for key in sorted({*old, *new}):
        yield from _fields(f"{path}.{key}" if path else key, old.get(key), new.get(key))
