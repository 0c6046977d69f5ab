"""Amazon Bedrock's JSON, as far as the gateway acts on it. Source: AWS's API reference of ``Converse`` and ``ConverseStream``."""

from typing import Any

import msgspec
from msgspec import Struct

from gateway.core.events import Usage
from gateway.wire.chat_out import plausible


class ToolUse(Struct, rename="camel"):
    """``toolUse`` of a content block."""

    tool_use_id: str
    name: str
    input: Any = None


class ReasoningText(Struct):
    """``reasoningText``: thoughts that may be shown."""

    text: str = ""


class Reasoning(Struct, rename="camel"):
    """``reasoningContent``; redacted thoughts have no text."""

    reasoning_text: ReasoningText | None = None


class Block(Struct, rename="camel"):
    """A content block of an answer; one of its fields is given."""

    text: str | None = None
    tool_use: ToolUse | None = None
    reasoning_content: Reasoning | None = None


class Message(Struct):
    """``output.message``."""

    content: list[Block] = []


class Output(Struct):
    """``output``."""

    message: Message


class TokenUsage(Struct, rename="camel"):
    """``usage``. The input's count leaves out what was read from or written to the cache."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int | None = 0
    cache_write_input_tokens: int | None = 0


class Answer(Struct, rename="camel"):
    """A whole answer."""

    output: Output
    stop_reason: str
    usage: TokenUsage | None = None


class ToolDelta(Struct):
    """``toolUse`` of a delta: a piece of the arguments' JSON text."""

    input: str = ""


class ReasoningDelta(Struct):
    """``reasoningContent`` of a delta."""

    text: str | None = None


class Delta(Struct, rename="camel"):
    """``delta`` of a ``contentBlockDelta``."""

    text: str | None = None
    tool_use: ToolDelta | None = None
    reasoning_content: ReasoningDelta | None = None


class Start(Struct, rename="camel"):
    """``start`` of a ``contentBlockStart``."""

    tool_use: ToolUse | None = None


class Step(Struct, rename="camel"):
    """The payload of any event of a stream."""

    content_block_index: int = 0
    start: Start | None = None
    delta: Delta | None = None
    stop_reason: str | None = None
    usage: TokenUsage | None = None
    message: str = ""
    """Of an exception."""


class ErrorBody(Struct):
    """A refusal; some services of AWS capitalise."""

    message: str = ""
    Message: str = ""


decode_answer = msgspec.json.Decoder(Answer).decode
decode_step = msgspec.json.Decoder(Step).decode
decode_error = msgspec.json.Decoder(ErrorBody).decode
encode = msgspec.json.Encoder().encode


def read_usage(counts: TokenUsage | None) -> Usage | None:
    """Usage as billed, the cache's part of the input included."""
    if counts is None:
        return None
    cached, written = counts.cache_read_input_tokens or 0, counts.cache_write_input_tokens or 0
    return plausible(Usage(counts.input_tokens + cached + written, counts.output_tokens, cached))
