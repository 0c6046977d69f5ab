"""OpenAI's Responses API, as far as the gateway acts on it. Source: the published OpenAPI document, as the openai SDK types it.

Types name only the fields we read; what a caller or a provider says beside them travels as raw bytes.
"""

from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from gateway.core.events import Usage
from gateway.wire.openai import ABSENT, DECODE_ERRORS, is_given, read_tier, sensible

TERMINAL = frozenset({"response.completed", "response.incomplete"})
"""Events that end a true stream. ``response.failed`` and ``error`` end it too, as failures; there is no ``[DONE]``."""

_CALLERS_CALLS = frozenset({"function_call", "custom_tool_call"})
"""Output items that wait for the caller to do something."""


# --- requests -------------------------------------------------------------------------------------------------------
class PromptObject(Struct, forbid_unknown_fields=True):
    """``prompt``: a stored prompt by its id, with values for its variables."""

    id: str
    version: str | int | None = None
    variables: dict[str, Any] | None = None


class ResponsesBody(Struct):
    """The envelope of a request."""

    model: str | None = None
    input: str | list[Raw] | None = None
    instructions: str | None = None
    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt: PromptObject | None = None
    variables: dict[str, Any] | None = None
    previous_response_id: str | None = None
    conversation: Raw = ABSENT


class Item(Struct, gc=False):
    """One item of ``input`` or of ``output``; which fields count depends on ``type``, whose absence means ``message``."""

    type: str = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | list[Raw] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[Raw] | None = None
    encrypted_content: str | None = None


class Part(Struct, gc=False):
    """One content part of a message or of a function's output."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    input_audio: Raw = ABSENT


class Tool(Struct, gc=False):
    """One tool: a function in its flat form, or the name of a hosted tool."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: Raw = ABSENT
    strict: bool | None = None


class ToolChoiceObject(Struct, gc=False):
    """``tool_choice`` in its object forms."""

    type: str
    name: str | None = None
    mode: str | None = None
    tools: list[Tool] | None = None


class TextFormat(Struct, gc=False):
    """``text.format``."""

    type: str
    name: str | None = None
    schema: Raw = ABSENT
    strict: bool | None = None
    description: str | None = None


class Text(Struct, forbid_unknown_fields=True, gc=False):
    """``text``."""

    format: TextFormat | None = None
    verbosity: str | None = None


# --- answers --------------------------------------------------------------------------------------------------------
class InputDetails(Struct, gc=False):
    """``usage.input_tokens_details``."""

    cached_tokens: int | None = 0
    cache_write_tokens: int | None = 0


class OutputDetails(Struct, gc=False):
    """``usage.output_tokens_details``."""

    reasoning_tokens: int | None = 0


class WireUsage(Struct, gc=False):
    """``usage`` of a response."""

    input_tokens: int = 0
    output_tokens: int = 0
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None


class Problem(Struct, gc=False):
    """``error`` of a response that failed."""

    message: str = ""
    code: str | None = None


class IncompleteDetails(Struct, gc=False):
    """Why a response is incomplete."""

    reason: str | None = None


class OutputItem(Struct, gc=False):
    """One item of ``output``, for its text."""

    type: str = ""
    content: Raw = ABSENT


class Response(Struct, gc=False):
    """A response object as a provider gives it."""

    id: str
    status: str | None = None
    output: list[OutputItem] = []
    usage: Raw = ABSENT
    service_tier: Raw = ABSENT
    error: Problem | None = None
    incomplete_details: IncompleteDetails | None = None


class _Spoken(Struct, gc=False):
    type: str = ""
    text: str | None = None
    refusal: str | None = None

    @property
    def said(self) -> str:
        return (self.text or "") + (self.refusal or "")


_SPOKEN = frozenset({"output_text", "refusal", "text"})
"""Kinds of parts that an answer is made of; reasoning has parts of its own."""


class StreamEvent(Struct, gc=False):
    """One event of a native stream."""

    type: str
    sequence_number: int = 0
    delta: Raw = ABSENT
    text: Raw = ABSENT
    refusal: Raw = ABSENT
    output_index: int = 0
    content_index: int = 0
    response: Raw = ABSENT
    part: Raw = ABSENT
    item: Raw = ABSENT
    error: Problem | None = None
    message: str | None = None
    """Of an event of type ``error``."""


decode_body = msgspec.json.Decoder(ResponsesBody).decode
decode_item = msgspec.json.Decoder(Item).decode
decode_part = msgspec.json.Decoder(Part).decode
decode_items = msgspec.json.Decoder(list[Raw]).decode
decode_tools = msgspec.json.Decoder(list[Tool] | None).decode
decode_tool_choice = msgspec.json.Decoder(str | ToolChoiceObject | None).decode
decode_text = msgspec.json.Decoder(Text | None).decode
decode_response = msgspec.json.Decoder(Response).decode
decode_event = msgspec.json.Decoder(StreamEvent).decode
_decode_spoken = msgspec.json.Decoder(_Spoken | None).decode
_decode_all_spoken = msgspec.json.Decoder(list[_Spoken]).decode
_decode_output_item = msgspec.json.Decoder(OutputItem).decode
_decode_parts = msgspec.json.Decoder(list[Part]).decode
decode_string = msgspec.json.Decoder(str).decode
_decode_usage = msgspec.json.Decoder(WireUsage | None).decode


def read_usage(raw: Raw, tier: Raw = ABSENT) -> Usage | None:
    """Usage as billed, or None where the provider gave none or nonsense: then it is estimated.

    ``tier`` is the response's ``service_tier``.
    """
    if not is_given(raw):
        return None
    try:
        wire = _decode_usage(raw)
    except DECODE_ERRORS:
        return None
    if wire is None:
        return None
    read, made = wire.input_tokens_details or InputDetails(), wire.output_tokens_details or OutputDetails()
    return sensible(
        Usage(
            wire.input_tokens,
            wire.output_tokens,
            read.cached_tokens or 0,
            made.reasoning_tokens or 0,
            cache_write=read.cache_write_tokens or 0,
            tier=read_tier(tier) if is_given(tier) else None,
        )
    )


def finish_of(response: Response) -> str:
    """The finish reason that the chat form would have."""
    if response.status == "incomplete":
        reason = response.incomplete_details.reason if response.incomplete_details else None
        return "content_filter" if reason == "content_filter" else "length"
    return "tool_calls" if any(item.type in _CALLERS_CALLS for item in response.output) else "stop"


def part_text(raw: Raw) -> str:
    """The text or refusal of a content part; none where it is a part of another kind. Raises what msgspec raises."""
    part = _decode_spoken(raw) if is_given(raw) else None
    return "" if part is None or part.type not in _SPOKEN else part.said


def item_texts(raw: Raw) -> list[str]:
    """The texts of a message's parts, by their place; none where it is an item of another kind. Raises what msgspec raises."""
    item = _decode_output_item(raw) if is_given(raw) else None
    if item is None or item.type != "message" or not is_given(item.content):
        return []
    return [part.said for part in _decode_all_spoken(item.content)]


def text_of(response: Response) -> str:
    """All generated text and refusals of a response's messages, in order. Raises what msgspec raises."""
    messages = [item.content for item in response.output if item.type == "message" and is_given(item.content)]
    return "".join([(part.text or "") + (part.refusal or "") for content in messages for part in _decode_parts(content)])
