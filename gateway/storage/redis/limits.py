"""The shared counters behind limit rules, in Redis: one script per question, whatever the number of counters.

All keys of an application have its id as their hash tag, so that they lie on one node of a Redis Cluster.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from redis.asyncio import Redis

from gateway.core.limits import Ask, CounterState, Reserved, Seed, Settlement, Stage, Turn, Unseeded, Window
from gateway.core.ports import Lease
from gateway.storage.redis.leases import lease_of
from gateway.storage.redis.link import Link
from gateway.storage.redis.script import COUNTERS, LEASE, Script

_RESERVE = Script(*COUNTERS, "reserve.lua")
_CANCEL = Script("cancel.lua")
_SETTLE = Script(*COUNTERS, "settle.lua")
_RENEW = Script(*COUNTERS, "renew.lua")
_TURN = Script(*COUNTERS, "turn.lua")
_SEED = Script(*COUNTERS, "seed.lua")
_EARLY = Script(*COUNTERS, "early.lua")
_NOTE = Script(*COUNTERS, "note.lua")
_CHARGE = Script(*COUNTERS, "charge.lua")

REMEMBER_MS = 86_400_000
"""How long the name of a charged call is remembered: a spool whose rows could not be committed is read again within a day, or the
windows that it could count twice in are nearly over."""
_HELD = ":held"
_TURNS: tuple[Literal["nobody", "mine", "theirs"], ...] = ("nobody", "mine", "theirs")


class RedisLimits:
    """The :class:`gateway.core.ports.LimitStore` of Redis. ``clock`` gives monotonic seconds; windows are decided by Redis."""

    def __init__(self, link: Link, clock: Callable[[], float]) -> None:
        self._link = link
        self._clock = clock

    async def reserve(
        self, application_id: str, reservation: str, seconds: float, asks: Sequence[Ask]
    ) -> Reserved | Unseeded | None:
        """Check all counters and take all that is asked, or nothing."""
        arguments: list[str | int] = [reservation, int(seconds * 1000)]
        for ask in asks:
            arguments += (ask.window, ask.limit, ask.need, int(ask.firm), int(ask.shadow))
        answer = await self._ask(_RESERVE, [_marker(application_id), *_keys(application_id, asks)], arguments)
        if answer is None:
            return None
        if answer[0] < 0:
            return Unseeded()
        states = [CounterState(answer[i], answer[i + 1], answer[i + 2], answer[i + 3] == 1) for i in range(2, len(answer), 4)]
        return Reserved(answer[0] == 1, states, answer[1])

    async def cancel(self, application_id: str, reservation: str, asks: Sequence[Ask]) -> bool | None:
        """Undo a reservation whose answer never came."""
        arguments: list[str | int] = [reservation]
        for ask in asks:
            arguments += (ask.need, int(ask.firm))
        answer = await self._ask(_CANCEL, _keys(application_id, asks), arguments)
        return None if answer is None else answer == 1

    async def look(self, application_id: str, asks: Sequence[Ask]) -> list[CounterState] | Unseeded | None:
        """Where counters stand."""
        looked = await self.reserve(application_id, "", 0, asks)
        return looked.states if isinstance(looked, Reserved) else looked

    async def settle(self, application_id: str, settlements: Sequence[Settlement], *, again: bool = False) -> bool:
        """Put the truth in the place of reservations."""
        arguments: list[str | int] = [int(again)]
        for settled in settlements:
            arguments += (settled.window, settled.period, _member(settled), settled.reserved, settled.truth)
        return await self._ask(_SETTLE, [_marker(application_id), *_keys(application_id, settlements)], arguments) is not None

    async def renew(self, application_id: str, seconds: float, held: Sequence[Settlement]) -> int | None:
        """Let reservations live for so many seconds from now."""
        arguments: list[str | int] = [int(seconds * 1000)]
        for each in held:
            arguments += (_member(each), each.reserved, each.epoch, each.window, each.period)
        return await self._ask(_RENEW, [_marker(application_id), *_keys(application_id, held)], arguments)

    async def lease(
        self, application_id: str, counter: str, window: Window, limit: int, want: int, least: int = 1
    ) -> Lease | Unseeded | None:
        """Take up to ``want`` of a counter for good; nothing where ``least`` are not left."""
        keys = [*_pair(application_id, counter), _marker(application_id)]
        answer = await self._ask(LEASE, keys, [limit, want, window, least])
        if answer is None:
            return None
        return Unseeded() if answer[0] < 0 else lease_of(answer, self._clock())

    async def turn(self, application_id: str, who: str, seconds: float) -> Turn | None:
        """Whether ``who`` is to seed the application's counters."""
        answer = await self._ask(_TURN, _places(application_id), [who, int(seconds * 1000)])
        if answer is None:
            return None
        whose, now_ms = answer
        return Turn(_TURNS[int(whose)], int(now_ms))

    async def seed(self, application_id: str, seeds: Sequence[Seed], stage: Stage) -> int | None:
        """Add what the ledger knows."""
        keys = [*_places(application_id), *_keys(application_id, seeds)]
        return await self._ask(_SEED, keys, [stage, *_amounts(seeds)])

    async def early(self, application_id: str) -> list[str] | None:
        """Calls that waited for the first seed, and were counted after it."""
        answer: list[bytes | str] | None = await self._ask(_EARLY, [_marker(application_id)], [])
        return None if answer is None else [each if isinstance(each, str) else each.decode() for each in answer]

    async def note(self, application_id: str, reservations: Sequence[str]) -> bool:
        """Calls that spend permits leased since the first seed."""
        return await self._ask(_NOTE, [_marker(application_id)], reservations) is not None

    async def charge(self, application_id: str, name: str, started_ms: int, spent: Sequence[Seed]) -> bool:
        """Count what a call used that nobody settled."""
        marker, _ = _places(application_id)
        keys = [marker, f"{marker}:charged:{name}", *_keys(application_id, spent)]
        return await self._ask(_CHARGE, keys, [started_ms, REMEMBER_MS, *_amounts(spent)]) is not None

    async def _ask(self, script: Script, keys: list[str], arguments: Sequence[str | int]) -> Any:
        async def work(client: Redis) -> Any:
            return await script.run(client, keys, *arguments)

        return await self._link.ask(work)


def _marker(application_id: str) -> str:
    """Where an application's epoch is, and what is known since. Names of counters have a colon, so none is called like it."""
    return f"pg:limit:{{{application_id}}}:known"


def _places(application_id: str) -> list[str]:
    marker = _marker(application_id)
    return [marker, f"{marker}:claim"]


def _pair(application_id: str, counter: str) -> list[str]:
    """Where a counter is, and the set of its reservations. Users and tags are what callers say: none may be called like such a set."""
    mark = ":" if counter.rstrip(":").endswith(_HELD) else ""
    place = f"pg:limit:{{{application_id}}}:{counter}{mark}"
    return [place, f"{place}{_HELD}"]


def _keys(application_id: str, counters: Sequence[Ask | Settlement | Seed]) -> list[str]:
    return [key for each in counters for key in _pair(application_id, each.counter)]


def _amounts(seeds: Sequence[Seed]) -> list[str | int]:
    return [part for seed in seeds for part in (seed.period, seed.window, seed.used)]


def _member(held: Settlement) -> str:
    return f"{held.id}:{held.reserved}"
