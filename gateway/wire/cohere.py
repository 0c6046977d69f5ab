"""Cohere's JSON, as far as the gateway acts on it. Source: Cohere's reference of ``v2/chat`` and its guide to stream events."""

import msgspec
from msgspec import Struct

from gateway.core.events import Usage
from gateway.wire.chat_out import plausible


class Function(Struct):
    """``tool_calls[].function``; in a stream its arguments come in pieces."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(Struct):
    """``tool_calls[]``, or the one of a stream's event."""

    id: str | None = None
    function: Function | None = None


class Content(Struct):
    """One content of a message: text or thoughts."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None


class Message(Struct):
    """``message`` of an answer."""

    content: list[Content] | None = None
    tool_plan: str | None = None
    tool_calls: list[ToolCall] | None = None


class Tokens(Struct):
    """Counts of one kind; Cohere writes them as floating-point numbers."""

    input_tokens: float | None = None
    output_tokens: float | None = None


class WireUsage(Struct):
    """``usage``: what is billed, and all that the model read and wrote."""

    billed_units: Tokens | None = None
    tokens: Tokens | None = None
    cached_tokens: float | None = None


class Answer(Struct):
    """A whole answer."""

    id: str
    message: Message
    finish_reason: str | None = None
    usage: WireUsage | None = None


class StepMessage(Struct):
    """``delta.message`` of an event: where an answer has lists, an event has the one that it is about."""

    content: Content | list[Content] | None = None
    tool_plan: str | None = None
    tool_calls: ToolCall | list[ToolCall] | None = None


class Step(Struct):
    """``delta`` of an event."""

    message: StepMessage | None = None
    finish_reason: str | None = None
    usage: WireUsage | None = None
    error: str | None = None


class Event(Struct):
    """One event of a stream."""

    type: str = ""
    id: str | None = None
    index: int = 0
    delta: Step | None = None
    message: str | None = None
    """Of an error that ends the stream."""


class ErrorBody(Struct):
    """A refusal."""

    message: str = ""


decode_answer = msgspec.json.Decoder(Answer).decode
decode_event = msgspec.json.Decoder(Event).decode
decode_error = msgspec.json.Decoder(ErrorBody).decode
encode = msgspec.json.Encoder().encode


def read_usage(wire: WireUsage | None) -> Usage | None:
    """Usage as billed; without billed units what was counted."""
    counts = (wire.billed_units or wire.tokens) if wire is not None else None
    if wire is None or counts is None or counts.input_tokens is None or counts.output_tokens is None:
        return None
    read = round(counts.input_tokens)
    return plausible(Usage(read, round(counts.output_tokens), min(round(wire.cached_tokens or 0), max(read, 0))))
