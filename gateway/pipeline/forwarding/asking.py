"""Asking a provider: attempts in order until one answers with success, each with its row, as for generating calls."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from msgspec import Struct, structs

from gateway.core.errors import MALFORMED, UPSTREAM_AUTH, UPSTREAM_RATE_LIMITED, GatewayError
from gateway.core.forward import EMBEDDINGS, MODERATIONS, Forwarded, Forwarder
from gateway.core.journal import Journal
from gateway.core.requests import Inbound
from gateway.core.upstream import Exchange, HttpRequest, Target
from gateway.dialects.forwarded import Body
from gateway.pipeline.attempt import MAX_ERROR_BYTES
from gateway.pipeline.call import travel
from gateway.pipeline.errand import Attempts
from gateway.pipeline.forwarding.placing import Errand
from gateway.pipeline.services import Provider, Services
from gateway.routing.failures import judge
from gateway.routing.health import Health
from gateway.routing.table import Plan, Stop

MAX_QUERY = 2048
"""Characters; real queries are a cursor and a limit."""
_REPEATABLE = frozenset((EMBEDDINGS, MODERATIONS))
"""Doors whose calls leave nothing behind: to ask twice costs twice, and changes nothing."""
_TURNED_AWAY = frozenset((503, 529))
"""Statuses that say that a request was not worked on, beside those of keys and limits."""
_JSON = b"application/json"


class Asking(Struct, frozen=True):
    """One call, ready to be sent to any of its targets."""

    errand: Errand
    body: Body
    inbound: Inbound
    journal: Journal
    services: Services

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be made again although it may have been worked on."""
        return self.errand.method != b"POST" or self.errand.door in _REPEATABLE

    def to(self, target: Target, query: str) -> Forwarded:
        """The call as this target is asked. Raises ``malformed`` for a query that is none."""
        if len(query) > MAX_QUERY or not (query.isascii() and query.isprintable()) or " " in query:
            raise GatewayError(MALFORMED, "query: cannot be read", param="query")
        errand, body = self.errand, self.body
        path = f"{errand.path}?{query}" if query else errand.path
        if errand.method != b"POST":
            return Forwarded(errand.door, errand.method, path, b"", b"")
        sent = body.asking(target.model or body.request.model)
        return Forwarded(errand.door, errand.method, path, body.content_type, sent)


class Answered:
    """What a target answered: a whole body in OpenAI's form, or one that flows. Holds its place at the target; close it once."""

    def __init__(self, target: Target, exchange: Exchange, body: bytes | None) -> None:
        self.target = target
        self.body = body
        """None: read it piece by piece."""
        self._exchange = exchange
        self._place: tuple[Health, Callable[[], float]] | None = None

    @property
    def status(self) -> int:
        """Of the provider's answer; a success."""
        return self._exchange.status

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """Of the provider's answer."""
        return self._exchange.headers

    def hold(self, health: Health, clock: Callable[[], float]) -> None:
        """Take over a place that was taken at the target."""
        self._place = health, clock

    async def chunk(self) -> bytes:
        """See ``Exchange.chunk``; a failure counts against the target."""
        try:
            return await self._exchange.chunk()
        except GatewayError as error:
            if self._place is not None:
                health, clock = self._place
                health.failed(judge(error), clock())
            raise

    def close(self) -> None:
        """Let go of the connection, which before the end cancels the provider's work, and of the place."""
        self._exchange.close()
        if self._place is not None:
            self._place[0].leave()
            self._place = None


Work = Callable[[Target], Coroutine[Any, Any, Answered]]
"""What is done at a target, whichever it is. Raises the provider's failures."""


async def ask(asking: Asking, plan: Plan, work: Work) -> Answered:
    """The answer of the first target that gives one, for which ``work`` is done. Raises as :func:`gateway.pipeline.call.travel`."""
    if plan.policy.hedge_after is not None and not asking.is_repeatable:
        plan = structs.replace(plan, policy=structs.replace(plan.policy, hedge_after=None))
    return await travel(Tries(work, asking.journal, asking.services, repeatable=asking.is_repeatable), plan)


class Tries(Attempts[Answered]):
    """The attempts of a call that is no generation. ``repeatable``: whether it may be made again after it may have been worked on."""

    __slots__ = ("_repeatable", "_work")

    def __init__(self, work: Work, journal: Journal, services: Services, *, repeatable: bool) -> None:
        super().__init__(journal, services)
        self._work = work
        self._repeatable = repeatable

    def ends(self, error: GatewayError) -> bool:
        """As for all calls; what would be made twice ends with the first failure that does not say that nothing was made."""
        return super().ends(error) or not (self._repeatable or was_turned_away(error))

    async def making(self, stop: Stop, target: Target) -> Answered:
        """See :meth:`Attempts.making`."""
        health, clock = stop.health, self.services.clock
        began = clock()
        try:
            answered = await self._work(_sooner(target))
        except BaseException:
            health.leave()
            raise
        now = clock()
        health.succeeded(now - began, now)
        answered.hold(health, clock)
        return answered


def was_turned_away(error: GatewayError) -> bool:
    """Whether the provider surely did nothing: it was not reached, or refused the key, or said that it had no room."""
    return error.unsent or error.answered in _TURNED_AWAY or error.kind in {UPSTREAM_AUTH, UPSTREAM_RATE_LIMITED}


def _sooner(target: Target) -> Target:
    """The head of such an answer comes with all of it or with its first piece: a limit for first tokens is one for the head."""
    timeouts = target.timeouts
    if timeouts.first_token is None:
        return target
    return structs.replace(
        target, timeouts=structs.replace(timeouts, first_byte=min(timeouts.first_token, timeouts.first_byte))
    )


def relaying(asking: Asking) -> Work:
    """The work of passing the call on. JSON is read, and brought into OpenAI's form, before the attempt counts as a success."""

    async def work(target: Target) -> Answered:
        services, errand = asking.services, asking.errand
        forwarder = forwarder_of(services.providers[target.provider])
        request = forwarder.request(target, asking.to(target, asking.inbound.query))
        exchange = await send(target, request, asking.journal, services)
        try:
            is_json = exchange.headers.get(b"content-type", b"").startswith(_JSON)
            if forwarder.verbatim and (errand.streams or not is_json) and not errand.makes:
                return Answered(target, exchange, None)
            body = await exchange.read(services.max_answer_bytes)
            if not forwarder.verbatim:
                body = forwarder.answer(asking.to(target, ""), target.model, body)
        except BaseException:
            exchange.close()
            raise
        return Answered(target, exchange, body)

    return work


async def send(target: Target, request: HttpRequest, journal: Journal, services: Services) -> Exchange:
    """One request and the head of its answer. Raises what its failure means; redirects are failures."""
    provider = services.providers[target.provider]
    if journal.inbound.trace is not None:
        request = journal.inbound.trace.carried(request)
    exchange = await provider.transport.send(target, request, journal.inbound.deadline)
    if 200 <= exchange.status < 300:
        return exchange
    try:
        body = await exchange.read(MAX_ERROR_BYTES)
    except GatewayError:
        body = b""
    finally:
        exchange.close()
    failure = provider.translator.failure(target, exchange.status, exchange.headers, body)
    failure.answered = exchange.status
    raise failure


def forwarder_of(provider: Provider) -> Forwarder:
    """Of a provider that was chosen for having one."""
    assert provider.forwarder is not None
    return provider.forwarder
