"""Amazon Bedrock's JSON, as far as the gateway acts on it. Source: AWS's API reference of ``Converse`` and ``ConverseStream``."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from gateway.wire.openai import ABSENT


class ToolUse(Struct, rename="camel"):
    """``toolUse`` of a content block."""

    tool_use_id: str
    name: str
    input: Any = None


class ReasoningText(Struct):
    """``reasoningText``: thoughts that may be shown, and what proves them to be the model's own."""

    text: str = ""
    signature: str | None = None


class Reasoning(Struct, rename="camel"):
    """``reasoningContent``: one of the two."""

    reasoning_text: ReasoningText | None = None
    redacted_content: str | None = None
    """Base64 of thoughts that may not be shown."""


class CitedText(Struct):
    """One of ``citationsContent.content``."""

    text: str = ""


class CitationsContent(Struct):
    """``citationsContent``: a text with its sources, which the chat form has no place for."""

    content: list[CitedText] = []


class ImageSource(Struct):
    """``image.source``: base64, unless the picture lies in a store of AWS."""

    bytes: str | None = None


class Image(Struct):
    """``image`` of an answer."""

    format: str
    source: ImageSource


class Block(Struct, rename="camel"):
    """A content block of an answer; one of its fields is given."""

    text: str | None = None
    tool_use: ToolUse | None = None
    reasoning_content: Reasoning | None = None
    citations_content: CitationsContent | None = None
    image: Image | None = None

    @property
    def said(self) -> str:
        """The text of the block, cited or not."""
        cited = self.citations_content
        return (self.text or "") if cited is None else "".join([part.text for part in cited.content])


class Message(Struct):
    """``output.message``."""

    content: list[Block] = []


class Output(Struct):
    """``output``."""

    message: Message


class ServiceTier(Struct):
    """``serviceTier``: what the call was served as."""

    type: str | None = None


class Answer(Struct, rename="camel"):
    """A whole answer."""

    output: Output
    stop_reason: str
    usage: Raw = ABSENT
    service_tier: ServiceTier | None = None


class ToolDelta(Struct):
    """``toolUse`` of a delta: a piece of the arguments' JSON text."""

    input: str = ""


class ReasoningDelta(Struct, rename="camel"):
    """``reasoningContent`` of a delta: one of the three."""

    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


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
    usage: Raw = ABSENT
    service_tier: ServiceTier | None = None
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
