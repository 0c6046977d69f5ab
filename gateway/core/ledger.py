"""One row per attempt, whatever its end: what is noted before (:class:`Intent`) and after (:class:`Ending`), and the row of both."""

from enum import IntEnum
from typing import Any

from msgspec import Struct

Counts = tuple[int | str | None, ...]
"""The fields of a :class:`gateway.core.events.Usage`, in order: as a tuple they are encoded, and made columns of, in one step. Those
of a spool that an older program left end sooner, a newer one's later."""


class State(IntEnum):
    """How much a row knows. It only moves forward: a replay or a late intent never overwrites a final row."""

    INTENT = 0
    """Something may have gone upstream; nothing is known of the end."""
    INTERRUPTED = 1
    """Written by recovery for an intent whose worker died: tokens are estimates."""
    FINAL = 2


HEDGE_LOST = "hedge_lost"
"""The outcome of an attempt that was cancelled because another one of the same call answered first."""


class ServedPrompt(Struct, array_like=True, frozen=True, gc=False):
    """Which prompt was served; made once per release, and part of all its calls' rows."""

    prompt_id: str
    prompt: str
    """Slug."""
    version: int
    alias: str | None
    variant: str | None
    content_hash: str | None
    """None only where a full spool left it out."""
    generation: int


class Bill(Struct, array_like=True, frozen=True, gc=False):
    """What a call cost, in nano-dollars, with the status of that number and the price table it comes from."""

    cost_nano: int | None = None
    status: str | None = None
    """``exact``, ``estimated``, ``unpriced``; None when nothing was generated."""
    price_version: str | None = None


UNBILLED = Bill()


class Intent(Struct, array_like=True, frozen=True, gc=False):
    """What is spooled before the first byte goes upstream (promise N1): enough to make an ``interrupted`` row.

    Positional on disk, as :class:`Ending` is: append new fields at the end, with a default, and never reorder.
    """

    call_id: str
    attempt: int
    """0 when nothing is sent upstream: then it is spooled only with its ending."""
    application_id: str
    key_id: str
    request_id: str
    door: str
    stream: bool
    requested_model: str | None
    provider: str | None
    model: str | None
    user: str | None
    session: str | None
    tags: tuple[str, ...]
    prompt: ServedPrompt | None
    estimated_input_tokens: int
    """A cheap bound (characters / 4): what an interrupted row bills as its input estimate."""
    route: str | None = None
    shadowed: tuple[str, ...] | None = None
    credential_id: str | None = None
    trace_id: str | None = None


class Ending(Struct, array_like=True, frozen=True, gc=False):
    """What is spooled before the last byte goes to the caller (promise N2), beside the intent. Fields as in :class:`LedgerRow`."""

    outcome: str
    status: int
    finish_reason: str | None
    usage_source: str | None
    latency_us: int
    first_byte_us: int | None
    upstream_us: int | None
    attempts: int
    guard: str | None
    error: str | None
    verdicts: list[str]
    counts: Counts | None
    bill: Bill


