"""One row per attempt, whatever its end. The row is the spool record, and its fields are the columns of ``calls``."""

from enum import IntEnum

from msgspec import Struct


class State(IntEnum):
    """How much a row knows. It only moves forward: a replay or a late intent never overwrites a final row."""

    INTENT = 0
    """Something may have gone upstream; nothing is known of the end."""
    INTERRUPTED = 1
    """Written by recovery for an intent whose worker died: tokens are estimates."""
    FINAL = 2


HEDGE_LOST = "hedge_lost"
"""The outcome of an attempt that was cancelled because another one of the same call answered first."""


class LedgerRow(Struct, array_like=True, gc=False):
    """The stored record of a call's attempt. Times are microseconds, money is nano-dollars, unknown is None, never 0.

    Positional on disk (``array_like``): append new fields at the end, with a default, and never reorder.
    """

    call_id: str
    """UUIDv7, 36 characters; its time is the start of the call and chooses the partition."""
    attempt: int
    """0 when nothing was sent upstream."""
    state: int
    application_id: str | None
    key_id: str | None
    request_id: str
    door: str
    prompt_id: str | None
    prompt: str | None
    """Slug."""
    version: int | None
    alias: str | None
    variant: str | None
    content_hash: str | None
    generation: int | None
    stream: bool
    requested_model: str | None
    provider: str | None
    model: str | None
    """The model asked of the provider."""
    outcome: str
    """``ok``, ``interrupted``, ``client_gone``, ``hedge_lost``, or the name of the error kind."""
    status: int
    """The HTTP status sent, or 499 when the caller had left before one was, or the attempt was cancelled by us."""
    finish_reason: str | None
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    usage_source: str | None
    """``upstream``, ``estimated``, or None when nothing was generated; ``cache``, ``coalesced`` or ``replayed`` when the answer was
    another call's: then there are no counts, and the cost is 0."""
    cost_nano: int | None
    cost_status: str | None
    """``exact``, ``estimated``, ``unpriced``, or None when nothing was generated."""
    price_version: str | None
    latency_us: int
    """Receive to the last byte handed to the socket."""
    first_byte_us: int | None
    """Receive to the first upstream event."""
    upstream_us: int | None
    """Spent waiting for the provider; ``latency_us - upstream_us`` is our own overhead."""
    attempts: int
    user: str | None
    session: str | None
    tags: list[str]
    guard: str | None
    """The guard that blocked, with its stage (``pre:prohibited_terms``)."""
    error: str | None
    """Public detail of the failure."""
    # Part of input_tokens or output_tokens, as gateway.core.events.Usage tells.
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
    verdicts: list[str] | None = None
    """What guards found, one text for each (:func:`gateway.core.notes.written`); None in rows of older programs."""
    route: str | None = None
    """What the route table was asked for when the limits of the application let the call in; None where it has none."""
    shadowed: list[str] | None = None
    """The shadow rules that would have refused the call, by name; None where no limits were asked, or the call was refused."""


class Intent(Struct, array_like=True, gc=False):
    """What is spooled before the first byte goes upstream (promise N1): enough to make an ``interrupted`` row."""

    call_id: str
    attempt: int
    application_id: str
    key_id: str
    request_id: str
    door: str
    prompt_id: str | None
    prompt: str | None
    version: int | None
    alias: str | None
    variant: str | None
    content_hash: str | None
    generation: int | None
    stream: bool
    requested_model: str | None
    provider: str
    model: str
    estimated_input_tokens: int
    """A cheap bound (characters / 4): what an interrupted row bills as its input estimate."""
    user: str | None
    session: str | None
    tags: list[str]
    route: str | None = None
    shadowed: list[str] | None = None
