"""Who is asked: one server, or a cluster, which knows by itself where a command has to go. Both have the same three verbs."""

# pyright: reportUnknownMemberType=false

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.storage.redis.address import cluster_client

T = TypeVar("T")

CONNECTIONS = 8
"""Enough for releases and leases of one worker; more would only queue up in the single-threaded server."""


class Single:
    """One server. A call waits for one of :data:`CONNECTIONS`."""

    def __init__(self, url: str, patience: float) -> None:
        self._pool = BlockingConnectionPool.from_url(url, max_connections=CONNECTIONS, timeout=patience, **options(patience))
        self._redis = Redis(connection_pool=self._pool)

    def run(self, work: Callable[[Redis], Coroutine[Any, Any, T]]) -> Coroutine[Any, Any, T]:
        """What ``work`` gets."""
        return work(self._redis)

    async def open(self) -> None:
        """Nothing: connections are made when they are used."""

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.disconnect()


class Cluster:
    """Several servers. redis-py's pools of nodes refuse where ours waits, so a call waits for its turn before it is sent."""

    def __init__(self, url: str, patience: float) -> None:
        # A redirection takes a second connection of a node while the first is still held.
        self._redis = cluster_client(url, CONNECTIONS * 2, patience)
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._patience = patience

    async def run(self, work: Callable[[Redis], Coroutine[Any, Any, T]]) -> T:
        """What ``work`` gets when it is its turn."""
        async with asyncio.timeout(self._patience):
            await self._turns.acquire()
        try:
            await self._redis.initialize()  # nothing, unless it is the first time or a node was lost
            return await work(cast("Redis", self._redis))  # the commands we send are the same in both
        finally:
            self._turns.release()

    async def open(self) -> None:
        """Ask where which slot is. Takes some tens of milliseconds, which the first call should not pay."""
        await self._redis.initialize()

    async def close(self) -> None:
        """Close every connection, node by node, because redis-py's own close does nothing after a node was lost."""
        for nodes in ("nodes_cache", "startup_nodes"):
            await self._redis.nodes_manager.aclose(nodes)
        await self._redis.aclose()


def options(timeout_s: float) -> dict[str, Any]:
    """How every connection is made: no retries of redis-py's own, no greeting commands, every wait bounded."""
    return {
        "protocol": 2,
        "driver_info": None,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
    }
