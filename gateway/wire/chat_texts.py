"""Where text stands in messages of the chat form, and how other text is put there. Answers: :mod:`gateway.wire.chat_said`.

What is not put stays byte for byte: everything on the way to a text is decoded one level deep, and its siblings are kept raw.
Source: the published OpenAPI document of the Chat Completions API.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Raw, Struct

LEGACY_CALL = -1
"""The place of ``function_call``, the form of tool calls before there were several."""


# --- what stands there ----------------------------------------------------------------------------------------------
class Function(Struct, gc=False):
    """``function`` of a tool call, or ``function_call``."""

    name: str | None = None
    arguments: str | None = None


class Custom(Struct, gc=False):
    """``custom`` of a tool call: its input is plain text."""

    name: str | None = None
    input: str | None = None


class Call(Struct):
    """An entry of ``tool_calls``. Whole answers give no ``index``: there it is the place in the list."""

    index: int | None = None
    function: Function | None = None
    custom: Custom | None = None


class _Part(Struct):
    text: str = ""


class _Texts(Struct):
    content: str | list[_Part] | None = None


class _Calls(Struct):
    tool_calls: list[Call] | None = None
    function_call: Function | None = None


_decode_texts = msgspec.json.Decoder(_Texts).decode
_decode_message_calls = msgspec.json.Decoder(_Calls).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_items = msgspec.json.Decoder(list[Raw]).decode
_decode_calls = msgspec.json.Decoder(list[Call]).decode
_encode = msgspec.json.Encoder().encode


# --- messages -------------------------------------------------------------------------------------------------------
def message_texts(raw: bytes) -> list[str]:
    """The texts of a message: its content, or the text parts of it that are not empty."""
    content = _decode_texts(raw).content
    if isinstance(content, str):
        return [content] if content else []
    return [part.text for part in content or () if part.text]


def with_message_texts(raw: bytes, texts: Sequence[str]) -> bytes:
    """The message with these texts in the place of :func:`message_texts`."""
    fields = _decode_fields(raw)
    content = fields["content"]
    rest = iter(texts)
    if bytes(content).startswith(b'"'):
        fields["content"] = Raw(_encode(next(rest)))
    else:
        parts = [_decode_fields(part) for part in _decode_items(content)]
        for part, read in zip(parts, _decode_texts(raw).content or (), strict=True):
            if isinstance(read, _Part) and read.text:
                part["text"] = Raw(_encode(next(rest)))
        fields["content"] = Raw(_encode(parts))
    return _encode(fields)


def message_calls(raw: bytes) -> list[tuple[int, Call]]:
    """The tool calls of an assistant message, by their place in it."""
    message = _decode_message_calls(raw)
    calls = list(enumerate(message.tool_calls or ()))
    if message.function_call is not None:
        calls.append((LEGACY_CALL, Call(function=message.function_call)))
    return calls


def with_message_calls(raw: bytes, arguments: Mapping[int, str]) -> bytes:
    """The message with other arguments of some of its calls."""
    fields = _decode_fields(raw)
    put_calls(fields, arguments)
    return _encode(fields)


def put_calls(said: dict[str, Raw], arguments: Mapping[int, str]) -> None:
    """Other arguments in some of the calls of a message or a delta, by the call's index."""
    if LEGACY_CALL in arguments:
        said["function_call"] = _put(said["function_call"], "arguments", arguments[LEGACY_CALL])
    calls = said.get("tool_calls")
    if calls is None or not (arguments.keys() - {LEGACY_CALL}):
        return
    out: list[Raw] = []
    for place, (raw, call) in enumerate(zip(_decode_items(calls), _decode_calls(calls), strict=True)):
        text = arguments.get(place if call.index is None else call.index)
        if text is None:
            out.append(raw)
            continue
        fields = _decode_fields(raw)
        kind, name = ("custom", "input") if call.custom is not None else ("function", "arguments")
        fields[kind] = _put(fields[kind], name, text)
        out.append(Raw(_encode(fields)))
    said["tool_calls"] = Raw(_encode(out))


def _put(raw: Raw, name: str, text: str) -> Raw:
    fields = _decode_fields(raw)
    fields[name] = Raw(_encode(text))
    return Raw(_encode(fields))
