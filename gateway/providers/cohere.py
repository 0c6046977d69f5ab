"""Cohere's v2 chat API. Source: Cohere's reference of ``v2/chat``, its guides to tool use, streaming and reasoning."""

from collections.abc import Callable, Mapping
from typing import Any

from gateway.core.errors import MALFORMED, UPSTREAM_ERROR, GatewayError
from gateway.core.events import Event
from gateway.core.upstream import CHAT, HttpRequest, Target, UpstreamCall
from gateway.providers.failures import broken_answer, broken_event, failed_midway, judge
from gateway.providers.quirks import refuse
from gateway.providers.streams import StreamReader
from gateway.wire import chat_in, cohere
from gateway.wire.chat_in import ChatMessage, Fields, NamedTool, lacking, text_of
from gateway.wire.chat_out import Choice, Delta, OutFunction, OutToolCall, Writer
from gateway.wire.openai import DECODE_ERRORS, is_given
from gateway.wire.sse import MAX_EVENT_BYTES, SseParser
from gateway.wire.usage import cohere_usage

_PLAIN = {
    "temperature": "temperature",
    "top_p": "p",
    "top_k": "k",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "safety_mode": "safety_mode",
}
"""Fields that keep their value; the last is Cohere's own."""
_FINISH = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_TOXIC": "content_filter",
}
"""Every other reason (``ERROR``, ``TIMEOUT``, ...) means that the answer is no answer."""
_THINKING = {"none": "disabled", "high": "enabled"}
"""``reasoning_effort`` as Cohere's own OpenAI endpoint takes it: on or off."""


class CohereTranslator:
    """``Translator`` for Cohere. ``clock`` gives seconds since the epoch, which Cohere's answers lack.

    The answers do not name their model either: they get the one that was asked for.
    """

    speaks = frozenset({CHAT})
    stream_type = b"text/event-stream"

    def __init__(self, clock: Callable[[], int], max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._clock = clock
        self._max_event_bytes = max_event_bytes

    def request(self, target: Target, call: UpstreamCall) -> HttpRequest:
        """``POST /chat``. Raises ``malformed`` naming what Cohere has no form for."""
        name = target.provider
        fields = Fields(call.fields)
        messages = chat_in.read_conversation(call.conversation, name)
        body: dict[str, Any] = {
            "model": call.model,
            "messages": [_message(message, index, name) for index, message in enumerate(messages)],
            "stream": call.stream,
        }
        for given, known in _PLAIN.items():
            raw = fields.raw(given)
            if raw is not None:
                body[known] = raw
        maximum, stops = fields.maximum(), fields.stops()
        if maximum is not None:
            body["max_tokens"] = maximum
        if stops is not None:
            body["stop_sequences"] = stops
        _put_tools(body, fields, name)
        form = fields.take("response_format", chat_in.decode_response_format)
        if form is not None and form.type != "text":
            body["response_format"] = {"type": "json_object"}
            if form.json_schema is not None and is_given(form.json_schema.schema):
                body["response_format"]["json_schema"] = form.json_schema.schema
        effort = fields.take("reasoning_effort", chat_in.decode_text)
        if effort is not None:
            if effort not in _THINKING:
                raise GatewayError(MALFORMED, "reasoning_effort: Cohere knows none and high only", param="reasoning_effort")
            body["thinking"] = {"type": _THINKING[effort]}
        for left, raw in fields.rest().items():
            refuse(name, left, raw)
        key = ((b"authorization", b"Bearer " + target.api_key.encode()),) if target.api_key else ()
        return HttpRequest("/chat", ((b"content-type", b"application/json"), *key), cohere.encode(body))

    def answer(self, body: bytes, dialect: str, model: str = "") -> Event:
        """The whole answer in the chat form."""
        del dialect
        try:
            answer = cohere.decode_answer(body)
        except DECODE_ERRORS as error:
            raise broken_answer("a chat response", error, body) from None
        said = answer.message
        content = said.content or []
        text = "".join([part.text or "" for part in content])
        thoughts = "".join([part.thinking or "" for part in content]) + (said.tool_plan or "")
        calls = [_call(call, None, body) for call in said.tool_calls or ()]
        for call in calls:
            call.function.arguments = call.function.arguments or "{}"
        delta = Delta(None, text or None, thoughts or None, None, calls or None)
        writer = Writer(answer.id, self._clock(), model)
        return writer.whole([Choice(0, delta, _finish(answer.finish_reason, body))], cohere_usage(answer.usage))

    def decoder(self, dialect: str, model: str = "") -> StreamReader[bytes]:
        """A reader for one stream."""
        del dialect
        return _Reader(Writer("", self._clock(), model), SseParser(self._max_event_bytes).feed)

    def failure(self, target: Target, status: int, headers: Mapping[bytes, bytes], body: bytes) -> GatewayError:
        """By status; 498 is a token that Cohere's filter blocked, which is the request's fault."""
        try:
            message = cohere.decode_error(body).message
        except DECODE_ERRORS:
            message = ""
        return judge(target, status, headers, body, message=message)


def _message(message: ChatMessage, index: int, provider: str) -> dict[str, object]:
    if message.role == "user":
        return {"role": "user", "content": _parts(message, index, provider)}
    text = text_of(message, index, provider)
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": text}
    if message.role != "assistant":
        return {"role": "system", "content": text}
    said: dict[str, object] = {"role": "assistant"}
    if text or message.refusal:
        said["content"] = text or message.refusal
    if message.tool_calls:
        said["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": call.function.arguments}}
            for call in message.tool_calls
        ]
        if message.thoughts:
            said["tool_plan"] = message.thoughts
    return said


