"""A stream that several workers share, as it comes: who makes the call writes down what has come, the others read it from there.

Nothing is written before somebody elsewhere says that it listens, and whoever listens says so again and again: then the call goes
on when all callers of its own worker have left. What is written is a row of numbered pieces that lives for moments. A listener who
finds the beginning gone waits for the whole answer instead.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
from msgspec import Struct

from gateway.core.errors import DRAINING, INTERNAL, KINDS, UPSTREAM_INCOMPLETE, GatewayError
from gateway.core.events import Usage
from gateway.core.upstream import CHAT
from gateway.pipeline.claims import LEASE_S, LONGEST_PAUSE_S
from gateway.pipeline.flights import Flight
from gateway.pipeline.memory import Memory
from gateway.providers.openai import OpenAITranslator
from gateway.wire.sse import MAX_EVENT_BYTES

SCHEMA_VERSION = 1
"""Of :class:`Piece`; another number is waited out, until the whole answer lies there."""
PAUSE_S = 0.05
"""Between two pieces, and between two looks for the next: nobody sees so small a delay, and a row is written 20 times a second."""
PIECE_BYTES = 64 * 1024
"""After which a piece is full: one of them is decoded in about a millisecond."""
AT_ONCE = 8
"""Pieces written between two pauses: half of what a listener reads in one."""
LATEST = 64
"""Pieces that stay in a row however large they are: half a second of the quickest stream, which a listener may be behind."""
LISTENING_S = 3.0
"""How long who has said that it listens is taken to: three times its pause until it says so again."""
SAY_AGAIN_S = 1.0
LOOK_AGAIN = int(SAY_AGAIN_S / PAUSE_S)
"""Pauses between two looks whether somebody still listens."""
PATIENCE = 5
"""Looks in a row that find nobody, until the listeners are taken to have left: a store that is away for a moment shows nobody."""
ROW_S = 60.0
"""How long a row lies there after its newest piece: a stream that says nothing for longer is waited for until it is whole."""
END_S = 5.0
"""And after its end: twenty times the longest pause of who listens."""


class Failure(Struct, array_like=True, frozen=True):
    """How a call failed."""

    kind: str
    detail: str
    retry_after: float | None
    target: str | None


class End(Struct, array_like=True, frozen=True):
    """The end of a stream: what it used, or how it failed."""

    usage: Usage | None
    failure: Failure | None = None


class Piece(Struct, array_like=True, frozen=True):
    """Some of a stream's events, or its end."""

    schema_version: int
    events: list[bytes]
    """Chunks of a ``chat.completion``, one line each."""
    end: End | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Piece).decode


@asynccontextmanager
async def told(memory: Memory, application_id: str, name: str, flight: Flight) -> AsyncGenerator[None]:
    """Write down what comes into a flight meanwhile, for whoever listens elsewhere, and in the end how it ended."""
    broadcast = _Broadcast(memory, application_id, name, flight)
    writing = asyncio.ensure_future(broadcast.run())
    failure: GatewayError | None = GatewayError(INTERNAL, "internal error")
    try:
        yield
        failure = None
    except GatewayError as error:
        failure = error
        raise
    except asyncio.CancelledError:
        failure = GatewayError(DRAINING, "the gateway is shutting down", retry_after=1)
        raise
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await broadcast.end(failure)


