"""The verb in the place of call, for versions that allow it: an answer that is kept, or one that is on its way already.

Only what a version's ``cache`` allows is recalled, by the digest of the rendered request. Such calls are held in the common dialect,
so that callers of any dialect share them; streamed answers serve callers who want them whole, and the other way round. The
version's output guards judge every recalled answer again.
"""

import asyncio

from gateway.core.conversation import Conversation
from gateway.core.errors import CLIENT_GONE, DEADLINE, DRAINING, GatewayError
from gateway.core.journal import Journal
from gateway.core.ledger import Bill
from gateway.core.requests import ChatRequest
from gateway.core.sameness import rendered_digest
from gateway.core.upstream import CHAT
from gateway.pipeline.call import call
from gateway.pipeline.fetch import BRIEF, Fetch, landed, read_kept, whole_body
from gateway.pipeline.flights import Flight, Passenger
from gateway.pipeline.received import Received
from gateway.pipeline.release import Release
from gateway.pipeline.resolve import Recipe
from gateway.pipeline.services import Services
from gateway.pipeline.sharing import Sharing
from gateway.routing.table import Plan

CACHE_CONTROL = b"cache-control"
"""Request header (RFC 9111): ``no-cache`` asks the provider anew and keeps its answer, ``no-store`` keeps nothing either."""
FREE = Bill(0, "exact", None)
"""What an answer costs that no provider was asked for."""
NOT_SHARED = frozenset(kind.name for kind in (DEADLINE, CLIENT_GONE, DRAINING))
"""Ends of a call that are its first caller's own affair: whoever joined it goes on without it."""


async def recall(
    plan: Plan,
    request: ChatRequest,
    recipe: Recipe,
    conversation: Conversation,
    dialect: str,
    journal: Journal,
    services: Services,
) -> Received:
    """In the place of :func:`gateway.pipeline.call.call`, with its arguments and failures, where ``recipe.cache`` is given."""
    memory, cache, release = services.memory, recipe.cache, recipe.release
    assert cache is not None
    assert release is not None
    wishes = journal.inbound.headers.get(CACHE_CONTROL, b"").lower()
    if request.untranslatable is not None or b"no-store" in wishes:
        journal.head = "x-cache: bypass\r\n"
        return await call(plan, request, recipe, conversation, dialect, journal, services)
    document = release.document
    if len(journal.inbound.body) > BRIEF:
        name = await asyncio.to_thread(answer_name, recipe, release, conversation)
    else:
        name = answer_name(recipe, release, conversation)
    native, anew = dialect == CHAT, b"no-cache" in wishes
    shares = cache.coalesce and not anew
    joined = await _join(name, request, journal, services, native=native) if shares else None
    if joined is not None:
        return joined
    if cache.ttl_seconds and not anew:
        found = await memory.store.get(document.application_id, name)
        kept = None if found is None else read_kept(found)
        flight = None if kept is None else landed(kept.body, kept.usage, streamed=request.stream)
        if kept is not None and flight is not None:
            age = max(0, journal.inbound.started_ms - kept.kept_ms) // 1000
            _recalled(journal, "cache", f"x-cache: hit\r\nage: {age}\r\n")
            memory.hits += 1
            return Passenger(flight, journal, services.clock, native=native)
        # Others may have set out while we looked.
        joined = await _join(name, request, journal, services, native=native) if shares else None
        if joined is not None:
            return joined
    flight = Flight(streamed=request.stream, payer=journal)
    passenger = Passenger(flight, journal, services.clock, native=native)
    keeps = cache.ttl_seconds > 0
    sharing = None
    if shares:
        memory.flights[name] = flight
        inbound = journal.inbound
        mine = inbound.call_id.encode()
        sharing = Sharing(document.application_id, name, mine, keeps, memory, lambda: inbound.deadline - services.clock())
    Fetch(name, flight, plan, request, recipe, conversation, journal, keeps, sharing, memory, services).start()
    journal.head = "x-cache: miss\r\n"
    try:
        await passenger.first()
    except BaseException:
        passenger.close()
        raise
    if flight.elsewhere:
        _recalled(journal, "coalesced", "x-cache: coalesced\r\n")
        memory.coalesced += 1
    return passenger


def answer_name(recipe: Recipe, release: Release, conversation: Conversation) -> str:
    """Under which name an answer is kept and shared."""
    document = release.document
    return rendered_digest(
        document.application_id, document.content_hash, release.facts.variant or "", recipe.model, conversation, recipe.fields
    )


async def _join(name: str, request: ChatRequest, journal: Journal, services: Services, *, native: bool) -> Received | None:
    """A place on a call that is under way; None when there is none, or when it ended in a way that is not ours."""
    while (flight := services.memory.flights.get(name)) is not None:
        passenger = Passenger(flight, journal, services.clock, native=native)
        try:
            if flight.streamed == request.stream:
                await passenger.first()
            else:
                await passenger.all()
                passenger.close()
                turned = await _turned(flight, streamed=request.stream)
                if turned is None:
                    return None
                passenger = Passenger(turned, journal, services.clock, native=native)
        except GatewayError as error:
            passenger.close()
            # Where the call goes on, the failure is ours: our deadline is over, or we leave.
            if not flight.over or error.kind.name not in NOT_SHARED or services.clock() >= journal.inbound.deadline:
                raise
            if services.memory.flights.get(name) is flight:
                del services.memory.flights[name]
            continue
        except BaseException:
            passenger.close()
            raise
        _recalled(journal, "coalesced", "x-cache: coalesced\r\n")
        services.memory.coalesced += 1
        return passenger
    return None


async def _turned(flight: Flight, *, streamed: bool) -> Flight | None:
    """A complete answer in the other form: the stream of a whole one, or a stream as a whole; None if it has none."""
    body = await whole_body(flight)
    return None if body is None else landed(body, flight.usage, streamed=streamed)


def _recalled(journal: Journal, source: str, head: str) -> None:
    journal.usage_source = source
    journal.bill = FREE
    journal.head = head
