"""Asking a provider: attempts in order until one answers with success."""

from msgspec import Struct

from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.forward import Forwarded, Forwarder
from gateway.core.journal import Journal
from gateway.core.requests import Inbound
from gateway.core.upstream import Exchange, Target
from gateway.dialects.forwarded import Body
from gateway.pipeline.attempt import MAX_ERROR_BYTES
from gateway.pipeline.forwarding.placing import Errand
from gateway.pipeline.record import book_failure, intent_of
from gateway.pipeline.services import Provider, Services
from gateway.routing.failures import Next, judge

MAX_QUERY = 2048
"""Characters; real queries are a cursor and a limit."""


class Asking(Struct, frozen=True):
    """One call, ready to be sent to any of its targets."""

    errand: Errand
    body: Body
    inbound: Inbound
    journal: Journal
    services: Services

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


async def ask(asking: Asking, plan: tuple[Target, ...]) -> tuple[Exchange, Target]:
    """An answer with success, its head in hand, and who gave it. Raises the last failure."""
    journal, services = asking.journal, asking.services
    last = len(plan)
    for number, target in enumerate(plan, 1):
        call = asking.to(target, asking.inbound.query)
        journal.attempts = number
        journal.target = target
        intent = intent_of(journal, number)
        services.ledger.intend(intent)
        journal.intent = intent
        try:
            return await exchange_with(target, call, journal, services), target
        except GatewayError as error:
            if number == last or judge(error).next is Next.NOTHING or services.clock() >= journal.inbound.deadline:
                raise
            failure = error
        book_failure(journal, services, failure)
    raise AssertionError("a plan is never empty")


async def exchange_with(target: Target, call: Forwarded, journal: Journal, services: Services) -> Exchange:
    """One request and the head of its answer. Raises what its failure means; redirects are failures."""
    provider = services.providers[target.provider]
    began = services.clock()
    try:
        exchange = await provider.transport.send(target, forwarder_of(provider).request(target, call), journal.inbound.deadline)
        if 200 <= exchange.status < 300:
            journal.first_byte = services.clock()
            return exchange
        try:
            body = await exchange.read(MAX_ERROR_BYTES)
        except GatewayError:
            body = b""
        finally:
            exchange.close()
        raise provider.translator.failure(target, exchange.status, exchange.headers, body)
    finally:
        journal.upstream += services.clock() - began


def forwarder_of(provider: Provider) -> Forwarder:
    """Of a provider that was chosen for having one."""
    assert provider.forwarder is not None
    return provider.forwarder
