"""A chat call as Bedrock's ``Converse`` wants it.

Source: AWS's API reference of ``Converse``, its guides to tool use and structured output.
"""

from typing import Any

from msgspec import Raw

from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.upstream import UpstreamCall
from gateway.providers.quirks import refuse
from gateway.wire import bedrock, chat_in
from gateway.wire.chat_in import ChatMessage, Fields, NamedTool, lacking, read_arguments, read_data_url, text_of
from gateway.wire.openai import is_given

_RAW = {
    "additional_model_request_fields": "additionalModelRequestFields",
    "guardrail_config": "guardrailConfig",
    "performance_config": "performanceConfig",
}
"""Bedrock's own fields, passed on as they are."""
_INFERENCE = {"temperature": "temperature", "top_p": "topP"}
_IMAGES = frozenset({"png", "jpeg", "gif", "webp"})
"""Formats of pictures, as in their media types."""
_DOCUMENTS = {"application/pdf": "pdf", "text/plain": "txt", "text/csv": "csv", "text/html": "html", "text/markdown": "md"}
_TIERS = frozenset({"flex", "priority"})
"""Service tiers that OpenAI and Bedrock call the same."""


def body_of(call: UpstreamCall, provider: str) -> dict[str, Any]:
    """The body of ``Converse``. Raises ``malformed`` naming what Bedrock has no form for."""
    messages = chat_in.read_conversation(call.conversation, provider)
    fields = Fields(call.fields)
    body: dict[str, Any] = {"messages": _turns(messages, provider, unsigned=_takes_unsigned(call.model))}
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


def _turns(messages: list[ChatMessage], provider: str, *, unsigned: bool) -> list[dict[str, Any]]:
    """Turns of user and assistant in alternation, as Converse wants them: neighbours of one role are one turn."""
    turns: list[dict[str, Any]] = []
    for index, message in enumerate(messages):
        if message.role in {"system", "developer"}:
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message, index, provider, unsigned=unsigned)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    return turns


def _blocks(message: ChatMessage, index: int, provider: str, *, unsigned: bool) -> list[dict[str, object]]:
    if message.role == "user":
        return _asked(message, index, provider)
    text = text_of(message, index, provider)
    if message.role == "tool":
        return [{"toolResult": {"toolUseId": message.tool_call_id, "content": [{"text": text}]}}]
    text = text or message.refusal or ""
    blocks = _thoughts(message, unsigned=unsigned)
    if text:
        blocks.append({"text": text})
    for number, call in enumerate(message.tool_calls or ()):
        arguments = read_arguments(call, f"messages[{index}].tool_calls[{number}]")
        blocks.append({"toolUse": {"toolUseId": call.id, "name": call.function.name, "input": arguments}})
    return blocks


def _takes_unsigned(model: str) -> bool:
    """Whether thoughts without a signature may be given back. Anthropic's models refuse them; what an ARN stands for nobody knows."""
    return "anthropic" not in model and not model.startswith("arn:")


def _thoughts(message: ChatMessage, *, unsigned: bool) -> list[dict[str, object]]:
    """The thoughts of an earlier answer, first in its turn and byte for byte, as Converse wants them back."""
    found: list[dict[str, object]] = []
    for block in message.thinking_blocks or ():
        if block.type == "redacted_thinking":
            found.append({"reasoningContent": {"redactedContent": block.data}})
        elif block.signature:
            found.append({"reasoningContent": {"reasoningText": {"text": block.thinking, "signature": block.signature}}})
    if not found and unsigned and message.thoughts:
        found.append({"reasoningContent": {"reasoningText": {"text": message.thoughts}}})
    return found


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
        if choice not in (None, "auto"):
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
