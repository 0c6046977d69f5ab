"""Requests per minute of keys: workers lease permits in bundles, so that most calls are admitted without asking Redis."""

from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis

from gateway.core.ports import Lease
from gateway.storage.redis.link import Link
from gateway.storage.redis.script import LEASE


class RedisLeases:
    """The :class:`gateway.core.ports.LeaseStore` of Redis: one script, one counter, one round trip per lease."""

    def __init__(self, link: Link, clock: Callable[[], float]) -> None:
        self._link = link
        self._clock = clock

    async def lease(self, key_id: str, limit: int, want: int) -> Lease | None:
        """Take up to ``want`` permits of this minute's ``limit``. The sum of all grants in a minute never exceeds ``limit``."""
        place = f"pg:rpm:{{{key_id}}}"

        async def work(client: Redis) -> Any:
            return await LEASE.run(client, [place, f"{place}:held"], limit, want, "minute")

        answer = await self._link.ask(work)
        return None if answer is None else lease_of(answer, self._clock())


def lease_of(answer: list[int], now: float) -> Lease:
    """What the script answered at ``now``, in monotonic seconds."""
    granted, remaining, ms, seeding = answer
    return Lease(granted, remaining, now + ms / 1000, seeding)
