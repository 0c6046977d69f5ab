"""OpenAI and every server that speaks its Chat Completions API (vLLM, Ollama, llama.cpp, Mistral, ...)."""

from collections.abc import Mapping

from msgspec import Raw

from gateway.core.errors import (
    UPSTREAM_AUTH,
    UPSTREAM_ERROR,
    UPSTREAM_INCOMPLETE,
    UPSTREAM_INVALID,
    UPSTREAM_RATE_LIMITED,
    UPSTREAM_REJECTED,
    GatewayError,
)
from gateway.core.events import Event
from gateway.core.upstream import CHAT, HttpRequest, Target, UpstreamCall
from gateway.wire import openai as wire
from gateway.wire.sse import MAX_EVENT_BYTES, SseParser

_JSON_HEADERS = (b"content-type", b"application/json")
_STREAM_OPTIONS = Raw(b'{"include_usage":true}')
_TRUE = Raw(b"true")
_LARGEST_ERROR_TEXT = 2_000
"""Characters of a provider's message passed on: enough for every real one, too few to leak a page of HTML."""
_LONGEST_RETRY_AFTER = 120.0
"""Seconds; the SDKs give up waiting above this."""


class OpenAITranslator:
    """``Translator`` for the OpenAI family. ``max_event_bytes`` bounds one event of a stream."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes

    speaks = frozenset({CHAT})
    stream_type = b"text/event-stream"

    def request(self, target: Target, call: UpstreamCall) -> HttpRequest:
        """The chat request: stored and caller's fields as they are, model and messages ours, usage asked for in streams."""
        body = dict(call.fields)
        body["model"] = Raw(wire.encode(call.model))
        body["messages"] = Raw(b"[" + b",".join([message.raw for message in call.conversation]) + b"]")
        if call.stream:
            body["stream"] = _TRUE
            body["stream_options"] = _with_usage(body.get("stream_options"))
        headers = (
            (_JSON_HEADERS, (b"authorization", b"Bearer " + target.api_key.encode())) if target.api_key else (_JSON_HEADERS,)
        )
        return HttpRequest("/chat/completions", headers, wire.encode(body))

    def answer(self, body: bytes, dialect: str) -> Event:
        """The whole answer as one event, its bytes untouched."""
        del dialect
        try:
            completion = wire.decode_completion(body)
        except wire.DECODE_ERRORS as error:
            raise GatewayError(
                UPSTREAM_INVALID, "the provider's answer is not a chat completion", cause=f"{error}: {body[:200]!r}"
            ) from None
        choices = completion.choices
        texts = tuple((c.index, c.message.content or c.message.refusal or "") for c in choices)
        finish = choices[0].finish_reason if choices else None
        return Event(body, texts, finish, wire.read_usage(completion.usage))

    def decoder(self, dialect: str) -> "ChunkDecoder":
        """A reader for one stream."""
        del dialect
        return ChunkDecoder(self._max_event_bytes)

    def failure(self, target: Target, status: int, headers: Mapping[bytes, bytes], body: bytes) -> GatewayError:
        """By status and structured fields only: providers echo requests into their messages, so prose proves nothing."""
        name = target.provider
        message, code = _read_error(body)
        cause = f"{status} {body[:500]!r}"
        if status in {401, 403}:
            return GatewayError(UPSTREAM_AUTH, f"{name} refused the gateway's credentials", cause=cause, target=name)
        if status == 429:
            return GatewayError(
                UPSTREAM_RATE_LIMITED,
                f"{name}: {message or 'rate limited'}",
                cause=cause,
                target=name,
                retry_after=_retry_after(headers),
            )
        if 400 <= status < 500 and status not in {404, 408, 409, 425}:
            return GatewayError(
                UPSTREAM_REJECTED, message or f"{name} answered {status}", param=code, cause=cause, target=name, status=status
            )
        if status == 404:
            return GatewayError(
                UPSTREAM_REJECTED, message or f"{name} knows no such model", cause=cause, target=name, status=404
            )
        if status < 400:
            return GatewayError(UPSTREAM_INVALID, f"{name} answered {status}, which is no answer", cause=cause, target=name)
        return GatewayError(
            UPSTREAM_ERROR, f"{name} answered {status}", cause=cause, target=name, retry_after=_retry_after(headers)
        )


class ChunkDecoder:
    """``StreamDecoder``: SSE bytes to events. The stream is complete only once ``[DONE]`` was read."""

    __slots__ = ("_feed", "done", "failure")

    def __init__(self, max_event_bytes: int) -> None:
        self._feed = SseParser(max_event_bytes).feed
        self.done = False
        self.failure: GatewayError | None = None

    def feed(self, data: bytes) -> list[Event]:
        """Events that ``data`` completes; whatever follows ``[DONE]`` or a failure is ignored."""
        events: list[Event] = []
        if self.done or self.failure is not None:
            return events
        try:
            payloads = self._feed(data)
        except GatewayError as error:
            self.failure = error
            return events
        for payload in payloads:
            if payload == wire.DONE:
                self.done = True
                break
            try:
                chunk = wire.decode_chunk(payload)
            except wire.DECODE_ERRORS as error:
                self.failure = GatewayError(
                    UPSTREAM_INVALID, "the provider sent a broken stream event", cause=f"{error}: {payload[:200]!r}"
                )
                break
            if wire.is_given(chunk.error):
                self.failure = _stream_error(chunk.error)
                break
            choices = chunk.choices
            if len(choices) == 1:
                choice = choices[0]
                text = choice.delta.content or choice.delta.refusal
                texts = ((choice.index, text),) if text else ()
                finish = choice.finish_reason
            else:
                texts = tuple((c.index, c.delta.content or c.delta.refusal or "") for c in choices)
                finish = next((c.finish_reason for c in choices if c.finish_reason), None)
            usage = chunk.usage
            if wire.is_given(usage):
                events.append(Event(payload, texts, finish, wire.read_usage(usage), not choices))
            else:
                events.append(Event(payload, texts, finish))
        return events

    def end(self) -> None:
        """Raises ``upstream_incomplete`` when the connection ended before ``[DONE]``."""
        if not self.done:
            raise GatewayError(UPSTREAM_INCOMPLETE, "the provider's stream ended before it was complete")


def _with_usage(options: Raw | None) -> Raw:
    if options is None:
        return _STREAM_OPTIONS
    given = wire.decode_fields(options) if wire.is_given(options) else {}
    given["include_usage"] = _TRUE
    return Raw(wire.encode(given))


def _read_error(body: bytes) -> tuple[str, str | None]:
    try:
        error = wire.decode_error_body(body).error
    except wire.DECODE_ERRORS:
        return "", None
    if error is None:
        return "", None
    if isinstance(error, str):
        return error[:_LARGEST_ERROR_TEXT], None
    return error.message[:_LARGEST_ERROR_TEXT], error.param


def _stream_error(raw: Raw) -> GatewayError:
    try:
        error = wire.decode_wire_error(raw)
        message = error if isinstance(error, str) else error.message
    except wire.DECODE_ERRORS:
        message = ""
    return GatewayError(
        UPSTREAM_ERROR,
        message[:_LARGEST_ERROR_TEXT] or "the provider failed mid-stream",
        cause=bytes(raw)[:500].decode(errors="replace"),
    )


def _retry_after(headers: Mapping[bytes, bytes]) -> float | None:
    for name, unit in ((b"retry-after-ms", 1000.0), (b"retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) / unit
        except ValueError:
            continue
        if 0 <= seconds <= _LONGEST_RETRY_AFTER:
            return seconds
    return None
