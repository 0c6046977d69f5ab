"""The call behind a flight, in a task of its own: it goes on while anybody waits for it, and fills the store when it is complete.

Where the version shares calls, another worker may make it: then its answer lands here.
"""

import asyncio
from contextlib import nullcontext

import msgspec
from msgspec import Struct

from gateway.core.conversation import Conversation
from gateway.core.errors import DRAINING, INTERNAL, UPSTREAM_INVALID, GatewayError
from gateway.core.events import Event, Usage
from gateway.core.journal import Journal
from gateway.core.requests import ChatRequest
from gateway.core.upstream import CHAT
from gateway.core.verdicts import ALLOW
from gateway.pipeline.broadcast import Listener
from gateway.pipeline.call import call
from gateway.pipeline.flights import Flight
from gateway.pipeline.memory import Memory
from gateway.pipeline.received import Received
from gateway.pipeline.record import record
from gateway.pipeline.resolve import Recipe
from gateway.pipeline.respond import count_usage
from gateway.pipeline.services import Services
from gateway.pipeline.sharing import Sharing
from gateway.providers.openai import OpenAITranslator
from gateway.routing.table import Plan
from gateway.wire.folding import fold, unfold
from gateway.wire.sse import MAX_EVENT_BYTES

SCHEMA_VERSION = 1
"""Of :class:`KeptAnswer`; another number is a miss."""
BRIEF = 64 * 1024
"""Bytes that are folded or digested on the event loop; more goes to a thread, which takes longer and holds nobody up."""


class KeptAnswer(Struct, array_like=True, frozen=True):
    """An answer as it lies in the store."""

    schema_version: int
    kept_ms: int
    """Wall clock, milliseconds since the epoch."""
    body: bytes
    """A ``chat.completion``."""
    usage: Usage


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(KeptAnswer).decode
_CHAT = OpenAITranslator()


