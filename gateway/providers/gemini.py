"""Google's Gemini API in its native form.

Source: Google's reference of ``models.generateContent`` and its guides on function calling, thinking, structured output and thought
signatures.
"""

import hashlib
from collections.abc import Callable, Mapping

from gateway.core.errors import UPSTREAM_AUTH, UPSTREAM_ERROR, GatewayError, Kind
from gateway.core.events import Event, Usage
from gateway.core.upstream import CHAT, HttpRequest, Target, UpstreamCall
from gateway.providers.failures import broken_answer, broken_event, failed_midway, judge
from gateway.providers.gemini_request import body_of
from gateway.providers.places import segment
from gateway.providers.streams import StreamReader
from gateway.wire import gemini
from gateway.wire.chat_out import Choice, Delta, OutFunction, OutImage, OutImageUrl, OutToolCall, Writer
from gateway.wire.openai import DECODE_ERRORS
from gateway.wire.sse import MAX_EVENT_BYTES, SseParser
from gateway.wire.usage import gemini_usage

_FINISH = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
"""Every other reason (``MALFORMED_FUNCTION_CALL``, ``OTHER``, ...) means that the answer is no answer."""


class GeminiTranslator:
    """``Translator`` for Gemini. ``clock`` gives seconds since the epoch, which Gemini's answers lack."""

    speaks = frozenset({CHAT})
    stream_type = b"text/event-stream"

    def __init__(self, clock: Callable[[], int], max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._clock = clock
        self._max_event_bytes = max_event_bytes

    def request(self, target: Target, call: UpstreamCall) -> HttpRequest:
        """``generateContent``, or its stream; the model is in the path, the key in a header. Raises ``malformed``."""
        verb = "streamGenerateContent?alt=sse" if call.stream else "generateContent"
        path = f"/models/{segment(call.model.removeprefix('models/'))}:{verb}"
        key = ((b"x-goog-api-key", target.api_key.encode()),) if target.api_key else ()
        return HttpRequest(path, ((b"content-type", b"application/json"), *key), gemini.encode(body_of(call, target.provider)))

    def answer(self, body: bytes, dialect: str, model: str = "") -> Event:
        """The whole answer in the chat form."""
        del dialect
        try:
            answer = gemini.decode_answer(body)
        except DECODE_ERRORS as error:
            raise broken_answer("a generateContent response", error, body) from None
        usage = gemini_usage(answer.usage_metadata)
        writer = Writer(answer.response_id, self._clock(), answer.model_version or model)
        blocked = _blocked(answer)
        if blocked is not None:
            return writer.whole([Choice(0, Delta(refusal=blocked), "content_filter")], usage)
        if not answer.candidates:
            raise broken_answer("complete: it has no candidates", ValueError("no candidates"), body)
        choices: list[Choice] = []
        for candidate in answer.candidates:
            reading = _Candidate(answer.response_id, candidate.index)
            message = reading.read(candidate)
            choices.append(Choice(candidate.index, message, reading.finish(candidate, body)))
        return writer.whole(choices, usage)

    def decoder(self, dialect: str, model: str = "") -> StreamReader[bytes]:
        """A reader for one stream."""
        del dialect
        return _Reader(self._clock(), model, SseParser(self._max_event_bytes).feed)

    def failure(self, target: Target, status: int, headers: Mapping[bytes, bytes], body: bytes) -> GatewayError:
        """By status and the details of ``google.rpc.Status``: a bad key is a 400 that says so in its reason."""
        try:
            error = gemini.decode_error(body).error
        except DECODE_ERRORS:
            return judge(target, status, headers, body)
        kind: Kind | None = None
        if status == 400 and any(detail.reason == "API_KEY_INVALID" for detail in error.details):
            kind = UPSTREAM_AUTH
        wait = next((_seconds(detail.retry_delay) for detail in error.details if detail.retry_delay), None)
        return judge(target, status, headers, body, message=error.message, kind=kind, retry_after=wait)


class _Candidate:
    """What the chat form needs to know of one candidate from event to event."""

    def __init__(self, response_id: str, index: int) -> None:
        self._response_id = response_id
        self._index = index
        self._calls = 0
        self._images = 0

    def read(self, candidate: gemini.Candidate, *, streamed: bool = False) -> Delta:
        """What the candidate's parts say; a function call always comes in one piece."""
        texts: list[str] = []
        thoughts: list[str] = []
        calls: list[OutToolCall] = []
        images: list[OutImage] = []
        signature: str | None = None
        for part in candidate.content.parts if candidate.content is not None else ():
            if part.function_call is not None:
                calls.append(self._call(part, part.function_call, streamed=streamed))
                continue
            signature = part.thought_signature or signature
            if part.inline_data is not None and not part.thought:
                images.append(self._image(part.inline_data, streamed=streamed))
            if part.text:
                (thoughts if part.thought else texts).append(part.text)
        return Delta(
            None,
            "".join(texts) or None,
            "".join(thoughts) or None,
            None,
            calls or None,
            extra_content=_extra(signature),
            images=images or None,
        )

    def _image(self, made: gemini.Blob, *, streamed: bool) -> OutImage:
        number = self._images
        self._images += 1
        return OutImage(OutImageUrl(f"data:{made.mime_type};base64,{made.data}"), number if streamed else None)

    def _call(self, part: gemini.Part, call: gemini.FunctionCall, *, streamed: bool) -> OutToolCall:
        number = self._calls
        self._calls += 1
        arguments = gemini.encode(call.args or {}).decode()
        return OutToolCall(
            OutFunction(call.name, arguments),
            call.id or self._made_id(number, call.name, arguments),
            "function",
            number if streamed else None,
            _extra(part.thought_signature),
        )

    def _made_id(self, number: int, name: str, arguments: str) -> str:
        """The same answer always gives the same id, another answer another."""
        source = f"{self._response_id}\0{self._index}\0{number}\0{name}\0{arguments}"
        return "call_" + hashlib.sha256(source.encode()).hexdigest()[:24]

    def finish(self, candidate: gemini.Candidate, body: bytes) -> str:
        """The finish reason in chat terms. Raises ``upstream_error`` for an end that is no answer."""
        reason = candidate.finish_reason or ""
        found = _FINISH.get(reason)
        if found is None:
            raise GatewayError(
                UPSTREAM_ERROR,
                f"the model ended with {reason[:60] or 'no finish reason'}",
                cause=body[:500].decode(errors="replace"),
            )
        return "tool_calls" if found == "stop" and self._calls else found


def _extra(signature: str | None) -> dict[str, object] | None:
    """What must come back with a text or a call, in the form of Google's OpenAI endpoint."""
    return None if signature is None else {gemini.VENDOR: {"thought_signature": signature}}


def _blocked(answer: gemini.Answer) -> str | None:
    """The refusal that stands for an answer when the prompt was blocked."""
    feedback = answer.prompt_feedback
    if answer.candidates or feedback is None or feedback.block_reason is None:
        return None
    return f"The prompt was blocked by the provider: {feedback.block_reason[:60]}"


class _Reader(StreamReader[bytes]):
    """The events of ``streamGenerateContent``: whole answers, each with what is new. There is no mark of the end but finish reasons."""

    def __init__(self, created: int, model: str, frame: Callable[[bytes], list[bytes]]) -> None:
        super().__init__(frame)
        self._created = created
        self._model = model
        self._writer: Writer | None = None
        self._candidates: dict[int, _Candidate] = {}
        self._open: set[int] = set()
        self._usage: Usage | None = None

    def read(self, piece: bytes) -> list[Event]:
        try:
            answer = gemini.decode_answer(piece)
        except DECODE_ERRORS as error:
            raise broken_event(error, piece) from None
        if answer.error is not None:
            raise failed_midway(answer.error.message, piece)
        writer = self._writer
        if writer is None:
            writer = self._writer = Writer(answer.response_id, self._created, answer.model_version or self._model)
        self._usage = gemini_usage(answer.usage_metadata) or self._usage
        blocked = _blocked(answer)
        if blocked is not None:
            events = [writer.chunk(Delta(refusal=blocked)), writer.chunk(Delta(), "content_filter")]
            return self._close(events, writer)
        events: list[Event] = []
        for candidate in answer.candidates:
            events += self._step(candidate, writer, piece)
        return self._close(events, writer) if answer.candidates and not self._open else events

    def _step(self, candidate: gemini.Candidate, writer: Writer, piece: bytes) -> list[Event]:
        index = candidate.index
        reading = self._candidates.get(index)
        if reading is None:
            reading = self._candidates[index] = _Candidate(writer.id, index)
            self._open.add(index)
        delta = reading.read(candidate, streamed=True)
        events = [] if delta == Delta() else [writer.chunk(delta, index=index)]
        if candidate.finish_reason is not None:
            self._open.discard(index)
            events.append(writer.chunk(Delta(), reading.finish(candidate, piece), index))
        return events

    def _close(self, events: list[Event], writer: Writer) -> list[Event]:
        self.finished = self.done = True
        if self._usage is not None:
            events.append(writer.usage(self._usage))
        return events


def _seconds(duration: str) -> float | None:
    """A ``google.protobuf.Duration`` (``34.07s``)."""
    try:
        return float(duration.removesuffix("s"))
    except ValueError:
        return None
