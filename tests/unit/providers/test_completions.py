"""Speaking the legacy completions API with a provider that has it."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gateway.core.conversation import Message
from gateway.core.errors import MALFORMED, UPSTREAM_ERROR, UPSTREAM_INCOMPLETE, UPSTREAM_INVALID, GatewayError
from gateway.core.events import Usage
from gateway.core.upstream import CHAT, Target, UpstreamCall
from gateway.providers.completions import COMPLETIONS, CompletionsTranslator
from gateway.providers.openai import OpenAITranslator

TARGET = Target("vllm", "m-1", "http://vllm/v1", "sk")
TRANSLATOR = CompletionsTranslator(OpenAITranslator(), 1 << 20)
STORED = Message("system", "Be brief.", b'{"role":"system","content":"Be brief."}')


def asked(native: bytes = b'"hi"', text: str = "hi") -> Message:
    return Message("user", text, b"{}", native)


def call(*conversation: Message, stream: bool = False, stored: dict[str, bytes] | None = None, **native: bytes) -> UpstreamCall:
    return UpstreamCall(
        "m-1",
        conversation or (asked(),),
        stream,
        {},
        COMPLETIONS,
        {name: Raw(value) for name, value in native.items()},
        {name: Raw(value) for name, value in (stored or {}).items()},
    )


def sent(upstream: UpstreamCall) -> Any:
    return msgspec.json.decode(TRANSLATOR.request(TARGET, upstream).body)


def test_it_speaks_one_dialect_more() -> None:
    assert TRANSLATOR.speaks == {CHAT, COMPLETIONS}
    assert TRANSLATOR.stream_type == b"text/event-stream"


def test_the_call_goes_as_it_came() -> None:
    request = TRANSLATOR.request(TARGET, call(asked(b"[ [1, 2],[3]]"), temperature=b"1.0", x=b"[ ]", echo=b"true"))
    assert request.path == "/completions"
    assert dict(request.headers) == {b"content-type": b"application/json", b"authorization": b"Bearer sk"}
    assert request.body == b'{"temperature":1.0,"x":[ ],"echo":true,"model":"m-1","prompt":[ [1, 2],[3]]}'


def test_streams_are_asked_for_usage() -> None:
    body = sent(call(stream=True, stream_options=b'{"x":1}'))
    assert (body["stream"], body["stream_options"]) == (True, {"x": 1, "include_usage": True})
    assert sent(call(stream=True))["stream_options"] == {"include_usage": True}


def test_stored_messages_and_the_callers_text_are_one_text() -> None:
    assert sent(call(STORED, asked()))["prompt"] == "Be brief.\n\nhi"
    assert sent(call(STORED))["prompt"] == "Be brief."
    for native in (b'["a","b"]', b"[1]"):
        with pytest.raises(GatewayError) as caught:
            TRANSLATOR.request(TARGET, call(STORED, asked(native, "")))
        assert (caught.value.kind, caught.value.param) == (MALFORMED, "prompt")


def test_stored_parameters_stand_beneath_the_callers_in_the_old_names() -> None:
    stored = {"max_completion_tokens": b"9", "temperature": b"0", "logprobs": b"true", "top_logprobs": b"2"}
    body = sent(call(stored=stored, temperature=b"1"))
    assert (body["max_tokens"], body["temperature"], body["logprobs"]) == (9, 1, 2)
    assert "max_completion_tokens" not in body
    assert sent(call(stored={"logprobs": b"true"}))["logprobs"] == 0
    assert "logprobs" not in sent(call(stored={"logprobs": b"false"}))
    with pytest.raises(GatewayError) as caught:
        TRANSLATOR.request(TARGET, call(stored={"tools": b"[]"}))
    assert (caught.value.kind, caught.value.param) == (MALFORMED, "tools")


def test_chat_is_the_inner_translators() -> None:
    chat = UpstreamCall("m", (STORED,), False, {})
    assert TRANSLATOR.request(TARGET, chat) == OpenAITranslator().request(TARGET, chat)
    body = b'{"choices":[{"message":{"content":"a"}}]}'
    assert TRANSLATOR.answer(body, CHAT).texts == ((0, "a"),)
    assert TRANSLATOR.decoder(CHAT).feed(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n')[0].texts == ((0, "a"),)
    assert TRANSLATOR.failure(TARGET, 500, {}, b"").kind is UPSTREAM_ERROR


def test_an_answer() -> None:
    body = (
        b'{"choices":[{"text":"a","index":0,"finish_reason":"stop","logprobs":{}},{"text":"b","index":1}],'
        b'"usage":{"prompt_tokens":3,"completion_tokens":2}}'
    )
    event = TRANSLATOR.answer(body, COMPLETIONS)
    assert (event.data, event.texts, event.finish, event.usage) == (body, ((0, "a"), (1, "b")), "stop", Usage(3, 2))
    assert TRANSLATOR.answer(b'{"choices":[]}', COMPLETIONS).finish is None
    with pytest.raises(GatewayError) as caught:
        TRANSLATOR.answer(b'{"choices":5}', COMPLETIONS)
    assert caught.value.kind is UPSTREAM_INVALID


STREAM = (
    b'data: {"id":"c","choices":[{"text":"a","index":0}]}\n\n'
    b'data: {"id":"c","choices":[{"text":"","index":0,"finish_reason":"stop"},{"text":"\xc3\xa9","index":1}],"usage":null}\n\n'
    b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
    b"data: [DONE]\n\n"
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_a_stream_in_any_cutting(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    decoder = TRANSLATOR.decoder(COMPLETIONS)
    events = [e for a, b in pairwise(places) for e in decoder.feed(STREAM[a:b])]
    decoder.end()
    assert [e.texts for e in events] == [((0, "a"),), ((1, "\u00e9"),), ()]
    assert [e.finish for e in events] == [None, "stop", None]
    assert [e.usage for e in events] == [None, None, Usage(3, 2)]
    assert [e.usage_only for e in events] == [False, False, True]
    assert decoder.feed(b"data: {}\n\n") == []


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'data: {"error":{"message":"no"}}\n\n', UPSTREAM_ERROR),
        (b"data: nonsense\n\n", UPSTREAM_INVALID),
        (b"data: " + b"x" * (1 << 21) + b"\n\n", UPSTREAM_INVALID),
    ],
)
def test_a_stream_that_fails(data: bytes, kind: object) -> None:
    decoder = TRANSLATOR.decoder(COMPLETIONS)
    first = decoder.feed(b'data: {"choices":[{"text":"a"}]}\n\n' + data)
    assert decoder.failure is not None
    assert decoder.failure.kind is kind
    assert len(first) <= 1
    assert decoder.feed(STREAM) == []
    with pytest.raises(GatewayError) as caught:
        decoder.end()
    assert caught.value.kind is UPSTREAM_INCOMPLETE
