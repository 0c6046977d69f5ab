"""Google's Gemini API in its native form.

Source: Google's reference of ``models.generateContent`` and its guides on function calling, thinking, structured output and thought
signatures.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gateway.core.errors import MALFORMED, UPSTREAM_AUTH, UPSTREAM_ERROR, GatewayError, Kind
from gateway.core.events import Event, Usage
from gateway.core.upstream import CHAT, HttpRequest, Target, UpstreamCall
from gateway.providers.failures import broken_answer, broken_event, failed_midway, judge
from gateway.providers.places import segment
from gateway.providers.quirks import refuse
from gateway.providers.streams import StreamReader
from gateway.wire import chat_in, gemini
from gateway.wire.chat_in import ChatMessage, Fields, NamedTool, lacking, read_arguments, read_data_url, text_of
from gateway.wire.chat_out import Choice, Delta, OutFunction, OutToolCall, Writer
from gateway.wire.openai import DECODE_ERRORS, is_given
from gateway.wire.sse import MAX_EVENT_BYTES, SseParser

_PLAIN = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "n": "candidateCount",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
"""Fields that keep their value under another name."""
_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
"""Tokens of thought per ``reasoning_effort`` for models that take a budget: the table of Google's own OpenAI endpoint."""
_LEVELS = frozenset({"minimal", "low", "medium", "high"})
"""``thinkingLevel`` of later models; none of them can be kept from thinking."""
_WITH_BUDGET = "gemini-2"
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
_AUDIO = {"wav": "audio/wav", "mp3": "audio/mp3"}
_MADE_ID = re.compile(r"call_[0-9a-f]{24}", re.ASCII)
_VENDOR = "google"
"""Under this name Google's OpenAI endpoint keeps what callers must give back (``extra_content``)."""


