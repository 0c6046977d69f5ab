"""OpenAI and every server that speaks its Chat Completions API (vLLM, Ollama, llama.cpp, Mistral, ...)."""

from collections.abc import Callable, Mapping
from operator import attrgetter

from msgspec import Raw

from gateway.core.conversation import Message
from gateway.core.errors import MALFORMED, UPSTREAM_INCOMPLETE, GatewayError
from gateway.core.events import Event
from gateway.core.upstream import CHAT, HttpRequest, StreamDecoder, Target, UpstreamCall
from gateway.providers import responses
from gateway.providers.failures import broken_answer, broken_event, failed_midway, judge
from gateway.providers.quirks import Quirks, fit
from gateway.wire import openai as wire
from gateway.wire.plain import decode_plain_answer, decode_plain_chunk
from gateway.wire.sse import MAX_EVENT_BYTES, SseParser
from gateway.wire.usage import tier_of

_JSON_HEADERS = (b"content-type", b"application/json")
_STREAM_OPTIONS = Raw(b'{"include_usage":true}')
_TRUE = Raw(b"true")
_raw_of: Callable[[Message], bytes] = attrgetter("raw")
_NO_QUIRKS = Quirks()


class OpenAITranslator:
    """``Translator`` for the OpenAI family. ``max_event_bytes`` bounds one event of a stream.

    ``has_responses``: whether the server has the Responses API too; OpenAI does, compatible servers often do not.
    """

    stream_type = b"text/event-stream"

    def __init__(
        self, max_event_bytes: int = MAX_EVENT_BYTES, quirks: Quirks = _NO_QUIRKS, *, has_responses: bool = False
    ) -> None:
        self._max_event_bytes = max_event_bytes
        self.speaks = frozenset({CHAT, responses.RESPONSES}) if has_responses else frozenset({CHAT})
        self._quirks = None if quirks == _NO_QUIRKS else quirks
        self._headers: dict[str, tuple[tuple[bytes, bytes], ...]] = {}
        """By key: an account has few."""

    def request(self, target: Target, call: UpstreamCall) -> HttpRequest:
        """The chat request: stored and caller's fields as they are, model and messages ours, usage asked for in streams."""
        if call.dialect == responses.RESPONSES:
            return HttpRequest(responses.PATH, _headers(target), responses.body_of(call))
        fields = call.fields
        if call.stream:
            fields = {**fields, "stream": _TRUE, "stream_options": with_usage(fields.get("stream_options"))}
        if self._quirks is not None:
            fields = dict(fields)
            fit(target.provider, self._quirks, fields)
        # Joined, not encoded: messages are long, and their bytes stay as they are.
        messages = b",".join(map(_raw_of, call.conversation))
        rest = b"]," + wire.encode(fields)[1:] if fields else b"]}"
        body = b'{"model":%b,"messages":[%b%b' % (wire.encode(call.model), messages, rest)
        headers = self._headers.get(target.api_key)
        if headers is None:
            headers = self._headers[target.api_key] = _headers(target)
        return HttpRequest("/chat/completions", headers, body)

    def answer(self, body: bytes, dialect: str, model: str = "") -> Event:
        """The whole answer as one event, its bytes untouched."""
        del model
        if dialect == responses.RESPONSES:
            return responses.answer(body)
        try:
            plain = decode_plain_answer(body)
        except wire.DECODE_ERRORS:  # it says more, or is none: told below
            pass
        else:
            (choice,), counts, tier = plain.choices, plain.usage, plain.service_tier
            usage = None if counts is None else wire.usage_of(counts, None if tier is None else tier_of(tier))
            return Event(body, ((choice.index, choice.message.content or ""),), choice.finish_reason, usage, plain=True)
        try:
            completion = wire.decode_completion(body)
        except wire.DECODE_ERRORS as error:
            raise broken_answer("a chat completion", error, body) from None
        choices = completion.choices
        texts = tuple([(c.index, _text_of(c.message)) for c in choices])
        finish = choices[0].finish_reason if choices else None
        return Event(body, texts, finish, wire.read_usage(completion.usage, completion.service_tier))

    def decoder(self, dialect: str, model: str = "") -> StreamDecoder:
        """A reader for one stream."""
        del model
        if dialect == responses.RESPONSES:
            return responses.EventDecoder(self._max_event_bytes)
        return ChunkDecoder(self._max_event_bytes)

    def failure(self, target: Target, status: int, headers: Mapping[bytes, bytes], body: bytes) -> GatewayError:
        """By status and structured fields, whichever of the copies of OpenAI's form the server uses."""
        refusal = wire.read_refusal(body)
        return judge(target, status, headers, body, message=refusal.message, param=refusal.param)


