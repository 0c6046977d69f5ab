"""The shared counters behind limit rules in memory: the twin of Redis, for one process."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from gateway.core.limits import Ask, CounterState, Reserved, Settlement, Window
from gateway.core.ports import Lease
from gateway.limits.counters import Counters


class MemoryLimits:
    """A :class:`gateway.core.ports.LimitStore`. ``clock`` is monotonic seconds, ``now_ms`` milliseconds since the epoch."""

    def __init__(self, clock: Callable[[], float], now_ms: Callable[[], int]) -> None:
        self.available = True
        """False: nobody gets an answer."""
        self.questions = 0
        """How often it was asked anything."""
        self._clock = clock
        self._now_ms = now_ms
        self._counters: defaultdict[str, Counters] = defaultdict(Counters)

    async def reserve(self, application_id: str, reservation: str, seconds: float, asks: Sequence[Ask]) -> Reserved | None:
        """Check all counters and take all that is asked, or nothing."""
        if not self._asked():
            return None
        return self._counters[application_id].reserve(self._now_ms(), reservation, int(seconds * 1000), asks)

    async def look(self, application_id: str, asks: Sequence[Ask]) -> list[CounterState] | None:
        """Where counters stand."""
        return self._counters[application_id].look(self._now_ms(), asks) if self._asked() else None

    async def settle(self, application_id: str, settlements: Sequence[Settlement], *, again: bool = False) -> bool:
        """Put the truth in the place of reservations."""
        if not self._asked():
            return False
        self._counters[application_id].settle(settlements, again=again)
        return True

    async def renew(self, application_id: str, seconds: float, held: Sequence[Settlement]) -> bool:
        """Let reservations live for so many seconds from now."""
        if not self._asked():
            return False
        self._counters[application_id].renew(self._now_ms(), int(seconds * 1000), held)
        return True

    async def lease(self, application_id: str, counter: str, window: Window, limit: int, want: int) -> Lease | None:
        """Take up to ``want`` of a counter for good."""
        if not self._asked():
            return None
        granted, remaining, ms = self._counters[application_id].lease(self._now_ms(), counter, window, limit, want)
        return Lease(granted, remaining, self._clock() + ms / 1000)

    def _asked(self) -> bool:
        self.questions += 1
        return self.available
