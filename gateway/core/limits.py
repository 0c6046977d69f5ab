"""Limits as data: the rules of an application, and what is asked of the counters behind them."""

from typing import Annotated, Literal, Protocol

from msgspec import Meta, Struct

Scope = Literal["application", "key", "tag", "user", "model"]
"""Whose calls a rule counts together."""
Metric = Literal["requests", "input_tokens", "output_tokens", "tokens", "cost_nano", "concurrency"]
"""What is counted; ``cost_nano`` is nano-dollars, ``concurrency`` calls under way."""
Window = Literal["second", "minute", "hour", "day", "month", "none"]
"""Calendar windows in UTC, by the store's clock; ``none`` is for concurrency, which has no window."""

LARGEST_AMOUNT = 2**53 - 1
"""What a Lua number (a double) still counts exactly: nine million dollars in nano-dollars."""
MAX_RULES = 64
"""Rules of one application: every call looks at all of them."""
EACH = "*"
"""The match of a rule in which each value has a counter of its own."""
LONG_WINDOWS: frozenset[Window] = frozenset({"hour", "day", "month"})
"""Windows whose counters are made anew from the ledger when the store has lost them. A shorter one is over before that is done."""

Amount = Annotated[int, Meta(ge=0, le=LARGEST_AMOUNT)]


class LimitRule(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One limit, as key documents carry it."""

    id: str
    name: str
    """What refusals call it; unique in its application."""
    scope: Scope
    metric: Metric
    amount: Amount
    """In the metric's unit; 0 lets nothing through."""
    window: Window = "none"
    match: str = EACH
    """The one value of the scope that is counted (a key's public id, a tag, a user, a model's name), or ``*``: each by itself."""
    mode: Literal["exact", "leased"] = "exact"
    """``exact``: one round trip per call. ``leased``: bundles are taken in advance, most calls ask nobody."""
    on_store_error: Literal["open", "closed"] = "open"
    """What happens while the counters cannot be asked: each worker lets through ``local_amount``, or calls are refused."""
    local_amount: Amount | None = None
    """Per worker and window while the store is away; None: ``amount``."""
    shadow: bool = False
    """Counted, logged and measured, but never enforced."""
    hard: bool = False
    """Whether a stream that passes the limit is ended."""

    @property
    def is_budget(self) -> bool:
        """Whether a refusal is final for SDKs (``insufficient_quota``) rather than a matter of waiting."""
        return self.metric == "cost_nano" or (self.hard and self.window in {"day", "month"})


class Ask(Struct, frozen=True, gc=False):
    """One counter of a call, and what the call needs of it."""

    counter: str
    """Its name within the application."""
    window: Window
    limit: int
    need: int
    firm: bool = False
    """True: counted for good at once (requests). False: reserved, to be settled."""
    shadow: bool = False
    """True: counted whether it fits or not."""


class CounterState(Struct, frozen=True, gc=False):
    """Where a counter stands after a question; after a refusal, as if nothing had been asked."""

    used: int
    """Settled and reserved."""
    window: int
    """The number of the window, for settling."""
    left_ms: int
    """Until the window ends; 0 for ``none``."""
    fits: bool
    """Whether what was needed fitted (or would fit)."""


class Reserved(Struct, frozen=True, gc=False):
    """The answer to a reservation over several counters: all of it or nothing."""

    granted: bool
    states: list[CounterState]
    """In the order asked."""
    epoch: int = 0
    """Which life of the store's data this is: another number than before means that it lost everything in between."""


class Unseeded(Struct, frozen=True, gc=False):
    """The answer of a store that does not know what the long windows of an application have used; nothing was taken."""


class Settlement(Struct, frozen=True, gc=False):
    """What a reservation of one counter came to."""

    counter: str
    window: int
    id: str
    reserved: int
    truth: int
    period: Window = "none"
    """What the window's number counts."""
    epoch: int = 0
    """That of the reservation (:attr:`Reserved.epoch`)."""


class Seed(Struct, frozen=True, gc=False):
    """What a counter has used by the ledger's account."""

    counter: str
    period: Window
    window: int
    """The window's number."""
    used: int


Stage = Literal["more", "first", "last", "given_up"]
"""Of seeding: ``more`` seeds follow; with ``first`` the counters are complete and may be used; ``last`` follows when what was not in
the ledger yet must have come; ``given_up``: somebody else may try."""


class Turn(Struct, frozen=True, gc=False):
    """Who is to seed an application's counters."""

    whose: Literal["nobody", "mine", "theirs"]
    """``nobody``: they are known."""
    now_ms: int
    """By the store's clock, in milliseconds since the epoch."""


class Spent(Struct, frozen=True, gc=False):
    """What a call really used, all its attempts together."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_nano: int = 0


class Holding(Protocol):
    """What a running call has reserved."""

    def settle(self, spent: Spent) -> None:
        """Give the truth, once; does not block and never raises."""
        ...


class Allowance(Protocol):
    """What a running stream may still use of limits that end streams."""

    @property
    def covered(self) -> float:
        """Tokens of output that are reserved."""
        ...

    def set_aside(self, spent: Spent) -> None:
        """What earlier answers of the call have used; the newest sum counts."""
        ...

    async def passed(self, output_tokens: int) -> LimitRule | None:
        """The rule that has nothing left for an answer that has come this far, by our estimate; None: it may go on."""
        ...
