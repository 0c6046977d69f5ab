"""The sentence. One request, read from top to bottom:

receive > authenticate > resolve > render > admit > guard_in > route > call > guard_out > respond > record

``receive`` has happened when we get here (:mod:`gateway.pipeline.receive`). Every phase takes typed values and gives typed values;
what only telemetry wants to know goes into the journal, which ``record`` alone reads. Versions that opt in have a twelfth verb,
``recall``, in the place of ``call``: it may have the answer already. Where a guard refuses, its version may name another course; it
is taken from ``guard_in`` on.
"""

import asyncio
from collections.abc import Coroutine
from operator import attrgetter
from typing import Any

from msgspec import structs

from gateway.core.dialect import Dialect
from gateway.core.errors import CLIENT_GONE, DRAINING, INTERNAL, GatewayError
from gateway.core.journal import Journal
from gateway.core.notes import header
from gateway.core.requests import Inbound
from gateway.core.upstream import CHAT
from gateway.pipeline.admit import admit, admit_now
from gateway.pipeline.authenticate import authenticate, authenticate_now
from gateway.pipeline.bounded import Bounded
from gateway.pipeline.call import call
from gateway.pipeline.consulting.stages import Consulted
from gateway.pipeline.course import Course
from gateway.pipeline.delivery import Delivery
from gateway.pipeline.guard_in import NO_MASKS, BlockedError, guard_in_apart
from gateway.pipeline.guard_out import guard_out, judge_apart, restored
from gateway.pipeline.recall import recall
from gateway.pipeline.receive import check
from gateway.pipeline.received import Received
from gateway.pipeline.record import record
from gateway.pipeline.render import render
from gateway.pipeline.reply import Reply
from gateway.pipeline.rescue import rescue
from gateway.pipeline.resolve import resolve, resolve_now
from gateway.pipeline.respond import respond
from gateway.pipeline.route import route
from gateway.pipeline.services import Services
from gateway.pipeline.turns import begin

_text_of = attrgetter("text")


async def serve(inbound: Inbound, services: Services, reply: Reply, dialect: Dialect) -> None:
    """Answer one call in the caller's dialect.

    Raises ``GatewayError`` for the edge to put into the same dialect; the row is written by then.
    """
    journal = Journal(inbound)
    await recorded(_sentence(inbound, journal, services, reply, dialect), journal, reply, services)


async def _sentence(inbound: Inbound, journal: Journal, services: Services, reply: Reply, dialect: Dialect) -> None:
    clock, lap = services.clock, journal.laps.append
    lap(clock())
    caller = authenticate_now(inbound, services, journal) or await authenticate(inbound, services, journal)
    lap(clock())
    check(inbound)
    journal.request = request = dialect.read(inbound)
    if request.turn is not None:
        journal.request = request = await begin(request, request.turn, caller, inbound, services)
    recipe = resolve_now(request, caller, services) or await resolve(request, caller, services)
    journal.prompt = recipe.release.facts if recipe.release else None
    lap(clock())
    conversation = render(recipe, request)
    journal.input_chars = sum(map(len, map(_text_of, conversation)))
    lap(clock())
    permit = admit_now(caller, services) or await admit(caller, request, recipe, journal, services)
    lap(clock())
    await carry_out(Course(caller, request, recipe, conversation), Delivery(permit, dialect, journal, reply, services))


async def recorded(work: Coroutine[Any, Any, None], journal: Journal, reply: Reply, services: Services) -> None:
    """Do the work of a call and record its end, whatever it is. Raises ``GatewayError`` for every failure."""
    try:
        await work
    except GatewayError as error:
        failed(journal, reply, error)
        raise
    except asyncio.CancelledError:
        if reply.gone:
            failed(journal, reply, GatewayError(CLIENT_GONE, "the caller left"))
            raise
        error = GatewayError(DRAINING, "the gateway is shutting down", retry_after=1)
        failed(journal, reply, error)
        raise error from None
    except Exception as bug:
        error = GatewayError(INTERNAL, "internal error", cause=repr(bug))
        failed(journal, reply, error)
        raise error from bug
    finally:
        record(journal, services)


async def carry_out(course: Course, delivery: Delivery, begun: Coroutine[Any, Any, Received] | None = None) -> None:
    """The verbs from guard_in to respond, as often as guards want another course to be taken.

    ``begun``: the first course has come to ``call`` already, and this is the rest of it.
    """
    way: Course | None = course
    while way is not None:
        way, begun = await _answer(way, delivery, begun), None


async def _answer(course: Course, delivery: Delivery, begun: Coroutine[Any, Any, Received] | None) -> Course | None:
    """Not None: a guard refused, and this is the course to take instead."""
    dialect, journal, services = delivery.dialect, delivery.journal, delivery.services
    clock, lap = services.clock, journal.laps.append
    request, recipe, conversation, masks = course.request, course.recipe, course.conversation, course.masks
    guards = recipe.guards
    if guards.types:
        journal.guard_types = {**journal.guard_types, **guards.types}
    others = Consulted(guards, course, journal, services) if guards.consults else None
    answer: Received | None = None
    try:
        if begun is None and not course.judged:
            conversation, masks = await guard_in_apart(recipe, request, conversation, journal, services.apart)
            if others is not None:
                conversation, masks = await others.before(conversation, masks)
        ends = delivery.permit.allowance
        spoken = CHAT if guards.needs_chat or (ends is not None and request.untranslatable is None) else dialect.name
        if begun is None:
            lap(clock())
            plan = route(recipe, request, journal, services)
            lap(clock())
            ask = call if recipe.cache is None else recall
            begun = ask(plan, request, recipe, conversation, spoken, journal, services)
        received = await (begun if others is None else others.beside(begun, conversation))
        if ends is not None:
            received = Bounded(received, ends, request, journal, spoken=spoken, dialect=dialect.name)
        lap(clock())
        answer = received
        hidden = masks if others is None else NO_MASKS
        chat, translated = spoken == CHAT or not received.native, spoken != dialect.name
        answer = guard_out(received, course, hidden, delivery, chat=chat, translated=translated)
        await judge_apart(answer, streamed=request.stream)
        if others is not None:
            answer = await others.after(answer, chat=chat)
            if masks:
                answer = restored(answer, masks, delivery)
                await judge_apart(answer, streamed=request.stream)
        lap(clock())
        await respond(answer, request, conversation, delivery)
        if request.stream:
            await answer.drain()
    except BlockedError as refusal:
        if delivery.reply.started:
            raise
        refused, answer = answer, None
        judged = structs.replace(course, conversation=conversation, masks=masks)
        return await rescue(refusal, refused, judged, delivery)
    finally:
        if answer is not None:
            answer.close()
    return None


def failed(journal: Journal, reply: Reply, error: GatewayError) -> None:
    """Note how the call ended."""
    journal.outcome = error.kind.name
    journal.error = error.detail
    if journal.notes and not reply.started:
        error.headers += header(journal.notes).encode()
    if not reply.started:
        journal.status = error.status
