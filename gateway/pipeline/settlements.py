"""What is told to the store after a call, in batches that nobody waits for: the truth, and reservations that are taken back."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from gateway.core.limits import Ask, Settlement
from gateway.core.ports import LimitStore

BATCH = 100
"""Counters per message to the store: some 10 KB, and under a millisecond of Redis' time."""
MAX_LATE = 10_000
"""Settlements kept for another try while the store is away; beyond it their reservations expire by themselves."""
MAX_CANCELS = 1000
"""Reservations that are to be taken back, at one time. Beyond it they stand until they expire, and their requests for the window: a
store that was slow for so many calls is not to be answered with as many questions more."""


class Settlements:
    """``clock`` gives monotonic seconds; ``lifetime_s`` is how long reservations live, and how long telling of them makes sense."""

    def __init__(self, store: LimitStore, clock: Callable[[], float], lifetime_s: float) -> None:
        self._store = store
        self._clock = clock
        self._lifetime_s = lifetime_s
        self._unsettled: dict[str, list[Settlement]] = {}
        self._late: list[tuple[float, str, list[Settlement]]] = []
        self._doubtful: list[tuple[float, str, str, Sequence[Ask]]] = []
        self._early: dict[str, dict[str, None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.unsettled = 0
        """Settlements given up: their reservations expire instead."""
        self.cancelled = 0
        """Reservations taken back because the store's answer came too late for their calls."""

    def settle(self, application_id: str, settlement: Settlement) -> None:
        """A call's truth about one counter; sent with all others of this turn of the loop."""
        if not self._unsettled:
            self.spawn(self._send())
        self._unsettled.setdefault(application_id, []).append(settlement)

    def doubt(self, application_id: str, reservation: str, asks: Sequence[Ask]) -> None:
        """Take back what the store may have reserved for a call that is not made: nobody heard its answer.

        The question may still lie before the store when it is told to forget it, so it is told again in the next round.
        """
        if len(self._doubtful) < MAX_CANCELS:
            self._doubtful.append((self._clock(), application_id, reservation, asks))
            self.spawn(self._cancel(application_id, reservation, asks))

    def note(self, application_id: str, reservation: str) -> None:
        """A call that started before its counters were seeded has spent what was leased since: the last seed is to leave it out."""
        if not self._early:
            self.spawn(self._tell())
        self._early.setdefault(application_id, {})[reservation] = None

    async def round(self) -> None:
        """Send again what did not arrive."""
        late, self._late = self._late, []
        for since, application_id, batch in late:
            if await self._store.settle(application_id, batch, again=True):
                continue
            if self._clock() - since < self._lifetime_s:
                self._late.append((since, application_id, batch))
            else:
                self.unsettled += len(batch)
        doubtful, self._doubtful = self._doubtful, []
        for since, application_id, reservation, asks in doubtful:
            heard = await self._cancel(application_id, reservation, asks)
            if not heard and self._clock() - since < self._lifetime_s:
                self._doubtful.append((since, application_id, reservation, asks))

    def spawn(self, work: Coroutine[Any, Any, object]) -> None:
        """Something for the store that nobody waits for."""
        task = asyncio.ensure_future(_alone(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Send what is left."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _cancel(self, application_id: str, reservation: str, asks: Sequence[Ask]) -> bool:
        """Whether the store was heard."""
        made = await self._store.cancel(application_id, reservation, asks)
        self.cancelled += made is True
        return made is not None

    async def _tell(self) -> None:
        """Every call that was noted in this turn of the loop."""
        early, self._early = self._early, {}
        for application_id, noted in early.items():
            reservations = list(noted)
            for start in range(0, len(reservations), BATCH):
                await self._store.note(application_id, reservations[start : start + BATCH])

    async def _send(self) -> None:
        """Everything that was settled in this turn of the loop."""
        unsettled, self._unsettled = self._unsettled, {}
        for application_id, settlements in unsettled.items():
            for start in range(0, len(settlements), BATCH):
                batch = settlements[start : start + BATCH]
                if not await self._store.settle(application_id, batch):
                    self._try_later(application_id, batch)

    def _try_later(self, application_id: str, batch: list[Settlement]) -> None:
        if len(self._late) * BATCH >= MAX_LATE:
            self.unsettled += len(batch)
        else:
            self._late.append((self._clock(), application_id, batch))


async def _alone(work: Coroutine[Any, Any, object]) -> None:
    await work
