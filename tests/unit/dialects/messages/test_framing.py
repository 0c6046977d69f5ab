"""What Anthropic clients are sent: legal streams and messages, which the official SDK joins and reads."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from anthropic._streaming import SSEDecoder
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message as VendorMessage
from anthropic.types import RawMessageStreamEvent
from pydantic import TypeAdapter

from gateway.core.errors import KINDS, GatewayError
from gateway.core.events import Event, Usage
from gateway.core.requests import ChatRequest, Inbound
from gateway.dialects.messages.dialect import MESSAGES_DIALECT
from gateway.providers.anthropic.translator import AnthropicTranslator

STREAMS = Path(__file__).parents[3] / "golden" / "anthropic" / "streams"
INBOUND = Inbound("messages", {}, b"", "0199f6a2-0000-7000-8000-000000000001", "req-1", 0, 0.0, 9.0)
REQUEST = ChatRequest("gpt-x", None, {}, (), True, True, 1, None, None, None, (), {})
ADAPTER: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def named(frames: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Each event's name and payload, as the vendor's decoder sees them."""
    return [(sse.event or "", sse.json()) for sse in SSEDecoder().iter_bytes(iter([frames]))]


def joined(frames: bytes) -> Any:
    """The message that the vendor's SDK makes of a stream; every event must fit the vendor's schema, and the order be legal."""
    snapshot = None
    buffers: dict[int, bytes] = {}
    opened: list[int] = []
    for name, payload in named(frames):
        assert name == payload["type"]
        if name == "ping":
            continue
        if name == "content_block_start":
            assert payload["index"] == len(opened) if not opened else payload["index"] == max(opened) + 1
            opened.append(payload["index"])
        elif name.startswith("content_block_"):
            assert payload["index"] == opened[-1]
        event = ADAPTER.validate_python(payload)
        snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
    assert name == "message_stop"
    return snapshot


def event(*deltas: dict[str, Any], finish: str | None = None, model: str = "gpt-4o") -> Event:
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas] or [
        {"index": 0, "delta": {}, "finish_reason": finish}
    ]
    return Event(msgspec.json.encode({"id": "c", "model": model, "choices": choices}))


def call(index: int, arguments: str | None = None, **begin: str) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": begin["name"]} if begin else {})}
    return {"tool_calls": [{"index": index, "function": function, **({"id": begin["id"]} if begin else {})}]}


USAGE_CHUNK = Event(b'{"choices":[],"usage":{}}', (), None, Usage(10, 5, 4, 1), usage_only=True)
CHUNKS = [
    event({"role": "assistant", "content": ""}),
    event({"reasoning_content": "let me "}),
    event({"reasoning": "see"}),
    event({"content": "Hello"}),
    event({"content": " there"}),
    event(call(0, "", id="call_1", name="weather")),
    event(call(0, '{"city":')),
    event(call(0, '"SF"}')),
    event(call(1, None, id="call_2", name="now")),
    event(finish="tool_calls"),
    USAGE_CHUNK,
]


def test_chunks_become_a_message_that_the_sdk_can_join() -> None:
    framer = MESSAGES_DIALECT.framer(REQUEST, INBOUND, native=False)
    frames = framer.frames(CHUNKS) + framer.end(USAGE_CHUNK.usage, 1_500_000)
    assert [name for name, _ in named(frames)] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    message = joined(frames)
    assert (message.id, message.model, message.stop_reason) == ("msg_0199f6a2000070008000000000000001", "gpt-4o", "tool_use")
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert message.content[0].thinking == "let me see"
    assert message.content[1].text == "Hello there"
    assert [(b.id, b.name, b.input) for b in message.content[2:]] == [
        ("call_1", "weather", {"city": "SF"}),
        ("call_2", "now", {}),
    ]
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (6, 4, 5)
    assert named(frames)[-2][1]["usage"]["output_tokens_details"] == {"thinking_tokens": 1}
    assert named(frames)[-2][1]["usage"]["cost_usd"] == 0.0015


@pytest.mark.parametrize(
    ("finish", "stop"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        ("function_call", "tool_use"),
        (None, None),
    ],
)
def test_the_reason_is_the_providers_and_never_invented(finish: str | None, stop: str | None) -> None:
    framer = MESSAGES_DIALECT.framer(REQUEST, INBOUND, native=False)
    frames = framer.frames([event({"content": "x"}), event(finish=finish)]) + framer.end(None, None)
    assert joined(frames).stop_reason == stop


def test_a_refusal_is_said() -> None:
    framer = MESSAGES_DIALECT.framer(REQUEST, INBOUND, native=False)
    message = joined(framer.frames([event({"refusal": "No."}), event(finish="stop")]) + framer.end(None, None))
    assert (message.content[0].text, message.stop_reason) == ("No.", "refusal")


