"""One answer that several requests read: events go into a flight once, and every passenger reads them from there."""

import asyncio
from collections.abc import Callable

from gateway.core.errors import DEADLINE, GatewayError
from gateway.core.events import Event, Usage
from gateway.core.journal import Journal


class Flight:
    """The shared side: what has come so far. Only who makes the call adds to it."""

    def __init__(self, *, streamed: bool, payer: Journal | None = None) -> None:
        self.streamed = streamed
        self.batches: list[list[Event]] = []
        self.usage: Usage | None = None
        """What the whole answer used, known by its end."""
        self.over = False
        self.failure: GatewayError | None = None
        self.elsewhere = False
        """Whether the answer is that of another worker's call."""
        self.inherited = False
        """Whether the payer has left before the end: then who makes the call writes the payer's row, with the true usage."""
        self.abandon: Callable[[], None] = lambda: None
        """Ends the call, once nobody is aboard."""
        self._payer = payer
        self._passengers = 0
        self._news = asyncio.Event()

    def board(self) -> None:
        """One passenger more."""
        self._passengers += 1

    def leave(self, journal: Journal | None) -> None:
        """One passenger fewer, whose row that is; without any the provider's work ends."""
        self._passengers -= 1
        if self.over:
            return
        if not self._passengers:
            self.abandon()
        elif journal is not None and journal is self._payer:
            self.inherited = journal.recorded = True

    def add(self, events: list[Event]) -> None:
        """More of the answer has come."""
        self.batches.append(events)
        self._tell()

    def end(self, failure: GatewayError | None = None) -> None:
        """The answer is complete, or will never be; what is said first counts."""
        if self.over:
            return
        self.over = True
        self.failure = failure
        self._tell()

    def land(self, other: "Flight | None") -> bool:
        """Take the answer of a call that another worker has made, if there is one."""
        if other is None:
            return False
        self.elsewhere = True
        self.batches, self.usage = other.batches, other.usage
        self.end()
        return True

    def join(self) -> None:
        """From here on the answer of a call that another worker makes comes in: nobody here pays for it."""
        self.elsewhere = True
        self._payer = None

    def raise_failure(self) -> None:
        """Raise what ended the call, if it failed: each passenger its own copy, since each says it in its own dialect."""
        e = self.failure
        if e is not None:
            raise GatewayError(
                e.kind, e.detail, param=e.param, cause=e.cause, retry_after=e.retry_after, target=e.target, status=e.status
            ) from e.__cause__

    async def wait(self, seconds: float) -> None:
        """Until something is added, at most so many seconds. Raises ``deadline``."""
        try:
            await asyncio.wait_for(self._news.wait(), max(seconds, 0.0))
        except TimeoutError:
            raise GatewayError(DEADLINE, "the call was not answered within its deadline") from None

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Passenger:
    """One request's reading of a flight, from the first event to the last, whenever it came aboard: a ``Received``."""

    def __init__(self, flight: Flight, journal: Journal, clock: Callable[[], float], *, native: bool) -> None:
        self.native = native
        self.texts: list[str] = []
        self._flight = flight
        self._journal = journal
        self._clock = clock
        self._read = 0
        self._aboard = True
        flight.board()

    async def first(self) -> None:
        """Until the first event is in hand. Raises what the call raised, and ``deadline``."""
        await self._until_more_than(0)
        if not self._flight.batches:
            self._flight.raise_failure()

    async def all(self) -> None:
        """Until the answer is complete. Raises as :meth:`first`."""
        while not self._flight.over:
            await self._wait()
        self._flight.raise_failure()

    def whole(self) -> Event:
        """The one event of an answer that was not streamed."""
        (event,) = self._note(self._flight.batches[0])
        self._ended()
        return event

    async def next(self) -> list[Event]:
        """The next events, at least one; empty at the true end. Raises as :meth:`first`."""
        flight = self._flight
        await self._until_more_than(self._read)
        if self._read == len(flight.batches):
            flight.raise_failure()
            self._ended()
            return []
        self._read += 1
        return self._note(list(flight.batches[self._read - 1]))

    async def drain(self) -> None:
        """Nothing follows the end here."""

    def close(self) -> None:
        """Leave the flight."""
        if self._aboard:
            self._aboard = False
            self._journal.generated = sum(map(len, self.texts))
            self._flight.leave(self._journal)

    async def _until_more_than(self, batches: int) -> None:
        while len(self._flight.batches) <= batches and not self._flight.over:
            await self._wait()

    async def _wait(self) -> None:
        await self._flight.wait(self._journal.inbound.deadline - self._clock())

    def _ended(self) -> None:
        if self._journal.usage is None:
            self._journal.usage = self._flight.usage

    def _note(self, events: list[Event]) -> list[Event]:
        for event in events:
            for _, text in event.texts:
                self.texts.append(text)
            if event.finish is not None:
                self._journal.finish = event.finish
        return events
