"""The arithmetic of counters: reserve all or nothing, settle the truth, let go of what expired.

One set of counters in memory. The memory twin of the store is this with a clock, a worker whose store is away counts with it, and
the scripts of Redis say the same in Lua; one contract suite holds them together.
"""

from collections.abc import Sequence

from msgspec import Struct

from gateway.core.ids import uuid7_ms
from gateway.core.limits import LONG_WINDOWS, Ask, CounterState, Reserved, Seed, Settlement, Stage, Window
from gateway.limits.windows import end_of, number_of

MAX_COUNTERS = 50_000
"""Counters held; the oldest goes when there are more. Values come from callers (users, tags), so the memory is bounded."""


MAX_EARLY = 10_000
"""Calls that waited for counters to be seeded: more at one time is no application that this serves from one store."""


class _Counter(Struct):
    window: int
    used: int = 0
    """Settled."""
    held: int = 0
    """The sum of ``reservations``."""
    reservations: dict[str, tuple[int, int]] = {}
    """By id: amount, and when it expires."""
    seeded: int = 0
    """What of ``used`` a seed said."""

    def drop_expired(self, now_ms: int) -> None:
        for name in [name for name, (_, until) in self.reservations.items() if until <= now_ms]:
            self.held -= self.reservations.pop(name)[0]


