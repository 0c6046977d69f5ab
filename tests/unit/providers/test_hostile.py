"""Providers that answer nonsense: always a clear failure, never an exception of ours and never an invented end."""

from typing import Any

import pytest

from gateway.core.errors import GatewayError
from gateway.core.upstream import Target
from tests.unit.providers.golden import TRANSLATORS, call, frame, stream_bytes, target

NATIVE = ["gemini", "cohere", "bedrock"]
HI = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize("provider", [*NATIVE, "mistral", "azure"])
@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'{"candidates":5}', b'{"message":3}', b"\xff", b"[" * 100_000, b'{"thinking":' + b"[" * 100_000],
)
def test_what_is_no_answer_is_an_invalid_upstream(provider: str, body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        TRANSLATORS[provider].answer(body, "chat")
    assert caught.value.kind.name == "upstream_invalid"
    assert "html" not in caught.value.detail


@pytest.mark.parametrize(
    ("provider", "body", "kind"),
    [
        ("gemini", b"{}", "upstream_invalid"),
        ("gemini", b'{"candidates":[{"finishReason":"OTHER"}]}', "upstream_error"),
        ("gemini", b'{"candidates":[{}]}', "upstream_error"),
        ("cohere", b'{"id":"x","message":{}}', "upstream_error"),
        ("cohere", b'{"id":"x","message":{"tool_calls":[{}]},"finish_reason":"TOOL_CALL"}', "upstream_invalid"),
        ("bedrock", b'{"output":{"message":{}},"stopReason":"malformed_tool_use"}', "upstream_error"),
    ],
)
def test_an_end_that_is_no_answer(provider: str, body: bytes, kind: str) -> None:
    with pytest.raises(GatewayError) as caught:
        TRANSLATORS[provider].answer(body, "chat")
    assert caught.value.kind.name == kind


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("gemini", b'{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":-1}}'),
        ("gemini", b'{"candidates":[{"finishReason":"STOP"}]}'),
        (
            "cohere",
            b'{"id":"x","message":{},"finish_reason":"COMPLETE","usage":{"tokens":{"input_tokens":1,"output_tokens":1}}}',
        ),
        (
            "cohere",
            b'{"id":"x","message":{},"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":-5,"output_tokens":1}}}',
        ),
        ("bedrock", b'{"output":{"message":{}},"stopReason":"end_turn"}'),
        (
            "bedrock",
            b'{"output":{"message":{}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":99999999999999999}}',
        ),
    ],
)
def test_nonsense_usage_is_no_usage_and_no_failure(provider: str, body: bytes) -> None:
    assert TRANSLATORS[provider].answer(body, "chat").usage is None


@pytest.mark.parametrize("provider", NATIVE)
def test_a_stream_cut_short_is_incomplete(provider: str) -> None:
    begun: dict[str, list[Any]] = {
        "gemini": [{"candidates": [{"content": {"parts": [{"text": "a"}]}}], "responseId": "r"}],
        "cohere": [{"type": "message-start", "id": "x"}],
        "bedrock": [{"messageStart": {"role": "assistant"}}],
    }
    decoder = TRANSLATORS[provider].decoder("chat")
    assert decoder.feed(stream_bytes(provider, begun[provider]))
    assert not decoder.done
    with pytest.raises(GatewayError) as caught:
        decoder.end()
    assert caught.value.kind.name == "upstream_incomplete"


def test_bedrock_without_its_last_event_is_complete_once_the_model_has_ended() -> None:
    decoder = TRANSLATORS["bedrock"].decoder("chat")
    decoder.feed(stream_bytes("bedrock", [{"messageStart": {}}, {"messageStop": {"stopReason": "end_turn"}}]))
    assert not decoder.done
    decoder.end()


@pytest.mark.parametrize("provider", NATIVE)
def test_a_broken_event_ends_the_stream(provider: str) -> None:
    decoder = TRANSLATORS[provider].decoder("chat")
    broken = frame({":message-type": "event", ":event-type": "messageStart"}, b"{") if provider == "bedrock" else b"data: {\n\n"
    assert decoder.feed(broken) == []
    assert decoder.failure is not None
    assert decoder.failure.kind.name == "upstream_invalid"
    assert decoder.feed(broken) == []


@pytest.mark.parametrize(
    ("provider", "events"),
    [
        ("cohere", [{"type": "tool-call-delta", "delta": {"message": {"tool_calls": {"function": {"arguments": "x"}}}}}]),
        ("cohere", [{"type": "tool-call-start", "delta": {"message": {"tool_calls": {"function": {}}}}}]),
        ("bedrock", [{"contentBlockDelta": {"contentBlockIndex": 3, "delta": {"toolUse": {"input": "x"}}}}]),
    ],
)
def test_arguments_of_no_call_are_broken(provider: str, events: list[Any]) -> None:
    decoder = TRANSLATORS[provider].decoder("chat")
    decoder.feed(stream_bytes(provider, events))
    assert decoder.failure is not None
    assert decoder.failure.kind.name == "upstream_invalid"


