"""Anthropic's streams, both ways: any chunking gives the same events, and the official SDKs read the same message from either form."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from anthropic._streaming import SSEDecoder
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gateway.core.events import Event
from gateway.core.requests import ChatRequest, Inbound
from gateway.dialects.messages.dialect import MESSAGES_DIALECT
from gateway.providers.anthropic.translator import AnthropicTranslator

GOLDEN = [path.read_bytes() for path in sorted((Path(__file__).parents[1] / "golden" / "anthropic" / "streams").glob("*.sse"))]
ADAPTER: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
INBOUND = Inbound("messages", {}, b"", "0199f6a2-0000-7000-8000-000000000001", "req-1", 0, 0.0, 9.0)
REQUEST = ChatRequest("claude", None, {}, (), True, True, 1, None, None, None, (), {})

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
ARGUMENTS = st.dictionaries(TEXT, st.integers() | TEXT, max_size=2)


PIECES = st.lists(TEXT, min_size=1, max_size=3)
BLOCK = st.one_of(
    st.fixed_dictionaries({"type": st.just("thinking"), "pieces": PIECES | st.just([]), "signature": st.just("c2ln")}),
    st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": st.just("QQ==")}),
    st.fixed_dictionaries({"type": st.just("text"), "pieces": PIECES}),
    st.fixed_dictionaries({"type": st.just("tool_use"), "input": ARGUMENTS}),
)


@st.composite
def blocks(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A message's content as chat can say it too: in any order, but for texts that follow each other, which are one text there."""
    made: list[dict[str, Any]] = []
    if draw(st.booleans()):
        made.append({"type": "thinking", "pieces": draw(PIECES), "signature": ""})
    for block in draw(st.lists(BLOCK, max_size=5)):
        last = made[-1] if made else {}
        unsigned = last.get("signature") == "" and block["type"] == "thinking"
        if not unsigned and not (last.get("type") == block["type"] == "text"):
            made.append(block)
    return made


def stream_of(content: list[dict[str, Any]], usage: tuple[int, int, int]) -> bytes:
    """The vendor's stream of such a message."""
    given_, cached, made = usage
    start = {"input_tokens": given_, "cache_read_input_tokens": cached, "output_tokens": 1}
    payloads: list[dict[str, Any]] = [
        {
            "type": "message_start",
            "message": {
                "type": "message",
                "id": "msg_1",
                "model": "claude",
                "role": "assistant",
                "content": [],
                "usage": start,
            },
        }
    ]
    for index, block in enumerate(content):
        kind = block["type"]
        if kind == "tool_use":
            begin = {"type": kind, "id": f"toolu_{index}", "name": f"f{index}", "input": {}}
            text = msgspec.json.encode(block["input"]).decode() if block["input"] else ""
            deltas = [{"type": "input_json_delta", "partial_json": text[i : i + 5]} for i in range(0, len(text), 5)]
        elif kind == "text":
            begin = {"type": kind, "text": ""}
            deltas = [{"type": "text_delta", "text": piece} for piece in block["pieces"]]
        elif kind == "redacted_thinking":
            begin, deltas = block, []
        else:
            begin = {"type": kind, "thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in block["pieces"]]
            if block["signature"]:
                deltas.append({"type": "signature_delta", "signature": block["signature"]})
        payloads.append({"type": "content_block_start", "index": index, "content_block": begin})
        payloads += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        payloads.append({"type": "content_block_stop", "index": index})
    stop = "tool_use" if any(block["type"] == "tool_use" for block in content) else "end_turn"
    payloads.append(
        {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": made}}
    )
    payloads.append({"type": "message_stop"})
    return b"".join(b"event: %b\ndata: %b\n\n" % (p["type"].encode(), msgspec.json.encode(p)) for p in payloads)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(p % (len(stream) + 1) for p in places), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


def decoded(pieces: list[bytes], dialect: str) -> tuple[list[Event], Any]:
    decoder = AnthropicTranslator(lambda: 7).decoder(dialect)
    return [event for piece in pieces for event in decoder.feed(piece)], decoder


def framed(batches: list[list[Event]], *, native: bool) -> bytes:
    framer = MESSAGES_DIALECT.framer(REQUEST, INBOUND, native=native)
    frames = b"".join([framer.frames(batch) for batch in batches])
    usage = next((event.usage for batch in reversed(batches) for event in reversed(batch) if event.usage), None)
    return frames + framer.end(usage, None)


def joined(frames: bytes) -> Any:
    snapshot = None
    buffers: dict[int, bytes] = {}
    for sse in SSEDecoder().iter_bytes(iter([frames])):
        snapshot = accumulate_event(event=ADAPTER.validate_python(sse.json()), current_snapshot=snapshot, json_bufs=buffers)
    return snapshot


COUNTS = st.tuples(st.integers(0, 9999), st.integers(0, 9999), st.integers(0, 9999))
ANY_STREAM = st.one_of(st.sampled_from(GOLDEN), st.builds(stream_of, blocks(), COUNTS))


@given(ANY_STREAM, st.lists(st.integers(0, 10_000), max_size=8), st.sampled_from(["chat", "messages"]))
def test_anthropic_any_chunking_gives_the_same_events(stream: bytes, places: list[int], dialect: str) -> None:
    expected, whole = decoded([stream], dialect)
    events, parts = decoded(cut(stream, places), dialect)
    assert events == expected
    assert parts.done == whole.done
    assert repr(parts.failure) == repr(whole.failure)


@given(st.binary(max_size=200) | st.sampled_from(GOLDEN), st.lists(st.integers(0, 10_000), max_size=6), st.binary(max_size=12))
def test_anthropic_garbage_is_a_failure_or_nothing_and_never_an_exception(
    stream: bytes, places: list[int], dirt: bytes
) -> None:
    pieces = cut(stream, places)
    spoiled = [piece + dirt for piece in pieces]
    for dialect in ("chat", "messages"):
        expected, whole = decoded([b"".join(spoiled)], dialect)
        events, parts = decoded(spoiled, dialect)
        assert (events, parts.done, repr(parts.failure)) == (expected, whole.done, repr(whole.failure))


@given(blocks(), COUNTS, st.lists(st.integers(0, 50), max_size=5))
def test_anthropic_to_chat_and_back_is_the_same_message(
    content: list[dict[str, Any]], usage: tuple[int, int, int], places: list[int]
) -> None:
    """The whole circle: their events, our chunks, our events; batched in any way."""
    stream = stream_of(content, usage)
    original = joined(stream)
    chunks, _ = decoded([stream], "chat")
    edges = [0, *sorted(p % (len(chunks) + 1) for p in places), len(chunks)]
    frames = framed([batch for a, b in pairwise(edges) if (batch := chunks[a:b])], native=False)
    assert frames == framed([chunks], native=False)
    returned = joined(frames)
    assert [block.to_dict() for block in returned.content] == [block.to_dict() for block in original.content]
    assert returned.stop_reason == original.stop_reason
    assert returned.usage.output_tokens == original.usage.output_tokens
    assert returned.usage.input_tokens == original.usage.input_tokens
    assert returned.usage.cache_read_input_tokens == original.usage.cache_read_input_tokens


@given(blocks(), COUNTS)
def test_anthropic_native_is_the_identity(content: list[dict[str, Any]], usage: tuple[int, int, int]) -> None:
    stream = stream_of(content, usage)
    events, _ = decoded([stream], "messages")
    assert framed([events], native=True) == stream
