"""Answers in OpenAI's chat form, read in full: for dialects that say the same things in another shape.

:mod:`gateway.wire.openai` reads only what records and guards need, and is what pass-through calls pay for.
"""

import msgspec
from msgspec import Raw, Struct

from gateway.wire.openai import ABSENT, DECODE_ERRORS, is_given


class Function(Struct, gc=False):
    """``function`` of a tool call; in a chunk any part may be missing."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(Struct, gc=False):
    """A tool call of a message, or the part of one that a chunk brings."""

    index: int | None = None
    """In chunks only."""
    id: str | None = None
    function: Function | None = None
    extra_content: Raw = ABSENT


class Said(Struct, gc=False):
    """``message`` of a whole answer, or ``delta`` of a chunk."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    """DeepSeek, vLLM, llama.cpp and others; not OpenAI."""
    reasoning: Raw = ABSENT
    """The same thing at OpenRouter, Groq and Ollama: a text, where it is one."""
    tool_calls: list[ToolCall] | None = None
    annotations: Raw = ABSENT
    """What the text cites: see :func:`citations_of`."""
    thinking_blocks: Raw = ABSENT
    extra_content: Raw = ABSENT


class TokenChances(Struct, gc=False):
    """``logprobs`` of a choice."""

    content: list[Raw] | None = None


class Choice(Struct, gc=False):
    """A choice of a whole answer (with ``message``) or of a chunk (with ``delta``)."""

    index: int = 0
    message: Said | None = None
    delta: Said | None = None
    logprobs: TokenChances | None = None
    finish_reason: str | None = None


class Answer(Struct, gc=False):
    """A whole answer, or one chunk."""

    choices: list[Choice] = []
    model: str | None = None
    service_tier: str | None = None


class UrlCitation(Struct, gc=False):
    """``url_citation`` of an annotation: where in the text which page is cited."""

    url: str
    title: str = ""
    start_index: int = 0
    end_index: int = 0


class Annotation(Struct, gc=False):
    """An entry of ``annotations``; there is one kind so far."""

    type: str = ""
    url_citation: UrlCitation | None = None


decode_answer = msgspec.json.Decoder(Answer).decode
_decode_string = msgspec.json.Decoder(str).decode
_decode_annotations = msgspec.json.Decoder(list[Annotation]).decode


def reasoning_of(said: Said) -> str:
    """The reasoning text under either of its names."""
    if said.reasoning_content:
        return said.reasoning_content
    if not is_given(said.reasoning):
        return ""
    try:
        return _decode_string(said.reasoning)
    except DECODE_ERRORS:
        return ""


def citations_of(said: Said) -> list[UrlCitation]:
    """The pages that a text cites; none where something else stands under that name."""
    if not is_given(said.annotations):
        return []
    try:
        found = _decode_annotations(said.annotations)
    except DECODE_ERRORS:
        return []
    return [note.url_citation for note in found if note.url_citation is not None]