class ChunkDecoder:
    """``StreamDecoder``: SSE bytes to events. The stream is complete only once ``[DONE]`` was read."""

    __slots__ = ("_feed", "_plain", "done", "failure")

    def __init__(self, max_event_bytes: int) -> None:
        self._feed = SseParser(max_event_bytes).feed
        self._plain = True
        """Whether the next chunk is likely to be plain: one that is not is mostly followed by its like."""
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
        decode, absent = wire.decode_chunk, wire.ABSENT
        for payload in payloads:
            if self._plain:
                try:
                    (plain,) = decode_plain_chunk(payload).choices
                except wire.DECODE_ERRORS:
                    pass
                else:
                    text = plain.delta.content
                    said = ((plain.index, text),) if text else ()
                    events.append(Event(payload, said, plain.finish_reason, plain=True))
                    continue
            try:
                chunk = decode(payload)
            except wire.DECODE_ERRORS as error:
                if payload == wire.DONE:
                    self.done = True
                else:
                    self.failure = broken_event(error, payload)
                break
            if chunk.error is not absent and wire.is_given(chunk.error):
                self.failure = stream_error(chunk.error)
                break
            choices = chunk.choices
            self._plain = not choices
            if len(choices) == 1:
                choice = choices[0]
                delta = choice.delta
                text = delta.content if delta.refusal is None else _text_of(delta)
                texts = ((choice.index, text),) if text else ()
                finish = choice.finish_reason
            else:
                texts = tuple([(c.index, _text_of(c.delta)) for c in choices])
                finish = next((c.finish_reason for c in choices if c.finish_reason), None)
            usage = chunk.usage
            if usage is not absent and wire.is_given(usage):
                events.append(Event(payload, texts, finish, wire.read_usage(usage, chunk.service_tier), not choices))
            else:
                events.append(Event(payload, texts, finish))
        return events

    def end(self) -> None:
        """Raises ``upstream_incomplete`` when the connection ended before ``[DONE]``."""
        if not self.done:
            raise GatewayError(UPSTREAM_INCOMPLETE, "the provider's stream ended before it was complete")


def _text_of(said: wire.AnswerMessage | wire.ChunkDelta) -> str:
    """What a choice says: its content and, where servers give both, its refusal too."""
    return (said.content or "") + (said.refusal or "")


def _headers(target: Target) -> tuple[tuple[bytes, bytes], ...]:
    if not target.api_key:
        return (_JSON_HEADERS,)
    return (_JSON_HEADERS, (b"authorization", b"Bearer " + target.api_key.encode()))


def with_usage(options: Raw | None) -> Raw:
    """A stream's ``stream_options`` with usage asked for, the caller's other options kept."""
    if options is None:
        return _STREAM_OPTIONS
    try:
        given = wire.decode_fields(options) if wire.is_given(options) else {}
    except wire.DECODE_ERRORS as error:
        raise GatewayError(MALFORMED, f"stream_options: {error}", param="stream_options") from None
    given["include_usage"] = _TRUE
    return Raw(wire.encode(given))


def stream_error(raw: Raw) -> GatewayError:
    """What the ``error`` of a stream's event means."""
    try:
        error = wire.decode_wire_error(raw)
        message = error if isinstance(error, str) else error.message
    except wire.DECODE_ERRORS:
        message = ""
    return failed_midway(message, bytes(raw))
