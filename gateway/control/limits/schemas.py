"""What callers send and get about limits."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.limits import EACH, Amount, LimitRule, Metric, Scope, Window

MAX_MATCH = 256
"""Characters: those of the longest label that a call can have."""


class LimitBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A limit, as its author writes it; its name is in the path."""

    scope: Scope
    metric: Metric
    amount: Amount
    """In the metric's unit: requests, tokens, nano-dollars (a dollar is 1,000,000,000), calls at one time."""
    window: Window = "none"
    """Of the calendar, in UTC; ``none`` belongs to ``concurrency`` and only to it."""
    match: Annotated[str, Meta(min_length=1, max_length=MAX_MATCH)] = EACH
    """The one value that is counted, or ``*``: each value by itself."""
    mode: Literal["exact", "leased"] = "exact"
    on_store_error: Literal["open", "closed"] = "open"
    local_amount: Amount | None = None
    """What each worker lets through per window while Redis is away; null: ``amount``."""
    shadow: bool = False
    hard: bool = False

    def rule(self, name: str) -> LimitRule:
        """The rule under a name; its id is the store's business. Raises ``malformed`` naming the field that contradicts another."""
        at_one_time = self.metric == "concurrency"
        if at_one_time and self.window != "none":
            raise GatewayError(MALFORMED, "window: concurrency has none; leave it out", param="window")
        if not at_one_time and self.window == "none":
            raise GatewayError(MALFORMED, "window: one of second, minute, hour, day, month", param="window")
        if at_one_time and self.mode == "leased":
            raise GatewayError(MALFORMED, "mode: concurrency is counted exactly", param="mode")
        if self.scope == "application" and self.match != EACH:
            raise GatewayError(MALFORMED, "match: the application is its only value; leave it out", param="match")
        if self.local_amount is not None and self.on_store_error == "closed":
            raise GatewayError(
                MALFORMED,
                "local_amount: with on_store_error closed nothing is let through while Redis is away",
                param="local_amount",
            )
        return LimitRule(
            id="",
            name=name,
            scope=self.scope,
            metric=self.metric,
            amount=self.amount,
            window=self.window,
            match=self.match,
            mode=self.mode,
            on_store_error=self.on_store_error,
            local_amount=self.local_amount,
            shadow=self.shadow,
            hard=self.hard,
        )


class LimitView(Struct, frozen=True):
    """A limit with everything that holds for it."""

    id: str
    name: str
    scope: Scope
    match: str
    metric: Metric
    window: Window
    amount: int
    mode: str
    on_store_error: str
    local_amount: int | None
    shadow: bool
    hard: bool

    @classmethod
    def of(cls, rule: LimitRule) -> "LimitView":
        """All fields, defaults too."""
        return cls(*[getattr(rule, field) for field in cls.__struct_fields__])


class Usage(Struct, frozen=True):
    """Where one counter of a limit stands."""

    name: str
    scope: Scope
    value: str
    """Whose counter: a key's public id, a tag, a user, a model's name; empty for the application."""
    metric: Metric
    window: Window
    amount: int
    used: int
    """Settled and reserved by calls under way; of a leased limit also what workers hold in advance."""
    remaining: int
    resets_in_ms: int
    """0 where there is no window."""
    shadow: bool


class UsageReport(Struct, frozen=True):
    """The standing of an application's limits."""

    items: list[Usage]
    unnamed: list[str]
    """Limits that count each value by itself, of which none was asked for: name values by ``user``, ``tag`` or ``model``."""
