"""Plan -> Answer, its first event already in hand: until then no byte was promised, so another target may still be tried."""

from msgspec import structs

from gateway.core.conversation import Conversation
from gateway.core.errors import (
    MALFORMED,
    UPSTREAM_AUTH,
    UPSTREAM_ERROR,
    UPSTREAM_INCOMPLETE,
    UPSTREAM_INVALID,
    UPSTREAM_OVERLOADED,
    UPSTREAM_RATE_LIMITED,
    UPSTREAM_TIMEOUT,
    UPSTREAM_UNREACHABLE,
    GatewayError,
)
from gateway.core.events import Event
from gateway.core.journal import Journal
from gateway.core.requests import ChatRequest
from gateway.core.upstream import CHAT, Exchange, StreamDecoder, Target, UpstreamCall
from gateway.pipeline.record import intent_of, row_of
from gateway.pipeline.resolve import Recipe
from gateway.pipeline.services import Provider, Services

NEXT_TARGET = frozenset(
    kind.name
    for kind in (
        UPSTREAM_UNREACHABLE,
        UPSTREAM_ERROR,
        UPSTREAM_OVERLOADED,
        UPSTREAM_RATE_LIMITED,
        UPSTREAM_AUTH,
        UPSTREAM_INVALID,
        UPSTREAM_INCOMPLETE,
        UPSTREAM_TIMEOUT,
    )
)
"""Failures of the provider, not of the request: another target may do better."""

MAX_ERROR_BYTES = 64 * 1024
"""Of a refusal's body; real ones are under a kilobyte, the rest is somebody's HTML page."""


class Answer:
    """An answer being received. ``next`` gives batches of events until an empty one; close it exactly once."""

    __slots__ = ("_decoder", "_exchange", "_first", "_journal", "native", "texts")

    def __init__(
        self, first: list[Event], exchange: Exchange, decoder: StreamDecoder | None, journal: Journal, *, native: bool
    ) -> None:
        self._first = first
        self._exchange = exchange
        self._decoder = decoder
        self._journal = journal
        self.native = native
        """Whether the events are in the caller's own dialect already."""
        self.texts: list[str] = []
        """Generated text so far, for the token estimate of providers that report no usage."""

    def whole(self) -> Event:
        """The one event of an answer that was not streamed."""
        (event,) = self._note(self._first)
        return event

    async def next(self) -> list[Event]:
        """The events of a stream that have arrived, at least one; empty at the true end. Raises the provider's failures."""
        events = self._first
        decoder = self._decoder
        assert decoder is not None
        if events:
            self._first = []
        else:
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
        return self._note(events)

    def _note(self, events: list[Event]) -> list[Event]:
        journal = self._journal
        texts = self.texts
        for event in events:
            for _, text in event.texts:
                texts.append(text)
            if event.finish is not None:
                journal.finish = event.finish
            if event.usage is not None:
                journal.usage = event.usage
                journal.usage_source = "upstream"
        return events

    async def drain(self) -> None:
        """Read what follows the end (a last chunk), so that the connection can be used again."""
        if self._decoder is not None and self._decoder.done:
            while await self._exchange.chunk():
                pass

    def close(self) -> None:
        """Let go of the connection; before the end this cancels the provider's work."""
        self._journal.generated = sum(map(len, self.texts))
        self._exchange.close()


async def call(
    plan: tuple[Target, ...],
    request: ChatRequest,
    recipe: Recipe,
    conversation: Conversation,
    dialect: str,
    journal: Journal,
    services: Services,
) -> Answer:
    """Make attempts in order until one answers. Raises the last failure. ``dialect`` is the caller's, by name."""
    upstream = _upstream_call(plan[0], request, recipe, conversation, dialect)
    last = len(plan)
    for number, target in enumerate(plan, 1):
        journal.attempts = number
        journal.target = target
        if target.model != upstream.model:
            upstream = structs.replace(upstream, model=target.model)
        services.ledger.intend(intent_of(journal))
        journal.intended = True
        began = services.clock()
        try:
            provider = services.providers[target.provider]
            spoken = upstream if dialect in provider.translator.speaks else _translated(upstream, request)
            return await _attempt(provider, target, spoken, journal, services, native=spoken.dialect == dialect)
        except GatewayError as error:
            if number == last or error.kind.name not in NEXT_TARGET or services.clock() >= journal.inbound.deadline:
                raise
            failure = error
        finally:
            journal.upstream += services.clock() - began
        services.ledger.append(row_of(journal, services, failure))
    raise AssertionError("a plan is never empty")


def _upstream_call(
    target: Target, request: ChatRequest, recipe: Recipe, conversation: Conversation, dialect: str
) -> UpstreamCall:
    if dialect == CHAT:
        return UpstreamCall(target.model, conversation, request.stream, recipe.fields)
    stored = {name: value for name, value in recipe.fields.items() if name not in request.fields}
    return UpstreamCall(
        target.model, conversation, request.stream, recipe.fields, dialect, request.native, stored, request.headers
    )


def _translated(upstream: UpstreamCall, request: ChatRequest) -> UpstreamCall:
    """The call in the common dialect, for a provider that does not speak the caller's."""
    name = request.untranslatable
    if name is not None:
        raise GatewayError(MALFORMED, f"{name}: has no form that the model {upstream.model[:100]!r} can be given", param=name)
    return structs.replace(upstream, dialect=CHAT)


async def _attempt(
    provider: Provider, target: Target, upstream: UpstreamCall, journal: Journal, services: Services, *, native: bool
) -> Answer:
    translator = provider.translator
    exchange = await provider.transport.send(target, translator.request(target, upstream), journal.inbound.deadline)
    try:
        if exchange.status != 200:
            body = await _error_body(exchange)
            raise translator.failure(target, exchange.status, exchange.headers, body)
        if not upstream.stream:
            event = translator.answer(await exchange.read(services.max_answer_bytes), upstream.dialect)
            journal.first_byte = services.clock()
            return Answer([event], exchange, None, journal, native=native)
        if not exchange.headers.get(b"content-type", b"").startswith(translator.stream_type):
            body = await _error_body(exchange)
            raise GatewayError(
                UPSTREAM_INVALID,
                f"{target.provider} answered a streaming call without a stream",
                cause=repr(body[:200]),
                target=target.provider,
            )
        decoder = translator.decoder(upstream.dialect)
        events: list[Event] = []
        while not events:
            data = await exchange.chunk()
            if not data:
                decoder.end()
                raise GatewayError(UPSTREAM_INCOMPLETE, f"{target.provider} sent an empty stream", target=target.provider)
            events = decoder.feed(data)
            if decoder.failure is not None and not events:
                raise decoder.failure
            if decoder.done and not events:
                raise GatewayError(UPSTREAM_INCOMPLETE, f"{target.provider} sent an empty stream", target=target.provider)
        journal.first_byte = services.clock()
        return Answer(events, exchange, decoder, journal, native=native)
    except BaseException:
        exchange.close()
        raise


async def _error_body(exchange: Exchange) -> bytes:
    try:
        return await exchange.read(MAX_ERROR_BYTES)
    except GatewayError:
        return b""
