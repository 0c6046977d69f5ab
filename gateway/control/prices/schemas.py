"""What callers send and get about prices."""

import re
from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta, Struct

from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.events import Usage
from gateway.core.ids import uuid7_ms
from gateway.pricing.table import PriceTable, Source, price
from gateway.storage.postgres.prices import Scope, UnpricedModel

MAX_FILE = 1 << 20
"""Characters of a price file to check: the shipped one has 30,000."""
MAX_DAYS = 3660
"""Ten years: longer than any ledger is kept."""

_CURSOR = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([0-9]{1,4})", re.ASCII)

Days = Annotated[int, Meta(ge=0, le=MAX_DAYS)]


class Table(Struct, frozen=True):
    """The price table that is served."""

    version: str
    entries: list[Source]


class Check(Struct, frozen=True, forbid_unknown_fields=True):
    """What to check."""

    file: Annotated[str, Meta(max_length=MAX_FILE)] | None = None
    """The text of a price file; without it, the table that is served."""
    days: Days = 30
    """How far back to look for calls without a price."""
    older_than_days: Days = 180
    """Entries read longer ago than that are reported."""


class Unpriced(UnpricedModel, frozen=True, kw_only=True):
    """A model that was called without a price."""

    first_at: datetime
    last_at: datetime
    priced_now: bool
    """Whether the checked table has one; then pricing those calls anew mends them."""

    @classmethod
    def of(cls, found: UnpricedModel, table: PriceTable | None) -> "Unpriced":
        """With the times that the ids begin with."""
        return cls(
            found.provider,
            found.model,
            found.billed,
            found.calls,
            found.first,
            found.last,
            first_at=_time_of(found.first),
            last_at=_time_of(found.last),
            priced_now=table is not None and price(table, found.provider, found.model, _one(found.billed))[0] is not None,
        )


def _one(billed: str) -> Usage:
    """One of what was billed."""
    kind, _, picture = billed.partition(" ")
    return Usage(
        0, 0, images=kind == "pictures", audio_ms=kind == "seconds", characters=kind == "characters", picture=picture or None
    )


class Report(Struct, frozen=True):
    """What was found."""

    version: str | None
    """Null when the file is no price file at all."""
    entries: int
    problems: list[str]
    """What keeps the file from being served; empty for a good one."""
    old: list[Source]
    unsourced: list[Source]
    unpriced: list[Unpriced]


class Rerate(Struct, frozen=True, forbid_unknown_fields=True, rename={"since": "from", "until": "to"}):
    """Which calls to price anew, and where to go on."""

    since: datetime
    until: datetime
    """Exclusive."""
    model: str | None = None
    dry_run: bool = False
    run: str | None = None
    """The run that the step before named."""
    cursor: str | None = None
    """``next_cursor`` of the step before."""

    def scope(self) -> Scope:
        """The time in milliseconds. Raises ``malformed`` for an end that is not after the beginning."""
        since, until = _ms(self.since), _ms(self.until)
        if since >= until:
            raise GatewayError(MALFORMED, "to: must be later than from", param="to")
        return Scope(since, until, self.model)


class Undo(Struct, frozen=True, forbid_unknown_fields=True):
    """Where to go on."""

    cursor: str | None = None
    """``next_cursor`` of the step before."""


def read_place(cursor: str | None) -> tuple[str, int] | None:
    """A step's cursor: a call and its attempt. Raises ``malformed``."""
    if cursor is None:
        return None
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise GatewayError(MALFORMED, "cursor: not one of ours", param="cursor")
    return found[1], int(found[2])


def _ms(moment: datetime) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0, int(aware.timestamp() * 1000))


def _time_of(call_id: str) -> datetime:
    return datetime.fromtimestamp(uuid7_ms(call_id) / 1000, UTC)
