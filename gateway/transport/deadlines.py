"""One coarse timer for all exchanges: a wheel with a single spoke.

A timer per exchange costs more than the exchange's own bookkeeping (``asyncio.timeout`` 4 us, ``call_later`` plus cancel
1 us). Upstream timeouts are tens of seconds, so one pass over the live connections every 50 ms is exact enough, and
nothing is scheduled while nothing is under way.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Protocol

TICK_SECONDS = 0.05
"""A deadline is noticed at most this late: 1/40 of the shortest default timeout, and 20 wake-ups a second while busy."""


class Timed(Protocol):
    """Something with deadlines of its own."""

    def check(self, now: float) -> bool:
        """Fail if a deadline has passed; returns whether there is still something to watch. ``now``: monotonic seconds."""
        ...


class Wheel:
    """Checks its members every ``tick`` seconds for as long as one of them is busy. ``clock`` gives monotonic seconds."""

    __slots__ = ("_clock", "_members", "_tick", "_timer")

    def __init__(self, clock: Callable[[], float], tick: float = TICK_SECONDS) -> None:
        self._clock = clock
        self._tick = tick
        self._members: set[Timed] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, member: Timed) -> None:
        """Watch ``member`` from the next ``wind`` on."""
        self._members.add(member)

    def remove(self, member: Timed) -> None:
        """Watch it no more; unknown members are ignored."""
        self._members.discard(member)

    def wind(self) -> None:
        """Keep turning: a member has become busy. Cheap enough to be called for each exchange."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._tick, self.turn)

    def turn(self) -> None:
        """Check everybody once, and come back if anybody is busy."""
        self._timer = None
        now = self._clock()
        busy = False
        for member in tuple(self._members):
            busy |= member.check(now)
        if busy:
            self.wind()

    def stop(self) -> None:
        """The end of time: whoever is busy fails now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for member in tuple(self._members):
            member.check(math.inf)