def _parts(message: ChatMessage, index: int, provider: str) -> str | list[dict[str, object]]:
    if isinstance(message.content, str):
        return message.content
    parts: list[dict[str, object]] = []
    for number, part in enumerate(message.parts):
        if part.type == "text":
            parts.append({"type": "text", "text": part.text})
        elif part.image_url is not None:
            image = {"url": part.image_url.url} | ({} if part.image_url.detail is None else {"detail": part.image_url.detail})
            parts.append({"type": "image_url", "image_url": image})
        else:
            raise lacking(f"messages[{index}].content[{number}]", provider, part.type)
    return parts


def _put_tools(body: dict[str, Any], fields: Fields, provider: str) -> None:
    tools = fields.take("tools", chat_in.decode_tools)
    choice = fields.take("tool_choice", chat_in.decode_tool_choice)
    if isinstance(choice, NamedTool):
        raise lacking("tool_choice", provider, "the choice of one function")
    if tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.function.name,
                    **({} if tool.function.description is None else {"description": tool.function.description}),
                    **({"parameters": tool.function.parameters} if is_given(tool.function.parameters) else {}),
                },
            }
            for tool in tools
        ]
        if any(tool.function.strict for tool in tools):
            body["strict_tools"] = True
    if choice in {"none", "required"}:
        body["tool_choice"] = str(choice).upper()


def _call(call: cohere.ToolCall, index: int | None, body: bytes) -> OutToolCall:
    function = call.function
    if call.id is None or function is None or function.name is None:
        raise broken_answer("complete: a tool call lacks its id or name", ValueError("tool_calls"), body)
    return OutToolCall(OutFunction(function.name, function.arguments or ""), call.id, "function", index)


def _finish(reason: str | None, body: bytes) -> str:
    found = _FINISH.get(reason or "")
    if found is None:
        raise GatewayError(
            UPSTREAM_ERROR,
            f"the model ended with {(reason or 'no finish reason')[:60]}",
            cause=body[:500].decode(errors="replace"),
        )
    return found


class _Reader(StreamReader[bytes]):
    """The events of a streamed v2 chat, from ``message-start`` to ``message-end``."""

    def __init__(self, writer: Writer, frame: Callable[[bytes], list[bytes]]) -> None:
        super().__init__(frame)
        self._writer = writer
        self._calls = 0
        self._empty = False
        """Whether the last call has no arguments yet."""

    def read(self, piece: bytes) -> list[Event]:
        try:
            event = cohere.decode_event(piece)
        except DECODE_ERRORS as error:
            raise broken_event(error, piece) from None
        step = event.delta
        message = step.message if step is not None else None
        match event.type:
            case "message-start":
                self._writer.id = event.id or ""
                return [self._writer.chunk(Delta(content=""))]
            case "message-end":
                return self._end(step, piece)
            case "content-start" | "content-delta" | "tool-plan-delta" if message is not None:
                return self._said(message)
            case "tool-call-start" | "tool-call-delta" if message is not None:
                return self._called(message, piece, begins=event.type == "tool-call-start")
            case "tool-call-end" if self._empty:
                return [self._arguments("{}")]
            case "error":
                raise failed_midway(event.message or "", piece)
            case _:
                # Citations, ends of contents, and kinds of events that do not exist yet.
                return []

    def _said(self, message: cohere.StepMessage) -> list[Event]:
        content = message.content
        parts = content if isinstance(content, list) else [content] if content is not None else []
        text = "".join([part.text or "" for part in parts])
        thoughts = "".join([part.thinking or "" for part in parts]) + (message.tool_plan or "")
        if not text and not thoughts:
            return []
        return [self._writer.chunk(Delta(None, text or None, thoughts or None))]

    def _called(self, message: cohere.StepMessage, piece: bytes, *, begins: bool) -> list[Event]:
        given = message.tool_calls
        events: list[Event] = []
        for call in given if isinstance(given, list) else [given] if given is not None else []:
            if begins:
                out = _call(call, self._calls, piece)
                self._calls += 1
                self._empty = not out.function.arguments
                events.append(self._writer.chunk(Delta(tool_calls=[out])))
            elif call.function is not None and call.function.arguments:
                if not self._calls:
                    raise broken_event(ValueError("arguments of no tool call"), piece)
                events.append(self._arguments(call.function.arguments))
        return events

    def _arguments(self, text: str) -> Event:
        self._empty = False
        return self._writer.chunk(Delta(tool_calls=[OutToolCall(OutFunction(None, text), index=self._calls - 1)]))

    def _end(self, step: cohere.Step | None, piece: bytes) -> list[Event]:
        if step is not None and step.error:
            raise failed_midway(step.error, piece)
        events = [self._writer.chunk(Delta(), _finish(step.finish_reason if step is not None else None, piece))]
        usage = cohere_usage(step.usage) if step is not None else None
        if usage is not None:
            events.append(self._writer.usage(usage))
        self.finished = self.done = True
        return events
