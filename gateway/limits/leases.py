"""Limits without a round trip per call: permits (requests, tokens, nano-dollars) are leased from the shared counter in small bundles.

Each worker holds one :class:`Permits` per counter. It spends what it holds, asks for more in the background before running dry, and
makes a request wait for the store only when it holds nothing. The store counts a permit when it is leased, so the sum over all
workers never exceeds the limit of a window; what a worker leases and does not use is lost to that window, which is why bundles
are small: what 250 ms of the recent rate use, at most a tenth of the limit and half of what is left.

When the store cannot be asked, the limit holds per worker instead of in all ("fail open, bounded") until it can again.
"""

from msgspec import Struct

from gateway.core.ports import Lease

WINDOW = 60.0
"""Seconds: the limits of keys are per minute."""

AHEAD = 0.25
"""Seconds of the recent rate that a bundle should last: at the half of it the next one is asked for, and under full load an answer of
the store waits behind some turns of the event loop, each of some ten milliseconds. 1/240 of the window."""

SMALLEST = 8
"""Calls whose permits are asked for at least when the limit is large: a quiet key then asks at every eighth request."""

RETRY = 1.0
"""Seconds between two attempts to reach a store that was away."""


class Taken(Struct, frozen=True, gc=False):
    """The request may pass. ``refill`` > 0: lease so many in the background and :meth:`Permits.absorb` the answer."""

    refill: int = 0


class Empty(Struct, frozen=True, gc=False):
    """The window is used up."""

    retry_after: float
    """Seconds until the next one."""


class NeedLease(Struct, frozen=True, gc=False):
    """Too little held: wait for a lease of ``want``, absorb it, and take again. Requests of one key should share the wait."""

    want: int
    least: int = 1
    """Fewer are of no use: they are left for others, as a call that is refused burns nothing."""


class Standing(Struct, frozen=True, gc=False):
    """The numbers of ``x-ratelimit-limit-requests``, ``-remaining-requests`` and ``-reset-requests``."""

    limit: int
    remaining: int
    """As far as this worker knows: what it holds, and what was left for everybody at its last lease."""
    reset: float
    """Seconds until the window ends."""


_TAKEN = Taken()


