"""Keep-alive connections to one origin: at most so many, the freshest first, waiters in the order they came.

A *slot* is the right to have one connection. It is held by an idle connection, by an exchange, or by somebody who is
opening a connection; whoever holds it ends by ``give`` (the connection is good for another) or ``vacate`` (it is not).
While anybody waits no connection is idle, so a slot that comes free goes to the one who waited longest, and nobody who
comes later can take it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Pooled(Protocol):
    """What a pool needs to know of a connection."""

    idle_since: float
    """Monotonic seconds; written by the pool."""

    def dismiss(self) -> None:
        """Close it politely: it has been idle for too long."""
        ...


C = TypeVar("C", bound=Pooled)


class Pool(Generic[C]):
    """The connections to one origin. ``idle_seconds``: how long one may lie unused; ``clock`` gives monotonic seconds."""

    __slots__ = ("_clock", "_closed", "_idle", "_idle_seconds", "_maximum", "_reaper", "_waiters", "reused", "size")

    def __init__(self, maximum: int, idle_seconds: float, clock: Callable[[], float]) -> None:
        self._maximum = maximum
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._closed = False
        self._idle: list[C] = []
        self._waiters: deque[asyncio.Future[C | None]] = deque()
        self._reaper: asyncio.TimerHandle | None = None
        self.size = 0
        """Slots taken."""
        self.reused = 0
        """How often an open connection was taken instead of a new one."""

    @property
    def has_idle(self) -> bool:
        """Whether :meth:`take` has something to give."""
        return bool(self._idle)

    @property
    def in_use(self) -> int:
        """Slots held by exchanges and by connections being opened."""
        return self.size - len(self._idle)

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return len(self._waiters)

    def take(self) -> C | None:
        """The connection that was used last (the likeliest to be alive still), with its slot; None: ``claim`` one."""
        if not self._idle:
            return None
        self.reused += 1
        return self._idle.pop()

    async def claim(self, seconds: float) -> C | None:
        """A slot, after ``take`` gave none: with a connection somebody has just given back, or (None) to open one.

        Raises ``TimeoutError`` if none came free within ``seconds``.
        """
        if self.size < self._maximum:
            self.size += 1
            return None
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[C | None] = loop.create_future()
        timer = loop.call_later(seconds, _expire, waiter)
        self._waiters.append(waiter)
        try:
            return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                # The slot was handed over in the very turn in which its taker was cancelled.
                given = waiter.result()
                self.vacate() if given is None else self.give(given)
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            raise
        finally:
            timer.cancel()

    def give(self, connection: C) -> None:
        """The slot and a connection that is good for another exchange."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self.reused += 1
                waiter.set_result(connection)
                return
        if self._closed:
            self.size -= 1
            connection.dismiss()
            return
        connection.idle_since = self._clock()
        self._idle.append(connection)
        if self._reaper is None:
            self._reaper = asyncio.get_running_loop().call_later(self._idle_seconds, self.reap)

    def vacate(self) -> None:
        """The slot, without a connection."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self.size -= 1

    def forget(self, connection: C) -> None:
        """An idle connection has died, and its slot with it. Those not idle are their holders' business."""
        if connection in self._idle:
            self._idle.remove(connection)
            self.size -= 1

    def reap(self) -> None:
        """Dismiss what has been idle for too long, and come back when the next one will have been."""
        self._reaper = None
        oldest_kept = self._clock() - self._idle_seconds
        # Used as a stack, so the list is in the order in which its members became idle.
        while self._idle and self._idle[0].idle_since <= oldest_kept:
            connection = self._idle.pop(0)
            self.size -= 1
            connection.dismiss()
        if self._idle:
            seconds = self._idle[0].idle_since - oldest_kept
            self._reaper = asyncio.get_running_loop().call_later(seconds, self.reap)

    def close(self) -> None:
        """Dismiss every idle connection, and from now on those that are given back."""
        self._closed = True
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        idle, self._idle = self._idle, []
        self.size -= len(idle)
        for connection in idle:
            connection.dismiss()


def _expire(waiter: asyncio.Future[C | None]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())
