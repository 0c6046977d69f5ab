"""Streams of the Messages API -> events, native or as chat chunks. Source of the order: the vendor's page on streaming."""

from gateway.core.errors import UPSTREAM_INCOMPLETE, GatewayError
from gateway.core.events import Event
from gateway.providers.anthropic.answers import thinking_block, usage_json
from gateway.providers.anthropic.failures import broken, stream_error
from gateway.wire import anthropic as wire
from gateway.wire.openai import DECODE_ERRORS, encode, is_given
from gateway.wire.sse import SseParser


class NativeDecoder:
    """``StreamDecoder`` that gives the provider's own payloads. The stream is complete once ``message_stop`` was read."""

    __slots__ = ("_counts", "_feed", "done", "failure")

    def __init__(self, max_event_bytes: int) -> None:
        self._feed = SseParser(max_event_bytes).feed
        self._counts = wire.Counts()
        self.done = False
        self.failure: GatewayError | None = None

    def feed(self, data: bytes) -> list[Event]:
        """Events that ``data`` completes; whatever follows ``message_stop`` or a failure is ignored."""
        events: list[Event] = []
        if self.done or self.failure is not None:
            return events
        try:
            payloads = self._feed(data)
        except GatewayError as error:
            self.failure = error
            return events
        for payload in payloads:
            try:
                event = wire.decode_event(payload)
                if event.type == "error":
                    self.failure = stream_error(event.error)
                    break
                self._take(event, payload, events)
            except DECODE_ERRORS as error:
                self.failure = broken("sent a broken stream event", error, payload)
                break
            if event.type == "message_stop":
                self.done = True
                break
        return events

    def end(self) -> None:
        """Raises ``upstream_incomplete`` when the connection ended before ``message_stop``."""
        if not self.done:
            raise GatewayError(UPSTREAM_INCOMPLETE, "the provider's stream ended before it was complete")

    def _take(self, event: wire.StreamEvent, payload: bytes, events: list[Event]) -> None:
        delta = event.delta
        if event.type == "content_block_delta" and delta is not None and delta.type == "text_delta":
            events.append(Event(payload, ((0, delta.text),)))
        elif event.type == "message_delta" and delta is not None:
            self._count(event)
            events.append(Event(payload, (), wire.finish_reason(delta.stop_reason), self._counts.usage()))
        else:
            self._count(event)
            events.append(Event(payload, _begun_text(event)))

    def _count(self, event: wire.StreamEvent) -> None:
        usage = event.usage if event.message is None else event.message.usage
        if is_given(usage):
            self._counts = self._counts.updated(wire.read_counts(usage))


class ChatDecoder(NativeDecoder):
    """``StreamDecoder`` that gives chat chunks: one with the role first, one with the usage last."""

    __slots__ = ("_block", "_calls", "_created", "_finish", "_head", "_said", "_thoughts", "_thoughts_made")

    def __init__(self, max_event_bytes: int, created: int) -> None:
        super().__init__(max_event_bytes)
        self._created = created
        self._head = self._head_of(wire.StartedMessage())
        """Every chunk's beginning, up to its choices. A compatible server may not begin with ``message_start``."""
        self._block: wire.AnswerBlock | None = None
        """The block that is being received."""
        self._thoughts: list[str] = []
        """The pieces of its thinking."""
        self._thoughts_made = 0
        """Thinking blocks so far. Each comes whole at its end, as it must come back in the next turn; by their index SDKs join them."""
        self._calls = 0
        """Tool calls begun so far."""
        self._said = False
        """Whether the current call's arguments have begun."""
        self._finish: str | None = None

    def _take(self, event: wire.StreamEvent, payload: bytes, events: list[Event]) -> None:
        del payload
        match event.type:
            case "message_start":
                self._start(event, events)
            case "content_block_start":
                self._begin(event, events)
            case "content_block_delta":
                self._grow(event, events)
            case "content_block_stop":
                self._finish_block(events)
            case "message_delta":
                self._count(event)
                stop = wire.finish_reason(event.delta.stop_reason) if event.delta is not None else None
                if stop is not None and self._finish is None:
                    self._finish = stop
                    events.append(self._chunk(b"{}", finish=stop))
            case "message_stop":
                self._total(events)
            case _:
                pass  # pings and events that are newer than this file have no form in chat

    def _start(self, event: wire.StreamEvent, events: list[Event]) -> None:
        self._count(event)
        if event.message is not None:
            self._head = self._head_of(event.message)
        events.append(self._chunk(b'{"role":"assistant","content":""}'))

    def _head_of(self, message: wire.StartedMessage) -> bytes:
        head = {"id": message.id, "object": "chat.completion.chunk", "created": self._created, "model": message.model}
        return encode(head)[:-1] + b',"choices":['

    def _begin(self, event: wire.StreamEvent, events: list[Event]) -> None:
        block = self._block = event.content_block
        if block is None:
            return
        self._thoughts = [block.thinking]
        if block.type == "tool_use":
            self._calls += 1
            self._said = False
            call = {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": ""}}
            events.append(self._chunk(encode({"tool_calls": [{"index": self._calls - 1, **call}]})))
        elif block.type == "text" and block.text:
            events.append(self._text(block.text))
        elif block.type == "thinking" and block.thinking:
            events.append(self._chunk(encode({"reasoning_content": block.thinking})))

    def _grow(self, event: wire.StreamEvent, events: list[Event]) -> None:
        delta, block = event.delta, self._block
        if delta is None or block is None:
            return
        match delta.type:
            case "text_delta":
                events.append(self._text(delta.text))
            case "thinking_delta":
                self._thoughts.append(delta.thinking)
                events.append(self._chunk(encode({"reasoning_content": delta.thinking})))
            case "signature_delta":
                block.signature = delta.signature
            case "input_json_delta" if block.type == "tool_use" and delta.partial_json:
                self._said = True
                events.append(self._arguments(delta.partial_json))
            case _:
                pass

    def _finish_block(self, events: list[Event]) -> None:
        """What is known of a block only at its end: empty arguments, whole thinking."""
        block, self._block = self._block, None
        if block is None:
            return
        if block.type == "tool_use" and not self._said:
            events.append(self._arguments(bytes(block.input).decode() if is_given(block.input) else "{}"))
        elif block.type in {"thinking", "redacted_thinking"}:
            block.thinking = "".join(self._thoughts)
            made = {"index": self._thoughts_made, **thinking_block(block)}
            self._thoughts_made += 1
            events.append(self._chunk(encode({"thinking_blocks": [made]})))

    def _total(self, events: list[Event]) -> None:
        usage = self._counts.usage()
        if usage is not None:
            chunk = self._head + b'],"usage":' + encode(usage_json(usage)) + b"}"
            events.append(Event(chunk, (), None, usage, usage_only=True))

    def _text(self, text: str) -> Event:
        event = self._chunk(b'{"content":' + encode(text) + b"}")
        event.texts = ((0, text),)
        return event

    def _arguments(self, piece: str) -> Event:
        return self._chunk(encode({"tool_calls": [{"index": self._calls - 1, "function": {"arguments": piece}}]}))

    def _chunk(self, delta: bytes, finish: str | None = None) -> Event:
        choice = b'{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}' % (delta, encode(finish))
        return Event(self._head + choice + b"]}", (), finish)


def _begun_text(event: wire.StreamEvent) -> tuple[tuple[int, str], ...]:
    """Text that a block begins with; the API begins with none, compatible servers may not."""
    block = event.content_block
    return ((0, block.text),) if block is not None and block.type == "text" and block.text else ()
