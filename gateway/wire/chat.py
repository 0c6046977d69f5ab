"""The chat form read in full, for translation into another form. Source: the published OpenAPI document of the Chat Completions API.

:mod:`gateway.wire.openai` reads only what every call needs; here is what tools, parts and answers consist of.
"""

import msgspec
from msgspec import Raw, Struct

from gateway.wire.openai import ABSENT, DECODE_ERRORS, is_given


# --- requests -------------------------------------------------------------------------------------------------------
class ImageUrl(Struct, gc=False):
    """``image_url`` of a part; ``detail`` is a hint and not read."""

    url: str


class File(Struct, gc=False):
    """``file`` of a part."""

    file_data: str = ""
    file_id: str = ""
    filename: str = ""


class Part(Struct):
    """A content part of a message."""

    type: str
    text: str = ""
    refusal: str = ""
    image_url: ImageUrl | None = None
    file: File | None = None
    cache_control: Raw = ABSENT
    """Anthropic's cache mark, which many clients of several vendors put into chat parts too."""


class FunctionCall(Struct, gc=False):
    """``function`` of a tool call, whole or a piece of one."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(Struct):
    """An entry of an assistant message's ``tool_calls``; some servers give it no id."""

    id: str | None = ""
    type: str = "function"
    function: FunctionCall | None = None
    extra_content: Raw = ABSENT
    """What the provider wants back with the call (Google's form for thought signatures)."""


class InputMessage(Struct):
    """A message of a request."""

    role: str
    content: str | list[Part] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str = ""
    thinking_blocks: list[Raw] | None = None
    """Anthropic's thinking blocks of an earlier answer, as this gateway gave them: they must come back unchanged."""


class FunctionTool(Struct):
    """``function`` of a tool."""

    name: str
    description: str | None = None
    parameters: Raw = ABSENT
    strict: bool | None = None


class Tool(Struct):
    """An entry of ``tools``."""

    type: str = "function"
    function: FunctionTool | None = None
    cache_control: Raw = ABSENT


class NamedFunction(Struct, gc=False):
    """``function`` of a tool choice."""

    name: str


class ToolChoice(Struct, gc=False):
    """``tool_choice`` as an object."""

    type: str
    function: NamedFunction | None = None


class JsonSchema(Struct):
    """``response_format.json_schema``."""

    schema: Raw = ABSENT


class ResponseFormat(Struct):
    """``response_format``."""

    type: str
    json_schema: JsonSchema | None = None


# --- answers --------------------------------------------------------------------------------------------------------
class AnswerMessage(Struct):
    """``choices[].message``."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    """Thinking as text: DeepSeek's name for it, which vLLM and most compatible servers use."""
    reasoning: Raw = ABSENT
    """The same, as OpenRouter and newer vLLM call it: a text, where it is one."""
    tool_calls: list[ToolCall] | None = None
    thinking_blocks: Raw = ABSENT
    """The same, whole and signed: see :func:`read_thinking_blocks`."""
    extra_content: Raw = ABSENT
    """As :attr:`ToolCall.extra_content`, for the text."""


class AnswerChoice(Struct):
    """``choices[]`` of a whole answer."""

    message: AnswerMessage
    index: int = 0
    finish_reason: str | None = None


class Completion(Struct):
    """A whole answer."""

    choices: list[AnswerChoice]
    id: str = ""
    model: str = ""


class DeltaCall(Struct):
    """A piece of a tool call; without an ``index`` its place in the list counts."""

    index: int | None = None
    id: str | None = None
    function: FunctionCall | None = None
    extra_content: Raw = ABSENT


class ChunkDelta(Struct):
    """``choices[].delta``."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Raw = ABSENT
    tool_calls: list[DeltaCall] | None = None
    thinking_blocks: Raw = ABSENT
    extra_content: Raw = ABSENT


class ChunkChoice(Struct):
    """``choices[]`` of a chunk."""

    delta: ChunkDelta | None = None
    index: int = 0
    finish_reason: str | None = None


class Chunk(Struct):
    """One payload of a stream."""

    choices: list[ChunkChoice] = []
    id: str = ""
    model: str = ""


# --- thoughts -------------------------------------------------------------------------------------------------------
class ThinkingBlock(Struct):
    """An entry of ``thinking_blocks``: Anthropic's form of thoughts in the chat form, as this gateway and LiteLLM write it."""

    type: str = ""
    thinking: str = ""
    signature: str | None = None
    data: str = ""


class Thoughts(Struct):
    """:attr:`gateway.core.conversation.Message.thoughts`, as far as Anthropic's own API takes it."""

    thinking_blocks: list[Raw] | None = None


decode_thoughts = msgspec.json.Decoder(Thoughts).decode
_decode_thinking_blocks = msgspec.json.Decoder(list[ThinkingBlock]).decode
_decode_extra = msgspec.json.Decoder(dict[str, dict[str, Raw]]).decode
_decode_text = msgspec.json.Decoder(str).decode


def thoughts_of(said: AnswerMessage | ChunkDelta) -> str:
    """The text of the thoughts under either of its names."""
    if said.reasoning_content:
        return said.reasoning_content
    if not is_given(said.reasoning):
        return ""
    try:
        return _decode_text(said.reasoning)
    except DECODE_ERRORS:
        return ""


def read_thinking_blocks(raw: Raw) -> list[ThinkingBlock]:
    """``thinking_blocks`` of an answer; empty where there are none, or something else under that name."""
    if not is_given(raw):
        return []
    try:
        return [block for block in _decode_thinking_blocks(raw) if block.type in {"thinking", "redacted_thinking"}]
    except DECODE_ERRORS:
        return []


def read_signature(extra_content: Raw, vendor: str) -> str | None:
    """The ``thought_signature`` of a vendor; None where there is none."""
    if not is_given(extra_content):
        return None
    try:
        return _decode_text(_decode_extra(extra_content)[vendor]["thought_signature"])
    except (*DECODE_ERRORS, KeyError):
        return None


decode_message = msgspec.json.Decoder(InputMessage).decode
decode_tools = msgspec.json.Decoder(list[Tool]).decode
decode_tool_choice = msgspec.json.Decoder(str | ToolChoice).decode
decode_response_format = msgspec.json.Decoder(ResponseFormat).decode
decode_completion = msgspec.json.Decoder(Completion).decode
decode_chunk = msgspec.json.Decoder(Chunk).decode
