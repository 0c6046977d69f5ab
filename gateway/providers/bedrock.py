"""Amazon Bedrock's Converse API.

Source: AWS's API reference of ``Converse`` and ``ConverseStream``, its guides to tool use and structured output.
"""

from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from msgspec import Raw

from gateway.core.errors import (
    UPSTREAM_AUTH,
    UPSTREAM_ERROR,
    UPSTREAM_RATE_LIMITED,
    UPSTREAM_REJECTED,
    GatewayError,
    Kind,
)
from gateway.core.events import Event, Usage
from gateway.core.upstream import CHAT, HttpRequest, Target, UpstreamCall
from gateway.providers import sigv4
from gateway.providers.bedrock_request import body_of
from gateway.providers.failures import LARGEST_ERROR_TEXT, broken_answer, broken_event, failed_midway, judge
from gateway.providers.places import segment
from gateway.providers.streams import StreamReader
from gateway.wire import bedrock
from gateway.wire.chat_out import Choice, Delta, OutFunction, OutImage, OutImageUrl, OutToolCall, Writer
from gateway.wire.eventstream import MAX_MESSAGE_BYTES, EventStreamParser
from gateway.wire.eventstream import Message as Frame
from gateway.wire.openai import DECODE_ERRORS
from gateway.wire.usage import bedrock_usage

SERVICE = "bedrock"
"""What signatures are for; the host says ``bedrock-runtime``."""
_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
"""Every other reason (``malformed_tool_use``, ...) means that the answer is no answer."""
_BY_NAME = {
    "ThrottlingException": UPSTREAM_RATE_LIMITED,
    "ServiceQuotaExceededException": UPSTREAM_RATE_LIMITED,
    "ModelNotReadyException": UPSTREAM_RATE_LIMITED,
    "AccessDeniedException": UPSTREAM_AUTH,
    "UnrecognizedClientException": UPSTREAM_AUTH,
    "ExpiredTokenException": UPSTREAM_AUTH,
    "InvalidSignatureException": UPSTREAM_AUTH,
}
"""Failures that AWS names more exactly than by status."""


