"""The Responses API: how an upstream's bytes were cut into reads changes nothing that the caller sees."""

import itertools

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.events import Event, Usage
from gateway.core.requests import Inbound
from gateway.core.upstream import StreamDecoder
from gateway.dialects.responses.dialect import RESPONSES_DIALECT
from gateway.providers.openai import OpenAITranslator

TRANSLATOR = OpenAITranslator(has_responses=True)
INBOUND = Inbound("responses", {}, b'{"model":"m","input":"hi","stream":true}', "0199-01", "r", 1_000, 1.0, 9.0)
TEXT = st.text(max_size=12)
DELTAS = st.lists(
    st.one_of(
        st.fixed_dictionaries({"content": TEXT}),
        st.fixed_dictionaries({"refusal": TEXT}),
        st.fixed_dictionaries({"reasoning_content": TEXT}),
        st.fixed_dictionaries(
            {
                "tool_calls": st.lists(
                    st.fixed_dictionaries(
                        {"index": st.integers(0, 2)},
                        optional={
                            "id": TEXT,
                            "function": st.fixed_dictionaries({}, optional={"name": TEXT, "arguments": TEXT}),
                        },
                    ),
                    max_size=2,
                )
            }
        ),
    ),
    max_size=8,
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(marks) if a < b]


def through(pieces: list[bytes], dialect: str) -> bytes:
    decoder: StreamDecoder = TRANSLATOR.decoder(dialect)
    framer = RESPONSES_DIALECT.framer(RESPONSES_DIALECT.read(INBOUND), INBOUND, native=dialect != "chat")
    out = b""
    for piece in pieces:
        events: list[Event] = decoder.feed(piece)
        if events:
            out += framer.frames(events)
    assert decoder.failure is None
    decoder.end()
    return out + framer.end(Usage(1, 2), None)


@given(DELTAS, st.lists(st.integers(0, 10_000), max_size=12))
@settings(deadline=None)
def test_translated_streams(deltas: list[dict[str, object]], places: list[int]) -> None:
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    data = b"".join([b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks]) + b"data: [DONE]\n\n"
    whole = through([data], "chat")
    assert through(cut(data, places), "chat") == whole
    events = [msgspec.json.decode(frame.partition(b"\ndata: ")[2]) for frame in whole.removesuffix(b"\n\n").split(b"\n\n")]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    added = [event["output_index"] for event in events if event["type"] == "response.output_item.added"]
    done = [event for event in events if event["type"] == "response.output_item.done"]
    # What is announced is done exactly once, and done as the response says.
    assert sorted(added) == sorted(event["output_index"] for event in done) == list(range(len(added)))
    assert events[-1]["response"]["output"] == [e["item"] for e in sorted(done, key=lambda e: e["output_index"])]
    for kind in ("content", "refusal"):
        said = "".join(str(delta.get(kind, "")) for delta in deltas)
        event_type = "response.output_text.delta" if kind == "content" else "response.refusal.delta"
        assert "".join(e["delta"] for e in events if e["type"] == event_type) == said


@given(st.lists(TEXT, max_size=6), st.lists(st.integers(0, 10_000), max_size=12))
@settings(deadline=None)
def test_native_streams(texts: list[str], places: list[int]) -> None:
    text = "".join(texts)
    message = {"type": "message", "content": [{"type": "output_text", "text": text}]}
    events = [
        {"type": "response.created", "response": {"id": "r", "status": "in_progress"}},
        *[{"type": "response.output_text.delta", "delta": piece} for piece in texts],
        {"type": "response.output_text.done", "text": text},
        {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": [message]}},
    ]
    data = b"".join([f"event: {event['type']}\ndata: ".encode() + msgspec.json.encode(event) + b"\n\n" for event in events])
    assert through(cut(data, places), "responses") == through([data], "responses")
    decoder = TRANSLATOR.decoder("responses")
    assert "".join(said for piece in cut(data, places) for event in decoder.feed(piece) for _, said in event.texts) == text
