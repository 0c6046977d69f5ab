"""Connections to one server: a pool in which a call waits for its turn, and every wait is bounded."""

# pyright: reportUnknownMemberType=false

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

T = TypeVar("T")

CONNECTIONS = 8
"""Enough for releases and leases of one worker; more would only queue up in the single-threaded server."""


class Single:
    """One server. ``patience`` is in seconds, of connecting, of each reply, and of waiting for a connection."""

    def __init__(self, url: str, patience: float) -> None:
        self._pool = BlockingConnectionPool.from_url(url, max_connections=CONNECTIONS, timeout=patience, **options(patience))
        self.redis = Redis(connection_pool=self._pool)

    def run(self, work: Callable[[Redis], Coroutine[Any, Any, T]]) -> Coroutine[Any, Any, T]:
        """What ``work`` gets."""
        return work(self.redis)

    async def open(self) -> None:
        """Nothing: connections are made when they are used."""

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.disconnect()


def options(timeout_s: float) -> dict[str, Any]:
    """How every connection is made: no retries of redis-py's own, no greeting commands, every wait bounded."""
    return {
        "protocol": 2,
        "driver_info": None,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
    }
