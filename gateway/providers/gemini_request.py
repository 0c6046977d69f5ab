"""A chat call as Gemini's ``generateContent`` wants it.

Source: Google's reference of ``models.generateContent`` and its guides on function calling, thinking and structured output.
"""

import re
from typing import Any

import msgspec

from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.upstream import UpstreamCall
from gateway.providers.quirks import refuse
from gateway.wire import chat_in, gemini
from gateway.wire.chat_in import ChatMessage, Fields, NamedTool, lacking, read_arguments, read_data_url, text_of
from gateway.wire.openai import DECODE_ERRORS, is_given

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
"""What the names of models with a budget have in them."""
_AUDIO = {"wav": "audio/wav", "mp3": "audio/mp3"}
"""OpenAI's formats of spoken input, as media types."""
_MADE_ID = re.compile(r"call_[0-9a-f]{24}", re.ASCII)
"""Ids that the gateway makes for calls to which Gemini gives none."""


def body_of(call: UpstreamCall, name: str) -> dict[str, Any]:
    """The body of ``generateContent``; ``name`` is the provider's. Raises ``malformed`` naming what Gemini has no form for."""
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
    return body


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
    images, message.images = message.images or [], None
    text = text_of(message, index, provider) or message.refusal or ""
    signed = _signature(message.extra_content)
    parts = [gemini.Part(message.thoughts, thought=True)] if message.thoughts else []
    if text or signed is not None:
        parts.append(gemini.Part(text, thought_signature=signed))
    for number, image in enumerate(images):
        parts.append(_inline(image.image_url.url, f"messages[{index}].images[{number}].image_url.url", provider))
    for number, call in enumerate(message.tool_calls or ()):
        names[call.id] = call.function.name
        arguments = read_arguments(call, f"messages[{index}].tool_calls[{number}]")
        function = gemini.FunctionCall(call.function.name, arguments, _native_id(call.id))
        parts.append(gemini.Part(function_call=function, thought_signature=_signature(call.extra_content)))
    return parts


def _signature(extra: dict[str, dict[str, Any]] | None) -> str | None:
    """The thought signature that came with a text or a call, where the caller has given it back."""
    found = (extra or {}).get(gemini.VENDOR, {}).get("thought_signature")
    return found if isinstance(found, str) else None


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
        if choice not in (None, "none", "auto"):
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
