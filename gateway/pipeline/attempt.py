"""One attempt: a request to one target, up to the commit point, and the answer from there on."""

import asyncio
from collections.abc import Callable

from msgspec import Struct, structs

from gateway.core.errors import UPSTREAM_INCOMPLETE, UPSTREAM_INVALID, UPSTREAM_TIMEOUT, GatewayError
from gateway.core.events import Event
from gateway.core.journal import Journal
from gateway.core.upstream import Exchange, StreamDecoder, Target, UpstreamCall
from gateway.pipeline.services import Provider, Services
from gateway.routing.commit import says_something
from gateway.routing.failures import judge
from gateway.routing.health import Health
from gateway.routing.table import Stop

MAX_ERROR_BYTES = 64 * 1024
"""Of a refusal's body; real ones are under a kilobyte, the rest is somebody's HTML page."""


class WholeAnswer(Struct):
    """An answer that was not streamed. Nothing is held for it any more: neither the connection nor the place at the target."""

    event: Event
    journal: Journal
    native: bool
    """Whether the event is in the caller's own dialect already."""

    @property
    def texts(self) -> list[str]:
        """The generated text, for the token estimate of providers that report no usage."""
        return [text for _, text in self.event.texts]

    def whole(self) -> Event:
        """All of it, noted as what the call is answered with."""
        event, journal = self.event, self.journal
        if event.finish is not None:
            journal.finish = event.finish
        if event.usage is not None:
            journal.usage = event.usage
            journal.usage_source = "upstream"
        return event

    async def next(self) -> list[Event]:
        """No answer of this kind comes in pieces."""
        raise RuntimeError("this answer is no stream")

    async def drain(self) -> None:
        """Nothing follows."""

    def close(self) -> None:
        """Say how much was generated, where the provider did not."""
        if self.journal.usage is None:
            self.journal.generated = sum([len(text) for _, text in self.event.texts])


class Answer:
    """A stream being received. ``next`` gives batches of events until an empty one; close it exactly once."""

    __slots__ = ("_clock", "_decoder", "_exchange", "_first", "_health", "_journal", "_said", "native")

    def __init__(
        self,
        first: list[Event],
        exchange: Exchange,
        decoder: StreamDecoder,
        journal: Journal,
        health: Health,
        clock: Callable[[], float],
        *,
        native: bool,
    ) -> None:
        self._first = first
        self._exchange = exchange
        self._decoder = decoder
        self._journal = journal
        self._health = health
        self._clock = clock
        self.native = native
        """Whether the events are in the caller's own dialect already."""
        self._said: list[tuple[tuple[int, str], ...]] = []

    def whole(self) -> Event:
        """No answer of this kind is whole."""
        raise RuntimeError("this answer is a stream")

    async def next(self) -> list[Event]:
        """The events of a stream that have arrived, at least one; empty at the true end. Raises the provider's failures."""
        events = self._first
        decoder = self._decoder
        if events:
            self._first = []
        else:
            try:
                while not events:
                    if decoder.failure is not None:
                        raise decoder.failure
                    if decoder.done:
                        return events
                    data = await self._exchange.chunk()
                    if not data:
                        decoder.end()
                        return events
                    events = decoder.feed(data)
            except GatewayError as error:
                self._health.failed(judge(error), self._clock())
                raise
        return self._note(events)

    def _note(self, events: list[Event]) -> list[Event]:
        self._said += [event.texts for event in events]
        for event in events:
            if event.finish is not None:
                self._journal.finish = event.finish
            if event.usage is not None:
                self._journal.usage = event.usage
                self._journal.usage_source = "upstream"
        return events

    @property
    def texts(self) -> list[str]:
        """Generated text so far, for the token estimate of providers that report no usage."""
        return [text for texts in self._said for _, text in texts]

    async def drain(self) -> None:
        """Read what follows the end (a last chunk), so that the connection can be used again."""
        if self._decoder.done:
            while await self._exchange.chunk():
                pass

    def close(self) -> None:
        """Let go of the connection and of the place at the target; before the end this cancels the provider's work."""
        if self._journal.usage is None:
            self._journal.generated = sum([len(text) for texts in self._said for _, text in texts])
        self._exchange.close()
        self._health.leave()


