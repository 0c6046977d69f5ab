"""Answers of the chat form in which nobody has to look for text: told in the one reading that everything else is taken from.

Nearly every answer is one choice whose content, and perhaps tool calls, are all the text it has. What is asked for here is what
:func:`gateway.wire.chat_said.is_plain` tells of any event, so the same fields are known and any other makes an answer not plain.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from gateway.wire.chat_texts import Call, Function
from gateway.wire.openai import DECODE_ERRORS, WireUsage


class PlainMessage(Struct, forbid_unknown_fields=True, gc=False):
    """``message`` without refusal, thoughts or sources."""

    content: str | None = None
    role: Raw = Raw()
    refusal: None = None
    annotations: Annotated[list[Raw], Meta(max_length=0)] | None = None
    tool_calls: list[Call] | None = None
    function_call: Function | None = None
    reasoning_content: None = None
    reasoning: None = None
    audio: None = None


class PlainChoice(Struct, forbid_unknown_fields=True, gc=False):
    """``choices[]`` without ``logprobs``, which spell the text again."""

    message: PlainMessage
    index: int = 0
    finish_reason: str | None = None
    logprobs: None = None
    native_finish_reason: str | None = None
    stop_reason: str | int | None = None
    content_filter_results: Raw = Raw()


class PlainAnswer(Struct, forbid_unknown_fields=True, gc=False):
    """A whole answer."""

    choices: tuple[PlainChoice]
    usage: WireUsage | None = None
    service_tier: str | None = None
    id: Raw = Raw()
    object: Raw = Raw()
    created: Raw = Raw()
    model: Raw = Raw()
    system_fingerprint: Raw = Raw()
    provider: Raw = Raw()
    x_groq: Raw = Raw()
    prompt_filter_results: Raw = Raw()


_decode = msgspec.json.Decoder(PlainAnswer).decode


def read_plain(data: bytes) -> PlainAnswer | None:
    """A plain answer; None for any other, and for what is none: others can tell."""
    try:
        return _decode(data)
    except DECODE_ERRORS:
        return None
