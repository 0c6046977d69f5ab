"""Kept turns -> the items that come before a new one; and the same items as ``GET /v1/responses/{id}/input_items`` lists them."""

import msgspec
from msgspec import Raw, Struct

from gateway.core.stored import StoredResponse
from gateway.wire import openai as chat
from gateway.wire import responses as wire


class _Body(Struct):
    id: str
    output: list[Raw] = []


_decode_body = msgspec.json.Decoder(_Body).decode
_WITH_STATUS = frozenset({"message", "function_call", "function_call_output"})
_PREFIXES = {"function_call": "fc", "function_call_output": "fco", "reasoning": "rs"}


def identity(body: bytes) -> str:
    """The id of a response object."""
    return _decode_body(body).id


def items_of(turn: StoredResponse) -> list[Raw]:
    """What was said in a turn: its input, then its output.

    Reasoning goes on only where it is encrypted: a provider that stores nothing knows no other reasoning again.
    """
    return [*wire.decode_items(turn.input), *[raw for raw in _decode_body(turn.body).output if _travels(raw)]]


def listed(turn: StoredResponse) -> list[dict[str, object]]:
    """The input items with what the published type of a listed item requires: id, type, status, and content in parts."""
    stem = turn.response_id.partition("_")[2]
    found: list[dict[str, object]] = []
    for index, raw in enumerate(wire.decode_items(turn.input)):
        fields: dict[str, object] = dict(chat.decode_fields(raw))
        item = wire.decode_item(raw)
        fields.setdefault("id", f"{_PREFIXES.get(item.type, 'msg')}_{stem}i{index:04x}")
        if item.type in _WITH_STATUS:
            fields.setdefault("status", "completed")
        if item.type == "message":
            fields["type"] = "message"
            if isinstance(item.content, str):
                kind = "output_text" if item.role == "assistant" else "input_text"
                part: dict[str, object] = {"type": kind, "text": item.content}
                fields["content"] = [part | ({"annotations": []} if item.role == "assistant" else {})]
        found.append(fields)
    return found


def _travels(raw: Raw) -> bool:
    item = wire.decode_item(raw)
    return item.type != "reasoning" or item.encrypted_content is not None
