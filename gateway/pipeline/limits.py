"""Limit rules on the path: reserve an estimate, settle the truth. All rules of a call hold, or none of them has counted it.

Exact rules of a call are one question to the store. Leased rules are answered from local permits. What is settled is sent after the
call, in batches, and nobody waits for it.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct, structs

from gateway.core.errors import GatewayError
from gateway.core.ids import uuid7_ms
from gateway.core.limits import Ask, CounterState, LimitRule, Reserved, Settlement, Spent
from gateway.core.ports import LimitStore
from gateway.limits import leases
from gateway.limits.counters import Counters
from gateway.limits.leases import Standing
from gateway.limits.rules import Estimate, Match, need, truth
from gateway.limits.windows import LONGEST_S
from gateway.pipeline.leased import Leased, StoreAwayError
from gateway.pipeline.refusals import over_limit, store_away
from gateway.pipeline.seeding import Seeding
from gateway.pipeline.settlements import BATCH, Settlements

LIFETIME_S = 30.0
"""How long a reservation outlives its worker: three renewals, of which two may fail."""
MAX_NAMES = 10_000
"""Applications and rules that something is remembered of; past it all is forgotten, and costs a question or a log line more."""
PROCESS_MS = 86_400_000
"""How long local reservations live: a worker's own end is the end of its counters, so nothing else need end them."""
LOG_PAUSE_S = 10.0
"""Between two log lines about the same shadow rule."""

_log = logging.getLogger("gateway.limits")


class Taken(Struct, frozen=True, gc=False):
    """What one rule has counted for a call."""

    rule: LimitRule
    counter: str
    amount: int
    window: int
    """The window's number; for leased permits 0."""
    id: str
    local: bool = False
    """Whether it was counted by this worker alone, because the store is away."""
    permits: leases.Permits | None = None
    """Of a leased rule: where the permits are from, and in which window."""
    ends: float = 0.0
    epoch: int = 0
    """The store's, when it was counted."""


