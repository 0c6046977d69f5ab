"""Counters that the store has lost are made again from the ledger, before anybody may spend from them.

The store answers ``Unseeded`` when it has no account of an application's long windows: it is new, or was flushed. One worker then
asks the ledger for all rules of the application, its sums of hours and days first and then the calls between them, and seeds their
counters; calls wait for it, but not for long. What was not in the ledger yet (rows that lie in spools) comes with a second seed some
seconds later.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from msgspec import structs

from gateway.core.errors import GatewayError
from gateway.core.limits import Ask, CounterState, Reserved, Seed, Stage, Unseeded, Window
from gateway.core.ports import Lease, LimitStore, Spending
from gateway.core.spending import Question, Total
from gateway.limits.seeds import MAX_VALUES, added, questions, seeds
from gateway.limits.spans import cover

T = TypeVar("T")

PATIENCE_S = 2.0
"""How long a call waits for the counters: sums answer in a tenth of that, and a million calls that are in no sum yet take it all."""
CLAIM_S = 20.0
"""How long nobody else begins after the worker that had begun was last heard of: one question to the ledger, and some."""
POLL_S = 0.05
"""Between two looks whether another worker is done."""
REST_S = 1.0
"""Without another try after a failure: calls go by their rules' own choice until then."""
AGAIN_S = 10.0
"""From the first seed to the last: rows take less than 2 s to the ledger (promise N10), those of a dead worker 5 s more."""
BATCH = 250
"""Counters per message: Redis is at it for a millisecond."""
AT_ONE_TIME = 1
"""Applications that a worker asks the ledger for at one time: the connections are those that serve prompts."""
AHEAD_MS = 60_000
"""Clocks of other hosts may be ahead of the store's; calls of the coming minute are none."""

_log = logging.getLogger("gateway.limits")


