"""stream -> JSON bytes or SSE frames. The final record is written before the last byte is released (promise N2)."""

from msgspec import Raw

from gateway.core.conversation import Conversation
from gateway.core.events import Event, Usage
from gateway.core.journal import PHASES, Journal
from gateway.core.requests import ChatRequest
from gateway.pipeline.guard_out import Guarded
from gateway.pipeline.permits import Permit
from gateway.pipeline.record import estimated_usage, record, settle
from gateway.pipeline.reply import Reply
from gateway.pipeline.services import Services
from gateway.wire import openai as wire

_JSON = b"content-type: application/json\r\n"
_SSE = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
_NULL_USAGE = b',"usage":null'
"""What providers add to every chunk once usage is asked for; as a JSON text it cannot occur inside a string."""
_NANO = 1_000_000_000
_TIMING = "server-timing: " + ", ".join(f"{phase};dur=%.3f" for phase in (*PHASES[:-1], "upstream", "gateway")) + "\r\n"


async def respond(
    answer: Guarded,
    request: ChatRequest,
    conversation: Conversation,
    permit: Permit,
    journal: Journal,
    reply: Reply,
    services: Services,
) -> None:
    """Send the answer. Raises what the stream raises; ``reply.started`` tells whether a byte was out by then."""
    if not request.stream:
        event = answer.whole()
        if journal.usage is None:
            await _count_usage(answer, conversation, journal, services)
        head = _JSON + _head(journal, permit, services, settle(journal, services))
        journal.laps.append(services.clock())
        record(journal, services)
        if services.synced is not None:
            await services.synced()
        await reply.whole(200, head, event.data)
        return
    events = await answer.next()
    await reply.start(200, _SSE + _head(journal, permit, services, None))
    last = events[-1]
    while events:
        last = events[-1]
        if last.usage_only:
            events.pop()
        if events:
            await reply.write(_frames(events, request))
        began = services.clock()
        events = await answer.next()
        journal.upstream += services.clock() - began
    if journal.usage is None:
        await _count_usage(answer, conversation, journal, services)
    tail = b"data: [DONE]\n\n"
    if request.include_usage and journal.usage is not None:
        tail = b"data: " + _usage_chunk(last, journal.usage, settle(journal, services)) + b"\n\n" + tail
    journal.laps.append(services.clock())
    record(journal, services)
    if services.synced is not None:
        await services.synced()
    await reply.end(tail)


def _frames(events: list[Event], request: ChatRequest) -> bytes:
    data = b"data: " + b"\n\ndata: ".join([event.data for event in events]) + b"\n\n"
    return data if request.include_usage else data.replace(_NULL_USAGE, b"")


async def _count_usage(answer: Guarded, conversation: Conversation, journal: Journal, services: Services) -> None:
    """Count tokens off the loop: the only wait before the last byte, and only for providers that report no usage."""
    assert journal.target is not None
    texts = ["".join(answer.texts), "\n".join([m.text for m in conversation])]
    output, given = await services.tokens.count(journal.target.model, texts)
    journal.usage = estimated_usage(journal, given, output)
    journal.usage_source = "estimated"


def _usage_chunk(last: Event, usage: Usage, cost: int | None) -> bytes:
    """The provider's closing chunk with our cost in its usage; made from its last chunk where it sent none."""
    chunk: dict[str, object] = dict(wire.decode_fields(last.data))
    given = chunk.get("usage")
    if last.usage_only and isinstance(given, Raw) and usage is last.usage:
        counts: dict[str, object] = dict(wire.decode_fields(given))
    else:
        counts = {"prompt_tokens": usage.input, "completion_tokens": usage.output, "total_tokens": usage.input + usage.output}
    if cost is not None:
        counts["cost_usd"] = cost / _NANO
    chunk["choices"] = []
    chunk["usage"] = counts
    return wire.encode(chunk)


_heads: dict[tuple[str, str, str], str] = {}
_REMEMBERED = 4096
"""Distinct (provider, model, prompt) heads kept; model names come from callers, so the memory is bounded."""


def _head(journal: Journal, permit: Permit, services: Services, cost: int | None) -> bytes:
    target, prompt = journal.target, journal.prompt
    assert target is not None
    place = (target.provider, target.model, "" if prompt is None else prompt.head)
    lines = _heads.get(place)
    if lines is None:
        if len(_heads) >= _REMEMBERED:
            _heads.clear()
        lines = _heads[place] = (
            f"x-provider: {header_value(target.provider)}\r\nx-model: {header_value(target.model)}\r\n{place[2]}"
        )
    rest = f"{lines}x-request-id: {journal.inbound.request_id}\r\nx-attempts: {journal.attempts}\r\n{permit.head()}"
    if cost is not None:
        rest += f"x-cost-usd: {cost // _NANO}.{cost % _NANO:09d}\r\n"
    if services.releases.degraded:
        rest += "x-degraded: registry\r\n"
    if services.server_timing:
        rest += server_timing(journal, services.clock())
    return rest.encode("latin-1")


def server_timing(journal: Journal, now: float) -> str:
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
