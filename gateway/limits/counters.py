"""The arithmetic of counters: reserve all or nothing, settle the truth, let go of what expired.

One set of counters in memory. The memory twin of the store is this with a clock, a worker whose store is away counts with it, and
the scripts of Redis say the same in Lua; one contract suite holds them together.
"""

from collections.abc import Sequence

from msgspec import Struct

from gateway.core.limits import Ask, CounterState, Reserved, Settlement, Window
from gateway.limits.windows import end_of, number_of

MAX_COUNTERS = 50_000
"""Counters held; the oldest goes when there are more. Values come from callers (users, tags), so the memory is bounded."""


class _Counter(Struct):
    window: int
    used: int = 0
    """Settled."""
    held: int = 0
    """The sum of ``reservations``."""
    reservations: dict[str, tuple[int, int]] = {}
    """By id: amount, and when it expires."""

    def drop_expired(self, now_ms: int) -> None:
        for name in [name for name, (_, until) in self.reservations.items() if until <= now_ms]:
            self.held -= self.reservations.pop(name)[0]


class Counters:
    """Counters by name. All times are milliseconds since the epoch."""

    def __init__(self) -> None:
        self._counters: dict[str, _Counter] = {}

    def reserve(self, now_ms: int, reservation: str, lifetime_ms: int, asks: Sequence[Ask]) -> Reserved:
        """Take all that is asked, or nothing when a counter that is no shadow has not enough left.

        The name of a reservation is used once, the counters of one question differ.
        """
        states = self.look(now_ms, asks)
        if not all(state.fits or ask.shadow for ask, state in zip(asks, states, strict=True)):
            return Reserved(granted=False, states=states)
        for ask in asks:
            counter = self._open(ask, now_ms)
            if ask.firm:
                counter.used += ask.need
            elif ask.need:
                counter.reservations[reservation] = (ask.need, now_ms + lifetime_ms)
                counter.held += ask.need
        taken = zip(asks, states, strict=True)
        return Reserved(granted=True, states=[CounterState(s.used + a.need, s.window, s.left_ms, s.fits) for a, s in taken])

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

    def settle(self, settlements: Sequence[Settlement], *, again: bool = False) -> None:
        """Put the truth in the place of reservations; in a window that is over nothing is left to settle."""
        for settled in settlements:
            counter = self._counters.get(settled.counter)
            if counter is None or counter.window != settled.window:
                continue
            found = counter.reservations.pop(settled.id, None)
            if found is not None:
                counter.held -= found[0]
            if found is not None or not again:
                counter.used += settled.truth

    def renew(self, now_ms: int, lifetime_ms: int, held: Sequence[Settlement]) -> None:
        """Let reservations live on that were not let go yet."""
        for each in held:
            counter = self._counters.get(each.counter)
            if counter is not None and each.id in counter.reservations:
                counter.reservations[each.id] = (each.reserved, now_ms + lifetime_ms)

    def lease(self, now_ms: int, name: str, window: Window, limit: int, want: int) -> tuple[int, int, int]:
        """Take up to ``want`` for good: granted, remaining, milliseconds until the window ends."""
        ask = Ask(name, window, limit, 0)
        counter = self._open(ask, now_ms)
        granted = max(0, min(want, limit - counter.used - counter.held))
        counter.used += granted
        remaining = max(0, limit - counter.used - counter.held)
        return granted, remaining, max(end_of(window, counter.window) - now_ms, 0)

    def _current(self, ask: Ask, now_ms: int) -> _Counter | None:
        """The counter, if its window is not over. A clock that steps back must not hand out a window twice."""
        counter = self._counters.get(ask.counter)
        if counter is None or counter.window < number_of(ask.window, now_ms):
            return None
        counter.drop_expired(now_ms)
        return counter

    def _open(self, ask: Ask, now_ms: int) -> _Counter:
        counter = self._current(ask, now_ms)
        if counter is None:
            self._counters.pop(ask.counter, None)
            if len(self._counters) >= MAX_COUNTERS:
                del self._counters[next(iter(self._counters))]
            counter = self._counters[ask.counter] = _Counter(number_of(ask.window, now_ms))
        return counter