class Seeding:
    """The questions to a :class:`~gateway.core.ports.LimitStore` that it may first have to be told the past for.

    ``who`` names this worker; ``clock`` gives monotonic seconds.
    """

    def __init__(
        self,
        store: LimitStore,
        spending: Spending,
        who: str,
        clock: Callable[[], float],
        *,
        patience_s: float = PATIENCE_S,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._spending = spending
        self._who = who
        self._clock = clock
        self._patience_s = patience_s
        self._sleep = sleep
        self._running: dict[str, asyncio.Task[bool]] = {}
        self._late: set[asyncio.Task[None]] = set()
        self._rests: dict[str, float] = {}
        self._turns = asyncio.Semaphore(AT_ONE_TIME)
        self.done = 0
        """Times that an application's counters were made from the ledger."""
        self.failed = 0
        """Times that they could not be."""

    async def reserve(self, application_id: str, reservation: str, seconds: float, asks: Sequence[Ask]) -> Reserved | None:
        """As the store's; None as well where its counters cannot be known in time."""
        return await self._knowing(application_id, lambda: self._store.reserve(application_id, reservation, seconds, asks))

    async def lease(
        self, application_id: str, counter: str, window: Window, limit: int, want: int, least: int = 1
    ) -> Lease | None:
        """As the store's, and as above."""
        return await self._knowing(
            application_id, lambda: self._store.lease(application_id, counter, window, limit, want, least)
        )

    async def look(self, application_id: str, asks: Sequence[Ask]) -> list[CounterState] | None:
        """As the store's, and as above."""
        return await self._knowing(application_id, lambda: self._store.look(application_id, asks))

    async def close(self) -> None:
        """Stop what is under way."""
        tasks: list[asyncio.Task[Any]] = [*self._running.values(), *self._late]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _knowing(self, application_id: str, question: Callable[[], Awaitable[T | Unseeded | None]]) -> T | None:
        answer = await question()
        if isinstance(answer, Unseeded) and await self._known(application_id):
            answer = await question()
        return None if isinstance(answer, Unseeded) else answer

    async def _known(self, application_id: str) -> bool:
        """Whether the counters are known now; waits for them, bounded."""
        running = self._running.get(application_id)
        if running is None:
            if self._clock() < self._rests.get(application_id, 0.0):
                return False
            running = self._running[application_id] = asyncio.ensure_future(self._seed(application_id))
            running.add_done_callback(lambda _: self._running.pop(application_id, None))
        await asyncio.wait((running,), timeout=self._patience_s)
        return running.done() and not running.cancelled() and running.result()

    async def _seed(self, application_id: str) -> bool:
        async with self._turns:
            try:
                known = await self._take_turn(application_id)
            except GatewayError as error:
                _log.warning("counters cannot be made from the ledger", extra={"cause": error.cause or error.detail})
                await self._store.seed(application_id, [], "given_up")
                known = False
        if not known:
            self.failed += 1
            if len(self._rests) >= MAX_VALUES:
                self._rests.clear()
            self._rests[application_id] = self._clock() + REST_S
        return known

    async def _take_turn(self, application_id: str) -> bool:
        """Seed, or wait for who does. Raises ``store_unavailable`` where the ledger cannot be asked."""
        while True:
            turn = await self._store.turn(application_id, self._who, CLAIM_S)
            if turn is None:
                return False
            if turn.whose == "nobody":
                return True
            if turn.whose == "mine":
                break
            await self._sleep(POLL_S)
        found = await self._account(application_id, turn.now_ms, None)
        opened = None if found is None else await self._send(application_id, found, "first")
        if opened is None:
            return False
        self.done += 1
        task = asyncio.ensure_future(self._again(application_id, turn.now_ms, opened))
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        return True

    async def _again(self, application_id: str, now_ms: int, opened_ms: int) -> None:
        """The last seed: calls that ended before the first one, and whose rows it did not find."""
        await self._sleep(AGAIN_S)
        try:
            async with self._turns:
                found = await self._account(application_id, now_ms, opened_ms)
            if found is not None:
                await self._send(application_id, found, "last")
        except GatewayError as error:
            _log.warning("late calls are missing in counters", extra={"cause": error.cause or error.detail})

    async def _account(self, application_id: str, now_ms: int, before_ms: int | None) -> list[Seed] | None:
        """What the ledger knows of all long windows. None: the store is away, or another worker has taken over."""
        rules = await self._spending.rules(application_id)
        early = [] if before_ms is None else await self._store.early(application_id)
        if early is None:
            return None
        asked = questions(rules, now_ms, before_ms, early)
        until_ms = now_ms + AHEAD_MS
        summed = await self._spending.summed(min([one.since_ms for one in asked], default=until_ms), until_ms)
        newest: dict[tuple[Question, int], list[Total]] = {}
        account: list[Seed] = []
        for question, askers in asked.items():
            covered = cover(question.since_ms, until_ms, summed)
            parts: list[list[Total]] = []
            if covered.sums:
                if not await self._goes_on(application_id, before_ms):
                    return None
                parts.append(await self._spending.sums(application_id, question, covered.sums))
            for low, high in covered.rows:
                # Rules are made at many times, and have the newest calls in common.
                place = (structs.replace(question, since_ms=0), low)
                found = newest.get(place)
                if found is None:
                    if not await self._goes_on(application_id, before_ms):
                        return None
                    found = await self._spending.totals(application_id, question, low, high)
                    if high == until_ms:
                        newest[place] = found
                parts.append(found)
            totals = added(parts)
            if len(totals) == MAX_VALUES:
                _log.warning("more values than are counted again", extra={"rules": [rule.name for rule in askers]})
            account += seeds(askers, totals, now_ms)
        return account

    async def _goes_on(self, application_id: str, before_ms: int | None) -> bool:
        """Whether the first seed is still this worker's; it keeps its claim by asking. The last one is nobody else's."""
        if before_ms is not None:
            return True
        turn = await self._store.turn(application_id, self._who, CLAIM_S)
        return turn is not None and turn.whose == "mine"

    async def _send(self, application_id: str, account: list[Seed], stage: Stage) -> int | None:
        """When the store had all of it, by its clock; None: it is away."""
        whole = len(account) // BATCH * BATCH
        for start in range(0, whole, BATCH):
            if await self._store.seed(application_id, account[start : start + BATCH], "more") is None:
                return None
        return await self._store.seed(application_id, account[whole:], stage)
