"""Fuzzing what providers send: the decoders of their streams, and on to the frames that a caller of any dialect would get."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from openai._streaming import SSEDecoder

from gateway.core.errors import UPSTREAM_INCOMPLETE, GatewayError
from gateway.core.events import Event
from gateway.core.requests import ChatRequest, Inbound
from gateway.core.upstream import StreamDecoder, Translator
from gateway.wire.eventstream import EventStreamParser
from gateway.wire.folding import fold
from gateway.wire.sse import SseParser
from tests.fuzz.receive import DIALECTS, PROVIDERS
from tests.unit.providers.golden import cases, frame, stream_bytes
from tests.unit.providers.golden import target as upstream

GOLDEN = Path(__file__).parents[1] / "golden"
DECODERS: dict[str, tuple[str, str]] = {
    **{name: (name, "chat") for name in ("anthropic", "bedrock", "cohere", "gemini", "mistral", "openai")},
    "anthropic-native": ("anthropic", "messages"),
    "openai-responses": ("openai", "responses"),
}
"""(provider, dialect of its events)."""
UPSTREAM = upstream("acme")
CALL_ID = "0199f6a2-0000-7000-8000-000000000001"


def pieces(data: bytes) -> list[list[bytes]]:
    """The same bytes in three chunkings: whole, one by one where that is cheap, and as the data itself says."""
    places, at = [0], 0
    for byte in data:
        at += 1 + byte % 61
        if at >= len(data):
            break
        places.append(at)
    cut = [data[a:b] for a, b in pairwise([*places, len(data)])]
    return [[data], cut, [data[i : i + 1] for i in range(len(data))] if len(data) <= 4096 else [data]]


def said(decoder: StreamDecoder, parts: list[bytes]) -> tuple[Any, ...]:
    """Everything that a stream said, and how it ended."""
    events: list[Event] = []
    for part in parts:
        if decoder.failure is not None:
            break
        events += decoder.feed(part)
    failure, ended = decoder.failure, ""
    if failure is None:
        try:
            decoder.end()
        except GatewayError as error:
            assert error.kind.origin == "upstream"
            ended = error.kind.name
    else:
        assert failure.kind.origin == "upstream", failure.kind.name
    told = [(e.data, e.texts, e.finish, e.usage, e.usage_only) for e in events]
    return told, decoder.done, failure and (failure.kind.name, failure.detail), ended, events


def target(name: str, data: bytes) -> None:
    """However a stream is cut into reads, the events and the failure are the same; and every dialect can say them."""
    provider, dialect = DECODERS[name]
    translator: Translator = PROVIDERS[provider]
    whole, *others = [said(translator.decoder(dialect), parts) for parts in pieces(data)]
    for other in others:
        assert other[:4] == whole[:4]
    events = whole[4]
    for spoken, native in ((spoken, spoken == dialect) for spoken in DIALECTS):
        if events and (native or dialect == "chat"):
            frames_of(spoken, events, native=native, done=whole[1])
    if dialect == "chat":
        fold([event.data for event in events])
    answered(translator, dialect, data)


def frames_of(spoken: str, events: list[Event], *, native: bool, done: bool) -> None:
    """What a caller is sent, batched in two ways; the true end only of a stream that had one."""
    request = ChatRequest("m", None, {}, (), True, True, 1, None, None, None, (), {})
    inbound = Inbound(spoken, {}, b'{"model":"m","input":"x"}', CALL_ID, "r", 0, 0.0, 9.0)
    if spoken == "responses":
        request = DIALECTS[spoken].read(inbound)
    for batches in ([events], [[event] for event in events]):
        framer = DIALECTS[spoken].framer(request, inbound, native=native)
        try:
            frames = b"".join([framer.frames(batch) for batch in batches])
            usage = next((event.usage for event in reversed(events) if event.usage), None)
            frames += framer.end(usage, 7) if done else framer.failure(GatewayError(UPSTREAM_INCOMPLETE, "cut"))
        except GatewayError as error:
            assert error.kind.origin == "upstream"
            framer.failure(error)
            continue
        assert b"\r\n\r\n" not in frames, "nothing of a provider's ends an event of ours"


def answered(translator: Translator, dialect: str, data: bytes) -> None:
    """The same bytes as a whole answer, and as a failure's body."""
    try:
        event = translator.answer(data, dialect)
    except GatewayError as error:
        assert error.kind.origin == "upstream"
    else:
        request = ChatRequest("m", None, {}, (), False, False, 1, None, None, None, (), {})
        for spoken, form in DIALECTS.items():
            if spoken == dialect or dialect == "chat":
                inbound = Inbound(spoken, {}, b'{"model":"m","input":"x"}', CALL_ID, "r", 0, 0.0, 9.0)
                asked = form.read(inbound) if spoken == "responses" else request
                try:
                    form.whole(event, asked, inbound, native=spoken == dialect)
                except GatewayError as error:
                    assert error.kind.origin == "upstream"
    for status in (400, 429, 500):
        translator.failure(UPSTREAM, status, {b"retry-after": data[:20]}, data)


def sse(data: bytes) -> None:
    """The parser alone: any chunking is the same, and what it gives is what the openai SDK's decoder gives."""
    whole, *others = [parsed(SseParser, parts) for parts in pieces(data)]
    for other in others:
        assert other == whole
    if not data.startswith(b"\xef\xbb\xbf") and b"\0" not in data:
        try:
            theirs = [event.data for event in SSEDecoder().iter_bytes(iter([data]))]
        except UnicodeDecodeError:
            return
        # The SDK joins lines with LF, and takes an event without any data line for one.
        assert [event.decode() for event in whole[0] if event] == [data.replace("\n", " ") for data in theirs if data]


def parsed(make: Callable[[], Any], parts: list[bytes]) -> tuple[list[Any], str, bool]:
    """What a parser gives for these parts, what it raised, and whether something is left over."""
    parser, found = make(), []
    try:
        for part in parts:
            for event in parser.feed(part):
                found.append(event)
    except GatewayError as error:
        return found, error.detail, False
    return found, "", parser.pending


def eventstream(data: bytes) -> None:
    """Amazon's binary stream: as it is, and with checksums put right, so that a fuzzer gets past them."""
    for stream in (data, framed(data)):
        whole, *others = [parsed(EventStreamParser, parts) for parts in pieces(stream)]
        for other in others:
            assert other == whole
    target("bedrock", framed(data))


def framed(data: bytes) -> bytes:
    """Messages whose event types and payloads are the data's lines in turn."""
    lines = data.split(b"\n")
    kinds = ("messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata", "throttlingException")  # fmt: skip
    made = b""
    for number, line in enumerate(lines[:20]):
        kind = kinds[line[0] % len(kinds)] if line else kinds[number % len(kinds)]
        made += frame({":event-type": kind, ":message-type": "exception" if kind.endswith("Exception") else "event"}, line[1:])
    return made


def seeds(name: str) -> list[bytes]:
    """Golden streams of the vendor, its whole answers and its failures."""
    provider, _ = DECODERS[name]
    found = [stream_bytes(p, case["native"]) for p, _, case in cases("stream") if p == provider]
    if provider == "anthropic":
        found += [path.read_bytes() for path in sorted((GOLDEN / "anthropic" / "streams").glob("*.sse"))]
    if name == "openai-responses":
        found += [(GOLDEN / "responses" / "agent.events.sse").read_bytes()]
    elif provider == "openai":
        found += [(GOLDEN / "responses" / "agent.chat.sse").read_bytes()]
        found += [stream_bytes(p, case["native"]) for p, _, case in cases("stream") if p == "mistral"]
    return [stream[:4096] for stream in found]
