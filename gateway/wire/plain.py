"""Answers and chunks of the chat form in which nobody has to look for text: told in the one reading that all else is taken from.

Nearly every one is of one choice, whose content, and perhaps tool calls, are all the text in it. What is asked for here is what
:func:`gateway.wire.chat_said.is_plain` tells of any event; a field that is not known here makes an answer not plain.
Fields are in the order in which OpenAI sends them, which is the order in which they are found soonest.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from gateway.wire.chat_texts import Call, Function
from gateway.wire.openai import WireUsage

_ABSENT = Raw()


class PlainSaid(Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    """``message`` or ``delta`` without refusal, thoughts or sources."""

    role: Raw = _ABSENT
    content: str | None = None
    refusal: None = None
    annotations: Annotated[list[Raw], Meta(max_length=0)] | None = None
    tool_calls: list[Call] | None = None
    function_call: Function | None = None
    reasoning_content: None = None
    reasoning: None = None
    audio: None = None


class _Choice(Struct, gc=False, kw_only=True):
    logprobs: None = None
    """They spell the text again."""
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    stop_reason: str | int | None = None
    content_filter_results: Raw = _ABSENT


class AnswerChoice(_Choice, forbid_unknown_fields=True, gc=False, kw_only=True):
    """``choices[]`` of a whole answer."""

    index: int = 0
    message: PlainSaid


class ChunkChoice(_Choice, forbid_unknown_fields=True, gc=False, kw_only=True):
    """``choices[]`` of a chunk."""

    index: int = 0
    delta: PlainSaid = PlainSaid()


class _Head(Struct, gc=False, kw_only=True):
    id: Raw = _ABSENT
    object: Raw = _ABSENT
    created: Raw = _ABSENT
    model: Raw = _ABSENT
    system_fingerprint: Raw = _ABSENT
    provider: Raw = _ABSENT
    x_groq: Raw = _ABSENT
    prompt_filter_results: Raw = _ABSENT


class PlainAnswer(_Head, forbid_unknown_fields=True, gc=False, kw_only=True):
    """A whole answer."""

    choices: tuple[AnswerChoice]
    usage: WireUsage | None = None
    service_tier: str | None = None


class PlainChunk(_Head, forbid_unknown_fields=True, gc=False, kw_only=True):
    """A chunk of a stream, but for those with usage or an error."""

    service_tier: Raw = _ABSENT
    choices: tuple[ChunkChoice]
    usage: None = None
    obfuscation: Raw = _ABSENT
    error: None = None


decode_plain_answer = msgspec.json.Decoder(PlainAnswer).decode
decode_plain_chunk = msgspec.json.Decoder(PlainChunk).decode
