"""The way back: JSON whole, everything else as it comes. The record is written before the last byte (promise N2)."""

from msgspec import structs

from gateway.core.errors import UPSTREAM_INVALID, GatewayError
from gateway.core.forward import AUDIO, BATCHES, FILES, IMAGES
from gateway.core.journal import Journal
from gateway.core.requests import Caller
from gateway.core.upstream import Target
from gateway.pipeline.forwarding.asking import Answered, Asking, forwarder_of
from gateway.pipeline.forwarding.placing import owners
from gateway.pipeline.permits import Permit
from gateway.pipeline.record import record, settle
from gateway.pipeline.reply import Reply
from gateway.pipeline.respond import header_value
from gateway.pipeline.services import Services
from gateway.wire.objects import decode_object, length_of, usage_of
from gateway.wire.openai import DECODE_ERRORS
from gateway.wire.sse import SseParser

_SSE = b"text/event-stream"
_PASSED = (b"content-type", b"content-disposition")
"""Headers of the provider's answer that describe the content; all others are about its account, its limits or its connection."""
_NANO = 1_000_000_000
SPEECH = "/audio/speech"
"""The one path whose answers are billed by what was sent."""


class Relay:
    """An answer on its way through: holds the provider's until the end, and knows whether the caller can be told of a failure."""

    def __init__(self, journal: Journal, reply: Reply, services: Services) -> None:
        self.journal = journal
        self.reply = reply
        self.services = services
        self.answered: Answered | None = None
        self._events = False

    @property
    def mute(self) -> bool:
        """Whether bytes are out that are no event stream: an error among them would pass for content."""
        return self.reply.started and not self._events

    async def whole(self, head: bytes, body: bytes, permit: Permit, status: int = 200) -> None:
        """Record, then send."""
        lines = head + self._head(permit, settle(self.journal, self.services))
        await self._recorded()
        await self.reply.whole(status, lines, body)

    async def stream(self, answered: Answered, permit: Permit) -> None:
        """Send what comes as it comes, no faster than the caller reads."""
        journal, reply, services = self.journal, self.reply, self.services
        passed = b"".join(
            b"%b: %b\r\n" % (name, header_value(answered.headers[name].decode("latin-1")).encode())
            for name in _PASSED
            if name in answered.headers
        )
        self._events = answered.headers.get(b"content-type", b"").startswith(_SSE)
        meter = _EventMeter(services.max_answer_bytes) if self._events else None
        await reply.start(answered.status, passed + self._head(permit, None))
        while True:
            began = services.clock()
            data = await answered.chunk()
            journal.upstream += services.clock() - began
            if not data:
                break
            if meter is not None:
                meter.feed(data, journal)
            await reply.write(data)
        settle(journal, services)
        await self._recorded()
        await reply.end()

    def close(self) -> None:
        """Let go of the provider; before the end this cancels its work."""
        if self.answered is not None:
            self.answered.close()
            self.answered = None

    async def _recorded(self) -> None:
        record(self.journal, self.services)
        if self.services.synced is not None:
            await self.services.synced()

    def _head(self, permit: Permit, cost: int | None) -> bytes:
        journal, services = self.journal, self.services
        lines = f"x-request-id: {journal.inbound.request_id}\r\n{permit.head()}"
        target = journal.target
        if target is not None:
            lines += f"x-provider: {header_value(target.provider)}\r\nx-attempts: {journal.attempts}\r\n"
            if target.model:
                lines += f"x-model: {header_value(target.model)}\r\n"
        if cost is not None:
            lines += f"x-cost-usd: {cost // _NANO}.{cost % _NANO:09d}\r\n"
        if services.releases.degraded:
            lines += "x-degraded: registry\r\n"
        if services.server_timing:
            spent = services.clock() - journal.inbound.started
            lines += f"server-timing: upstream;dur={journal.upstream * 1e3:.3f}, gateway;dur={(spent - journal.upstream) * 1e3:.3f}\r\n"
        return lines.encode("latin-1")


async def respond(asking: Asking, answered: Answered, caller: Caller, permit: Permit, relay: Relay) -> None:
    """Send the answer of a call that succeeded. Raises what its body raises, ``upstream_invalid``, ``store_unavailable``."""
    relay.answered = answered
    journal, services, errand, target, body = relay.journal, relay.services, asking.errand, answered.target, answered.body
    pieces = asking.body.pieces
    # The provider took the text or the sound, and bills it whoever stays for the answer; where it says what it bills, that counts.
    if errand.path == SPEECH and pieces.characters:
        journal.usage, journal.usage_source = pieces, "counted"
    elif pieces.audio_ms:
        journal.usage, journal.usage_source = pieces, "estimated"
    if body is None:
        await relay.stream(answered, permit)
        return
    forwarder = forwarder_of(services.providers[target.provider])
    if errand.door not in {FILES, BATCHES}:
        # A batch's own usage is told at every look at it; it was never this call's.
        usage = usage_of(body, draws=errand.door == IMAGES)
        if usage is not None:
            if usage.images:
                usage = structs.replace(usage, picture=pieces.picture)
            journal.usage, journal.usage_source = usage, "upstream" if forwarder.counts else "estimated"
        elif errand.door == AUDIO and (told := length_of(body)) is not None:
            journal.usage, journal.usage_source = told, "estimated"
    if errand.makes:
        await _claim(body, target, caller, services)
    if errand.removes:
        await owners(services).forget(caller.application_id, target.provider, errand.object_id)
    await relay.whole(b"content-type: application/json\r\n", body, permit, answered.status)


async def _claim(body: bytes, target: Target, caller: Caller, services: Services) -> None:
    try:
        made = decode_object(body)
    except DECODE_ERRORS as error:
        made, cause = None, f"{error}: {body[:200]!r}"
    else:
        cause = repr(body[:200])
    if made is None or not made.id:
        raise GatewayError(
            UPSTREAM_INVALID, f"{target.provider} answered without the object asked for", cause=cause, target=target.provider
        )
    await owners(services).claim(caller.application_id, target.provider, made.ids)


class _EventMeter:
    """Reads the usage that the last event of an image or speech stream tells. What it cannot read it lets pass."""

    def __init__(self, max_event_bytes: int) -> None:
        self._parser: SseParser | None = SseParser(max_event_bytes)

    def feed(self, data: bytes, journal: Journal) -> None:
        """Note what these bytes complete."""
        if self._parser is None:
            return
        try:
            payloads = self._parser.feed(data)
        except GatewayError:
            self._parser = None
            return
        for payload in payloads:
            usage = usage_of(payload, draws=journal.inbound.door == IMAGES)
            if usage is not None:
                journal.usage, journal.usage_source = usage, "upstream"
