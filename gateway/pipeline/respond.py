"""stream -> JSON bytes or SSE frames. The final record is written before the last byte is released (promise N2)."""

from operator import sub

from gateway.core.conversation import Conversation
from gateway.core.dialect import Dialect
from gateway.core.errors import GatewayError
from gateway.core.journal import PHASES, Journal
from gateway.core.notes import header
from gateway.core.requests import ChatRequest, Turn
from gateway.core.upstream import Target
from gateway.dialects.responses.dialect import finished
from gateway.pipeline.delivery import Delivery
from gateway.pipeline.permits import Permit
from gateway.pipeline.received import Received
from gateway.pipeline.record import cost_so_far, estimated_usage, record
from gateway.pipeline.services import Services
from gateway.pipeline.turns import keep

_JSON = "content-type: application/json\r\n"
_SSE = "content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
_NANO = 1_000_000_000
_PAID = "x-cost-usd: %d.%09d\r\n"
_TIMING = "server-timing: " + ", ".join([f"{phase};dur=%s" for phase in (*PHASES[:-1], "upstream", "gateway")]) + "\r\n"
_LONG = 0.001
"""Seconds. Most phases take less; one that takes more has mostly waited for somebody."""
_BRIEF = tuple([f"{us / 1000:.3f}" for us in range(1000)])
"""Spans up to there by microseconds, as they are written: every answer has a dozen, and formatting a float takes 2,000 instructions."""
_FRACTIONS = tuple([f".{us:03d}" for us in range(1000)])
"""What follows the whole milliseconds of the others."""


async def respond(answer: Received, request: ChatRequest, conversation: Conversation, delivery: Delivery) -> None:
    """Send the answer. Raises what the stream raises; ``reply.started`` tells whether a byte was out by then."""
    if request.stream:
        await _stream(answer, request, conversation, delivery)
        return
    dialect, journal, services = delivery.dialect, delivery.journal, delivery.services
    event = answer.whole()
    if journal.usage is None:
        await count_usage(answer.texts, conversation, journal, services)
        event.usage = journal.usage
    body = dialect.whole(event, request, journal.inbound, native=answer.native)
    turn = request.turn
    if turn is not None and turn.keep:
        await _keep(turn, body, journal, services)
        if not turn.keep:
            body = dialect.whole(event, request, journal.inbound, native=answer.native)
    head = whole_head(journal, delivery.permit, dialect, services)
    record(journal, services)
    if services.synced is not None:
        await services.synced()
    await delivery.reply.whole(200, head, body)


def whole_head(journal: Journal, permit: Permit, dialect: Dialect, services: Services) -> bytes:
    """The header lines of an answer that is not streamed; its call is over with them."""
    head = _head(_JSON, journal, permit, dialect, services, cost_so_far(journal, services))
    journal.laps.append(services.clock())
    return head


async def _stream(answer: Received, request: ChatRequest, conversation: Conversation, delivery: Delivery) -> None:
    dialect, journal, reply, services = delivery.dialect, delivery.journal, delivery.reply, delivery.services
    framer = dialect.framer(request, journal.inbound, native=answer.native)
    events = await answer.next()
    await reply.start(200, _head(_SSE, journal, delivery.permit, dialect, services, None))
    try:
        while events:
            data = framer.frames(events)
            if data:
                await reply.write(data)
            began = services.clock()
            events = await answer.next()
            journal.upstream += services.clock() - began
    except GatewayError as error:
        error.frames = framer.failure(error)
        raise
    if journal.usage is None:
        await count_usage(answer.texts, conversation, journal, services)
    if request.turn is not None and request.turn.keep:
        await _keep(request.turn, finished(framer, journal.usage, cost_so_far(journal, services)), journal, services)
    tail = framer.end(journal.usage, cost_so_far(journal, services))
    journal.laps.append(services.clock())
    record(journal, services)
    if services.synced is not None:
        await services.synced()
    await reply.end(tail)


async def _keep(turn: Turn, body: bytes, journal: Journal, services: Services) -> None:
    assert journal.caller is not None
    await keep(turn, body, journal.caller, journal.inbound, services)


async def count_usage(generated: list[str], conversation: Conversation, journal: Journal, services: Services) -> None:
    """Count tokens off the loop: the only wait before the last byte, and only for providers that report no usage."""
    assert journal.target is not None
    texts = ["".join(generated), "\n".join([m.text for m in conversation])]
    output, given = await services.tokens.count(journal.target.model, texts)
    journal.usage = estimated_usage(journal, given, output)
    journal.usage_source = "estimated"


_heads: dict[tuple[str, str, str, int], str] = {}
_REMEMBERED = 4096
"""Distinct (provider, model, prompt, attempts) heads kept; model names come from callers, so the memory is bounded."""


def _head(kind: str, journal: Journal, permit: Permit, dialect: Dialect, services: Services, cost: int | None) -> bytes:
    target, prompt, attempts = journal.target, journal.prompt, journal.attempts
    named = "" if prompt is None else prompt.head
    if target is None:
        lines = f"{named}x-attempts: {attempts}\r\n"
    else:
        lines = _heads.get((target.provider, target.model, named, attempts)) or _lines(target, named, attempts)
    paid = "" if cost is None else _PAID % divmod(cost, _NANO)
    rest = journal.head
    if journal.notes:
        rest += header(journal.notes)
    if services.releases.degraded:
        rest += "x-degraded: registry\r\n"
    if services.server_timing:
        rest += server_timing(journal, services.clock())
    return f"{kind}{lines}{dialect.problem_head(journal.inbound.request_id)}{permit.head()}{paid}{rest}".encode("latin-1")


def _lines(target: Target, named: str, attempts: int) -> str:
    if len(_heads) >= _REMEMBERED:
        _heads.clear()
    provider, model = target.provider, target.model
    lines = f"x-provider: {header_value(provider)}\r\nx-model: {header_value(model)}\r\n{named}x-attempts: {attempts}\r\n"
    _heads[provider, model, named, attempts] = lines
    return lines


def server_timing(journal: Journal, now: float) -> str:
    """One entry per phase in ms, and the provider's share apart from ours (W3C Server Timing)."""
    started, upstream, laps = journal.inbound.started, journal.upstream, journal.laps
    spans = (*map(sub, laps, (started, *laps)), upstream, now - started - upstream)
    return _TIMING % (*[_BRIEF[int(span * 1e6)] if 0 <= span < _LONG else _long(span) for span in spans],)


def _long(span: float) -> str:
    us = int(span * 1e6)
    return f"{us // 1000}{_FRACTIONS[us % 1000]}" if us >= 0 else f"{us / 1000:.3f}"


def header_value(text: str) -> str:
    """Text that may stand in a header: printable ASCII, anything else as ``?`` (model names come from callers)."""
    if text.isascii() and text.isprintable():
        return text
    return "".join([c if c.isascii() and c.isprintable() else "?" for c in text])
