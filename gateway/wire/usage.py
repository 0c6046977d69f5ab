"""Usage as each vendor reports it, read into one model. Vendors differ in what their totals include; the differences end here.

Every reader gives None for no usage and for nonsense (negative, text, absurd counts, parts larger than wholes): the caller then
estimates. Formats are those of the vendors' public API references.
"""

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from gateway.core.events import LARGEST_COUNT, Usage

_STANDARD = frozenset({"default", "standard", "auto", "on_demand"})
"""What vendors call the tier without a name: OpenAI ``default``, Anthropic and Bedrock ``standard``."""
_TIER = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
_DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

T = TypeVar("T", bound=Struct)


def tier_of(name: str | None) -> str | None:
    """A vendor's service tier as :attr:`Usage.tier`; the standard one, and what is no name, is None."""
    if name is None or name in _STANDARD or _TIER.fullmatch(name) is None:
        return None
    return name


def sensible(usage: Usage) -> Usage | None:
    """``usage`` if it can be true."""
    return usage if usage.plausible() else None


def reader(kind: type[T]) -> Callable[[bytes], T | None]:
    """A decoder that gives None for ``null`` and for what is no ``kind``."""
    decode = msgspec.json.Decoder(kind | None).decode

    def read(raw: bytes) -> T | None:
        try:
            return decode(raw)
        except _DECODE_ERRORS:
            return None

    return read


# --- OpenAI's Responses, images and embeddings ------------------------------------------------------------------------
class InputDetails(Struct, gc=False):
    """``usage.input_tokens_details``: parts of ``input_tokens``."""

    cached_tokens: int | None = 0
    cache_write_tokens: int | None = 0
    audio_tokens: int | None = 0
    image_tokens: int | None = 0


class OutputDetails(Struct, gc=False):
    """``usage.output_tokens_details``: parts of ``output_tokens``."""

    reasoning_tokens: int | None = 0
    audio_tokens: int | None = 0
    image_tokens: int | None = 0


class ResponsesUsage(Struct, gc=False):
    """``usage`` of a response or an image; totals include everything."""

    input_tokens: int = 0
    output_tokens: int = 0
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None


_responses = reader(ResponsesUsage)


def responses_usage(raw: Raw, tier: str | None = None) -> Usage | None:
    """``usage`` of OpenAI's Responses and Images APIs; ``tier`` is the answer's ``service_tier``."""
    wire = _responses(raw)
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
            audio_input=read.audio_tokens or 0,
            audio_output=made.audio_tokens or 0,
            image_input=read.image_tokens or 0,
            image_output=made.image_tokens or 0,
            tier=tier_of(tier),
        )
    )


# --- Anthropic ----------------------------------------------------------------------------------------------------------
class CacheCreation(Struct, gc=False):
    """``usage.cache_creation``: what was written, by how long it lives."""

    ephemeral_5m_input_tokens: int | None = 0
    ephemeral_1h_input_tokens: int | None = 0


class AnthropicUsage(Struct, gc=False):
    """``usage`` of a message, and of a stream's ``message_start`` and ``message_delta``; cache counts are beside the input."""

    input_tokens: int | None = 0
    output_tokens: int | None = 0
    cache_creation_input_tokens: int | None = 0
    cache_read_input_tokens: int | None = 0
    cache_creation: CacheCreation | None = None
    service_tier: str | None = None

    def usage(self) -> Usage | None:
        """In our terms: ``input_tokens`` excludes what was read from and written to the cache, our ``input`` includes it."""
        cached, written = self.cache_read_input_tokens or 0, self.cache_creation_input_tokens or 0
        made = self.cache_creation
        hour = (made and made.ephemeral_1h_input_tokens) or 0
        short = max(written - hour, (made and made.ephemeral_5m_input_tokens) or 0)
        return sensible(
            Usage(
                (self.input_tokens or 0) + cached + short + hour,
                self.output_tokens or 0,
                cached,
                cache_write=short,
                cache_write_1h=hour,
                tier=tier_of(self.service_tier),
            )
        )


_anthropic = reader(AnthropicUsage)


def anthropic_usage(raw: Raw) -> Usage | None:
    """``usage`` of Anthropic's Messages API, whole answers."""
    wire = _anthropic(raw)
    return None if wire is None else wire.usage()


# --- Google Gemini ------------------------------------------------------------------------------------------------------
class ModalityCount(Struct, gc=False):
    """One of ``promptTokensDetails`` and its likes."""

    modality: str = ""
    tokenCount: int | None = 0  # noqa: N815 - the vendor's spelling


