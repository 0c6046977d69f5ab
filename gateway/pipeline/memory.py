"""What a worker needs to answer the same thing twice: the store of answers, calls in flight, and work that outlives its caller."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from gateway.core.ports import AnswerStore

if TYPE_CHECKING:
    from gateway.pipeline.flights import Flight

MAX_OUTLIVING = 256
"""Calls of a worker that go on after their callers have left; the next ends with its caller. A client that leaves and retries in a
loop must not fill the worker with work that no cap on connections can see."""


class Memory:
    """The worker's memory of answers. ``sleep`` waits so many seconds between two looks at a call that another worker makes."""

    def __init__(
        self, store: AnswerStore, *, max_bytes: int, keep_seconds: float, sleep: Callable[[float], Awaitable[object]]
    ) -> None:
        self.store = store
        self.max_bytes = max_bytes
        """Of one kept answer; a larger one is not kept."""
        self.keep_seconds = keep_seconds
        """How long the answer to an ``idempotency-key`` is kept."""
        self.sleep = sleep
        self.flights: dict[str, Flight] = {}
        """Calls that others may join, by the name of their answer."""
        self.outliving = 0
        """Calls that go on without a caller."""
        self.hits = 0
        self.coalesced = 0
        self.misses = 0
        self.replayed = 0
        """How calls were answered, for the metrics."""
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run ``work`` in a task of its own, until it ends or the worker closes."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def outlive(self, task: "asyncio.Task[None]") -> bool:
        """Let a task go on without its caller, if there is room for one more."""
        if self.outliving >= MAX_OUTLIVING:
            return False
        self.outliving += 1
        task.add_done_callback(self._home)
        return True

    async def close(self) -> None:
        """End what still runs; what it was about is recorded by itself."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _over(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen: whoever waited has been told, or has left

    def _home(self, _: object) -> None:
        self.outliving -= 1