class BedrockTranslator:
    """``Translator`` for Bedrock. ``clock`` gives seconds since the epoch; ``new_id`` names answers, which have no id there.

    A target's API key (Bedrock has those too) is sent as a bearer token; without one requests are signed with ``credentials``.
    """

    speaks = frozenset({CHAT})
    stream_type = b"application/vnd.amazon.eventstream"

    def __init__(
        self,
        region: str,
        credentials: sigv4.Credentials,
        clock: Callable[[], int],
        new_id: Callable[[], str],
        max_event_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        self._scope = sigv4.Scope(region, SERVICE)
        self._credentials = credentials
        self._clock = clock
        self._new_id = new_id
        self._max_event_bytes = max_event_bytes

    def request(self, target: Target, call: UpstreamCall) -> HttpRequest:
        """``converse`` or ``converse-stream``, the model in the path, signed. Raises ``malformed`` naming what has no form."""
        body = bedrock.encode(body_of(call, target.provider))
        path = f"/model/{segment(call.model)}/{'converse-stream' if call.stream else 'converse'}"
        headers = {"content-type": "application/json"}
        if target.api_key:
            headers["authorization"] = f"Bearer {target.api_key}"
        else:
            url = urlsplit(target.base_url)
            signed = {**headers, "host": url.netloc.lower()}
            plain = sigv4.Request("POST", url.path.rstrip("/") + path, "", signed, body)
            headers |= sigv4.sign(plain, self._credentials, self._scope, self._clock())
        return HttpRequest(path, tuple([(name.encode(), value.encode()) for name, value in headers.items()]), body)

    def answer(self, body: bytes, dialect: str, model: str = "") -> Event:
        """The whole answer in the chat form."""
        del dialect
        try:
            answer = bedrock.decode_answer(body)
        except DECODE_ERRORS as error:
            raise broken_answer("a Converse response", error, body) from None
        blocks = answer.output.message.content
        text = "".join([block.said for block in blocks])
        thinking = [block.reasoning_content for block in blocks if block.reasoning_content is not None]
        thoughts = "".join([found.reasoning_text.text for found in thinking if found.reasoning_text is not None])
        calls = [
            OutToolCall(
                OutFunction(block.tool_use.name, bedrock.encode(block.tool_use.input or {}).decode()),
                block.tool_use.tool_use_id,
                "function",
            )
            for block in blocks
            if block.tool_use is not None
        ]
        images = [
            OutImage(OutImageUrl(f"data:image/{block.image.format};base64,{block.image.source.bytes}"))
            for block in blocks
            if block.image is not None and block.image.source.bytes is not None
        ]
        signed = [_thinking(found) for found in thinking] or None
        delta = Delta(None, text or None, thoughts or None, None, calls or None, signed, images=images or None)
        writer = Writer(self._new_id(), self._clock(), model)
        return writer.whole([Choice(0, delta, _finish(answer.stop_reason, body))], _usage(answer.usage, answer.service_tier))

    def decoder(self, dialect: str, model: str = "") -> StreamReader[Frame]:
        """A reader for one stream."""
        del dialect
        return _Reader(Writer(self._new_id(), self._clock(), model), EventStreamParser(self._max_event_bytes).feed)

    def failure(self, target: Target, status: int, headers: Mapping[bytes, bytes], body: bytes) -> GatewayError:
        """By the exception's name in ``x-amzn-errortype``, else by status."""
        try:
            error = bedrock.decode_error(body)
        except DECODE_ERRORS:
            error = bedrock.ErrorBody()
        name = headers.get(b"x-amzn-errortype", b"").decode("latin-1").partition(":")[0]
        return judge(target, status, headers, body, message=error.message or error.Message, kind=_BY_NAME.get(name))


def _thinking(found: bedrock.Reasoning) -> dict[str, str]:
    """A block of thoughts in Anthropic's form, which callers of the chat form get from Anthropic's own models too."""
    shown = found.reasoning_text
    if shown is None:
        return {"type": "redacted_thinking", "data": found.redacted_content or ""}
    return {"type": "thinking", "thinking": shown.text, "signature": shown.signature or ""}


def _usage(raw: Raw, tier: bedrock.ServiceTier | None) -> Usage | None:
    return bedrock_usage(raw, None if tier is None else tier.type)


def _finish(reason: str, body: bytes) -> str:
    found = _FINISH.get(reason)
    if found is None:
        raise GatewayError(UPSTREAM_ERROR, f"the model ended with {reason[:60]}", cause=body[:500].decode(errors="replace"))
    return found


class _Reader(StreamReader[Frame]):
    """The events of ``ConverseStream``, from ``messageStart`` to ``metadata``, which comes after ``messageStop``."""

    def __init__(self, writer: Writer, frame: Callable[[bytes], Iterable[Frame]]) -> None:
        super().__init__(frame)
        self._writer = writer
        self._calls: dict[int, int] = {}
        """The tool call's number by its content block."""
        self._empty: set[int] = set()
        """Content blocks of calls that have no arguments yet."""
        self._thoughts: dict[int, bedrock.Reasoning] = {}
        """Thoughts under way, by their content block: at its end they are given whole."""
        self._thoughts_made = 0

    def read(self, piece: Frame) -> list[Event]:
        payload = piece.payload
        try:
            step = bedrock.decode_step(payload)
        except DECODE_ERRORS as error:
            raise broken_event(error, payload) from None
        kind = piece.headers.get(":message-type")
        if kind != "event":
            name = piece.headers.get(":exception-type") or piece.headers.get(":error-code", "")
            raise _exception(name, step.message or piece.headers.get(":error-message", ""), payload)
        match piece.headers.get(":event-type"):
            case "messageStart":
                return [self._writer.chunk(Delta(content=""))]
            case "contentBlockStart":
                return self._start(step)
            case "contentBlockDelta" if step.delta is not None:
                return self._delta(step.content_block_index, step.delta, payload)
            case "contentBlockStop" if step.content_block_index in self._empty:
                return [self._arguments(step.content_block_index, "{}")]
            case "contentBlockStop" if step.content_block_index in self._thoughts:
                return [self._thought_through(step.content_block_index)]
            case "messageStop":
                self.finished = True
                return [self._writer.chunk(Delta(), _finish(step.stop_reason or "", payload))]
            case "metadata":
                self.done = self.finished
                usage = _usage(step.usage, step.service_tier)
                return [] if usage is None else [self._writer.usage(usage)]
            case _:
                # Ends of blocks, and kinds of events that do not exist yet.
                return []

    def _start(self, step: bedrock.Step) -> list[Event]:
        tool = step.start.tool_use if step.start is not None else None
        if tool is None:
            return []
        number = self._calls[step.content_block_index] = len(self._calls)
        self._empty.add(step.content_block_index)
        call = OutToolCall(OutFunction(tool.name, ""), tool.tool_use_id, "function", number)
        return [self._writer.chunk(Delta(tool_calls=[call]))]

    def _delta(self, block: int, delta: bedrock.Delta, payload: bytes) -> list[Event]:
        if delta.text:
            return [self._writer.chunk(Delta(content=delta.text))]
        if delta.reasoning_content is not None:
            return self._thought(block, delta.reasoning_content)
        if delta.tool_use is not None and delta.tool_use.input:
            if block not in self._calls:
                raise broken_event(ValueError("arguments of no tool call"), payload)
            return [self._arguments(block, delta.tool_use.input)]
        return []

    def _thought(self, block: int, delta: bedrock.ReasoningDelta) -> list[Event]:
        found = self._thoughts.setdefault(block, bedrock.Reasoning())
        if delta.redacted_content is not None:
            found.redacted_content = (found.redacted_content or "") + delta.redacted_content
            return []
        shown = found.reasoning_text = found.reasoning_text or bedrock.ReasoningText()
        shown.signature = delta.signature or shown.signature
        if not delta.text:
            return []
        shown.text += delta.text
        return [self._writer.chunk(Delta(reasoning_content=delta.text))]

    def _thought_through(self, block: int) -> Event:
        """By their index SDKs join the blocks of a stream."""
        made = {"index": self._thoughts_made, **_thinking(self._thoughts.pop(block))}
        self._thoughts_made += 1
        return self._writer.chunk(Delta(thinking_blocks=[made]))

    def _arguments(self, block: int, text: str) -> Event:
        self._empty.discard(block)
        return self._writer.chunk(Delta(tool_calls=[OutToolCall(OutFunction(None, text), index=self._calls[block])]))


_MIDWAY: dict[str, Kind] = {
    "throttlingException": UPSTREAM_RATE_LIMITED,
    "validationException": UPSTREAM_REJECTED,
}


def _exception(name: str, message: str, payload: bytes) -> GatewayError:
    kind = _MIDWAY.get(name)
    if kind is None:
        return failed_midway(message, payload)
    return GatewayError(kind, message[:LARGEST_ERROR_TEXT] or name[:60], cause=payload[:500].decode(errors="replace"))