class GeminiTranslator:
    """``Translator`` for Gemini. ``clock`` gives seconds since the epoch, which Gemini's answers lack."""

    speaks = frozenset({CHAT})
    stream_type = b"text/event-stream"

    def __init__(self, clock: Callable[[], int], max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._clock = clock
        self._max_event_bytes = max_event_bytes

    def request(self, target: Target, call: UpstreamCall) -> HttpRequest:
        """``generateContent``, or its stream; the model is in the path, the key in a header. Raises ``malformed``."""
        name = target.provider
        messages = chat_in.read_conversation(call.conversation, name)
        fields = Fields(call.fields)
        body: dict[str, Any] = {"contents": _contents(messages, name)}
        system = [text_of(m, i, name) for i, m in enumerate(messages) if m.role in {"system", "developer"}]
        if system:
            body["systemInstruction"] = gemini.Content([gemini.Part(text) for text in system])
        _put_tools(body, fields)
        config = _generation_config(fields, call.model)
        if config:
            body["generationConfig"] = config
        for given, known in (("safety_settings", "safetySettings"), ("cached_content", "cachedContent")):
            raw = fields.raw(given)
            if raw is not None:
                body[known] = raw
        for left, raw in fields.rest().items():
            refuse(name, left, raw)
        verb = "streamGenerateContent?alt=sse" if call.stream else "generateContent"
        path = f"/models/{segment(call.model.removeprefix('models/'))}:{verb}"
        key = ((b"x-goog-api-key", target.api_key.encode()),) if target.api_key else ()
        return HttpRequest(path, ((b"content-type", b"application/json"), *key), gemini.encode(body))

    def answer(self, body: bytes, dialect: str) -> Event:
        """The whole answer in the chat form."""
        del dialect
        try:
            answer = gemini.decode_answer(body)
        except DECODE_ERRORS as error:
            raise broken_answer("a generateContent response", error, body) from None
        usage = gemini.read_usage(answer.usage_metadata)
        writer = Writer(answer.response_id, self._clock(), answer.model_version)
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

    def decoder(self, dialect: str) -> StreamReader[bytes]:
        """A reader for one stream."""
        del dialect
        return _Reader(self._clock(), SseParser(self._max_event_bytes).feed)

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


# --- requests -------------------------------------------------------------------------------------------------------
def _contents(messages: list[ChatMessage], provider: str) -> list[gemini.Content]:
    """Turns, neighbours of one role in one turn: results of parallel calls must come together."""
    contents: list[gemini.Content] = []
    names: dict[str, str] = {}
    for index, message in enumerate(messages):
        if message.role in {"system", "developer"}:
            continue
        if message.role == "assistant":
            role, parts = "model", _said(message, index, names, provider)
        elif message.role == "tool":
            role, parts = "user", [_tool_result(message, index, names, provider)]
        else:
            role, parts = "user", _asked(message, index, provider)
        if contents and contents[-1].role == role:
            contents[-1].parts += parts
        elif parts:
            contents.append(gemini.Content(parts, role))
    return contents


def _asked(message: ChatMessage, index: int, provider: str) -> list[gemini.Part]:
    parts: list[gemini.Part] = []
    for number, part in enumerate(message.parts):
        where = f"messages[{index}].content[{number}]"
        if part.type == "text":
            parts.append(gemini.Part(part.text))
        elif part.image_url is not None:
            parts.append(_inline(part.image_url.url, f"{where}.image_url.url", provider))
        elif part.input_audio is not None:
            media = _AUDIO.get(part.input_audio.format)
            if media is None:
                raise lacking(f"{where}.input_audio.format", provider, "this format")
            parts.append(gemini.Part(inline_data=gemini.Blob(media, part.input_audio.data)))
        elif part.file is not None and part.file.file_data is not None:
            parts.append(_inline(part.file.file_data, f"{where}.file.file_data", provider))
        else:
            raise lacking(where, provider, f"{part.type} without its data")
    return parts


def _inline(url: str, where: str, provider: str) -> gemini.Part:
    data = read_data_url(url, where, provider)
    return gemini.Part(inline_data=gemini.Blob(data.media_type, data.base64))


def _said(message: ChatMessage, index: int, names: dict[str, str], provider: str) -> list[gemini.Part]:
    text = text_of(message, index, provider) or message.refusal or ""
    parts = [gemini.Part(text)] if text else []
    for number, call in enumerate(message.tool_calls or ()):
        names[call.id] = call.function.name
        arguments = read_arguments(call, f"messages[{index}].tool_calls[{number}]")
        signature = (call.extra_content or {}).get(_VENDOR, {}).get("thought_signature")
        function = gemini.FunctionCall(call.function.name, arguments, _native_id(call.id))
        parts.append(gemini.Part(function_call=function, thought_signature=signature if isinstance(signature, str) else None))
    return parts


def _tool_result(message: ChatMessage, index: int, names: dict[str, str], provider: str) -> gemini.Part:
    """Gemini pairs results with calls by the function's name, OpenAI's form by the call's id."""
    name = names.get(message.tool_call_id or "")
    if name is None:
        where = f"messages[{index}].tool_call_id"
        raise GatewayError(MALFORMED, f"{where}: no earlier message has a tool call with this id", param=where)
    text = text_of(message, index, provider)
    try:
        result: Any = msgspec.json.decode(text)
    except DECODE_ERRORS:
        result = text
    response: dict[str, Any] = result if isinstance(result, dict) else {"result": result}  # pyright: ignore[reportUnknownVariableType]
    return gemini.Part(function_response=gemini.FunctionResponse(name, response, _native_id(message.tool_call_id or "")))


def _native_id(call_id: str) -> str | None:
    """An id of a call as Gemini may be told it: not one that we made because it gave none."""
    return None if _MADE_ID.fullmatch(call_id) else call_id


def _put_tools(body: dict[str, Any], fields: Fields) -> None:
    tools = fields.take("tools", chat_in.decode_tools)
    choice = fields.take("tool_choice", chat_in.decode_tool_choice)
    if not tools:
        if choice not in {None, "none", "auto"}:
            raise GatewayError(MALFORMED, "tool_choice: given without tools", param="tool_choice")
        return
    declarations: list[dict[str, object]] = []
    for tool in tools:
        function = tool.function
        declaration: dict[str, object] = {"name": function.name}
        if function.description is not None:
            declaration["description"] = function.description
        if is_given(function.parameters):
            declaration["parametersJsonSchema"] = function.parameters
        declarations.append(declaration)
    body["tools"] = [{"functionDeclarations": declarations}]
    strict = any(tool.function.strict for tool in tools)
    calling: dict[str, object] | None = None
    if isinstance(choice, NamedTool):
        calling = {"mode": "ANY", "allowedFunctionNames": [choice.function.name]}
    elif choice in {"none", "required"}:
        calling = {"mode": "NONE" if choice == "none" else "ANY"}
    elif strict:
        # Calls or text as the model likes, with arguments held to the schema.
        calling = {"mode": "VALIDATED"}
    if calling is not None:
        body["toolConfig"] = {"functionCallingConfig": calling}


def _generation_config(fields: Fields, model: str) -> dict[str, object]:
    config: dict[str, object] = {}
    for name, known in _PLAIN.items():
        raw = fields.raw(name)
        if raw is not None and not (name == "n" and bytes(raw) == b"1"):
            config[known] = raw
    maximum, stops = fields.maximum(), fields.stops()
    if maximum is not None:
        config["maxOutputTokens"] = maximum
    if stops is not None:
        config["stopSequences"] = stops
    form = fields.take("response_format", chat_in.decode_response_format)
    if form is not None and form.type != "text":
        config["responseMimeType"] = "application/json"
        if form.json_schema is not None and is_given(form.json_schema.schema):
            config["responseJsonSchema"] = form.json_schema.schema
    effort = fields.take("reasoning_effort", chat_in.decode_text)
    if effort is not None:
        config["thinkingConfig"] = _thinking(effort, model)
    return config


def _thinking(effort: str, model: str) -> dict[str, object]:
    if _WITH_BUDGET in model:
        if effort in _BUDGETS:
            return {"thinkingBudget": _BUDGETS[effort]}
    elif effort in _LEVELS:
        return {"thinkingLevel": effort}
    raise GatewayError(MALFORMED, f"reasoning_effort: Gemini has no such level for {model[:100]!r}", param="reasoning_effort")


# --- answers --------------------------------------------------------------------------------------------------------
class _Candidate:
    """What the chat form needs to know of one candidate from event to event."""

    def __init__(self, response_id: str, index: int) -> None:
        self._response_id = response_id
        self._index = index
        self._calls = 0

    def read(self, candidate: gemini.Candidate, *, streamed: bool = False) -> Delta:
        """What the candidate's parts say; a function call always comes in one piece."""
        texts: list[str] = []
        thoughts: list[str] = []
        calls: list[OutToolCall] = []
        for part in candidate.content.parts if candidate.content is not None else ():
            if part.function_call is not None:
                calls.append(self._call(part, part.function_call, streamed=streamed))
            elif part.text:
                (thoughts if part.thought else texts).append(part.text)
        return Delta(None, "".join(texts) or None, "".join(thoughts) or None, None, calls or None)

    def _call(self, part: gemini.Part, call: gemini.FunctionCall, *, streamed: bool) -> OutToolCall:
        number = self._calls
        self._calls += 1
        arguments = gemini.encode(call.args).decode()
        extra = None if part.thought_signature is None else {_VENDOR: {"thought_signature": part.thought_signature}}
        return OutToolCall(
            OutFunction(call.name, arguments),
            call.id or self._made_id(number, call.name, arguments),
            "function",
            number if streamed else None,
            extra,
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


def _blocked(answer: gemini.Answer) -> str | None:
    """The refusal that stands for an answer when the prompt was blocked."""
    feedback = answer.prompt_feedback
    if answer.candidates or feedback is None or feedback.block_reason is None:
        return None
    return f"The prompt was blocked by the provider: {feedback.block_reason[:60]}"


class _Reader(StreamReader[bytes]):
    """The events of ``streamGenerateContent``: whole answers, each with what is new. There is no mark of the end but finish reasons."""

    def __init__(self, created: int, frame: Callable[[bytes], list[bytes]]) -> None:
        super().__init__(frame)
        self._created = created
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
            writer = self._writer = Writer(answer.response_id, self._created, answer.model_version)
        self._usage = gemini.read_usage(answer.usage_metadata) or self._usage
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
