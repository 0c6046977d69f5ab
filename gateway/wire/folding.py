"""A streamed chat answer as a whole one, and a whole one as a stream: OpenAI's chunks folded the way its own SDK folds them.

Source: ``openai.lib.streaming._deltas.accumulate_delta`` and the published objects ``chat.completion`` and ``chat.completion.chunk``.
"""

from typing import Any, cast

import msgspec

from gateway.wire.openai import DECODE_ERRORS

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode
_NOT_THE_ANSWERS = frozenset(("choices", "usage", "object", "obfuscation"))
"""What chunks say of themselves; the rest (``id``, ``model``, ``created`` ...) is of the whole answer."""
MAX_CHOICES = 128
"""OpenAI's own bound of ``n``; list positions come from the provider and must not make lists of any length."""
MAX_CALLS = 1024
"""Tool calls of one message, by the same reason."""


def fold(chunks: list[bytes]) -> bytes | None:
    """One ``chat.completion`` from the payloads of a complete stream; None when they do not make one.

    Every choice needs its finish reason: a stream that was cut short is no answer.
    """
    whole: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    usage: object = None
    try:
        for data in chunks:
            chunk = _decode(data)
            whole |= {name: value for name, value in chunk.items() if name not in _NOT_THE_ANSWERS}
            usage = chunk.get("usage") or usage
            for part in cast("list[dict[str, Any]]", chunk.get("choices") or []):
                _add_choice(choices, part)
    except (*DECODE_ERRORS, KeyError, TypeError, ValueError, AttributeError):
        return None
    if not choices or any(choice.get("finish_reason") is None for choice in choices.values()):
        return None
    whole["object"] = "chat.completion"
    whole["choices"] = [choices[index] for index in sorted(choices)]
    if usage is not None:
        whole["usage"] = usage
    return _encode(whole)


def _add_choice(choices: dict[int, dict[str, Any]], part: dict[str, Any]) -> None:
    index = _position(part["index"], MAX_CHOICES)
    choice = choices.setdefault(
        index, {"index": index, "message": {"role": "assistant", "content": None}, "finish_reason": None}
    )
    for name, value in part.items():
        if name == "delta":
            _accumulate(choice["message"], value or {})
        elif name == "logprobs" and isinstance(value, dict):
            _accumulate(choice.setdefault("logprobs", {}), cast("dict[str, Any]", value))
        elif name != "index" and value is not None:
            choice[name] = value


def _accumulate(into: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        before = into.get(name)
        if before is None or name in {"role", "type", "id"}:
            if value is not None or name not in into:
                into[name] = _numbered([], cast("list[Any]", value)) if isinstance(value, list) else value
        elif isinstance(before, str) and isinstance(value, str):
            into[name] = before + value
        elif isinstance(before, dict) and isinstance(value, dict):
            _accumulate(cast("dict[str, Any]", before), cast("dict[str, Any]", value))
        elif isinstance(before, list) and isinstance(value, list):
            into[name] = _numbered(cast("list[Any]", before), cast("list[Any]", value))
        elif value is not None:
            into[name] = value


def _numbered(items: list[Any], more: list[Any]) -> list[Any]:
    """Items that say their place (``index``, which whole answers do not have) go there; others are appended."""
    for item in more:
        if not isinstance(item, dict) or "index" not in item:
            items.append(item)
            continue
        entry = cast("dict[str, Any]", item)
        at = _position(entry["index"], MAX_CALLS)
        while len(items) <= at:
            items.append({})
        if entry.get("id") and items[at].get("id") not in {None, "", entry["id"]}:
            # Google's OpenAI endpoint gives all calls the same place; joined they would be nobody's call.
            raise ValueError(entry["id"])
        _accumulate(items[at], {name: value for name, value in entry.items() if name != "index"})
    return items


def _position(value: object, limit: int) -> int:
    if not isinstance(value, int) or not 0 <= value < limit:
        raise ValueError(value)
    return value


def unfold(body: bytes) -> list[bytes]:
    """The payloads of a stream that says a whole ``chat.completion``: per choice its message and its end. Raises ``ValueError``."""
    try:
        whole = _decode(body)
        shared = {name: value for name, value in whole.items() if name not in {"choices", "usage"}}
        shared["object"] = "chat.completion.chunk"
        chunks: list[bytes] = []
        for choice in cast("list[dict[str, Any]]", whole["choices"]):
            delta = dict(choice["message"])
            calls = delta.get("tool_calls")
            if calls:
                delta["tool_calls"] = [{"index": at, **call} for at, call in enumerate(calls)]
            rest = {name: value for name, value in choice.items() if name not in {"index", "message", "finish_reason"}}
            index = choice.get("index", 0)
            first = {"index": index, "delta": delta, **rest, "finish_reason": None}
            last: dict[str, Any] = {"index": index, "delta": {}, "finish_reason": choice.get("finish_reason") or "stop"}
            chunks += (_encode({**shared, "choices": [first]}), _encode({**shared, "choices": [last]}))
    except (*DECODE_ERRORS, KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a chat completion") from error
    return chunks
