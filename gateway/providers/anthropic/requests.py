"""A call -> the body of a Messages request, translated from chat or native."""

from msgspec import Raw

from gateway.core.conversation import Conversation
from gateway.core.upstream import CHAT, UpstreamCall
from gateway.providers.anthropic import fields, parts
from gateway.providers.anthropic.parts import Block
from gateway.wire import anthropic as wire
from gateway.wire.openai import decode_fields, encode

_TRUE = Raw(b"true")


def body_of(call: UpstreamCall) -> dict[str, object]:
    """Everything that is sent. Raises ``malformed`` naming a field that has no form there."""
    if call.dialect == CHAT:
        body = fields.from_chat(call.fields, call.model)
        system, messages = parts.from_chat(call.conversation)
    else:
        body = _native_fields(call)
        system, messages = _native_messages(call.conversation)
    body["model"] = call.model
    body["messages"] = messages
    if system:
        body["system"] = _shortest(system)
    if call.stream:
        body["stream"] = _TRUE
    return body


def _native_fields(call: UpstreamCall) -> dict[str, object]:
    """The caller's fields byte for byte, over the stored ones. ``output_config`` has two of a chat call's fields, so it is joined."""
    body = fields.from_chat(call.stored, call.model)
    stored = body.get("output_config")
    body.update(call.native)
    given = call.native.get("output_config")
    if isinstance(stored, dict) and given is not None and bytes(given).startswith(b"{"):
        body["output_config"] = {**stored, **decode_fields(given)}
    return body


def _native_messages(conversation: Conversation) -> tuple[list[Block] | Raw, list[Block]]:
    """(system, messages): the caller's own as they came, stored ones translated."""
    system: list[Block] = []
    turns: list[Block] = []
    callers: list[bytes] = []
    for item in conversation:
        native = item.native
        if native is None:
            message = parts.read(item.raw)
            if message.role in parts.SYSTEM:
                system += parts.system_blocks(message)
            else:
                parts.add_turn(turns, *parts.turn(message))
        elif item.role in parts.SYSTEM and not native.startswith(b"{"):
            callers.append(native)
            system += _blocks_of(native)
        elif native:
            turns.append(Raw(native))
    if len(callers) == 1 and len(system) == len(_blocks_of(callers[0])) > 0:
        return Raw(callers[0]), turns
    return system, turns


def _blocks_of(native: bytes) -> list[Block]:
    """The blocks of a top-level ``system``: a text or a list of blocks."""
    if native.startswith(b"["):
        return list(wire.decode_raws(native))
    text = wire.decode_text(native)
    return [{"type": "text", "text": text}] if text else []


def _shortest(system: list[Block] | Raw) -> object:
    """One plain text as a text, as callers write it themselves; else the blocks."""
    if isinstance(system, list) and len(system) == 1:
        only = system[0]
        if isinstance(only, dict) and only.keys() == {"type", "text"}:
            return only["text"]
    return system


def encoded(call: UpstreamCall) -> bytes:
    """The request's body."""
    return encode(body_of(call))


_NOT_COUNTED = frozenset(
    {
        "inference_geo",
        "max_tokens",
        "metadata",
        "service_tier",
        "stop_sequences",
        "stream",
        "temperature",
        "top_k",
        "top_p",
    }
)
"""Fields of a call that ``/messages/count_tokens`` refuses: they bear on the answer and not on the input."""


def encoded_for_counting(call: UpstreamCall) -> bytes:
    """The body of a question how many tokens the call's input has."""
    return encode({name: value for name, value in body_of(call).items() if name not in _NOT_COUNTED})
