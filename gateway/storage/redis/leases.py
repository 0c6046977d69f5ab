"""Shared request counters: workers lease permits in bundles, so that most calls are admitted without asking Redis."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from gateway.core.ports import Lease
from gateway.storage.redis.link import Link

_LEASE = (Path(__file__).parent / "lease.lua").read_text(encoding="utf-8")


class RedisLeases:
    """The :class:`gateway.core.ports.LeaseStore` of Redis: one script, one key, one round trip per lease."""

    def __init__(self, link: Link, clock: Callable[[], float]) -> None:
        self._link = link
        self._clock = clock

    async def lease(self, key_id: str, limit: int, want: int) -> Lease | None:
        """Take up to ``want`` permits of this minute's ``limit``. The sum of all grants in a minute never exceeds ``limit``."""

        async def work(client: Redis) -> Any:
            return await client.execute_command("EVAL", _LEASE, 1, f"pg:rpm:{key_id}", limit, want)

        answer = await self._link.ask(work)
        if answer is None:
            return None
        granted, remaining, ms = answer
        return Lease(granted, remaining, self._clock() + ms / 1000)
