"""The sentence for a call that has nothing to wait for but its provider: said in two halves, without a task and without a coroutine.

:func:`depart` speaks the verbs up to ``call`` when the request is read, :meth:`Departed.arrived` those from there on when the answer
is. At each ``yield`` the other calls of the same turn come up to the same verb (:mod:`gateway.pipeline.abreast`); nothing else happens
meanwhile.

Nearly every call of a busy worker is of this kind: its key, its prompt and a permit are in memory, its first target is in good
order, and a connection to it is idle. Everything else is :func:`gateway.pipeline.serve.serve`'s, and whatever comes up on the way is
handed over to it: before ``call`` nothing has been done that it could not do again, and after it, it takes up the request that was
sent. So nothing is decided here: the phases are the same functions, and what they refuse is refused there.
"""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Protocol

from msgspec import Struct, structs

from gateway.core.dialect import Dialect
from gateway.core.errors import CLIENT_GONE, GatewayError
from gateway.core.journal import PHASES, Journal
from gateway.core.ledger import UNBILLED
from gateway.core.requests import Inbound
from gateway.core.upstream import CHAT, Sent, UpstreamCall
from gateway.pipeline.abreast import Steps
from gateway.pipeline.admit import admit_now
from gateway.pipeline.authenticate import authenticate_now
from gateway.pipeline.call import travel, upstream_call
from gateway.pipeline.course import Course
from gateway.pipeline.delivery import Delivery
from gateway.pipeline.errand import Errand, TakenUp, spoken_to
from gateway.pipeline.guard_in import guard_in
from gateway.pipeline.permits import Permit
from gateway.pipeline.quick_gate import judge_whole
from gateway.pipeline.receive import check
from gateway.pipeline.record import intend, record, recording
from gateway.pipeline.render import render
from gateway.pipeline.reply import Reply
from gateway.pipeline.resolve import resolve_now
from gateway.pipeline.respond import whole_head
from gateway.pipeline.route import route
from gateway.pipeline.serve import carry_out, failed, recorded
from gateway.pipeline.services import Provider, Services
from gateway.routing.table import Plan
from gateway.routing.walk import Place, first

_WAITING = frozenset((b"idempotency-key", b"x-first-token-timeout-ms"))
"""Headers of calls that may have to wait for more than an answer."""
_DEPARTED_LAPS = PHASES.index("call")
"""How many phases are over when a request is sent."""


class ExpressReply(Reply, Protocol):
    """A way back that can be written to at once."""

    @property
    def alone(self) -> bool:
        """Whether so few calls are under way that there is hardly anybody to go beside."""
        ...

    def set_off(self, departed: "Departed | None", inbound: Inbound) -> None:
        """The first half is over. None: nothing has been done, and ``serve`` has to answer this call."""
        ...

    def send(self, status: int, head: bytes, body: bytes) -> None:
        """As ``whole``. The call is over then."""
        ...

    def go_on(self, rest: Coroutine[Any, Any, None], inbound: Inbound) -> None:
        """The rest of the call has to wait for something: run it in a task, and tell the caller of its failure."""
        ...


class Departed(Struct, eq=False):
    """A call whose request is under way to its provider: all that the first half found, for the second."""

    _course: Course
    _permit: Permit
    _plan: Plan
    _place: Place
    _asked: UpstreamCall
    _provider: Provider
    _sent: Sent
    _dialect: Dialect
    _journal: Journal
    _reply: ExpressReply
    _services: Services
    _began: float
    """When the request was sent, in monotonic seconds."""
    _noted: int
    """What guards had to say of the request: so many notes."""
    _native: bool
    """Whether the exchange is held in the caller's dialect."""
    _arrival: asyncio.Future[None] | None = None
    """What a task waits for, where one does."""

    def arrived(self) -> None:
        """The answer is in, or there will be none: answer the caller, or hand over."""
        services = self._services
        services.arrivals.join(self._arriving(services.clock()), alone=self._reply.alone)

    def _arriving(self, now: float) -> Steps:
        if self._reply.gone:
            return  # it was abandoned since
        if self._arrival is not None:
            if not self._arrival.done():
                self._arrival.set_result(None)
            return
        journal, services, sent, course = self._journal, self._services, self._sent, self._course
        guards, body = course.recipe.guards, sent.body_now(services.max_answer_bytes)
        guard = guards.post
        if body is None or (guard is not None and len(body) > guards.long):
            self._hand_over()
            return
        clock, dialect, native = services.clock, self._dialect, self._native
        read = clock()
        try:
            spoken = dialect.name if native else CHAT
            event = self._provider.translator.answer(body, spoken, self._asked.model)
            if event.usage is None:
                self._hand_over()
                return
            yield
            if guard is not None and guard.busy:
                judge_whole(guard, event, journal, chat=spoken == CHAT)
            judged = clock()
            yield
            body = dialect.whole(event, course.request, journal.inbound, native=native)
            journal.first_byte = now
            journal.upstream = now - self._began
            journal.finish = event.finish
            journal.usage = event.usage
            journal.usage_source = "upstream"
            journal.laps += (read, judged)
            yield
            head = whole_head(journal, self._permit, dialect, services)
        except Exception:  # noqa: BLE001 - it comes up again, and is told, where the call is handed over to
            self._unsay()
            self._hand_over()
            return
        yield
        stop, key = self._place
        stop.account.keys.accepted(key)
        stop.health.succeeded(now - self._began, now)
        stop.health.leave()
        sent.release()
        yield
        yield from recording(journal, services)
        self._reply.send(200, head, body)

    def _unsay(self) -> None:
        """Leave the journal as it was when the answer arrived."""
        journal = self._journal
        journal.first_byte = journal.finish = journal.usage = journal.usage_source = journal.guard = None
        journal.upstream = 0.0
        journal.notes = journal.notes[: self._noted]
        journal.bill = UNBILLED
        del journal.laps[_DEPARTED_LAPS:]

    def abandon(self) -> None:
        """The caller left before the answer was in: end the provider's work, and write the call down."""
        self._let_go()
        failed(self._journal, self._reply, GatewayError(CLIENT_GONE, "the caller left"))
        record(self._journal, self._services)

    def wait(self) -> None:
        """Have a task wait for the answer: the worker stops, and ends the tasks that take too long."""
        self._arrival = asyncio.get_running_loop().create_future()
        self._hand_over()

    def _let_go(self) -> None:
        stop, _ = self._place
        self._journal.upstream = self._services.clock() - self._began
        self._sent.drop()
        stop.health.breaker.abandoned()
        stop.health.leave()

    def _hand_over(self) -> None:
        journal = self._journal
        self._reply.go_on(recorded(self._rest(), journal, self._reply, self._services), journal.inbound)

    async def _rest(self) -> None:
        course, journal, services = self._course, self._journal, self._services
        if self._arrival is not None:
            try:
                await self._arrival
            except asyncio.CancelledError:
                self._let_go()
                raise
        taken_up = TakenUp(self._provider.transport, self._sent, self._began)
        errand = Errand(self._asked, course.request, journal, services, taken_up)
        begun = travel(errand, self._plan, self._place)
        await carry_out(course, Delivery(self._permit, self._dialect, journal, self._reply, services), begun)