class Limits:
    """A worker's part in the limits of all applications. ``clock`` gives monotonic seconds, ``now_ms`` those of the epoch."""

    def __init__(
        self,
        store: LimitStore,
        seeding: Seeding,
        clock: Callable[[], float],
        now_ms: Callable[[], int],
        lifetime_s: float = LIFETIME_S,
    ) -> None:
        self._store = store
        self.seeding = seeding
        """What makes lost counters again."""
        self._clock = clock
        self._now_ms = now_ms
        self._lifetime_s = lifetime_s
        self._leased = Leased(clock)
        self._local = Counters()
        self._running: dict[str, tuple[str, list[Taken]]] = {}
        self._epochs: dict[str, int] = {}
        self._logged: dict[str, float] = {}
        self._away = False
        self.after = Settlements(store, clock, lifetime_s)
        """What is told to the store after calls."""
        self.refused = 0
        """Calls refused by a rule."""
        self.shadowed = 0
        """Times that a shadow rule would have refused a call."""

    @property
    def degraded(self) -> bool:
        """Whether something is counted per worker because the store cannot be asked."""
        return self._away or self._leased.degraded

    async def reserve(
        self, application_id: str, reservation: str, matches: Sequence[Match], estimate: Estimate, shadowed: list[str]
    ) -> tuple[list[Taken], list[tuple[LimitRule, Standing]]]:
        """Count a call in all its counters, or in none. What was taken, and where the rules stand now.

        The names of shadow rules that would have refused it are added to ``shadowed``.
        Raises ``rate_limited`` or ``budget_exhausted`` naming the rule, ``store_unavailable``.
        """
        taken: list[Taken] = []
        standings: list[tuple[LimitRule, Standing]] = []
        try:
            for match in matches:
                if match.rule.mode == "leased":
                    await self._lease(
                        application_id, reservation, match, need(match.rule, estimate), taken, standings, shadowed
                    )
            exact = [match for match in matches if match.rule.mode == "exact"]
            if exact:
                asks = [_ask(match, need(match.rule, estimate)) for match in exact]
                await self._reserve(application_id, reservation, exact, asks, taken, standings, shadowed)
        except BaseException:
            self.cancel(taken)
            raise
        return taken, standings

    def hold(self, application_id: str, reservation: str, taken: list[Taken]) -> "Held":
        """Keep what was taken alive until it is settled."""
        self._running[reservation] = (application_id, taken)
        return Held(self, application_id, reservation, taken)

    def settle(self, application_id: str, reservation: str, taken: Iterable[Taken], spent: Spent) -> None:
        """The call has ended: its counters get the truth. A rule that was asked several times has it once."""
        self._running.pop(reservation, None)
        told: set[str] = set()
        for one in taken:
            rule = one.rule
            real = 0 if one.counter in told else truth(rule, spent)
            told.add(one.counter)
            if one.permits is not None:
                one.permits.give(one.amount - real, one.ends)
            elif rule.metric != "requests":
                self._settle(application_id, one, real)

    def cancel(self, taken: Iterable[Taken]) -> None:
        """The call is refused after all. Only leased permits can have been taken by then: exact counters come last, and together."""
        for one in taken:
            if one.permits is not None:
                one.permits.give(one.amount, one.ends)

    async def extend(self, application_id: str, reservation: str, match: Match, amount: int, taken: list[Taken]) -> bool:
        """Reserve more for a running call; False when the limit has no more."""
        try:
            if match.rule.mode == "leased":
                await self._lease(application_id, reservation, match, amount, taken, [], [])
            else:
                await self._reserve(application_id, reservation, [match], [_ask(match, amount)], taken, [], [])
        except GatewayError:
            return False
        return True

    async def look(self, application_id: str, asks: Sequence[Ask]) -> list[CounterState] | None:
        """Where counters stand; None: the store cannot be asked, or does not know."""
        return await self.seeding.look(application_id, asks)

    def held(self, match: Match) -> Standing | None:
        """What this worker has at hand of a leased rule; None: nothing was leased for its window."""
        held = self._leased.held(match.counter)
        if held is None or held.limit != match.rule.amount or self._clock() >= held.ends:
            return None
        return held.standing(self._clock())

    async def run(self) -> None:
        """For ever: let the reservations of running calls live on, and send again what did not arrive. Cancel to end."""
        while True:
            await asyncio.sleep(self._lifetime_s / 3)
            await self.round()

    async def round(self) -> None:
        """One turn of :meth:`run`."""
        for application_id in {application_id for application_id, _ in self._running.values()}:
            await self._renew(application_id)
        await self.after.round()

    async def close(self) -> None:
        """Send what is left to settle."""
        await self.seeding.close()
        await self.after.close()

    async def _renew(self, application_id: str) -> None:
        """Let what running calls of an application hold live on."""
        held = [
            _settlement(one, 0)
            for owner, taken in self._running.values()
            if owner == application_id
            for one in taken
            if one.permits is None and not one.local and one.amount and one.rule.metric != "requests"
        ]
        for start in range(0, len(held), BATCH):
            epoch = await self._store.renew(application_id, self._lifetime_s, held[start : start + BATCH])
            if epoch is not None:
                self._epochs[application_id] = epoch

    def _heard(self, application_id: str, epoch: int) -> None:
        """The store has lost its data if its epoch is another one than before: what is under way here is told at once."""
        before = self._epochs.get(application_id)
        if before == epoch:
            return
        if len(self._epochs) >= MAX_NAMES:
            self._epochs.clear()
        self._epochs[application_id] = epoch
        if before is not None:
            self.after.spawn(self._renew(application_id))

    # --- exact ------------------------------------------------------------------------------------------------------
    async def _reserve(
        self,
        application_id: str,
        reservation: str,
        matches: Sequence[Match],
        asks: list[Ask],
        taken: list[Taken],
        standings: list[tuple[LimitRule, Standing]],
        shadowed: list[str],
    ) -> None:
        own = asks
        try:
            found = await self.seeding.reserve(application_id, reservation, self._lifetime_s, asks)
            self._away = local = found is None
            if found is None:
                found, own = self._reserve_here(reservation, matches, asks)
        except BaseException:
            # Refused, or the caller has left: should the store have counted the call, it is not made.
            self.after.doubt(application_id, reservation, asks)
            raise
        if not local:
            self._heard(application_id, found.epoch)
        elif not found.granted:
            self.after.doubt(application_id, reservation, asks)
        asks = own
        for match, ask, state in zip(matches, asks, found.states, strict=True):
            standings.append((match.rule, _standing(ask, state)))
            if found.granted:
                one = Taken(match.rule, ask.counter, ask.need, state.window, reservation, local, epoch=found.epoch)
                taken.append(one)
                if not state.fits:
                    self._shadow(match.rule, shadowed)
        if not found.granted:
            over = [
                (state.left_ms, match, ask)
                for match, ask, state in zip(matches, asks, found.states, strict=True)
                if not state.fits and not ask.shadow
            ]
            left_ms, match, ask = max(over, key=lambda each: each[0])
            self.refused += 1
            raise over_limit(match, left_ms / 1000, ask.need, standings)

    def _reserve_here(self, reservation: str, matches: Sequence[Match], asks: list[Ask]) -> tuple[Reserved, list[Ask]]:
        """The store is away: each rule says whether this worker counts by itself."""
        for match in matches:
            if match.rule.on_store_error == "closed" and not match.rule.shadow:
                raise store_away(match)
        own = [
            ask if match.rule.local_amount is None else structs.replace(ask, limit=match.rule.local_amount)
            for match, ask in zip(matches, asks, strict=True)
        ]
        return self._local.reserve(self._now_ms(), reservation, PROCESS_MS, own), own

    def _settle(self, application_id: str, one: Taken, real: int) -> None:
        settlement = _settlement(one, real)
        if one.local:
            self._local.settle([settlement])
        else:
            self.after.settle(application_id, settlement)

    # --- leased -----------------------------------------------------------------------------------------------------
    async def _lease(
        self,
        application_id: str,
        reservation: str,
        match: Match,
        amount: int,
        taken: list[Taken],
        standings: list[tuple[LimitRule, Standing]],
        shadowed: list[str],
    ) -> None:
        rule, counter = match.rule, match.counter
        held = self._leased.held(counter)
        if held is None:
            held = self._leased.hold(counter, leases.Permits(rule.amount, LONGEST_S[rule.window], rule.local_amount))
        elif held.limit != rule.amount or held.local != (rule.amount if rule.local_amount is None else rule.local_amount):
            held.change(rule.amount, rule.local_amount)
        closed = rule.on_store_error == "closed" and not rule.shadow
        try:
            retry_after = await self._leased.spend(
                counter,
                held,
                amount,
                lambda want, least: self.seeding.lease(application_id, counter, rule.window, rule.amount, want, least),
                closed=closed,
            )
        except StoreAwayError:
            raise store_away(match) from None
        standings.append((rule, held.standing(self._clock())))
        if retry_after is None:
            taken.append(Taken(rule, counter, amount, 0, "", permits=held, ends=held.ends))
            if held.seeded_ms and _started_before(reservation, held.seeded_ms):
                self.after.note(application_id, reservation)
        elif rule.shadow:
            self._shadow(rule, shadowed)
        else:
            self.refused += 1
            raise over_limit(match, retry_after, amount, standings)

    # --- the rest ---------------------------------------------------------------------------------------------------
    def _shadow(self, rule: LimitRule, shadowed: list[str]) -> None:
        self.shadowed += 1
        shadowed.append(rule.name)
        now = self._clock()
        if now >= self._logged.get(rule.id, 0.0):
            if len(self._logged) >= MAX_NAMES:
                self._logged.clear()
            self._logged[rule.id] = now + LOG_PAUSE_S
            _log.info("a shadow rule would have refused a call", extra={"rule": rule.name, "rule_id": rule.id})