def test_an_answer_of_nothing_is_still_legal() -> None:
    framer = MESSAGES_DIALECT.framer(REQUEST, INBOUND, native=False)
    message = joined(framer.end(Usage(3, 0), None))
    assert (message.content, message.model, message.usage.output_tokens) == ([], "gpt-x", 0)


@pytest.mark.parametrize(
    "events",
    [
        [event(call(0, "x"))],
        [event(call(0, "{}", id="a", name="f")), event(call(1, "", id="b", name="g")), event(call(0, "{}"))],
        [event(call(0, "", id="a", name="f")), event({"content": "x"}), event(call(0, "{}"))],
        [Event(b"{")],
    ],
)
def test_what_cannot_be_said_in_order_is_the_providers_fault(events: list[Event]) -> None:
    framer = MESSAGES_DIALECT.framer(REQUEST, INBOUND, native=False)
    with pytest.raises(GatewayError) as caught:
        framer.frames(events)
    assert caught.value.kind.name == "upstream_invalid"


@pytest.mark.parametrize(
    "pieces",
    [
        [(0, '{"a":'), (1, '{"b":'), (0, "1}"), (1, "2}"), (2, "")],
        [(1, '{"b":2}'), (0, '{"a":1}'), (2, "")],
        [(0, '{"a":1} '), (0, " "), (1, '{"b":2}'), (0, "\n"), (2, "")],
    ],
)
def test_calls_that_come_interleaved_are_told_one_after_the_other(pieces: list[tuple[int, str]]) -> None:
    begun = [event(call(i, "", id=f"call_{i}", name=f"f{i}")) for i in range(3)]
    framer = MESSAGES_DIALECT.framer(REQUEST, INBOUND, native=False)
    events = [*begun, *[event(call(i, piece)) for i, piece in pieces], event(finish="tool_calls")]
    message = joined(b"".join([framer.frames([one]) for one in events]) + framer.end(None, None))
    assert [(block.id, block.input) for block in message.content] == [
        ("call_0", {"a": 1}),
        ("call_1", {"b": 2}),
        ("call_2", {}),
    ]


@pytest.mark.parametrize("index", [{}, {"index": None}, {"index": 0}])
def test_another_id_is_another_call(index: dict[str, Any]) -> None:
    """Google's OpenAI endpoint counts no calls."""
    pieces = [{"id": f"c{i}", "function": {"name": f"f{i}", "arguments": f'{{"a":{i}}}'}, **index} for i in range(2)]
    framer = MESSAGES_DIALECT.framer(REQUEST, INBOUND, native=False)
    message = joined(framer.frames([event({"tool_calls": [piece]}) for piece in pieces]) + framer.end(None, None))
    assert [(block.id, block.input) for block in message.content] == [("c0", {"a": 0}), ("c1", {"a": 1})]


@pytest.mark.parametrize("odd", [7, {"text": "x"}, None])
def test_reasoning_that_is_no_text_is_left_out(odd: object) -> None:
    framer = MESSAGES_DIALECT.framer(REQUEST, INBOUND, native=False)
    message = joined(framer.frames([event({"reasoning": odd, "content": "x"})]) + framer.end(None, None))
    assert [block.type for block in message.content] == ["text"]


def test_a_call_that_waits_is_told_before_the_text_that_follows_it() -> None:
    framer = MESSAGES_DIALECT.framer(REQUEST, INBOUND, native=False)
    events = [event(call(i, "", id=f"c{i}", name="f")) for i in range(2)]
    message = joined(framer.frames([*events, event({"content": "Done."})]) + framer.end(None, None))
    assert [block.type for block in message.content] == ["tool_use", "tool_use", "text"]


@pytest.mark.parametrize("path", sorted(STREAMS.glob("*.sse")), ids=lambda path: path.stem)
def test_native_events_pass_with_their_names(path: Path) -> None:
    source = path.read_bytes()
    decoder = AnthropicTranslator(lambda: 0).decoder("messages")
    framer = MESSAGES_DIALECT.framer(REQUEST, INBOUND, native=True)
    frames = framer.frames(decoder.feed(source))
    if decoder.failure is None:
        assert b"message_stop" not in frames, "the last event waits for the record"
        frames += framer.end(None, None)
        assert joined(frames).stop_reason is not None
    else:
        frames += framer.failure(decoder.failure)
        assert named(frames)[-1][1]["error"]["type"] == "overloaded_error"
        frames, source = frames.rpartition(b"event: error")[0], source.rpartition(b"event: error")[0]
    assert frames == source


def test_a_payload_of_several_lines_stays_one_event_and_its_type_may_come_late() -> None:
    framer = MESSAGES_DIALECT.framer(REQUEST, INBOUND, native=True)
    frames = framer.frames([Event(b'{"index":0,\n"type":"content_block_stop"}')])
    assert named(frames) == [("content_block_stop", {"index": 0, "type": "content_block_stop"})]


