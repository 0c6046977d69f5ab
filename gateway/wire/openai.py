"""OpenAI's JSON, as far as the gateway acts on it. Source: the published OpenAPI document of the Chat Completions API.

Types name only the fields we read; everything else travels as raw bytes, so new parameters work on the day they appear.
"""

from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from gateway.core.events import LARGEST_COUNT, Usage
from gateway.wire.usage import sensible, tier_of

DONE = b"[DONE]"
"""The payload that ends a true stream."""
ABSENT = Raw()
"""What a raw field holds when the JSON does not have it; ``null`` is four bytes."""


# --- requests -------------------------------------------------------------------------------------------------------
class StreamOptions(Struct, gc=False):
    """``stream_options`` of a request."""

    include_usage: bool = False


class PromptObject(Struct):
    """``prompt`` of a request: the Responses API's stored-prompt form, accepted on chat too."""

    id: str
    version: str | int | None = None
    variables: dict[str, Any] | None = None


class Part(Struct, gc=False):
    """One content part of a message; only text parts are read."""

    type: str = ""
    text: str = ""


class InputMessage(Struct, gc=False):
    """A message of a request, for its role and text."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None


class ChatBody(Struct, gc=False):
    """A chat request, as far as it is acted on."""

    model: str = ""
    messages: list[InputMessage] = []
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    user: str | None = None
    prompt: PromptObject | None = None
    variables: dict[str, Any] | None = None


class OutMessage(Struct, gc=False):
    """A message as the gateway itself writes it."""

    role: str
    content: str


# --- answers --------------------------------------------------------------------------------------------------------
class PromptDetails(Struct, gc=False):
    """``usage.prompt_tokens_details``: parts of ``prompt_tokens``."""

    cached_tokens: int | None = 0
    cache_write_tokens: int | None = 0
    audio_tokens: int | None = 0
    image_tokens: int | None = 0


class CompletionDetails(Struct, gc=False):
    """``usage.completion_tokens_details``: parts of ``completion_tokens``."""

    reasoning_tokens: int | None = 0
    audio_tokens: int | None = 0
    image_tokens: int | None = 0


class WireUsage(Struct, gc=False):
    """``usage`` of an answer or of a stream's closing chunk."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int | None = 0
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    """DeepSeek's word for ``cached_tokens``."""
    cached_tokens: int | None = None
    """Moonshot's place for it."""


class AnswerMessage(Struct, gc=False):
    """``choices[].message``."""

    content: str | None = None
    refusal: str | None = None


class AnswerChoice(Struct, gc=False):
    """``choices[]`` of a whole answer."""

    message: AnswerMessage
    index: int = 0
    finish_reason: str | None = None


class Completion(Struct):
    """A whole answer."""

    choices: list[AnswerChoice]
    usage: Raw = ABSENT
    service_tier: Raw = ABSENT


class ChunkDelta(Struct, frozen=True, gc=False):
    """``choices[].delta``."""

    content: str | None = None
    refusal: str | None = None


class ChunkChoice(Struct, gc=False):
    """``choices[]`` of a stream's chunk."""

    delta: ChunkDelta = ChunkDelta()
    index: int = 0
    finish_reason: str | None = None


class Chunk(Struct):
    """One payload of a stream."""

    choices: list[ChunkChoice] = []
    usage: Raw = ABSENT
    service_tier: Raw = ABSENT
    error: Raw = ABSENT


class WireError(Struct):
    """``error`` of a refusal; ``code`` may be a number at some providers."""

    message: str = ""
    type: str | None = None
    code: str | int | None = None
    param: str | None = None


class Flaw(Struct):
    """One finding of a FastAPI server about a request: what, and where in it."""

    msg: str = ""
    loc: list[str | int] = []


class Flaws(Struct):
    """Findings as Mistral wraps them."""

    detail: str | list[Flaw] = ""


class ErrorBody(Struct):
    """A refusal: OpenAI's own form, or one of those of servers that copy its API (``message``, FastAPI's ``detail``)."""

    error: WireError | str | None = None
    message: str | Flaws | None = None
    detail: str | list[Flaw] | None = None
    param: str | None = None
    code: str | int | None = None


class Refusal(Struct, frozen=True):
    """A refusal, whatever its form."""

    message: str = ""
    param: str | None = None
    code: str | int | None = None


