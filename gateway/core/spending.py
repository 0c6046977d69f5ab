"""What the ledger is asked about limits, and what it answers: how much the calls of an application have used."""

from typing import Literal

from msgspec import Struct

from gateway.core.limits import Scope, Spent

Grain = Literal["hour", "day"]
"""What the ledger is summed up by in advance; of the calendar, in UTC."""


class Span(Struct, frozen=True):
    """An hour or a day of the ledger."""

    grain: Grain
    start_ms: int
    """Milliseconds since the epoch."""


class Question(Struct, frozen=True):
    """Sums of an application's calls, by the values of a scope. Equal questions of several rules are asked once."""

    scope: Scope
    match: str
    """The value that is wanted, or ``*``."""
    since_ms: int
    """Of calls that started at this time or later; milliseconds since the epoch."""
    by_end: bool = False
    """Whether ``before_ms`` is about the end of calls rather than their start."""
    before_ms: int | None = None
    """None: all that the ledger has."""
    without: tuple[str, ...] = ()
    """Ids of calls that are left out."""


class Total(Struct, frozen=True, gc=False):
    """What the calls of one value used."""

    value: str
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nano: int = 0


class Charge(Struct, frozen=True):
    """What one call came to, and what rules match of it."""

    call_id: str
    application_id: str
    keys: tuple[str, ...]
    """The key's public id, after those of the keys that it took the place of; empty: there was no key."""
    model: str | None
    """What the route table was asked for."""
    user: str | None
    tags: tuple[str, ...]
    spent: Spent