# --- whole answers ------------------------------------------------------------------------------------------------------
def whole(message: dict[str, Any], finish: str | None = "stop", usage: Usage | None = None, **rest: object) -> Any:
    body = {"id": "c", "model": "gpt-4o", "choices": [{"index": 0, "message": message, "finish_reason": finish}], **rest}
    data = MESSAGES_DIALECT.whole(Event(msgspec.json.encode(body), usage=usage), REQUEST, INBOUND, native=False)
    return VendorMessage.model_validate(msgspec.json.decode(data), strict=True)


def test_a_completion_becomes_a_message() -> None:
    message = whole(
        {
            "role": "assistant",
            "content": "Hello",
            "reasoning_content": "hm",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
                {"id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
            ],
        },
        "tool_calls",
        Usage(10, 5, 4),
    )
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert [block.input for block in message.content[2:]] == [{"x": 1}, {}]
    assert (message.stop_reason, message.stop_sequence, message.model) == ("tool_use", None, "gpt-4o")
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens, message.usage.output_tokens) == (6, 4, 5)


@pytest.mark.parametrize("arguments", [None, "", " ", "null", "{}"])
def test_a_call_without_arguments(arguments: str | None) -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}]
    assert whole({"content": None, "tool_calls": calls}).content[0].input == {}


@pytest.mark.parametrize("given", [{}, {"id": None}, {"id": ""}])
def test_calls_without_an_id_get_one(given: dict[str, Any]) -> None:
    calls = [{"index": i, **given, "function": {"name": "f", "arguments": "{}"}} for i in range(2)]
    framer = MESSAGES_DIALECT.framer(REQUEST, INBOUND, native=False)
    streamed = joined(framer.frames([event({"tool_calls": calls})]) + framer.end(None, None))
    made = [f"toolu_0199f6a20000700080000000000000010{i}" for i in range(2)]
    assert [block.id for block in streamed.content] == made
    assert [block.id for block in whole({"tool_calls": calls}).content] == made


def test_the_whole_and_the_stream_say_the_same() -> None:
    framer = MESSAGES_DIALECT.framer(REQUEST, INBOUND, native=False)
    streamed = joined(framer.frames(CHUNKS) + framer.end(USAGE_CHUNK.usage, None))
    given = whole(
        {
            "content": "Hello there",
            "reasoning": "let me see",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"SF"}'}},
                {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
            ],
        },
        "tool_calls",
        USAGE_CHUNK.usage,
    )
    assert [block.to_dict() for block in given.content] == [block.to_dict(exclude_none=True) for block in streamed.content]
    assert (given.id, given.model, given.stop_reason) == (streamed.id, streamed.model, streamed.stop_reason)


def test_a_refused_whole() -> None:
    message = whole({"content": None, "refusal": "No."})
    assert (message.content[0].text, message.stop_reason) == ("No.", "refusal")
    assert whole({"content": "x"}, None).stop_reason is None


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"choices":[]}',
        b'{"choices":[{"message":{"tool_calls":[{"id":"a"}]}}]}',
        b'{"choices":[{"message":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"[1]"}}]}}]}',
    ],
)
def test_a_completion_that_cannot_be_said_is_invalid(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        MESSAGES_DIALECT.whole(Event(body), REQUEST, INBOUND, native=False)
    assert caught.value.kind.name == "upstream_invalid"


def test_a_native_whole_is_untouched() -> None:
    assert MESSAGES_DIALECT.whole(Event(b"{ }"), REQUEST, INBOUND, native=True) == b"{ }"


# --- problems -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_failure_has_the_vendors_form(kind: Any) -> None:
    body = msgspec.json.decode(MESSAGES_DIALECT.problem(GatewayError(kind, "why", param="x"), "req-1"))
    assert body == {
        "type": "error",
        "error": {"type": kind.anthropic_type, "message": "why", "details": {"error_code": kind.code, "param": "x"}},
        "request_id": "req-1",
    }


def test_a_providers_status_decides_the_type_of_its_refusal() -> None:
    error = GatewayError(KINDS["upstream_rejected"], "no such model", status=404)
    assert msgspec.json.decode(MESSAGES_DIALECT.problem(error, "r"))["error"]["type"] == "not_found_error"


def test_failures_within_streams_and_the_head() -> None:
    error = GatewayError(KINDS["deadline"], "late")
    expected = [("error", msgspec.json.decode(MESSAGES_DIALECT.problem(error, "")))]
    assert named(MESSAGES_DIALECT.problem_frames(error)) == expected
    for native in (True, False):
        assert named(MESSAGES_DIALECT.framer(REQUEST, INBOUND, native=native).failure(error)) == expected
    assert MESSAGES_DIALECT.problem_head("r1") == "x-request-id: r1\r\nrequest-id: r1\r\n"