class Fetch(Struct):
    """Everything that a call takes, and the flight its answer goes into."""

    name: str
    """Of the answer."""
    flight: Flight
    plan: Plan
    request: ChatRequest
    recipe: Recipe
    conversation: Conversation
    journal: Journal
    """The first passenger's: it pays."""
    keeps: bool
    """Whether the answer may be stored."""
    sharing: Sharing | None
    """With the other workers."""
    memory: Memory
    services: Services
    answer: Received | None = None
    task: "asyncio.Task[None] | None" = None

    def start(self) -> None:
        """Set out."""
        self.flight.abandon = self.abandon
        self.task = self.memory.spawn(self._run())

    def abandon(self) -> None:
        """Nobody waits any more: the provider's work ends now, so that the payer's row says what was made of it."""
        assert self.task is not None
        self._land()
        self.task.cancel()

    async def _run(self) -> None:
        flight = self.flight
        try:
            if self.sharing is None:
                await self._make()
            else:
                await self._share(self.sharing)
        except GatewayError as error:
            flight.end(error)
        except asyncio.CancelledError:
            flight.end(GatewayError(DRAINING, "the gateway is shutting down", retry_after=1))
            raise
        except Exception as bug:  # noqa: BLE001 - whoever waits must hear of it
            failure = GatewayError(INTERNAL, "internal error", cause=repr(bug))
            failure.__cause__ = bug
            flight.end(failure)
        finally:
            if self.memory.flights.get(self.name) is flight:
                del self.memory.flights[self.name]
            self._land()
            if flight.inherited:
                self.journal.recorded = False
                record(self.journal, self.services)

    async def _make(self) -> None:
        """Ask the provider."""
        self.memory.misses += 1
        async with nullcontext() if self.sharing is None else self.sharing.telling(self.flight):
            await self._read()
            self.flight.end()
        if self.keeps or (self.sharing is not None and self.sharing.held):
            await self._keep()
        if self.answer is not None:
            await self.answer.drain()

    async def _share(self, sharing: Sharing) -> None:
        """Let the answer of another worker's call land; without one ask the provider, and let the others wait."""
        try:
            found = await sharing.wait(streamed=self.flight.streamed)
            if isinstance(found, Listener):
                self.flight.join()
                await found.follow(self.flight)
                return
            kept = None if found is None else read_kept(found)
            if kept is None or not self.flight.land(landed(kept.body, kept.usage, streamed=self.flight.streamed)):
                async with sharing.holding():
                    await self._make()
        finally:
            await sharing.end()

    async def _read(self) -> None:
        flight, journal, services = self.flight, self.journal, self.services
        answer = self.answer = await call(self.plan, self.request, self.recipe, self.conversation, CHAT, journal, services)
        if not flight.streamed:
            event = answer.whole()
            await self._count(answer)
            flight.add([event])
            return
        size = 0
        while events := await answer.next():
            size += sum([len(event.data) for event in events])
            if size > services.max_answer_bytes:
                raise GatewayError(UPSTREAM_INVALID, f"the provider's stream exceeds {services.max_answer_bytes} bytes")
            flight.add(events)
        await self._count(answer)

    async def _count(self, answer: Received) -> None:
        if self.journal.usage is None:
            await count_usage(answer.texts, self.conversation, self.journal, self.services)
        self.flight.usage = self.journal.usage

    def _land(self) -> None:
        if self.answer is not None:
            self.answer.close()
            self.answer = None

    async def _keep(self) -> None:
        """Store the answer if it is whole, small enough, and nothing that the version's guards would hold back."""
        document, cache, inbound = self.recipe.release, self.recipe.cache, self.journal.inbound
        assert document is not None
        assert cache is not None
        body, usage = await whole_body(self.flight), self.flight.usage
        assert usage is not None
        if body is None or len(body) > self.memory.max_bytes:
            return
        guard = self.recipe.guards.post
        if guard is not None and guard.check(_CHAT.answer(body, CHAT).texts) is not ALLOW:
            return
        now_ms = inbound.started_ms + int((self.services.clock() - inbound.started) * 1000)
        value = _encode(KeptAnswer(SCHEMA_VERSION, now_ms, body, usage))
        if self.keeps:
            await self.memory.store.put(document.document.application_id, self.name, value, cache.ttl_seconds)
        elif self.sharing is not None:
            await self.sharing.leave_for_others(value)


def read_kept(value: bytes) -> KeptAnswer | None:
    """What :class:`Fetch` has stored; None for another schema."""
    try:
        kept = _decode(value)
    except msgspec.MsgspecError:
        return None
    return kept if kept.schema_version == SCHEMA_VERSION else None


async def whole_body(flight: Flight) -> bytes | None:
    """The complete answer of a flight as one ``chat.completion``; None if its stream does not make one."""
    if not flight.streamed:
        return flight.batches[0][0].data
    chunks = [event.data for events in flight.batches for event in events]
    return fold(chunks) if sum(map(len, chunks)) < BRIEF else await asyncio.to_thread(fold, chunks)


def landed(body: bytes, usage: Usage | None, *, streamed: bool) -> Flight | None:
    """A flight that is over, with a whole answer in the form asked for; None if it has no such form."""
    flight = Flight(streamed=streamed)
    try:
        flight.add(_stream_of(body) if streamed else [_CHAT.answer(body, CHAT)])
    except (GatewayError, ValueError):
        return None
    flight.usage = usage
    flight.end()
    return flight


def _stream_of(body: bytes) -> list[Event]:
    payloads = unfold(body)
    # Together they are longer than the body, and a kept body may be longer than one event of a provider.
    decoder = OpenAITranslator(max(MAX_EVENT_BYTES, 2 * len(body) + 4096)).decoder(CHAT)
    events = decoder.feed(b"".join([b"data: " + payload + b"\n\n" for payload in payloads]))
    if decoder.failure is not None or not events:
        raise ValueError("no stream")
    return events
