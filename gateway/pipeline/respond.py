"""stream -> JSON bytes or SSE frames. The final record is written before the last byte is released (promise N2)."""

from gateway.core.conversation import Conversation
from gateway.core.dialect import Dialect
from gateway.core.errors import GatewayError
from gateway.core.journal import PHASES, Journal
from gateway.core.notes import header
from gateway.core.requests import ChatRequest, Turn
from gateway.core.upstream import Target
from gateway.dialects.responses.dialect import finished
from gateway.pipeline.permits import Permit
from gateway.pipeline.received import Received
from gateway.pipeline.record import cost_so_far, estimated_usage, record
from gateway.pipeline.reply import Reply
from gateway.pipeline.services import Services
from gateway.pipeline.turns import keep

_JSON = b"content-type: application/json\r\n"
_SSE = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
_NANO = 1_000_000_000
_PAID = "x-cost-usd: %d.%09d\r\n"
_TIMING = (
    "server-timing: " + ", ".join(f"{phase};dur=%.3f" for phase in (*PHASES[:-1], "upstream", "gateway")) + "\r\n"
).encode()
"""Bytes, because numbers are written into them in three quarters of the time."""


async def respond(  # noqa: PLR0913, PLR0917 - the phase where everything that is known comes together
    answer: Received,
    request: ChatRequest,
    conversation: Conversation,
    permit: Permit,
    dialect: Dialect,
    journal: Journal,
    reply: Reply,
    services: Services,
) -> None:
    """Send the answer. Raises what the stream raises; ``reply.started`` tells whether a byte was out by then."""
    if request.stream:
        await _stream(answer, request, conversation, permit, dialect, journal, reply, services)
        return
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
    head = whole_head(journal, permit, dialect, services)
    record(journal, services)
    if services.synced is not None:
        await services.synced()
    await reply.whole(200, head, body)


def whole_head(journal: Journal, permit: Permit, dialect: Dialect, services: Services) -> bytes:
    """The header lines of an answer that is not streamed; its call is over with them."""
    head = _JSON + _head(journal, permit, dialect, services, cost_so_far(journal, services))
    journal.laps.append(services.clock())
    return head


async def _stream(  # noqa: PLR0913, PLR0917 - as respond
    answer: Received,
    request: ChatRequest,
    conversation: Conversation,
    permit: Permit,
    dialect: Dialect,
    journal: Journal,
    reply: Reply,
    services: Services,
) -> None:
    framer = dialect.framer(request, journal.inbound, native=answer.native)
    events = await answer.next()
    await reply.start(200, _SSE + _head(journal, permit, dialect, services, None))
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


_heads: dict[tuple[str, str, str], str] = {}
_REMEMBERED = 4096
"""Distinct (provider, model, prompt) heads kept; model names come from callers, so the memory is bounded."""


def _head(journal: Journal, permit: Permit, dialect: Dialect, services: Services, cost: int | None) -> bytes:
    target, prompt = journal.target, journal.prompt
    named = "" if prompt is None else prompt.head
    lines = named if target is None else _heads.get((target.provider, target.model, named)) or _lines(target, named)
    request_id = dialect.problem_head(journal.inbound.request_id)
    paid = "" if cost is None else _PAID % divmod(cost, _NANO)
    noted = header(journal.notes) if journal.notes else ""
    degraded = "x-degraded: registry\r\n" if services.releases.degraded else ""
    head = (
        f"{lines}{request_id}x-attempts: {journal.attempts}\r\n{permit.head()}{paid}{journal.head}{noted}{degraded}"
    ).encode("latin-1")
    return head + server_timing(journal, services.clock()) if services.server_timing else head


def _lines(target: Target, named: str) -> str:
    if len(_heads) >= _REMEMBERED:
        _heads.clear()
    lines = f"x-provider: {header_value(target.provider)}\r\nx-model: {header_value(target.model)}\r\n{named}"
    _heads[target.provider, target.model, named] = lines
    return lines


def server_timing(journal: Journal, now: float) -> bytes:
    """One entry per phase in ms, and the provider's share apart from ours (W3C Server Timing)."""
    started, upstream = journal.inbound.started, journal.upstream
    q, a, b, c, d, e, f, g, h = journal.laps
    return _TIMING % (
        (q - started) * 1e3,
        (a - q) * 1e3,
        (b - a) * 1e3,
        (c - b) * 1e3,
        (d - c) * 1e3,
        (e - d) * 1e3,
        (f - e) * 1e3,
        (g - f) * 1e3,
        (h - g) * 1e3,
        upstream * 1e3,
        (now - started - upstream) * 1e3,
    )


def header_value(text: str) -> str:
    """Text that may stand in a header: printable ASCII, anything else as ``?`` (model names come from callers)."""
    if text.isascii() and text.isprintable():
        return text
    return "".join([c if c.isascii() and c.isprintable() else "?" for c in text])
