"""Settings of a Responses API request -> fields of the chat form, each on its own; what has none is named.

``metadata`` and ``truncation`` belong to the response object, which is ours: they are answered, not forwarded.
"""

from collections.abc import Callable, Mapping

import msgspec
from msgspec import Raw, Struct

from gateway.core.errors import MALFORMED, GatewayError
from gateway.dialects.chat import malformed
from gateway.wire import openai as chat
from gateway.wire import responses as wire

_SAME = frozenset(
    {
        "temperature",
        "top_p",
        "parallel_tool_calls",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "service_tier",
    }
)
"""Equal in both forms: name, type and meaning."""
_ANSWERED = frozenset({"metadata", "stream_options"})
"""Of the response object and of its stream only."""
_REASONING = frozenset({"effort", "summary", "generate_summary"})
_LOGPROBS = "message.output_text.logprobs"
_TRUE = Raw(b"true")
_decode_int = msgspec.json.Decoder(int | None).decode
_decode_names = msgspec.json.Decoder(list[str] | None).decode
_decode_option = msgspec.json.Decoder(str | None).decode


class Settings(Struct, gc=False):
    """Fields in chat terms, and the first one of the caller's that has no form there."""

    fields: dict[str, Raw]
    untranslatable: str | None = None

    def cannot(self, name: str) -> None:
        """Remember the first field without a form in chat."""
        self.untranslatable = self.untranslatable or name


def translate(given: Mapping[str, Raw]) -> Settings:
    """Every setting in chat terms. Raises ``malformed`` naming a field of the wrong type."""
    settings = Settings({})
    for name, raw in given.items():
        if name in _ANSWERED or not chat.is_given(raw):
            continue
        if name in _SAME:
            settings.fields[name] = raw
            continue
        reader = _READERS.get(name)
        if reader is None:
            settings.cannot(name)
            continue
        try:
            reader(raw, settings)
        except wire.DECODE_ERRORS as error:
            raise malformed(error, name) from None
    return settings


def _tools(raw: Raw, settings: Settings) -> None:
    tools: list[object] = []
    for index, tool in enumerate(wire.decode_tools(raw) or ()):
        if tool.type != "function":
            settings.cannot(f"tools[{index}].type")
            continue
        if not tool.name:
            raise GatewayError(MALFORMED, f"tools[{index}].name: missing", param=f"tools[{index}].name")
        tools.append({"type": "function", "function": _function(tool)})
    if tools:
        settings.fields["tools"] = Raw(chat.encode(tools))


def _function(tool: wire.Tool) -> dict[str, object]:
    function: dict[str, object] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if chat.is_given(tool.parameters):
        function["parameters"] = tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    return function


def _tool_choice(raw: Raw, settings: Settings) -> None:
    choice = wire.decode_tool_choice(raw)
    if isinstance(choice, str):
        settings.fields["tool_choice"] = raw
    elif choice is None:
        return
    elif choice.type == "function":
        settings.fields["tool_choice"] = Raw(chat.encode({"type": "function", "function": {"name": choice.name or ""}}))
    elif choice.type == "allowed_tools" and all(tool.type == "function" for tool in choice.tools or ()):
        tools = [{"type": "function", "function": {"name": tool.name or ""}} for tool in choice.tools or ()]
        allowed = {"mode": choice.mode or "auto", "tools": tools}
        settings.fields["tool_choice"] = Raw(chat.encode({"type": "allowed_tools", "allowed_tools": allowed}))
    else:
        settings.cannot("tool_choice.type")


def _text(raw: Raw, settings: Settings) -> None:
    text = wire.decode_text(raw)
    if text is None:
        return
    if text.verbosity is not None:
        settings.fields["verbosity"] = Raw(chat.encode(text.verbosity))
    form = text.format
    if form is None or form.type == "text":
        return
    if form.type == "json_object":
        settings.fields["response_format"] = Raw(b'{"type":"json_object"}')
    elif form.type == "json_schema":
        if not form.name or not chat.is_given(form.schema):
            raise GatewayError(MALFORMED, "text.format: a json_schema needs name and schema", param="text.format")
        schema: dict[str, object] = {"name": form.name, "schema": form.schema}
        if form.strict is not None:
            schema["strict"] = form.strict
        if form.description is not None:
            schema["description"] = form.description
        settings.fields["response_format"] = Raw(chat.encode({"type": "json_schema", "json_schema": schema}))
    else:
        settings.cannot("text.format.type")


def _reasoning(raw: Raw, settings: Settings) -> None:
    given = chat.decode_fields(raw)
    for name, value in given.items():
        if name not in _REASONING and chat.is_given(value):
            settings.cannot(f"reasoning.{name}")
    effort = given.get("effort")
    if effort is not None and chat.is_given(effort):
        settings.fields["reasoning_effort"] = effort


def _max_output_tokens(raw: Raw, settings: Settings) -> None:
    limit = _decode_int(raw)
    if limit is not None and limit < 1:
        raise GatewayError(MALFORMED, "max_output_tokens: at least 1", param="max_output_tokens")
    # The older name: every compatible server knows it, and OpenAI itself is spoken to in its own form.
    settings.fields["max_tokens"] = raw


def _top_logprobs(raw: Raw, settings: Settings) -> None:
    count = _decode_int(raw)
    if count:
        settings.fields["logprobs"] = _TRUE
        settings.fields["top_logprobs"] = raw


def _include(raw: Raw, settings: Settings) -> None:
    # The other names ask for details of hosted tools and of encrypted reasoning, which no answer in the chat form has.
    if _LOGPROBS in (_decode_names(raw) or ()):
        settings.fields["logprobs"] = _TRUE


def _truncation(raw: Raw, settings: Settings) -> None:
    if _decode_option(raw) != "disabled":
        settings.cannot("truncation")


_READERS: dict[str, Callable[[Raw, Settings], None]] = {
    "tools": _tools,
    "tool_choice": _tool_choice,
    "text": _text,
    "reasoning": _reasoning,
    "max_output_tokens": _max_output_tokens,
    "top_logprobs": _top_logprobs,
    "include": _include,
    "truncation": _truncation,
}
