"""Fields of a Messages call -> fields of a chat call, for providers that do not speak it."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec
from msgspec import Raw

from gateway.core.errors import MALFORMED, GatewayError
from gateway.dialects.chat import malformed
from gateway.wire import anthropic as wire
from gateway.wire.openai import DECODE_ERRORS, encode, is_given

_NAMES = {
    "max_tokens": "max_completion_tokens",
    "stop_sequences": "stop",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
}
"""Fields whose value is the same in both. ``top_k`` is no field of OpenAI's, but of most servers that are compatible with it."""
_HINTS = frozenset({"cache_control", "diagnostics"})
"""What changes no answer; marks on blocks and tools are not sent on either."""
_SERVICE_TIERS = {"auto": "auto", "standard_only": "default"}
_EFFORT_OF_BUDGET = ((4096, "low"), (16_384, "medium"))
"""``thinking.budget_tokens`` below the number, as ``reasoning_effort``; above all of them it is ``high``."""

_T = TypeVar("_T")
_decode_text = msgspec.json.Decoder(str | None).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode


def to_chat(native: Mapping[str, Raw]) -> tuple[dict[str, Raw], str | None]:
    """(fields in chat terms, the first field that has no chat form). Raises ``malformed`` naming a field that cannot be read."""
    made: dict[str, object] = {}
    untranslatable: str | None = None
    for name, raw in native.items():
        if not is_given(raw) or name in _HINTS:
            continue
        if name in _NAMES:
            made[_NAMES[name]] = raw
        elif name not in _TRANSLATED or not _TRANSLATED[name](raw, made):
            untranslatable = untranslatable or name
    if "stop" in made and not _read(_decode_list, native["stop_sequences"], "stop_sequences"):
        del made["stop"]
    return {name: value if isinstance(value, Raw) else Raw(encode(value)) for name, value in made.items()}, untranslatable


def _read(decode: Callable[[Raw], _T], raw: Raw, name: str) -> _T:
    try:
        return decode(raw)
    except DECODE_ERRORS as error:
        raise malformed(error, name) from None


def _metadata(raw: Raw, made: dict[str, object]) -> bool:
    """The envelope has read it: its one field is the user."""
    del raw, made
    return True


def _service_tier(raw: Raw, made: dict[str, object]) -> bool:
    tier = _SERVICE_TIERS.get(_read(_decode_text, raw, "service_tier") or "")
    if tier is not None:
        made["service_tier"] = tier
    return tier is not None


def _tools(raw: Raw, made: dict[str, object]) -> bool:
    tools: list[dict[str, object]] = []
    for number, tool in enumerate(_read(wire.decode_tools, raw, "tools") or ()):
        if tool.type not in {None, "custom"}:
            return False
        if not tool.name:
            raise GatewayError(MALFORMED, f"tools[{number}].name: required", param=f"tools[{number}].name")
        function: dict[str, object] = {"name": tool.name}
        if tool.description is not None:
            function["description"] = tool.description
        if is_given(tool.input_schema):
            function["parameters"] = tool.input_schema
        if tool.strict is not None:
            function["strict"] = tool.strict
        tools.append({"type": "function", "function": function})
    if tools:
        made["tools"] = tools
    return True


def _tool_choice(raw: Raw, made: dict[str, object]) -> bool:
    choice = _read(wire.decode_tool_choice, raw, "tool_choice")
    if choice is None:
        return True
    if choice.type == "tool":
        made["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    elif choice.type in {"auto", "any", "none"}:
        made["tool_choice"] = "required" if choice.type == "any" else choice.type
    else:
        raise GatewayError(MALFORMED, "tool_choice.type: must be auto, any, tool or none", param="tool_choice.type")
    if choice.disable_parallel_tool_use:
        made["parallel_tool_calls"] = False
    return True


def _thinking(raw: Raw, made: dict[str, object]) -> bool:
    """A budget becomes an effort, unless one is given; ``adaptive`` and ``disabled`` leave the model to its own default."""
    thinking = _read(wire.decode_thinking, raw, "thinking")
    if thinking is not None and thinking.type == "enabled" and "reasoning_effort" not in made:
        budget = thinking.budget_tokens or 0
        made["reasoning_effort"] = next((effort for limit, effort in _EFFORT_OF_BUDGET if budget < limit), "high")
    return True


def _output_config(raw: Raw, made: dict[str, object]) -> bool:
    config = _read(wire.decode_output_config, raw, "output_config")
    if config is None:
        return True
    if config.effort is not None:
        made["reasoning_effort"] = config.effort
    if config.format is not None:
        if config.format.type != "json_schema":
            return False
        schema = {"name": "answer", "schema": config.format.schema, "strict": True}
        made["response_format"] = {"type": "json_schema", "json_schema": schema}
    return True


_TRANSLATED: dict[str, Callable[[Raw, dict[str, object]], bool]] = {
    "metadata": _metadata,
    "output_config": _output_config,
    "service_tier": _service_tier,
    "thinking": _thinking,
    "tool_choice": _tool_choice,
    "tools": _tools,
}
"""Each reads one field into chat fields; False: it has no chat form."""
