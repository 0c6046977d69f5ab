"""The shared counters behind limit rules in memory: the twin of Redis, for one process."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from gateway.core.limits import LONG_WINDOWS, Ask, CounterState, Reserved, Seed, Settlement, Stage, Turn, Unseeded, Window
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
        self._claims: dict[str, tuple[str, float]] = {}
        self._epoch = 0

    def forget(self) -> None:
        """Lose everything, as Redis does when it is flushed."""
        self._epoch += 1
        epoch = self._epoch
        self._counters = defaultdict(lambda: Counters(epoch, known=False))
        self._claims.clear()

    async def reserve(
        self, application_id: str, reservation: str, seconds: float, asks: Sequence[Ask]
    ) -> Reserved | Unseeded | None:
        """Check all counters and take all that is asked, or nothing."""
        if not self._asked():
            return None
        counters = self._counters[application_id]
        if not _known(counters, asks):
            return Unseeded()
        return counters.reserve(self._now_ms(), reservation, int(seconds * 1000), asks)

    async def cancel(self, application_id: str, reservation: str, asks: Sequence[Ask]) -> bool | None:
        """Undo a reservation whose answer never came."""
        return self._counters[application_id].cancel(reservation, asks) if self._asked() else None

    async def look(self, application_id: str, asks: Sequence[Ask]) -> list[CounterState] | Unseeded | None:
        """Where counters stand."""
        if not self._asked():
            return None
        counters = self._counters[application_id]
        return counters.look(self._now_ms(), asks) if _known(counters, asks) else Unseeded()

    async def settle(self, application_id: str, settlements: Sequence[Settlement], *, again: bool = False) -> bool:
        """Put the truth in the place of reservations."""
        if not self._asked():
            return False
        self._counters[application_id].settle(settlements, again=again, now_ms=self._now_ms())
        return True

    async def renew(self, application_id: str, seconds: float, held: Sequence[Settlement]) -> int | None:
        """Let reservations live for so many seconds from now."""
        if not self._asked():
            return None
        counters = self._counters[application_id]
        counters.renew(self._now_ms(), int(seconds * 1000), held)
        return counters.epoch

    async def lease(
        self, application_id: str, counter: str, window: Window, limit: int, want: int, least: int = 1
    ) -> Lease | Unseeded | None:
        """Take up to ``want`` of a counter for good; nothing where ``least`` are not left."""
        if not self._asked():
            return None
        counters = self._counters[application_id]
        if not _known(counters, [Ask(counter, window, limit, want)]):
            return Unseeded()
        granted, remaining, ms = counters.lease(self._now_ms(), counter, window, limit, want, least)
        seeded = counters.seeding_since if window in LONG_WINDOWS else 0
        return Lease(granted, remaining, self._clock() + ms / 1000, seeded)

    async def turn(self, application_id: str, who: str, seconds: float) -> Turn | None:
        """Whether ``who`` is to seed the application's counters."""
        if not self._asked():
            return None
        now = self._clock()
        if self._counters[application_id].known:
            return Turn("nobody", self._now_ms())
        owner, until = self._claims.get(application_id, (who, 0.0))
        if owner != who and now < until:
            return Turn("theirs", self._now_ms())
        self._claims[application_id] = (who, now + seconds)
        return Turn("mine", self._now_ms())

    async def seed(self, application_id: str, seeds: Sequence[Seed], stage: Stage) -> int | None:
        """Add what the ledger knows."""
        if not self._asked():
            return None
        self._counters[application_id].seed(self._now_ms(), seeds, stage)
        if stage in {"first", "given_up"}:
            self._claims.pop(application_id, None)
        return self._now_ms()

    async def early(self, application_id: str) -> list[str] | None:
        """Calls that waited for the first seed, and were counted after it."""
        return list(self._counters[application_id].early) if self._asked() else None

    async def note(self, application_id: str, reservations: Sequence[str]) -> bool:
        """Calls that spend permits leased since the first seed."""
        if not self._asked():
            return False
        for reservation in reservations:
            self._counters[application_id].note(reservation)
        return True

    async def charge(self, application_id: str, name: str, started_ms: int, spent: Sequence[Seed]) -> bool:
        """Count what a call used that nobody settled."""
        if not self._asked():
            return False
        self._counters[application_id].charge(self._now_ms(), name, started_ms, spent)
        return True

    def _asked(self) -> bool:
        self.questions += 1
        return self.available


def _known(counters: Counters, asks: Sequence[Ask]) -> bool:
    return counters.known or not any(ask.window in LONG_WINDOWS for ask in asks)