@pytest.mark.parametrize(
    ("provider", "events"),
    [
        ("cohere", [{"type": "debug", "prompt": "x"}, {"type": "content-delta"}, {"type": "tool-call-end"}]),
        (
            "cohere",
            [{"type": "tool-call-start", "delta": {"message": {}}}, {"type": "content-start", "delta": {"message": {}}}],
        ),
        ("bedrock", [{"somethingNew": {"x": 1}}, {"contentBlockStart": {"start": {"image": {}}}}, {"contentBlockStop": {}}]),
        ("bedrock", [{"contentBlockDelta": {"delta": {"citation": {}}}}]),
    ],
)
def test_events_that_say_nothing_to_us_are_passed_over(provider: str, events: list[Any]) -> None:
    decoder = TRANSLATORS[provider].decoder("chat")
    assert decoder.feed(stream_bytes(provider, events)) == []
    assert decoder.failure is None


def test_errors_that_are_no_exceptions() -> None:
    decoder = TRANSLATORS["bedrock"].decoder("chat")
    decoder.feed(frame({":message-type": "error", ":error-code": "500", ":error-message": "gone"}, b"{}"))
    assert decoder.failure is not None
    assert decoder.failure.detail == "gone"
    other = TRANSLATORS["cohere"].decoder("chat")
    other.feed(b'event: error\ndata: {"type":"error","message":"no"}\n\n')
    assert other.failure is not None
    assert other.failure.detail == "no"


@pytest.mark.parametrize("provider", [p for p in TRANSLATORS if p != "bedrock"])
def test_no_key_no_header(provider: str) -> None:
    request = TRANSLATORS[provider].request(target(provider, key=""), call({"model": "m", "messages": HI}))
    assert request.headers == ((b"content-type", b"application/json"),)


def test_an_api_key_of_bedrock_is_a_bearer_token() -> None:
    place = Target("bedrock", "m", "https://h", "key-1")
    request = TRANSLATORS["bedrock"].request(place, call({"model": "m", "messages": HI}))
    assert dict(request.headers)[b"authorization"] == b"Bearer key-1"
    assert b"x-amz-date" not in dict(request.headers)


@pytest.mark.parametrize("provider", NATIVE)
def test_arguments_nested_too_deeply_are_a_clear_error(provider: str) -> None:
    deep = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":' + "[" * 100_000}}
    chat = {"model": "m", "messages": [{"role": "assistant", "tool_calls": [deep]}]}
    if provider == "cohere":
        assert TRANSLATORS[provider].request(target(provider), call(chat)).body
        return
    with pytest.raises(GatewayError) as caught:
        TRANSLATORS[provider].request(target(provider), call(chat))
    assert caught.value.param == "messages[0].tool_calls[0].function.arguments"


def test_an_answer_of_mistral_that_ends_with_an_error_is_none() -> None:
    body = b'{"id":"m","choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"error"}]}'
    with pytest.raises(GatewayError) as caught:
        TRANSLATORS["mistral"].answer(body, "chat")
    assert caught.value.kind.name == "upstream_error"
    decoder = TRANSLATORS["mistral"].decoder("chat")
    said = b'data: {"id":"m","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}\n\n'
    end = b'data: {"id":"m","choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}\n\n'
    assert [event.texts for event in decoder.feed(said + end)] == [((0, "x"),)]
    assert decoder.failure is not None
    assert decoder.failure.kind.name == "upstream_error"


def test_a_broken_event_of_mistral_is_left_to_its_reader() -> None:
    decoder = TRANSLATORS["mistral"].decoder("chat")
    assert decoder.feed(b'data: {"thinking":\n\n') == []
    assert decoder.failure is not None
    assert decoder.failure.kind.name == "upstream_invalid"


@pytest.mark.parametrize("provider", ["mistral", "azure", "ollama"])
def test_stream_options_that_are_no_object_are_named(provider: str) -> None:
    with pytest.raises(GatewayError) as caught:
        TRANSLATORS[provider].request(
            target(provider), call({"model": "m", "messages": HI, "stream": True, "stream_options": [1]})
        )
    assert (caught.value.kind.name, caught.value.param) == ("malformed", "stream_options")


@pytest.mark.parametrize("provider", ["azure", "gemini", "bedrock"])
@pytest.mark.parametrize("model", ["", ".", "..", "models/.."])
def test_a_model_that_would_be_another_place_is_no_model(provider: str, model: str) -> None:
    if model.startswith("models/") and provider != "gemini":
        request = TRANSLATORS[provider].request(target(provider), call({"model": model, "messages": HI}))
        assert "models%2F.." in request.path
        return
    with pytest.raises(GatewayError) as caught:
        TRANSLATORS[provider].request(target(provider), call({"model": model, "messages": HI}))
    assert caught.value.kind.name == "unknown_model"
