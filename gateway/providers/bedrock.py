"""Amazon Bedrock's Converse API.

Source: AWS's API reference of ``Converse`` and ``ConverseStream``, its guides to tool use and structured output.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from msgspec import Raw

from gateway.core.errors import (
    MALFORMED,
    UPSTREAM_AUTH,
    UPSTREAM_ERROR,
    UPSTREAM_RATE_LIMITED,
    UPSTREAM_REJECTED,
    GatewayError,
    Kind,
)
from gateway.core.events import Event
from gateway.core.upstream import CHAT, HttpRequest, Target, UpstreamCall
from gateway.providers import sigv4
from gateway.providers.failures import LARGEST_ERROR_TEXT, broken_answer, broken_event, failed_midway, judge
from gateway.providers.places import segment
from gateway.providers.quirks import refuse
from gateway.providers.streams import StreamReader
from gateway.wire import bedrock, chat_in
from gateway.wire.chat_in import ChatMessage, Fields, NamedTool, lacking, read_arguments, read_data_url, text_of
from gateway.wire.chat_out import Choice, Delta, OutFunction, OutToolCall, Writer
from gateway.wire.eventstream import MAX_MESSAGE_BYTES, EventStreamParser
from gateway.wire.eventstream import Message as Frame
from gateway.wire.openai import DECODE_ERRORS, is_given

SERVICE = "bedrock"
"""What signatures are for; the host says ``bedrock-runtime``."""
_RAW = {
    "additional_model_request_fields": "additionalModelRequestFields",
    "guardrail_config": "guardrailConfig",
    "performance_config": "performanceConfig",
}
"""Bedrock's own fields, passed on as they are."""
_INFERENCE = {"temperature": "temperature", "top_p": "topP"}
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
_IMAGES = frozenset({"png", "jpeg", "gif", "webp"})
_DOCUMENTS = {"application/pdf": "pdf", "text/plain": "txt", "text/csv": "csv", "text/html": "html", "text/markdown": "md"}
_TIERS = frozenset({"flex", "priority"})
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
    """``Translator`` for Bedrock. ``clock`` gives seconds since the epoch; ``new_id`` names answers, which have no id or model there.

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
        body = bedrock.encode(_body(call, target.provider))
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

    def answer(self, body: bytes, dialect: str) -> Event:
        """The whole answer in the chat form."""
        del dialect
        try:
            answer = bedrock.decode_answer(body)
        except DECODE_ERRORS as error:
            raise broken_answer("a Converse response", error, body) from None
        blocks = answer.output.message.content
        text = "".join([block.text or "" for block in blocks])
        thoughts = "".join(
            [
                b.reasoning_content.reasoning_text.text
                for b in blocks
                if b.reasoning_content and b.reasoning_content.reasoning_text
            ]
        )
        calls = [
            OutToolCall(
                OutFunction(block.tool_use.name, bedrock.encode(block.tool_use.input or {}).decode()),
                block.tool_use.tool_use_id,
                "function",
            )
            for block in blocks
            if block.tool_use is not None
        ]
        delta = Delta(None, text or None, thoughts or None, None, calls or None)
        writer = Writer(self._new_id(), self._clock(), "")
        return writer.whole([Choice(0, delta, _finish(answer.stop_reason, body))], bedrock.read_usage(answer.usage))

    def decoder(self, dialect: str) -> StreamReader[Frame]:
        """A reader for one stream."""
        del dialect
        return _Reader(Writer(self._new_id(), self._clock(), ""), EventStreamParser(self._max_event_bytes).feed)

    def failure(self, target: Target, status: int, headers: Mapping[bytes, bytes], body: bytes) -> GatewayError:
        """By the exception's name in ``x-amzn-errortype``, else by status."""
        try:
            error = bedrock.decode_error(body)
        except DECODE_ERRORS:
            error = bedrock.ErrorBody()
        name = headers.get(b"x-amzn-errortype", b"").decode("latin-1").partition(":")[0]
        return judge(target, status, headers, body, message=error.message or error.Message, kind=_BY_NAME.get(name))


# --- requests -------------------------------------------------------------------------------------------------------
def _body(call: UpstreamCall, provider: str) -> dict[str, Any]:
    messages = chat_in.read_conversation(call.conversation, provider)
    fields = Fields(call.fields)
    body: dict[str, Any] = {"messages": _turns(messages, provider)}
    system = [text_of(m, i, provider) for i, m in enumerate(messages) if m.role in {"system", "developer"}]
    if system:
        body["system"] = [{"text": text} for text in system]
    inference: dict[str, object] = {}
    for name, known in _INFERENCE.items():
        raw = fields.raw(name)
        if raw is not None:
            inference[known] = raw
    maximum, stops = fields.maximum(), fields.stops()
    if maximum is not None:
        inference["maxTokens"] = maximum
    if stops is not None:
        inference["stopSequences"] = stops
    if inference:
        body["inferenceConfig"] = inference
    _put_tools(body, fields, messages, provider)
    _put_format(body, fields, provider)
    labels = fields.take("metadata", chat_in.decode_labels)
    if labels:
        body["requestMetadata"] = labels
    tier = fields.take("service_tier", chat_in.decode_text)
    if tier in _TIERS:
        body["serviceTier"] = {"type": tier}
    elif tier is not None:
        refuse(provider, "service_tier", Raw(bedrock.encode(tier)))
    for name, known in _RAW.items():
        raw = fields.raw(name)
        if raw is not None:
            body[known] = raw
    for name, raw in fields.rest().items():
        refuse(provider, name, raw)
    return body


