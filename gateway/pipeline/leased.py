"""Permits that a worker holds of many counters: spent locally, fetched from the store by one for all who wait."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from gateway.core.ports import Lease
from gateway.limits.leases import Empty, NeedLease, Permits, Taken

ATTEMPTS = 8
"""Rounds of asking for a lease before giving up: others may take what was fetched; eight in a row means the limit is contested
at its very end, where refusing is right."""
PATIENCE = 16
"""Times as many rounds while the store has plenty: a burst of a thousand calls takes some ten, however small the first bundle."""
MAX_KEYS = 50_000
"""Counters whose permits are held at a time; the oldest goes, and costs one lease when it comes back."""
CONTESTED_RETRY = 1.0
"""Seconds that a caller is told to wait where a limit is contested at its end."""

AskStore = Callable[[int, int], Awaitable[Lease | None]]
"""Leases so many permits of one counter, or none where the least that is of use is not left."""


class StoreAwayError(Exception):
    """The store cannot be asked, and the limit is not to be kept without it."""


class Leased:
    """Local permits by counter. ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._held: OrderedDict[str, Permits] = OrderedDict()
        self._fetching: dict[str, asyncio.Future[None]] = {}
        self.degraded = False
        """Whether limits are counted per worker because the store cannot be asked."""

    async def spend(self, name: str, held: Permits, amount: int, ask: AskStore, *, closed: bool = False) -> float | None:
        """Take permits, waiting only when too few are at hand. None: taken; else seconds until another try makes sense.

        Raises ``StoreAwayError`` where the store is away and the limit is ``closed`` then.
        """
        contested = 0
        while contested < ATTEMPTS:
            now = self._clock()
            taken = held.take(now, amount)
            if isinstance(taken, NeedLease):
                await asyncio.shield(self._fetch(name, held, taken.want, taken.least, ask, closed=closed))
                # In a burst others take what was fetched; while the store has more, that is no reason to refuse.
                plenty = held.left >= amount and held.ends > now
                contested += 1 / PATIENCE if plenty else 1
                continue
            if isinstance(taken, Empty):
                return taken.retry_after
            if taken.refill:
                self._fetch(name, held, taken.refill, 1, ask, closed=closed)
            return None
        return CONTESTED_RETRY

    def spend_now(self, name: str, held: Permits, amount: int, ask: AskStore) -> bool:
        """Take permits if enough are at hand, and have more fetched behind the call's back where they run low."""
        taken = held.take(self._clock(), amount)
        if not isinstance(taken, Taken):
            return False
        if taken.refill:
            self._fetch(name, held, taken.refill, 1, ask, closed=False)
        return True

    def held(self, name: str) -> Permits | None:
        """What is held of a counter; None: it was never asked for, or long ago. Who is asked for again is not the oldest any more.

        Values come from callers (users, tags): one application that makes many up must not push out what others use.
        """
        held = self._held.get(name)
        if held is not None:
            self._held.move_to_end(name)
        return held

    def hold(self, name: str, fresh: Permits) -> Permits:
        """Hold nothing yet of a counter, new or with another limit than before."""
        if len(self._held) >= MAX_KEYS:
            self._held.popitem(last=False)
        self._held[name] = fresh
        return fresh

    def _fetch(self, name: str, held: Permits, want: int, least: int, ask: AskStore, *, closed: bool) -> "asyncio.Future[None]":
        running = self._fetching.get(name)
        if (
            running is None or running.done()
        ):  # one that is done but not yet forgotten brings nothing more, however often awaited
            running = asyncio.ensure_future(self._lease(held, want, least, ask, closed=closed))
            self._fetching[name] = running
            running.add_done_callback(lambda done: self._over(name, done))
        return running

    def _over(self, name: str, done: "asyncio.Future[None]") -> None:
        if self._fetching.get(name) is done:
            del self._fetching[name]
        if not done.cancelled():
            done.exception()  # seen: whoever waits has it, and a refill behind somebody's back concerns nobody

    async def _lease(self, held: Permits, want: int, least: int, ask: AskStore, *, closed: bool) -> None:
        lease = await ask(want, least)
        if lease is None and closed:
            held.missed()
            raise StoreAwayError
        held.absorb(lease, self._clock())
        self.degraded = held.degraded