decode_chat_body = msgspec.json.Decoder(ChatBody).decode
decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
decode_message = msgspec.json.Decoder(InputMessage).decode
decode_items = msgspec.json.Decoder(list[Raw]).decode
decode_completion = msgspec.json.Decoder(Completion).decode
decode_chunk = msgspec.json.Decoder(Chunk).decode
decode_error_body = msgspec.json.Decoder(ErrorBody).decode
decode_wire_error = msgspec.json.Decoder(WireError | str).decode
_decode_text = msgspec.json.Decoder(str | None).decode
_decode_usage = msgspec.json.Decoder(WireUsage | None).decode
encode = msgspec.json.Encoder().encode

_NO_PROMPT_DETAILS = PromptDetails()
_NO_COMPLETION_DETAILS = CompletionDetails()
_STANDARD_TIER = b'"default"'
"""Byte for byte what nearly every answer says; anything else is read."""

DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises on bad input: wrong JSON or types, bad UTF-8, nesting deeper than its own stack allows."""


def is_given(raw: Raw) -> bool:
    """Whether a raw field is there and not null."""
    return len(raw) > 4 or (len(raw) > 0 and bytes(raw) != b"null")


def read_usage(raw: Raw, tier: Raw = ABSENT) -> Usage | None:
    """Usage as billed, or None where the provider gave none or nonsense (negative, text, absurd): then it is estimated.

    ``tier`` is the answer's ``service_tier``.
    """
    if len(raw) < 5 and not is_given(raw):
        return None
    try:
        wire = _decode_usage(raw)
    except DECODE_ERRORS:
        return None
    if wire is None:
        return None
    return usage_of(wire, None if len(tier) == 0 or bytes(tier) == _STANDARD_TIER else read_tier(tier))


def usage_of(wire: WireUsage, billed: str | None) -> Usage | None:
    """Usage in our terms; None for nonsense. ``billed``: the tier, as :attr:`Usage.tier`."""
    prompt, completion = wire.prompt_tokens, wire.completion_tokens
    read, made = wire.prompt_tokens_details, wire.completion_tokens_details
    elsewhere = wire.prompt_cache_hit_tokens or wire.cached_tokens
    if read is None and made is None and billed is None and not elsewhere:
        # Most servers but OpenAI's own: two counts, in the standard tier.
        return Usage(prompt, completion) if 0 <= prompt < LARGEST_COUNT and 0 <= completion < LARGEST_COUNT else None
    read, made = read or _NO_PROMPT_DETAILS, made or _NO_COMPLETION_DETAILS
    cached, thoughts = read.cached_tokens or elsewhere or 0, made.reasoning_tokens or 0
    if thoughts and wire.total_tokens == prompt + completion + thoughts:
        # xAI counts thoughts beside the completion and not in it; nobody else's total comes to that.
        completion += thoughts
    apart = read.cache_write_tokens or read.audio_tokens or read.image_tokens or made.audio_tokens or made.image_tokens
    if billed is None and not apart:
        # Nearly every other answer: text in the standard tier, whose four counts are checked here for a third of the time.
        plausible = 0 <= cached <= prompt < LARGEST_COUNT and 0 <= thoughts <= completion < LARGEST_COUNT
        return Usage(prompt, completion, cached, thoughts) if plausible else None
    return sensible(
        Usage(
            prompt,
            completion,
            cached,
            thoughts,
            cache_write=read.cache_write_tokens or 0,
            audio_input=read.audio_tokens or 0,
            audio_output=made.audio_tokens or 0,
            image_input=read.image_tokens or 0,
            image_output=made.image_tokens or 0,
            tier=billed,
        )
    )


def read_tier(raw: Raw) -> str | None:
    """A ``service_tier`` of a request or an answer, as :attr:`Usage.tier`; None for the standard one and for what is no name."""
    try:
        return tier_of(_decode_text(raw))
    except DECODE_ERRORS:
        return None


def read_refusal(body: bytes) -> Refusal:
    """What a refusal says; empty where it is not in any known form."""
    try:
        found = decode_error_body(body)
    except DECODE_ERRORS:
        return Refusal()
    if isinstance(found.error, WireError):
        return Refusal(found.error.message, found.error.param, found.error.code)
    text = found.error or found.message or found.detail or ""
    if isinstance(text, Flaws):
        text = text.detail
    if isinstance(text, str):
        return Refusal(text, found.param, found.code)
    places = [".".join(map(str, flaw.loc[1:] if flaw.loc[:1] == ["body"] else flaw.loc)) for flaw in text]
    lines = "; ".join([f"{place}: {flaw.msg}" if place else flaw.msg for place, flaw in zip(places, text, strict=True)])
    return Refusal(lines, next(iter(places), None) or None, found.code)


def message_text(message: InputMessage) -> str:
    """All text of a message, parts joined with line feeds."""
    content = message.content
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    return "\n".join(part.text for part in content if part.text)