def depart(inbound: Inbound, services: Services, reply: ExpressReply, dialect: Dialect) -> Steps:
    """Say the first half of the sentence, and tell ``reply`` what came of it."""
    departed = None
    if not reply.gone:
        admitted = yield from _admitted(inbound, services, dialect)
        if admitted is not None:
            departed = yield from _departed(*admitted, services, reply, dialect)
    reply.set_off(departed, inbound)


def _admitted(
    inbound: Inbound, services: Services, dialect: Dialect
) -> Generator[None, None, tuple[Course, Permit, Journal] | None]:
    """The verbs up to ``admit``. None: nothing has been done. Never raises."""
    if inbound.trace is not None or services.synced is not None:
        return None
    if not inbound.bare and not _WAITING.isdisjoint(inbound.headers):
        return None
    clock = services.clock
    queued = clock()
    journal = Journal(inbound)
    try:
        caller = authenticate_now(inbound, services, journal)
        if caller is None or caller.limits:
            return None
        check(inbound)
        yield
        authenticated = clock()
        journal.request = request = dialect.read(inbound)
        if request.stream or request.turn is not None:
            return None
        yield
        recipe = resolve_now(request, caller, services)
        if recipe is None or recipe.cache is not None or not recipe.guards.quick:
            return None
        if len(inbound.body) > recipe.guards.long and recipe.guards.pre is not None:
            return None
        journal.prompt = recipe.release.facts if recipe.release else None
        yield
        resolved = clock()
        conversation = render(recipe, request)
        journal.input_chars = sum([len(message.text) for message in conversation])
        yield
        rendered = clock()
        permit = admit_now(caller, services)
        if permit is None:
            return None
    except Exception:  # noqa: BLE001 - it comes up again in serve, and is told there
        return None
    yield
    journal.laps = [queued, authenticated, resolved, rendered, clock()]
    return Course(caller, request, recipe, conversation), permit, journal


def _departed(
    course: Course, permit: Permit, journal: Journal, services: Services, reply: ExpressReply, dialect: Dialect
) -> Generator[None, None, Departed | None]:
    """The verbs from ``guard_in`` until the request is sent. None: all that was taken is given back. Never raises."""
    clock, request, recipe = services.clock, course.request, course.recipe
    place: Place | None = None
    sent: Sent | None = None
    try:
        conversation, masks = guard_in(recipe, request, course.conversation, journal)
        yield
        guarded = clock()
        plan = route(recipe, request, journal, services)
        if plan.patient and not masks:
            if conversation is not course.conversation:
                course = structs.replace(course, conversation=conversation)
            stop = plan.stops[0]
            target = stop.targets[0]
            asked = upstream_call(target, request, recipe, conversation, dialect.name)
            provider = services.providers[target.provider]
            upstream, native = spoken_to(provider, target, asked, request)
            transport = provider.transport
            yield
            routed = clock()
            if transport.is_ready(target) and (place := first(plan, routed)) is not None:
                target = stop.targets[place[1]]
                http = provider.translator.request(target, upstream)
                yield
                sent = transport.prepare(target, http, journal.inbound.deadline)
                if sent is not None:
                    yield
                    journal.attempts = journal.attempt = 1
                    journal.target = target
                    intend(journal, 1, services)
                    yield
                    journal.laps += (guarded, routed)
                    noted = len(journal.notes)
                    found = (course, permit, plan, place, asked, provider, sent, dialect, journal, reply, services)
                    departed = Departed(*found, clock(), noted, native)
                    sent.dispatch(departed.arrived)
                    return departed
    except Exception:  # noqa: BLE001, S110 - as above
        pass
    if sent is not None:
        sent.drop()
    if place is not None:
        place[0].health.leave()
    services.permits.give_back(course.caller, services.permits.window(course.caller))
    return None
