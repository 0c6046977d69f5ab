"""Fields of a chat call -> fields of a Messages call. What has no form there is refused by name; nothing is dropped silently."""

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec
from msgspec import Raw

from gateway.providers.anthropic.refusals import unfit, unreadable
from gateway.wire import chat
from gateway.wire.openai import DECODE_ERRORS, is_given

DEFAULT_MAX_TOKENS = 16_384
"""``max_tokens`` where nobody gives one; the API demands it. Every model on offer can make as many, thinking included, and a
runaway answer still has an end."""

THINKING_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 4096, "high": 16_384, "xhigh": 32_768, "max": 32_768}
"""``reasoning_effort`` in tokens, for models that are given a budget; the API's least is 1,024."""
LEAST_BUDGET = 1024
EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
"""``reasoning_effort`` in the words of ``output_config.effort``, which has no ``minimal``."""
_BUDGETED = re.compile(r"claude-(3|4-(opus|sonnet)|(opus|sonnet|haiku)-4(-[015])?(-20\d{6}|-latest|$|@|:|-v))")
"""Models before 4.6: they take ``thinking.budget_tokens`` and know no adaptive thinking; later ones are the other way round."""

_NATIVE = frozenset({"thinking", "top_k", "cache_control", "inference_geo", "speed"})
"""Anthropic's own fields: a chat caller may give them as they are (the vendor's compatible endpoint takes ``thinking`` so too)."""
_AS_IS = frozenset({"temperature", "top_p"})
_HINTS = frozenset({"prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "stream_options"})
"""What changes no answer: where a provider caches, and what the gateway itself has acted on."""
_NO_EFFECT: dict[str, frozenset[bytes]] = {
    "n": frozenset({b"1"}),
    "logprobs": frozenset({b"false"}),
    "top_logprobs": frozenset({b"0"}),
    "frequency_penalty": frozenset({b"0", b"0.0"}),
    "presence_penalty": frozenset({b"0", b"0.0"}),
    "logit_bias": frozenset({b"{}"}),
    "store": frozenset({b"false"}),
    "metadata": frozenset({b"{}"}),
    "modalities": frozenset({b'["text"]'}),
    "verbosity": frozenset({b'"medium"'}),
}
"""Values that ask for what happens anyway, byte for byte."""

_T = TypeVar("_T")


def from_chat(fields: Mapping[str, Raw], model: str) -> dict[str, object]:
    """The body of a Messages call without ``model``, ``messages``, ``system`` and ``stream``. Raises ``malformed`` naming the field."""
    given = {name: raw for name, raw in fields.items() if is_given(raw)}
    body: dict[str, object] = {}
    output: dict[str, object] = {}
    body["max_tokens"] = _max_tokens(given)
    for name, raw in given.items():
        if name in _AS_IS or name in _NATIVE:
            body[name] = raw
        elif name in _TRANSLATED:
            _TRANSLATED[name](raw, body, output)
        elif name not in _HINTS and bytes(raw) not in _NO_EFFECT.get(name, ()):
            raise unfit(name, "has no form at Anthropic")
    _limit_temperature(given)
    choice = body.get("tool_choice")
    if "tools" not in body and choice in ({"type": "auto"}, {"type": "none"}):
        del body["tool_choice"]  # what happens anyway; the API refuses it where there are no tools
    if "parallel_tool_calls" in given:
        _parallel(given["parallel_tool_calls"], body)
    if "reasoning_effort" in given:
        _reason(given["reasoning_effort"], model, body, output)
    if output:
        body["output_config"] = output
    return body


def _read(decode: Callable[[Raw], _T], raw: Raw, name: str) -> _T:
    try:
        return decode(raw)
    except DECODE_ERRORS as error:
        raise unreadable(name, error) from None


_decode_text = msgspec.json.Decoder(str).decode
_decode_bool = msgspec.json.Decoder(bool).decode
_decode_int = msgspec.json.Decoder(int).decode
_decode_number = msgspec.json.Decoder(float).decode
_decode_stop = msgspec.json.Decoder(str | list[str]).decode


def _max_tokens(given: Mapping[str, Raw]) -> int:
    for name in ("max_completion_tokens", "max_tokens"):
        if name in given:
            return _read(_decode_int, given[name], name)
    return DEFAULT_MAX_TOKENS


def _limit_temperature(given: Mapping[str, Raw]) -> None:
    if "temperature" in given and _read(_decode_number, given["temperature"], "temperature") > 1:
        raise unfit("temperature", "Anthropic takes 0 to 1")


def _stop(raw: Raw, body: dict[str, object], _: dict[str, object]) -> None:
    stop = _read(_decode_stop, raw, "stop")
    body["stop_sequences"] = [stop] if isinstance(stop, str) else stop


def _user(raw: Raw, body: dict[str, object], _: dict[str, object]) -> None:
    body["metadata"] = {"user_id": _read(_decode_text, raw, "user")}


def _service_tier(raw: Raw, body: dict[str, object], _: dict[str, object]) -> None:
    tier = _read(_decode_text, raw, "service_tier")
    if tier not in {"auto", "default"}:
        raise unfit("service_tier", "Anthropic knows auto and default only")
    body["service_tier"] = "auto" if tier == "auto" else "standard_only"


def _tools(raw: Raw, body: dict[str, object], _: dict[str, object]) -> None:
    made: list[dict[str, object]] = []
    for number, tool in enumerate(_read(chat.decode_tools, raw, "tools")):
        function = tool.function
        if tool.type != "function" or function is None:
            raise unfit("tools", f"tools[{number}] is no function; other tools have no form at Anthropic")
        entry: dict[str, object] = {"name": function.name}
        if function.description is not None:
            entry["description"] = function.description
        entry["input_schema"] = function.parameters if is_given(function.parameters) else {"type": "object", "properties": {}}
        if function.strict is not None:
            entry["strict"] = function.strict
        if is_given(tool.cache_control):
            entry["cache_control"] = tool.cache_control
        made.append(entry)
    if made:
        body["tools"] = made


def _tool_choice(raw: Raw, body: dict[str, object], _: dict[str, object]) -> None:
    choice = _read(chat.decode_tool_choice, raw, "tool_choice")
    word = {"auto": "auto", "none": "none", "required": "any"}.get(choice) if isinstance(choice, str) else None
    if word is not None:
        body["tool_choice"] = {"type": word}
    elif isinstance(choice, chat.ToolChoice) and choice.type == "function" and choice.function is not None:
        body["tool_choice"] = {"type": "tool", "name": choice.function.name}
    else:
        raise unfit("tool_choice", "Anthropic knows auto, none, required and a function by name")


def _parallel(raw: Raw, body: dict[str, object]) -> None:
    if _read(_decode_bool, raw, "parallel_tool_calls") or "tools" not in body:
        return
    choice = body.setdefault("tool_choice", {"type": "auto"})
    assert isinstance(choice, dict)
    if choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True


def _response_format(raw: Raw, _: dict[str, object], output: dict[str, object]) -> None:
    wanted = _read(chat.decode_response_format, raw, "response_format")
    if wanted.type == "text":
        return
    schema = wanted.json_schema
    if wanted.type != "json_schema" or schema is None or not is_given(schema.schema):
        raise unfit("response_format", "Anthropic answers in JSON by a json_schema only")
    output["format"] = {"type": "json_schema", "schema": schema.schema}


def _reason(raw: Raw, model: str, body: dict[str, object], output: dict[str, object]) -> None:
    """``reasoning_effort`` as the model takes it; a ``thinking`` of the caller's own goes before it."""
    effort = _read(_decode_text, raw, "reasoning_effort")
    if effort not in EFFORTS and effort != "none":
        raise unfit("reasoning_effort", f"Anthropic has no {effort[:50]!r}")
    if "thinking" in body:
        if effort != "none" and not _BUDGETED.search(model):
            output["effort"] = EFFORTS[effort]
        return
    if effort == "none":
        body["thinking"] = {"type": "disabled"}
    elif _BUDGETED.search(model):
        most = body["max_tokens"]
        assert isinstance(most, int)
        budget = min(THINKING_BUDGETS[effort], most - 1)
        if budget < LEAST_BUDGET:
            raise unfit("reasoning_effort", f"thinking needs max_completion_tokens above {LEAST_BUDGET} for this model")
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    else:
        body["thinking"] = {"type": "adaptive"}
        output["effort"] = EFFORTS[effort]


def _nothing(_: Raw, __: dict[str, object], ___: dict[str, object]) -> None:
    """For fields that are read apart, because others bear on them."""


_TRANSLATED: dict[str, Callable[[Raw, dict[str, object], dict[str, object]], None]] = {
    "max_completion_tokens": _nothing,
    "max_tokens": _nothing,
    "parallel_tool_calls": _nothing,
    "reasoning_effort": _nothing,
    "response_format": _response_format,
    "safety_identifier": _user,
    "service_tier": _service_tier,
    "stop": _stop,
    "tool_choice": _tool_choice,
    "tools": _tools,
    "user": _user,
}