class Counters:
    """Counters by name. All times are milliseconds since the epoch."""

    def __init__(self, epoch: int = 0, *, known: bool = True) -> None:
        """Those of an ``epoch``; ``known``: whether nothing was lost when it began, so that what is not there was not used."""
        self.epoch = epoch
        self.known = known
        self._counters: dict[str, _Counter] = {}
        self._seeding_since: int | None = None
        self._charged: set[str] = set()
        self.early: dict[str, None] = {}
        """Calls that started before these counters were seeded, and are counted by them; until the last seed."""

    def reserve(self, now_ms: int, reservation: str, lifetime_ms: int, asks: Sequence[Ask]) -> Reserved:
        """Take all that is asked, or nothing when a counter that is no shadow has not enough left.

        The name of a reservation is used once, the counters of one question differ.
        """
        states = self.look(now_ms, asks)
        if not all(state.fits or ask.shadow for ask, state in zip(asks, states, strict=True)):
            return Reserved(granted=False, states=states, epoch=self.epoch)
        self.note(reservation)
        # Requests alone leave a reservation of nothing behind: by it they can be taken back.
        traced = any(ask.need and not ask.firm for ask in asks)
        for ask in asks:
            counter = self._open(ask, now_ms)
            if ask.firm:
                counter.used += ask.need
            if (ask.firm and not traced) or (not ask.firm and ask.need):
                amount = 0 if ask.firm else ask.need
                counter.reservations[reservation] = (amount, now_ms + lifetime_ms)
                counter.held += amount
                traced = True
        taken = zip(asks, states, strict=True)
        after = [CounterState(s.used + a.need, s.window, s.left_ms, s.fits) for a, s in taken]
        return Reserved(granted=True, states=after, epoch=self.epoch)

    def cancel(self, reservation: str, asks: Sequence[Ask]) -> bool:
        """Undo a reservation by its name: whether it was there. It took everything or nothing, so any part tells of all."""
        made = False
        for ask in asks:
            counter = self._counters.get(ask.counter)
            found = None if counter is None else counter.reservations.pop(reservation, None)
            if counter is not None and found is not None:
                counter.held -= found[0]
                made = True
        for ask in asks:
            counter = self._counters.get(ask.counter)
            if made and ask.firm and counter is not None and counter.used > 0:
                counter.used -= ask.need
        return made

    def look(self, now_ms: int, asks: Sequence[Ask]) -> list[CounterState]:
        """Where counters stand, and whether what is asked would fit."""
        states: list[CounterState] = []
        for ask in asks:
            counter = self._current(ask, now_ms)
            used = 0 if counter is None else counter.used + counter.held
            window = number_of(ask.window, now_ms) if counter is None else counter.window
            left = max(end_of(ask.window, window) - now_ms, 0)
            states.append(CounterState(used, window, left, used + ask.need <= ask.limit))
        return states

    def settle(self, settlements: Sequence[Settlement], *, again: bool = False, now_ms: int | None = None) -> None:
        """Put the truth in the place of reservations; in a window that is over nothing is left to settle.

        ``now_ms``: counters that were lost while the call ran are begun again; None: nothing is ever lost.
        """
        for settled in settlements:
            counter = self._revived(settled.counter, settled.period, settled.window, now_ms)
            if counter is None:
                continue
            found = counter.reservations.pop(settled.id, None)
            if found is not None:
                counter.held -= found[0]
            # Of a window that is not known yet, the ledger counts the calls that end before it is.
            if (self.known or settled.period not in LONG_WINDOWS) and (found is not None or not again):
                counter.used += settled.truth

    def renew(self, now_ms: int, lifetime_ms: int, held: Sequence[Settlement]) -> None:
        """Let reservations live on that were not let go yet; those of an earlier epoch, which were lost, are made again."""
        for each in held:
            lost = each.epoch != self.epoch
            counter = self._revived(each.counter, each.period, each.window, now_ms if lost else None)
            if counter is None or not (lost or each.id in counter.reservations):
                continue
            if each.id not in counter.reservations:
                counter.held += each.reserved
            counter.reservations[each.id] = (each.reserved, now_ms + lifetime_ms)

    def seed(self, now_ms: int, seeds: Sequence[Seed], stage: Stage) -> None:
        """Add what the ledger says, in the place of what it said before."""
        for seed in seeds:
            counter = self._counters.get(seed.counter)
            if counter is None or counter.window < seed.window:
                counter = self._begin(seed.counter, seed.window)
            if counter.window == seed.window:
                counter.used += seed.used - counter.seeded
                counter.seeded = seed.used
        if stage == "first":
            self.known, self._seeding_since = True, now_ms
        elif stage == "last":
            self._seeding_since = None
            self.early.clear()

    def charge(self, now_ms: int, name: str, started_ms: int, spent: Sequence[Seed]) -> None:
        """Count what a call used that nobody settled, once."""
        if name in self._charged:
            return
        self._charged.add(name)
        if not self.known or (self._seeding_since is not None and started_ms < self._seeding_since):
            return
        for each in spent:
            counter = self._revived(each.counter, each.period, each.window, now_ms)
            if counter is not None:
                counter.used += each.used

    def lease(self, now_ms: int, name: str, window: Window, limit: int, want: int, least: int = 1) -> tuple[int, int, int]:
        """Take up to ``want`` for good, or nothing where ``least`` are not left: granted, remaining, milliseconds to the end."""
        ask = Ask(name, window, limit, 0)
        counter = self._open(ask, now_ms)
        granted = max(0, min(want, limit - counter.used - counter.held))
        if granted < least:
            granted = 0
        counter.used += granted
        remaining = max(0, limit - counter.used - counter.held)
        return granted, remaining, max(end_of(window, counter.window) - now_ms, 0)

    @property
    def seeding_since(self) -> int:
        """When they were seeded first, until the last seed; else 0."""
        return self._seeding_since or 0

    def note(self, reservation: str) -> None:
        """Note a call that is counted, if it started before these counters were seeded."""
        if self._seeding_since is not None and len(self.early) < MAX_EARLY:
            try:
                started = uuid7_ms(reservation)
            except ValueError:
                return
            if started < self._seeding_since:
                self.early[reservation] = None

    def _current(self, ask: Ask, now_ms: int) -> _Counter | None:
        """The counter, if its window is not over. A clock that steps back must not hand out a window twice."""
        counter = self._counters.get(ask.counter)
        if counter is None or counter.window < number_of(ask.window, now_ms):
            return None
        counter.drop_expired(now_ms)
        return counter

    def _open(self, ask: Ask, now_ms: int) -> _Counter:
        return self._current(ask, now_ms) or self._begin(ask.counter, number_of(ask.window, now_ms))

    def _begin(self, name: str, window: int) -> _Counter:
        self._counters.pop(name, None)
        if len(self._counters) >= MAX_COUNTERS:
            del self._counters[next(iter(self._counters))]
        counter = self._counters[name] = _Counter(window)
        return counter

    def _revived(self, name: str, period: Window, window: int, now_ms: int | None) -> _Counter | None:
        """The counter, if it is in that window. At ``now_ms`` one that was lost, of the window that counts now, is begun again."""
        counter = self._counters.get(name)
        if counter is not None:
            return counter if counter.window == window else None
        if now_ms is None or number_of(period, now_ms) != window:
            return None
        return self._begin(name, window)