def _turns(messages: list[ChatMessage], provider: str) -> list[dict[str, Any]]:
    """Turns of user and assistant in alternation, as Converse wants them: neighbours of one role are one turn."""
    turns: list[dict[str, Any]] = []
    for index, message in enumerate(messages):
        if message.role in {"system", "developer"}:
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message, index, provider)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    return turns


def _blocks(message: ChatMessage, index: int, provider: str) -> list[dict[str, object]]:
    if message.role == "user":
        return _asked(message, index, provider)
    text = text_of(message, index, provider)
    if message.role == "tool":
        return [{"toolResult": {"toolUseId": message.tool_call_id, "content": [{"text": text}]}}]
    text = text or message.refusal or ""
    blocks: list[dict[str, object]] = [{"text": text}] if text else []
    for number, call in enumerate(message.tool_calls or ()):
        arguments = read_arguments(call, f"messages[{index}].tool_calls[{number}]")
        blocks.append({"toolUse": {"toolUseId": call.id, "name": call.function.name, "input": arguments}})
    return blocks


def _asked(message: ChatMessage, index: int, provider: str) -> list[dict[str, object]]:
    blocks: list[dict[str, object]] = []
    for number, part in enumerate(message.parts):
        where = f"messages[{index}].content[{number}]"
        if part.type == "text":
            blocks.append({"text": part.text})
        elif part.image_url is not None:
            data = read_data_url(part.image_url.url, f"{where}.image_url.url", provider)
            form = data.media_type.removeprefix("image/")
            if form not in _IMAGES:
                raise lacking(f"{where}.image_url.url", provider, f"images of type {data.media_type[:60]}")
            blocks.append({"image": {"format": form, "source": {"bytes": data.base64}}})
        elif part.file is not None and part.file.file_data is not None:
            data = read_data_url(part.file.file_data, f"{where}.file.file_data", provider)
            form = _DOCUMENTS.get(data.media_type, "")
            if not form:
                raise lacking(f"{where}.file.file_data", provider, f"documents of type {data.media_type[:60]}")
            # Names may hold letters, digits, blanks, dashes and brackets only, and no file's extension says more than its type.
            blocks.append(
                {"document": {"format": form, "name": f"document {index}-{number}", "source": {"bytes": data.base64}}}
            )
        else:
            raise lacking(where, provider, part.type)
    return blocks


def _put_tools(body: dict[str, Any], fields: Fields, messages: list[ChatMessage], provider: str) -> None:
    tools = fields.take("tools", chat_in.decode_tools)
    choice = fields.take("tool_choice", chat_in.decode_tool_choice)
    if choice == "none":
        if tools and any(message.tool_calls for message in messages):
            raise lacking("tool_choice", provider, "none after tools were used")
        return
    if not tools:
        if choice not in {None, "auto"}:
            raise GatewayError(MALFORMED, "tool_choice: given without tools", param="tool_choice")
        return
    specs: list[dict[str, object]] = []
    for tool in tools:
        function = tool.function
        schema = function.parameters if is_given(function.parameters) else Raw(b'{"type":"object"}')
        spec: dict[str, object] = {"name": function.name, "inputSchema": {"json": schema}}
        if function.description is not None:
            spec["description"] = function.description
        if function.strict:
            spec["strict"] = True
        specs.append({"toolSpec": spec})
    config: dict[str, object] = {"tools": specs}
    if isinstance(choice, NamedTool):
        config["toolChoice"] = {"tool": {"name": choice.function.name}}
    elif choice is not None:
        config["toolChoice"] = {"any" if choice == "required" else "auto": {}}
    body["toolConfig"] = config


def _put_format(body: dict[str, Any], fields: Fields, provider: str) -> None:
    form = fields.take("response_format", chat_in.decode_response_format)
    if form is None or form.type == "text":
        return
    wanted = form.json_schema
    if wanted is None or not is_given(wanted.schema):
        raise lacking("response_format", provider, "JSON without a schema")
    schema: dict[str, str] = {
        "schema": chat_in.json_text(wanted.schema, "response_format.json_schema.schema"),
        "name": wanted.name,
    }
    if wanted.description is not None:
        schema["description"] = wanted.description
    body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}


# --- answers --------------------------------------------------------------------------------------------------------
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
            case "messageStop":
                self.finished = True
                return [self._writer.chunk(Delta(), _finish(step.stop_reason or "", payload))]
            case "metadata":
                self.done = self.finished
                usage = bedrock.read_usage(step.usage)
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
        if delta.reasoning_content is not None and delta.reasoning_content.text:
            return [self._writer.chunk(Delta(reasoning_content=delta.reasoning_content.text))]
        if delta.tool_use is not None and delta.tool_use.input:
            if block not in self._calls:
                raise broken_event(ValueError("arguments of no tool call"), payload)
            return [self._arguments(block, delta.tool_use.input)]
        return []

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
