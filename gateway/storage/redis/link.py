"""The one way to ask Redis for something: bounded in time, behind a breaker, never torn down by a caller who leaves."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.storage.redis.address import is_cluster
from gateway.storage.redis.breaker import Breaker
from gateway.storage.redis.clients import Single
from gateway.storage.redis.cluster import Cluster

T = TypeVar("T")

TIMEOUT_S = 0.005
"""A round trip takes 0.1 ms; after fifty times that the last-known-good answer is better than waiting."""
PATIENCE = 10
"""Time-outs after which a connection that owes a reply is given up. Until then a late reply is read by nobody's caller, and the
connection goes on being good: closing it at once would answer a slow Redis with a storm of reconnects."""
TURNS = 3
"""Of the event loop that a call gets after its time is up: if the loop itself was late, the reply may lie there already,
and takes one turn to be read, one to be parsed and one to wake the caller."""


class Link:
    """A connection pool with a deadline and a breaker. ``clock`` gives monotonic seconds."""

    def __init__(self, url: str, clock: Callable[[], float], timeout_s: float = TIMEOUT_S) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        patience = timeout_s * PATIENCE
        self._client = Cluster(url, patience, clock) if is_cluster(url) else Single(url, patience)
        self._running: set[asyncio.Task[object]] = set()
        self.breaker = Breaker()
        self.failures = 0
        """Calls that Redis did not answer in time, or at all."""
        self.last_failure = ""
        """What the newest of them died of, for operators."""

    async def ask(self, work: Callable[[Redis], Coroutine[Any, Any, T]], timeout_s: float | None = None) -> T | None:
        """What ``work`` got from Redis; None when there was no answer in time.

        The work runs in its own task and always reads its reply to the end: a caller that gives up or is cancelled leaves no
        unread reply on a pooled connection for the next one to find (reliability F07).
        """
        if not self.breaker.allows(self._clock()):
            return None
        task = asyncio.ensure_future(self._client.run(work))
        self._running.add(task)
        task.add_done_callback(self._over)
        await asyncio.wait((task,), timeout=timeout_s or self._timeout_s)
        for _ in range(TURNS):
            if task.done():
                break
            await asyncio.sleep(0)
        if task.done() and not task.cancelled() and task.exception() is None:
            self.breaker.succeeded()
            return task.result()
        self.failures += 1
        self.last_failure = "no answer in time"
        if task.done() and not task.cancelled():
            error = task.exception()
            self.last_failure = f"{type(error).__name__}: {error}"  # redis-py's own repr says less
        if isinstance(self._client, Single):  # the nodes of a cluster have a breaker each: one must not close the others
            self.breaker.failed(self._clock())
        return None

    async def open(self) -> None:
        """Before the first call, if there is time: what a cluster has to be asked once. Silent when nobody answers."""
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await self._client.open()

    async def version(self, timeout_s: float) -> str | None:
        """The server's version; None when it does not answer within ``timeout_s`` seconds."""

        async def work(client: Redis) -> Any:
            return await client.execute_command("INFO", "server")

        server: dict[str, Any] | None = await self.ask(work, timeout_s)
        return None if server is None else str(server.get("redis_version"))

    async def close(self) -> None:
        """End what is still running and close every connection."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._client.close()

    def _over(self, task: "asyncio.Task[object]") -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # seen, so that nobody warns about a caller that had left
