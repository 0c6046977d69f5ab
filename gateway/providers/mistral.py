"""Mistral's own API: OpenAI's form but for some names (:mod:`gateway.providers.quirks`), a finish reason and thoughts.

Source: Mistral's API reference, "Chat Completion". Its reasoning models answer with a list of content chunks, and tools may be
called with an object; callers of OpenAI's form expect text, so thoughts become ``reasoning_content``, the name that most servers of
reasoning models use.
"""

from collections.abc import Callable

import msgspec
from msgspec import Raw, Struct

from gateway.core.errors import UPSTREAM_ERROR, GatewayError
from gateway.core.events import Event
from gateway.providers.failures import broken_answer
from gateway.providers.openai import ChunkDecoder, OpenAITranslator
from gateway.providers.quirks import QUIRKS
from gateway.wire.openai import DECODE_ERRORS, decode_fields, encode
from gateway.wire.sse import MAX_EVENT_BYTES


class _Text(Struct):
    text: str = ""


class _Chunk(Struct):
    """A content chunk: text, or thoughts; other kinds carry no text of the answer."""

    type: str = ""
    text: str = ""
    thinking: str | list[_Text] = ""


_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_content: Callable[[Raw], str | list[_Chunk] | None] = msgspec.json.Decoder(str | list[_Chunk] | None).decode
_EMPTY = Raw(b"[]")
_NOTHING = Raw(b"{}")
_NULL = Raw(b"null")
_LENGTH = Raw(b'"length"')
_FAILED = encode({"error": {"message": "the model ended with error"}})
"""In the place of a chunk that ends with the reason ``error``: the answer is no answer."""
_MARKS = (
    b'"thinking"', b'"model_length"', b'"type":"text"', b'"type": "text"', b'"arguments":{', b'"arguments": {',
    b':"error"', b': "error"',
)  # fmt: skip
"""What an answer that differs has in it; the rest is passed on without a look inside."""


class MistralTranslator(OpenAITranslator):
    """``Translator`` for Mistral."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        super().__init__(max_event_bytes, QUIRKS["mistral"])

    def answer(self, body: bytes, dialect: str, model: str = "") -> Event:
        """The whole answer as one event; its bytes untouched unless they differ from OpenAI's form."""
        try:
            plain = _plain(body)
        except DECODE_ERRORS as error:
            raise broken_answer("a chat completion", error, body) from None
        if plain is _FAILED:
            raise GatewayError(UPSTREAM_ERROR, "the model ended with error", cause=body[:500].decode(errors="replace"))
        return super().answer(plain, dialect, model)

    def decoder(self, dialect: str, model: str = "") -> ChunkDecoder:
        """A reader for one stream."""
        del dialect, model
        return _Decoder(self._max_event_bytes)


class _Decoder(ChunkDecoder):
    __slots__ = ()

    def __init__(self, max_event_bytes: int) -> None:
        super().__init__(max_event_bytes)
        feed = self._feed

        def plain(data: bytes) -> list[bytes]:
            return [_or_as_it_is(payload) for payload in feed(data)]

        self._feed = plain


def _or_as_it_is(payload: bytes) -> bytes:
    """In OpenAI's form; broken JSON is left for the reader to refuse."""
    try:
        return _plain(payload)
    except DECODE_ERRORS:
        return payload


def _plain(payload: bytes) -> bytes:
    if not any(mark in payload for mark in _MARKS):
        return payload
    document = decode_fields(payload)
    choices: list[Raw] = []
    for raw in _decode_list(document.get("choices", _EMPTY)):
        choice = decode_fields(raw)
        finish = choice.get("finish_reason", _NULL)
        if bytes(finish) == b'"error"':
            return _FAILED
        if bytes(finish) == b'"model_length"':
            choice["finish_reason"] = _LENGTH
        for name in choice.keys() & {"message", "delta"}:
            choice[name] = _with_text(choice[name])
        choices.append(Raw(encode(choice)))
    return encode({**document, "choices": choices})


def _with_text(raw: Raw) -> Raw:
    message = decode_fields(raw)
    calls = message.get("tool_calls", _NULL)
    if len(calls) > len(_NULL):
        message["tool_calls"] = Raw(encode([_with_arguments(call) for call in _decode_list(calls)]))
    content = _decode_content(message.get("content", _NULL))
    if not isinstance(content, list):
        return Raw(encode(message))
    thoughts = "".join([_thought(chunk.thinking) for chunk in content if chunk.type == "thinking"])
    text = "".join([chunk.text for chunk in content])
    changed: dict[str, object] = {**message, "content": text}
    if thoughts:
        changed["reasoning_content"] = thoughts
    return Raw(encode(changed))


def _with_arguments(raw: Raw) -> Raw:
    """A tool call with its arguments as JSON text; Mistral's API may give them as an object too."""
    call = decode_fields(raw)
    function = decode_fields(call.get("function", _NOTHING))
    arguments = bytes(function.get("arguments", _NULL))
    if arguments.startswith(b"{"):
        function["arguments"] = Raw(encode(arguments.decode()))
        call["function"] = Raw(encode(function))
    return Raw(encode(call))


def _thought(thinking: str | list[_Text]) -> str:
    return thinking if isinstance(thinking, str) else "".join([part.text for part in thinking])