class GeminiUsage(Struct, gc=False, rename="camel"):
    """``usageMetadata``: the prompt includes the cached content, the candidates exclude the thoughts."""

    prompt_token_count: int | None = 0
    candidates_token_count: int | None = 0
    cached_content_token_count: int | None = 0
    thoughts_token_count: int | None = 0
    tool_use_prompt_token_count: int | None = 0
    prompt_tokens_details: list[ModalityCount] | None = None
    cache_tokens_details: list[ModalityCount] | None = None
    candidates_tokens_details: list[ModalityCount] | None = None

    def usage(self, tier: str | None = None) -> Usage | None:
        """In our terms: results of tools are input too, thoughts are output too."""
        thoughts = self.thoughts_token_count or 0
        heard = _count(self.cache_tokens_details, "AUDIO")
        seen = _count(self.prompt_tokens_details, "IMAGE") - _count(self.cache_tokens_details, "IMAGE")
        return sensible(
            Usage(
                (self.prompt_token_count or 0) + (self.tool_use_prompt_token_count or 0),
                (self.candidates_token_count or 0) + thoughts,
                self.cached_content_token_count or 0,
                thoughts,
                audio_input=max(_count(self.prompt_tokens_details, "AUDIO"), heard),
                audio_cached=heard,
                audio_output=_count(self.candidates_tokens_details, "AUDIO"),
                image_input=max(seen, 0),
                image_output=_count(self.candidates_tokens_details, "IMAGE"),
                tier=tier_of(tier),
            )
        )


_gemini = reader(GeminiUsage)


def gemini_usage(raw: Raw, tier: str | None = None) -> Usage | None:
    """``usageMetadata`` of Gemini's ``generateContent``; ``tier`` from wherever the caller knows it."""
    wire = _gemini(raw)
    return None if wire is None else wire.usage(tier)


def _count(details: list[ModalityCount] | None, modality: str) -> int:
    return sum([detail.tokenCount or 0 for detail in details or () if detail.modality == modality])


# --- Cohere -------------------------------------------------------------------------------------------------------------
class BilledUnits(Struct, gc=False):
    """``billed_units``; whole numbers that may be written as ``5.0``."""

    input_tokens: float | None = 0
    output_tokens: float | None = 0
    search_units: float | None = None


class CohereUsage(Struct, gc=False):
    """``usage`` of chat, ``meta`` of embed and rerank. ``tokens`` beside it is what the model saw, which is not billed."""

    billed_units: BilledUnits | None = None


_cohere = reader(CohereUsage)


def cohere_usage(raw: Raw) -> Usage | None:
    """``usage`` of Cohere's chat, or ``meta`` of embed and rerank."""
    wire = _cohere(raw)
    units = wire and wire.billed_units
    if not units:
        return None
    counts = (units.input_tokens or 0, units.output_tokens or 0, 1 if units.search_units is None else units.search_units)
    if not all(0 <= count < LARGEST_COUNT for count in counts):
        return None
    read, made, searches = map(int, counts)
    return sensible(Usage(read, made, requests=searches))


# --- Amazon Bedrock -----------------------------------------------------------------------------------------------------
class CacheDetail(Struct, gc=False, rename="camel"):
    """One of ``cacheDetails``: what was written, by how long it lives."""

    ttl: str = ""
    input_tokens: int | None = 0


class BedrockUsage(Struct, gc=False, rename="camel"):
    """``usage`` of Converse; like Anthropic's, the cache counts are beside the input."""

    input_tokens: int | None = 0
    output_tokens: int | None = 0
    cache_read_input_tokens: int | None = 0
    cache_write_input_tokens: int | None = 0
    cache_details: list[CacheDetail] | None = None


_bedrock = reader(BedrockUsage)


def bedrock_usage(raw: Raw, tier: str | None = None) -> Usage | None:
    """``usage`` of Bedrock's Converse; ``tier`` is the answer's ``serviceTier.type``."""
    wire = _bedrock(raw)
    if wire is None:
        return None
    cached, written = wire.cache_read_input_tokens or 0, wire.cache_write_input_tokens or 0
    hour = sum([detail.input_tokens or 0 for detail in wire.cache_details or () if detail.ttl == "1h"])
    return sensible(
        Usage(
            (wire.input_tokens or 0) + cached + written,
            wire.output_tokens or 0,
            cached,
            cache_write=written - hour,
            cache_write_1h=hour,
            tier=tier_of(tier),
        )
    )
