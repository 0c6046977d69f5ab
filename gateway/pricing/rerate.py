"""Pricing a stored call again, with another table. Pure."""

from msgspec import Struct

from gateway.core.events import Usage
from gateway.pricing.table import CostStatus, PriceTable, price


class Billed(Struct, frozen=True):
    """What of a ledger row makes its price; the fields are columns of ``calls``."""

    call_id: str
    attempt: int
    provider: str | None
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cache_write_tokens: int | None
    cache_write_1h_tokens: int | None
    audio_input_tokens: int | None
    audio_cached_tokens: int | None
    audio_output_tokens: int | None
    image_input_tokens: int | None
    image_output_tokens: int | None
    images: int | None
    request_units: int | None
    service_tier: str | None
    audio_ms: int | None
    characters: int | None
    picture: str | None
    usage_source: str | None
    cost_nano: int | None
    cost_status: str | None
    price_version: str | None

    def usage(self) -> Usage | None:
        """What was billed; None for a call that generated nothing. A count that an older row does not have is zero."""
        if self.usage_source is None:
            return None
        return Usage(
            self.input_tokens or 0,
            self.output_tokens or 0,
            self.cached_tokens or 0,
            self.reasoning_tokens or 0,
            self.cache_write_tokens or 0,
            self.cache_write_1h_tokens or 0,
            self.audio_input_tokens or 0,
            self.audio_cached_tokens or 0,
            self.audio_output_tokens or 0,
            self.image_input_tokens or 0,
            self.image_output_tokens or 0,
            self.images or 0,
            1 if self.request_units is None else self.request_units,
            self.service_tier,
            self.audio_ms or 0,
            self.characters or 0,
            self.picture,
        )


class Change(Struct, frozen=True):
    """A stored call and its new cost."""

    row: Billed
    cost_nano: int
    status: CostStatus


def rerated(row: Billed, table: PriceTable) -> Change | None:
    """What ``table`` says the call cost, if that differs from what the row says.

    A call whose model the table does not know keeps what it has: a price that was once known is not forgotten.
    """
    if row.provider is None or row.model is None:
        return None
    cost, status = price(table, row.provider, row.model, row.usage(), estimated=row.usage_source == "estimated")
    if cost is None or status is None or (cost, status) == (row.cost_nano, row.cost_status):
        return None
    return Change(row, cost, status)
