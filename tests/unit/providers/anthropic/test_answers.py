"""Whole answers and streams, from the vendor's published examples; both official SDKs must read what comes out."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.core.errors import GatewayError
from gateway.core.events import Event, Usage
from gateway.providers.anthropic.translator import AnthropicTranslator

GOLDEN = Path(__file__).parents[3] / "golden" / "anthropic"
ANSWERS: list[dict[str, Any]] = msgspec.json.decode((GOLDEN / "answers.json").read_bytes())
STREAMS = sorted((GOLDEN / "streams").glob("*.sse"))
TRANSLATOR = AnthropicTranslator(lambda: 1_760_000_000)


def chat_stream(data: bytes) -> tuple[list[Event], Any]:
    decoder = TRANSLATOR.decoder("chat")
    return decoder.feed(data), decoder


@pytest.mark.parametrize("case", ANSWERS, ids=[case["about"] for case in ANSWERS])
def test_a_message_becomes_a_completion(case: dict[str, Any]) -> None:
    body = msgspec.json.encode(case["anthropic"])
    event = TRANSLATOR.answer(body, "chat")
    assert msgspec.json.decode(event.data) == case["chat"]
    ChatCompletion.model_validate(msgspec.json.decode(event.data), strict=True)
    usage = case["chat"]["usage"]
    assert event.usage == Usage(
        usage["prompt_tokens"],
        usage["completion_tokens"],
        usage["prompt_tokens_details"]["cached_tokens"],
        usage["completion_tokens_details"]["reasoning_tokens"],
        cache_write=usage["prompt_tokens_details"]["cache_write_tokens"],
    )
    assert event.finish == case["chat"]["choices"][0]["finish_reason"]
    native = TRANSLATOR.answer(body, "messages")
    assert native.data is body
    assert (native.texts, native.finish, native.usage) == (event.texts, event.finish, event.usage)


@pytest.mark.parametrize("path", STREAMS, ids=[path.stem for path in STREAMS])
def test_a_stream_becomes_chunks(path: Path) -> None:
    events, decoder = chat_stream(path.read_bytes())
    assert b"".join(event.data + b"\n" for event in events) == path.with_suffix(".chunks.jsonl").read_bytes()
    assert decoder.done == (decoder.failure is None)
    for event in events:
        ChatCompletionChunk.model_validate(msgspec.json.decode(event.data), strict=True)


@pytest.mark.parametrize("path", STREAMS, ids=[path.stem for path in STREAMS])
def test_a_native_stream_keeps_every_payload(path: Path) -> None:
    decoder = TRANSLATOR.decoder("messages")
    events = decoder.feed(path.read_bytes())
    payloads = [line[6:].encode() for line in path.read_text().splitlines() if line.startswith("data: ")]
    assert [event.data for event in events] == [p for p in payloads if b'"type": "error"' not in p]
    assert decoder.done == (decoder.failure is None)
    chat_events, _ = chat_stream(path.read_bytes())
    for read in ("texts", "finish", "usage"):
        assert [v for e in events if (v := getattr(e, read))] == [v for e in chat_events if (v := getattr(e, read))]


def test_the_openai_sdk_joins_the_chunks() -> None:
    state = ChatCompletionStreamState()
    for name in ("tools", "thinking"):
        state = ChatCompletionStreamState()
        for event in chat_stream((GOLDEN / "streams" / f"{name}.sse").read_bytes())[0]:
            state.handle_chunk(ChatCompletionChunk.model_validate(msgspec.json.decode(event.data)))
        message = state.get_final_completion().choices[0].message
        if name == "tools":
            assert message.content == "Okay, let's check the weather:"
            assert [(c.id, c.function.name, c.function.arguments) for c in message.tool_calls] == [
                ("toolu_01T1x1fJ34qAmk2tNTrN7Up6", "get_weather", '{"location": "San Francisco, CA"}'),
                ("toolu_02", "now", "{}"),
            ]
        else:
            assert message.content == "The greatest common divisor is **21**."
            assert message.reasoning_content.endswith("462 = 3 × 147 + 21")
            assert [block["type"] for block in message.thinking_blocks] == ["thinking", "redacted_thinking"]


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("newest_reason", "stop"),
        (None, None),
    ],
)
def test_stop_reasons(stop: str | None, finish: str | None) -> None:
    body = msgspec.json.encode({"content": [], "stop_reason": stop})
    assert TRANSLATOR.answer(body, "chat").finish == finish


@pytest.mark.parametrize(
    "usage",
    [
        None,
        7,
        {},
        {"input_tokens": 3},
        {"input_tokens": -1, "output_tokens": 2},
        {"input_tokens": 2**53, "output_tokens": 2},
        {"input_tokens": 1, "output_tokens": 2, "output_tokens_details": {"thinking_tokens": 3}},
        {"input_tokens": "1", "output_tokens": 2},
    ],
)
def test_usage_that_is_nonsense_is_none(usage: object) -> None:
    event = TRANSLATOR.answer(msgspec.json.encode({"content": [], "usage": usage}), "chat")
    assert event.usage is None
    assert "usage" not in msgspec.json.decode(event.data)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"content":7}', b'{"content":[{"type":7}]}', b"\xff", b'{"id":"x"}'])
def test_an_answer_that_is_no_message_is_invalid(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        TRANSLATOR.answer(body, "messages")
    assert caught.value.kind.name == "upstream_invalid"


def test_what_is_written_to_caches_is_told_by_its_life() -> None:
    usage = {
        "input_tokens": 10,
        "output_tokens": 5,
        "cache_read_input_tokens": 1,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
        "service_tier": "batch",
    }
    event = TRANSLATOR.answer(msgspec.json.encode({"content": [], "usage": usage}), "messages")
    assert event.usage == Usage(41, 5, 1, cache_write=20, cache_write_1h=10, tier="batch")


def sse(*payloads: str) -> bytes:
    return b"".join(b"event: x\ndata: " + payload.encode() + b"\n\n" for payload in payloads)


START = '{"type":"message_start","message":{"id":"m","model":"c","usage":{"input_tokens":1,"output_tokens":1}}}'


@pytest.mark.parametrize("dialect", ["chat", "messages"])
def test_a_broken_event_is_a_failure_after_the_events_before_it(dialect: str) -> None:
    decoder = TRANSLATOR.decoder(dialect)
    assert len(decoder.feed(sse(START, "{", START))) == 1
    assert decoder.failure is not None
    assert decoder.failure.kind.name == "upstream_invalid"
    assert decoder.feed(sse(START)) == []
    oversized = AnthropicTranslator(lambda: 0, max_event_bytes=10).decoder(dialect)
    assert oversized.feed(sse(START)) == []
    assert oversized.failure is not None


@pytest.mark.parametrize("dialect", ["chat", "messages"])
def test_a_stream_is_whole_only_with_message_stop(dialect: str) -> None:
    decoder = TRANSLATOR.decoder(dialect)
    decoder.feed(sse(START))
    with pytest.raises(GatewayError) as caught:
        decoder.end()
    assert caught.value.kind.name == "upstream_incomplete"
    decoder.feed(sse('{"type":"message_stop"}', START))
    assert decoder.done
    decoder.end()
    assert decoder.feed(sse(START)) == []


def test_what_has_no_form_in_chat_makes_no_chunk() -> None:
    events, decoder = chat_stream(
        sse(
            START,
            '{"type":"newest_event","x":1}',
            '{"type":"content_block_start","index":0}',
            '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lost"}}',
            '{"type":"content_block_stop","index":0}',
            '{"type":"content_block_start","index":1,"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}',
            '{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{}"}}',
            '{"type":"content_block_stop","index":1}',
            '{"type":"message_delta","delta":{"stop_reason":null},"usage":null}',
            '{"type":"message_delta"}',
            '{"type":"message_stop"}',
        )
    )
    assert decoder.done
    assert [msgspec.json.decode(e.data)["choices"] for e in events][1:] == [[]]


def test_blocks_that_begin_with_content_and_tools_given_at_once() -> None:
    """Compatible servers do so."""
    stream = sse(
        START,
        '{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"hm"}}',
        '{"type":"content_block_stop","index":0}',
        '{"type":"content_block_start","index":1,"content_block":{"type":"text","text":"yes"}}',
        '{"type":"content_block_stop","index":1}',
        '{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t","name":"f","input":{"a":1}}}',
        '{"type":"content_block_stop","index":2}',
        '{"type":"message_delta","delta":{"stop_reason":"tool_use"}}',
        '{"type":"message_stop"}',
    )
    deltas = [c["delta"] for e in chat_stream(stream)[0] for c in msgspec.json.decode(e.data)["choices"]]
    thought = {"index": 0, "type": "thinking", "thinking": "hm", "signature": ""}
    assert deltas[1:4] == [{"reasoning_content": "hm"}, {"thinking_blocks": [thought]}, {"content": "yes"}]
    assert deltas[5] == {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":1}'}}]}
    assert [e.texts for e in TRANSLATOR.decoder("messages").feed(stream) if e.texts] == [((0, "yes"),)]


def test_a_stream_without_usage_has_no_usage_chunk() -> None:
    events, decoder = chat_stream(sse('{"type":"message_start"}', '{"type":"message_stop"}'))
    assert decoder.done
    assert [e.usage_only for e in events] == [False]