class Permits:
    """What one worker holds of one counter. All times are monotonic seconds."""

    __slots__ = (
        "_asked",
        "_available",
        "_ends",
        "_left",
        "_low",
        "_marked",
        "_rate",
        "_retry_at",
        "_since",
        "_taken",
        "degraded",
        "limit",
        "local",
        "seeded_ms",
        "window",
    )

    def __init__(self, limit: int, window: float = WINDOW, local: int | None = None) -> None:
        self.limit = limit
        """Per window, all workers together."""
        self.window = window
        """Seconds that it lasts at most."""
        self.local = limit if local is None else local
        """What this worker lets through per window while the store is away."""
        self.degraded = False
        """Whether the limit holds per worker because the store is away."""
        self.seeded_ms = 0
        """As of the newest lease: calls that started before it may be counted by the ledger too."""
        self._available = 0
        self._ends = 0.0
        self._left = limit
        self._taken = 0
        self._low = 0
        self._asked = False
        self._rate = 0.0
        self._since = 0.0
        self._marked = 0
        self._retry_at = 0.0

    @property
    def ends(self) -> float:
        """When the window that is held ends: what names it, for :meth:`give`."""
        return self._ends

    @property
    def left(self) -> int:
        """What was left for everybody at the last lease, beside what is held."""
        return self._left

    def take_one(self, now: float) -> Standing | None:
        """Spend one permit, and tell where that leaves the key; None, and nothing spent, if the store has to be asked for more.

        While it is being asked, what is held is spent.
        """
        if now >= self._ends or self._available <= (0 if self._asked else self._low):
            return None
        self._available -= 1
        self._taken += 1
        return Standing(self.limit, self._available + self._left, self._ends - now)

    def take(self, now: float, amount: int = 1) -> Taken | Empty | NeedLease:
        """Spend permits, all of ``amount`` or none."""
        if now < self._ends:
            if self._available >= amount:
                self._available -= amount
                self._taken += amount
                if self._available >= self._low or self._asked:
                    return _TAKEN
                return self._refill(now, amount)
            if self._available + self._left < amount and not (self.degraded and now >= self._retry_at):
                return Empty(self._ends - now)
        least = amount - self._available if now < self._ends else amount
        return NeedLease(self._want(now, amount, least), least)

    def give(self, amount: int, ends: float) -> None:
        """Give permits back that were taken in the window that ``ends`` then; or, negative, take what a call used beyond them.

        What is overspent is owed out of the next bundle. Nothing is carried into another window.
        """
        if abs(self._ends - ends) < self.window / 2:
            self._available += amount
            self._taken -= amount

    def _refill(self, now: float, amount: int) -> Taken:
        if self.degraded and now < self._retry_at:
            return _TAKEN
        self._asked = True
        return Taken(self._want(now, amount, amount))

    def _want(self, now: float, amount: int, least: int) -> int:
        spent, elapsed = self._taken - self._marked, now - self._since
        if spent > 0 and elapsed > 0:
            self._rate = (self._rate + spent / elapsed) / 2
        floor = min(SMALLEST * amount, self.limit // 50)
        bundle = min(max(int(self._rate * AHEAD), floor), self.limit // 10)
        if now < self._ends and not self.degraded:
            bundle = min(bundle, self._left // 2)
        return max(bundle, least)

    def absorb(self, lease: Lease | None, now: float) -> None:
        """Add what the store granted; None: it could not be asked. A grant for a window that is over is void."""
        self._asked = False
        if lease is None:
            self._degrade(now)
            return
        if lease.window_ends <= now:
            return
        if self.degraded or now >= self._ends or lease.window_ends > self._ends + self.window / 2:
            self._open(lease.window_ends)
        elif lease.window_ends < self._ends - self.window / 2:
            return
        # The store's clock reading jitters by a round trip; ending early is safe, ending late is not.
        self._ends = min(self._ends, lease.window_ends)
        self.degraded = False
        self._available += lease.granted
        self.seeded_ms = lease.seeded_ms
        self._left = lease.remaining
        self._low = (lease.granted + 1) // 2 if self._left else 0
        self._since = now
        self._marked = self._taken

    def change(self, limit: int, local: int | None) -> None:
        """Another limit holds from now on. What is owed stays owed; what is held of a higher one is not spent any more."""
        if limit < self.limit:
            self._available = min(self._available, 0)
        self.limit, self.local = limit, limit if local is None else local
        self._left = limit  # not known before the store is asked
        if self.degraded:
            self._available = max(self.local - self._taken, 0)
            self._left, self._low = 0, limit

    def missed(self) -> None:
        """The store could not be asked, and the limit is not to be kept without it: what is held is all there is."""
        self._asked = False

    def _open(self, ends: float) -> None:
        self._ends = ends
        self._available = 0
        self._taken = 0
        self._marked = 0

    def _degrade(self, now: float) -> None:
        if now >= self._ends:
            self._open(now + self.window)
        self.degraded = True
        self._available = max(self.local - self._taken, 0)
        self._left = 0
        # Above everything available: every request looks whether it is time to ask again.
        self._low = self.limit
        self._retry_at = now + RETRY

    def standing(self, now: float) -> Standing:
        """Where the key stands, for the answer's headers."""
        if now >= self._ends:
            return Standing(self.limit, self.limit, 0.0)
        return Standing(self.limit, max(self._available + self._left, 0), self._ends - now)


_FRACTIONS = tuple(f"{ms / 1000:g}"[1:] for ms in range(1000))
"""Thousandths as they are written behind a number of seconds: every answer has one, and formatting a float takes thrice as long."""


def reset_text(seconds: float) -> str:
    """A duration as OpenAI writes it in ``x-ratelimit-reset-requests``: ``350ms``, ``12.5s``, ``1m0s``."""
    ms = round(seconds * 1000)
    if ms < 1000:
        return f"{ms}ms" if ms > 0 else "0ms"
    whole = ms // 1000
    fraction = _FRACTIONS[ms - whole * 1000]
    if whole < 60:
        return f"{whole}{fraction}s"
    minutes = whole // 60
    return f"{minutes}m{whole - minutes * 60}{fraction}s"
