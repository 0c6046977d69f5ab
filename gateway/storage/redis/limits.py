"""The shared counters behind limit rules, in Redis: one script per question, whatever the number of counters.

All keys of an application have its id as their hash tag, so that they lie on one node of a Redis Cluster.
"""

from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import Redis

from gateway.core.limits import Ask, CounterState, Reserved, Settlement, Window
from gateway.core.ports import Lease
from gateway.storage.redis.leases import lease_of
from gateway.storage.redis.link import Link
from gateway.storage.redis.script import COUNTERS, LEASE, Script

_RESERVE = Script(*COUNTERS, "reserve.lua")
_SETTLE = Script("settle.lua")
_RENEW = Script(*COUNTERS, "renew.lua")


class RedisLimits:
    """The :class:`gateway.core.ports.LimitStore` of Redis. ``clock`` gives monotonic seconds; windows are decided by Redis."""

    def __init__(self, link: Link, clock: Callable[[], float]) -> None:
        self._link = link
        self._clock = clock

    async def reserve(self, application_id: str, reservation: str, seconds: float, asks: Sequence[Ask]) -> Reserved | None:
        """Check all counters and take all that is asked, or nothing."""
        return await self._reserve(application_id, reservation, seconds, asks)

    async def look(self, application_id: str, asks: Sequence[Ask]) -> list[CounterState] | None:
        """Where counters stand."""
        looked = await self._reserve(application_id, "", 0, asks)
        return None if looked is None else looked.states

    async def settle(self, application_id: str, settlements: Sequence[Settlement], *, again: bool = False) -> bool:
        """Put the truth in the place of reservations."""
        arguments: list[str | int] = [int(again)]
        for settled in settlements:
            arguments += (settled.window, _member(settled), settled.reserved, settled.truth)
        return await self._ask(_SETTLE, _keys(application_id, settlements), arguments) is not None

    async def renew(self, application_id: str, seconds: float, held: Sequence[Settlement]) -> bool:
        """Let reservations live for so many seconds from now."""
        arguments = [int(seconds * 1000), *map(_member, held)]
        return await self._ask(_RENEW, _keys(application_id, held), arguments) is not None

    async def lease(self, application_id: str, counter: str, window: Window, limit: int, want: int) -> Lease | None:
        """Take up to ``want`` of a counter for good."""
        answer = await self._ask(LEASE, _pair(application_id, counter), [limit, want, window])
        return None if answer is None else lease_of(answer, self._clock())

    async def _reserve(self, application_id: str, reservation: str, seconds: float, asks: Sequence[Ask]) -> Reserved | None:
        arguments: list[str | int] = [reservation, int(seconds * 1000)]
        for ask in asks:
            arguments += (ask.window, ask.limit, ask.need, int(ask.firm), int(ask.shadow))
        answer = await self._ask(_RESERVE, _keys(application_id, asks), arguments)
        if answer is None:
            return None
        states = [CounterState(answer[i], answer[i + 1], answer[i + 2], answer[i + 3] == 1) for i in range(1, len(answer), 4)]
        return Reserved(answer[0] == 1, states)

    async def _ask(self, script: Script, keys: list[str], arguments: Sequence[str | int]) -> Any:
        async def work(client: Redis) -> Any:
            return await script.run(client, keys, *arguments)

        return await self._link.ask(work)


def _pair(application_id: str, counter: str) -> list[str]:
    place = f"pg:limit:{{{application_id}}}:{counter}"
    return [place, f"{place}:held"]


def _keys(application_id: str, counters: Sequence[Ask | Settlement]) -> list[str]:
    return [key for each in counters for key in _pair(application_id, each.counter)]


def _member(held: Settlement) -> str:
    return f"{held.id}:{held.reserved}"