class _Broadcast:
    """The writing side."""

    def __init__(self, memory: Memory, application_id: str, name: str, flight: Flight) -> None:
        self._memory = memory
        self._application_id = application_id
        self._name = name
        self._flight = flight
        self._aboard = False
        """Whether somebody listens, for whom the call goes on."""
        self._missed = 0
        """Looks in a row that found nobody."""
        self._read = 0
        """Batches of the flight that were taken up."""
        self._waiting: list[bytes] = []
        """Pieces that may not lie in the row yet, encoded, in order: tried again as they are, for the first may lie there after all."""
        self._sizes: list[int] = []
        """Of the pieces in the row, the newest last: together no more than a kept answer may have, or few."""
        self._number = 0
        """Of the last piece in the row."""

    async def run(self) -> None:
        """Until it is cancelled."""
        rounds = 0
        while True:
            await self._memory.sleep(PAUSE_S if self._aboard else LONGEST_PAUSE_S)
            if not self._flight.batches:
                continue
            rounds = (rounds + 1) % LOOK_AGAIN
            if not self._aboard or not rounds:
                await self._look()
            if self._aboard:
                await self._write()

    async def end(self, failure: GatewayError | None) -> None:
        """Tell the end. Of a call that failed only to those who may have its beginning: the others ask for themselves."""
        if not self._aboard or (failure is not None and not self._number):
            return
        self._take_up()
        usage = self._flight.usage
        failed = failure and Failure(failure.kind.name, failure.detail, failure.retry_after, failure.target)
        self._waiting.append(_encode(Piece(SCHEMA_VERSION, [], End(usage, failed))))
        for _ in range(1 + len(self._waiting) // AT_ONCE):
            await self._write(END_S)
            if not self._waiting:
                return
            await self._memory.sleep(PAUSE_S)
        await self._write(END_S)

    async def _look(self) -> None:
        if await self._memory.store.get(self._application_id, _listening(self._name)) is not None:
            self._missed = 0
            if not self._aboard and (self._number or self._size() <= self._memory.max_bytes):
                self._aboard = True
                self._flight.board()
        elif self._aboard:
            self._missed += 1
            if self._missed >= PATIENCE:
                self._aboard = False
                self._flight.leave(None)

    def _size(self) -> int:
        return sum([len(event.data) for events in self._flight.batches for event in events])

    def _take_up(self) -> None:
        batches = self._flight.batches
        events: list[bytes] = []
        size = 0
        while self._read < len(batches):
            for event in batches[self._read]:
                events.append(event.data)
                size += len(event.data)
                if size >= PIECE_BYTES:
                    self._waiting.append(_encode(Piece(SCHEMA_VERSION, events)))
                    events, size = [], 0
            self._read += 1
        if events:
            self._waiting.append(_encode(Piece(SCHEMA_VERSION, events)))

    async def _write(self, seconds: float = ROW_S) -> None:
        self._take_up()
        for _ in range(min(AT_ONCE, len(self._waiting))):
            piece = self._waiting[0]
            sizes = [*self._sizes, len(piece)]
            while len(sizes) > LATEST and sum(sizes) > self._memory.max_bytes:
                del sizes[0]
            number = self._number + 1
            store, oldest = self._memory.store, number + 1 - len(sizes)
            if not await store.append(self._application_id, _row(self._name), number, piece, seconds, oldest=oldest):
                return
            self._sizes, self._number = sizes, number
            del self._waiting[0]


class Listener:
    """The reading side. ``left`` falls by one with every second; ``is_made`` says whether the call still runs, None: nobody knows."""

    def __init__(
        self,
        memory: Memory,
        application_id: str,
        name: str,
        left: Callable[[], float],
        is_made: Callable[[], Awaitable[bool | None]],
    ) -> None:
        self._memory = memory
        self._application_id = application_id
        self._name = name
        self._left = left
        self._is_made = is_made
        self._said_at: float | None = None
        """What was left when we said that we listen."""
        self._number = 0
        """Of the last piece that was read."""
        self._pieces: list[Piece] = []
        """Read, and not in a flight yet."""
        self._lost = False
        """Whether pieces are missing, or cannot be read: nothing more is to be had here."""
        self._decoder = OpenAITranslator(MAX_EVENT_BYTES).decoder(CHAT)

    async def hears(self) -> bool:
        """Whether more of the call lies there, from its beginning on. Says meanwhile that we listen."""
        if self._lost:
            return False
        left = self._left()
        if self._said_at is None or self._said_at - left >= SAY_AGAIN_S:
            self._said_at = left
            await self._memory.store.put(self._application_id, _listening(self._name), b"1", LISTENING_S)
        for number, value in await self._memory.store.after(self._application_id, _row(self._name), self._number):
            piece = _read(value)
            if piece is None or number != self._number + 1:
                self._lost = True
                break
            self._number = number
            self._pieces.append(piece)
        return bool(self._pieces)

    async def follow(self, flight: Flight) -> None:
        """Let what comes come into a flight, to its end. Raises how the call failed; ``upstream_incomplete`` where nobody says how."""
        pause, unknown_at = PAUSE_S, None
        while not self._land(flight):
            await self._memory.sleep(pause)
            if await self.hears():
                pause, unknown_at = PAUSE_S, None
                continue
            pause = min(pause * 2, LONGEST_PAUSE_S)
            made = None if self._lost else await self._is_made()
            if made is None:
                unknown_at = self._left() if unknown_at is None else unknown_at
            # What was written before the call's place was given up is there by now.
            over = (made is False and not await self.hears()) or (
                unknown_at is not None and unknown_at - self._left() >= LEASE_S
            )
            if over or self._lost:
                raise GatewayError(UPSTREAM_INCOMPLETE, "the call that made this answer ended before it was complete")

    def _land(self, flight: Flight) -> bool:
        """Put what was read into the flight; whether that was the end of it."""
        pieces, self._pieces = self._pieces, []
        for piece in pieces:
            events = self._decoder.feed(b"".join([b"data: " + event + b"\n\n" for event in piece.events]))
            if events:
                flight.add(events)
            self._lost = self._lost or self._decoder.failure is not None
            if piece.end is not None:
                _land_at(piece.end, flight)
                return True
        return False


def _land_at(end: End, flight: Flight) -> None:
    failure = end.failure
    if failure is not None:
        kind = KINDS.get(failure.kind, UPSTREAM_INCOMPLETE)
        raise GatewayError(kind, failure.detail, retry_after=failure.retry_after, target=failure.target)
    flight.usage = end.usage
    flight.end()


def _read(value: bytes) -> Piece | None:
    """A piece; None for one of another version of the gateway."""
    try:
        piece = _decode(value)
    except msgspec.MsgspecError:
        return None
    return piece if piece.schema_version == SCHEMA_VERSION else None


def _row(name: str) -> str:
    return "row:" + name


def _listening(name: str) -> str:
    return "listening:" + name