class Held:
    """What a running call has reserved: the journal's ``Holding``."""

    __slots__ = ("_application_id", "_limits", "_reservation", "_taken")

    def __init__(self, limits: Limits, application_id: str, reservation: str, taken: list[Taken]) -> None:
        self._limits = limits
        self._application_id = application_id
        self._reservation = reservation
        self._taken: list[Taken] | None = taken

    def settle(self, spent: Spent) -> None:
        """Give the truth; only the first time counts."""
        taken, self._taken = self._taken, None
        if taken is not None:
            self._limits.settle(self._application_id, self._reservation, taken, spent)


def _started_before(reservation: str, ms: int) -> bool:
    """Whether a call is known to have started before a time; its id says when."""
    try:
        return uuid7_ms(reservation) < ms
    except ValueError:
        return False


def _ask(match: Match, amount: int) -> Ask:
    rule = match.rule
    return Ask(match.counter, rule.window, rule.amount, amount, rule.metric == "requests", rule.shadow)


def _settlement(one: Taken, real: int) -> Settlement:
    return Settlement(one.counter, one.window, one.id, one.amount, real, one.rule.window, one.epoch)


def _standing(ask: Ask, state: CounterState) -> Standing:
    return Standing(ask.limit, max(ask.limit - state.used, 0), state.left_ms / 1000)