class LedgerRow(Struct, array_like=True, gc=False):
    """The stored record of a call's attempt; its fields are the columns of ``calls``.

    Times are microseconds, money is nano-dollars, unknown is None, never 0.
    """

    # As Intent has them.
    call_id: str
    """UUIDv7, 36 characters; its time is the start of the call and chooses the partition."""
    attempt: int
    """0 when nothing was sent upstream."""
    application_id: str | None
    key_id: str | None
    request_id: str
    door: str
    stream: bool
    requested_model: str | None
    provider: str | None
    model: str | None
    """The model asked of the provider."""
    user: str | None
    session: str | None
    tags: tuple[str, ...]
    # As ServedPrompt has them.
    prompt_id: str | None
    prompt: str | None
    """Slug."""
    version: int | None
    alias: str | None
    variant: str | None
    content_hash: str | None
    generation: int | None
    state: int
    # As Ending has them.
    outcome: str
    """``ok``, ``interrupted``, ``client_gone``, ``hedge_lost``, or the name of the error kind."""
    status: int
    """The HTTP status sent, or 499 when the caller had left before one was, or the attempt was cancelled by us."""
    finish_reason: str | None
    usage_source: str | None
    """Where the counts are from: ``upstream``, ``estimated``, ``counted`` (of what was sent, where that is billed); None: nothing was
    generated. ``cache``, ``coalesced`` or ``replayed`` when the answer was another call's: then there are none, and the cost is 0."""
    latency_us: int
    """Receive to the last byte handed to the socket."""
    first_byte_us: int | None
    """Receive to the first upstream event."""
    upstream_us: int | None
    """Spent waiting for the provider; ``latency_us - upstream_us`` is our own overhead."""
    attempts: int
    guard: str | None
    """The guard that blocked, with its stage (``pre:prohibited_terms``)."""
    error: str | None
    """Public detail of the failure."""
    verdicts: list[str] | None = None
    """What guards found, one text for each (:func:`gateway.core.notes.written`); None in rows of older programs."""
    # As Usage has them: input_tokens and output_tokens are totals, the other tokens are part of one of them.
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cache_write_tokens: int | None = None
    """Written to a cache of the provider that lives 5 minutes."""
    cache_write_1h_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_cached_tokens: int | None = None
    audio_output_tokens: int | None = None
    image_input_tokens: int | None = None
    image_output_tokens: int | None = None
    images: int | None = None
    """Pictures made, where they are billed by the piece."""
    request_units: int | None = None
    """Units of a fee per request."""
    service_tier: str | None = None
    """``batch``, ``flex``, ``priority``; None is the standard one."""
    audio_ms: int | None = None
    """Milliseconds of sound, where it is billed by its length."""
    characters: int | None = None
    """Of a text read aloud, where they are billed."""
    picture: str | None = None
    """Size and quality asked of pictures that are billed by the piece (``1024x1792 hd``)."""
    # As Bill has them.
    cost_nano: int | None = None
    cost_status: str | None = None
    """``exact``, ``estimated``, ``unpriced``, or None when nothing was generated."""
    price_version: str | None = None
    # As Intent has them.
    route: str | None = None
    """What the route table was asked for when the limits of the application let the call in; None where it has none."""
    shadowed: tuple[str, ...] | None = None
    """The shadow rules that would have refused the call, by name; None where no limits were asked, or the call was refused."""
    credential_id: str | None = None
    """The stored key of a provider account that the attempt went out with; None: one of the configuration, or none."""
    trace_id: str | None = None
    """The trace that the call is part of, 32 hex digits; None where its caller sent no ``traceparent`` and it was not sampled."""


_FINAL = int(State.FINAL)
_NO_PROMPT = ServedPrompt(*[None] * 7)  # pyright: ignore[reportArgumentType] - only to be made unknown columns of
_ALL = 17
"""Fields of a usage."""
_NO_COUNTS = (None,) * _ALL


def row_of(intent: Intent, ending: Ending) -> LedgerRow:
    """The final row of an attempt. Field by field, which takes somewhat less than pasting tuples together."""
    prompt, bill = intent.prompt or _NO_PROMPT, ending.bill
    counts: Any = ending.counts or _NO_COUNTS
    if len(counts) != _ALL:
        counts = (*counts, *_NO_COUNTS)[:_ALL]
    (
        read, made, cached, thought, kept, hour, audio, heard, spoken, image, drawn, images, requests, tier, audio_ms, aloud, picture
    ) = counts  # fmt: skip
    return LedgerRow(
        intent.call_id,
        intent.attempt,
        intent.application_id,
        intent.key_id,
        intent.request_id,
        intent.door,
        intent.stream,
        intent.requested_model,
        intent.provider,
        intent.model,
        intent.user,
        intent.session,
        intent.tags,
        prompt.prompt_id,
        prompt.prompt,
        prompt.version,
        prompt.alias,
        prompt.variant,
        prompt.content_hash,
        prompt.generation,
        _FINAL,
        ending.outcome,
        ending.status,
        ending.finish_reason,
        ending.usage_source,
        ending.latency_us,
        ending.first_byte_us,
        ending.upstream_us,
        ending.attempts,
        ending.guard,
        ending.error,
        ending.verdicts,
        read,
        made,
        cached,
        thought,
        kept,
        hour,
        audio,
        heard,
        spoken,
        image,
        drawn,
        images,
        requests,
        tier,
        audio_ms,
        aloud,
        picture,
        bill.cost_nano,
        bill.status,
        bill.price_version,
        intent.route,
        intent.shadowed,
        intent.credential_id,
        intent.trace_id,
    )