class Attempt(Struct, frozen=True):
    """A request to a target in whose queue a place was taken, and all that it is made with."""

    stop: Stop
    target: Target
    upstream: UpstreamCall
    """In the dialect that the provider is asked in."""
    native: bool
    """Whether that is the caller's own."""
    provider: Provider
    journal: Journal
    services: Services
    began: float | None = None
    """When the target was asked (monotonic seconds), where it has been already."""

    async def make(self) -> Answer | WholeAnswer:
        """Ask, and wait for the first content. Raises the provider's failures.

        The place stays taken until the stream is closed; after a failure and after a whole answer it is free again.
        """
        clock, health, seconds = self.services.clock, self.stop.health, self.target.timeouts.first_token
        began = clock() if self.began is None else self.began
        try:
            answer = await (self._exchanged(self.target) if seconds is None else self._timed(seconds))
        except BaseException:
            health.leave()
            raise
        now = clock()
        health.succeeded(now - began, now)
        if not self.upstream.stream:
            health.leave()
        return answer

    async def _timed(self, seconds: float) -> Answer | WholeAnswer:
        target = self.target
        if not self.upstream.stream:
            # The head of a whole answer comes with its first token, or with all of them: to wait longer for more is another matter.
            sooner = structs.replace(target.timeouts, first_byte=min(seconds, target.timeouts.first_byte))
            return await self._exchanged(structs.replace(target, timeouts=sooner))
        try:
            async with asyncio.timeout(seconds):
                return await self._exchanged(target)
        except TimeoutError:
            raise GatewayError(
                UPSTREAM_TIMEOUT, f"Provider {target.provider!r}: no first token within {seconds:g} s.", target=target.provider
            ) from None

    async def _exchanged(self, target: Target) -> Answer | WholeAnswer:
        """``target``: ours, or the same with less time."""
        upstream, journal, services = self.upstream, self.journal, self.services
        translator = self.provider.translator
        request, trace = translator.request(target, upstream), journal.inbound.trace
        if trace is not None:
            request = trace.carried(request)
        exchange = await self.provider.transport.send(target, request, journal.inbound.deadline)
        if exchange.status == 200 and not upstream.stream:
            try:
                body = await exchange.read(services.max_answer_bytes)
            finally:
                exchange.close()
            return WholeAnswer(translator.answer(body, upstream.dialect, upstream.model), journal, self.native)
        try:
            if exchange.status != 200:
                failure = translator.failure(target, exchange.status, exchange.headers, await _error_body(exchange))
                failure.answered = exchange.status
                raise failure
            if not exchange.headers.get(b"content-type", b"").startswith(translator.stream_type):
                body = await _error_body(exchange)
                raise GatewayError(
                    UPSTREAM_INVALID,
                    f"{target.provider} answered a streaming call without a stream",
                    cause=repr(body[:200]),
                    target=target.provider,
                )
            decoder = translator.decoder(upstream.dialect, upstream.model)
            events = await _opened(exchange, decoder, target, upstream.dialect)
            return Answer(events, exchange, decoder, journal, self.stop.health, services.clock, native=self.native)
        except BaseException:
            exchange.close()
            raise


async def _opened(exchange: Exchange, decoder: StreamDecoder, target: Target, dialect: str) -> list[Event]:
    """The events of a stream up to the first that says something: what only opens it is held back until then."""
    held: list[Event] = []
    while True:
        data = await exchange.chunk()
        if not data:
            decoder.end()
            raise GatewayError(UPSTREAM_INCOMPLETE, f"{target.provider} sent an empty stream", target=target.provider)
        events = decoder.feed(data)
        speaks = False
        for event in events:
            if event.texts or says_something(event, dialect):
                speaks = True
                break
        held = held + events if held else events
        if speaks:
            return held
        if decoder.failure is not None:
            raise decoder.failure
        if decoder.done:
            if held:
                return held
            raise GatewayError(UPSTREAM_INCOMPLETE, f"{target.provider} sent an empty stream", target=target.provider)


async def _error_body(exchange: Exchange) -> bytes:
    try:
        return await exchange.read(MAX_ERROR_BYTES)
    except GatewayError:
        return b""
