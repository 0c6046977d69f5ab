import msgspec
import pytest
from msgspec import Raw

from gateway.core.conversation import Message
from gateway.core.errors import GatewayError
from gateway.core.events import Usage
from gateway.core.upstream import CHAT, Target, UpstreamCall
from gateway.providers.openai import OpenAITranslator

TARGET = Target("openai", "gpt-4o", "https://api.openai.com/v1", "sk-test")
HELLO = Message("user", "hi", b'{"role":"user","content":"hi","name":"ann"}')


def ask(*, stream: bool = False, **fields: object) -> UpstreamCall:
    return UpstreamCall("gpt-4o", (HELLO,), stream, {k: Raw(msgspec.json.encode(v)) for k, v in fields.items()})


def test_the_request_keeps_unknown_fields_and_the_callers_bytes() -> None:
    request = OpenAITranslator().request(TARGET, ask(temperature=0.5, new_thing={"deep": [1, 2]}))
    assert request.path == "/chat/completions"
    assert dict(request.headers)[b"authorization"] == b"Bearer sk-test"
    assert HELLO.raw in request.body
    assert msgspec.json.decode(request.body) == {
        "temperature": 0.5,
        "new_thing": {"deep": [1, 2]},
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "hi", "name": "ann"}],
    }


def test_a_stream_always_asks_for_usage_and_keeps_other_stream_options() -> None:
    body = msgspec.json.decode(OpenAITranslator().request(TARGET, ask(stream=True)).body)
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}
    call = ask(stream=True, stream_options={"include_usage": False, "include_obfuscation": False})
    body = msgspec.json.decode(OpenAITranslator().request(TARGET, call).body)
    assert body["stream_options"] == {"include_usage": True, "include_obfuscation": False}


def test_translating_twice_gives_the_same_bytes() -> None:
    call = ask(stream=True, seed=7)
    assert OpenAITranslator().request(TARGET, call) == OpenAITranslator().request(TARGET, call)


def test_no_key_no_authorization() -> None:
    request = OpenAITranslator().request(msgspec.structs.replace(TARGET, api_key=""), ask())
    assert b"authorization" not in dict(request.headers)


def test_a_whole_answer_is_one_event_with_its_bytes_untouched() -> None:
    body = (
        b'{"id":"c1", "choices":[{"index":0,"message":{"role":"assistant","content":"hey"},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,'
        b'"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":1}}}'
    )
    event = OpenAITranslator().answer(body, "chat")
    assert event.data is body
    assert event.texts == ((0, "hey"),)
    assert event.finish == "stop"
    assert event.usage == Usage(9, 2, 4, 1)


@pytest.mark.parametrize(
    "usage",
    [
        b"null",
        b'"many"',
        b'{"prompt_tokens":-1,"completion_tokens":1}',
        b'{"prompt_tokens":1,"completion_tokens":1e30}',
        b'{"prompt_tokens":1,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":5}}',
        b'{"prompt_tokens":"9"}',
    ],
)
def test_nonsense_usage_is_no_usage_and_no_failure(usage: bytes) -> None:
    event = OpenAITranslator().answer(b'{"choices":[],"usage":' + usage + b"}", "chat")
    assert event.usage is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"choices":5}', b'{"error":1}', b"\xff", b"[" * 100_000])
def test_what_is_no_completion_is_an_invalid_upstream(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        OpenAITranslator().answer(body, "chat")
    assert caught.value.kind.name == "upstream_invalid"
    assert "html" not in caught.value.detail


STREAM = [
    b'data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"usage":null}\n\n',
    b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"he"}}],"usage":null}\n\n',
    b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"y"}}],"usage":null}\n\n',
    b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}\n\n',
    b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n',
    b"data: [DONE]\n\n",
]


def test_a_stream_becomes_events() -> None:
    decoder = OpenAITranslator().decoder("chat")
    events = [event for piece in STREAM for event in decoder.feed(piece)]
    assert [e.texts for e in events] == [(), ((0, "he"),), ((0, "y"),), (), ()]
    assert [e.finish for e in events] == [None, None, None, "stop", None]
    assert events[-1].usage == Usage(3, 2)
    assert [e.usage_only for e in events] == [False, False, False, False, True]
    assert decoder.done
    decoder.end()
    assert decoder.feed(b"data: junk\n\n") == []


def test_a_stream_cut_before_done_is_incomplete_even_after_its_finish_reason() -> None:
    decoder = OpenAITranslator().decoder("chat")
    for piece in STREAM[:-1]:
        decoder.feed(piece)
    with pytest.raises(GatewayError) as caught:
        decoder.end()
    assert caught.value.kind.name == "upstream_incomplete"


def test_null_is_no_error() -> None:
    (event,) = OpenAITranslator().decoder("chat").feed(b'data: {"choices":[],"error":null,"usage":null}\n\n')
    assert event.usage is None
    assert not event.usage_only


def test_several_choices_keep_their_index() -> None:
    decoder = OpenAITranslator().decoder("chat")
    (event,) = decoder.feed(
        b'data: {"choices":[{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"b"},"finish_reason":"stop"}]}\n\n'
    )
    assert event.texts == ((0, "a"), (1, "b"))
    assert event.finish == "stop"


@pytest.mark.parametrize("payload", [b"{", b"[1]", b'{"choices":3}', b"nonsense"])
def test_a_broken_event_ends_the_stream_with_an_error(payload: bytes) -> None:
    decoder = OpenAITranslator().decoder("chat")
    assert decoder.feed(b"data: " + payload + b"\n\n") == []
    assert decoder.failure is not None
    assert decoder.failure.kind.name == "upstream_invalid"
    assert decoder.feed(STREAM[1]) == []


@pytest.mark.parametrize("error", [b'{"message":"out of memory","type":"server_error"}', b'"out of memory"'])
def test_an_error_event_comes_after_what_was_before_it_in_the_same_read(error: bytes) -> None:
    decoder = OpenAITranslator().decoder("chat")
    (event,) = decoder.feed(STREAM[1] + b'data: {"error":' + error + b"}\n\n" + STREAM[2])
    assert event.texts == ((0, "he"),)
    assert decoder.failure is not None
    assert decoder.failure.kind.name == "upstream_error"
    assert decoder.failure.detail == "out of memory"


def test_an_event_without_end_is_cut_off() -> None:
    decoder = OpenAITranslator(100).decoder("chat")
    assert decoder.feed(b"data: " + b"x" * 200) == []
    assert decoder.failure is not None


@pytest.mark.parametrize(
    ("status", "kind", "sent"),
    [
        (400, "upstream_rejected", 400),
        (404, "upstream_rejected", 404),
        (413, "upstream_rejected", 413),
        (422, "upstream_rejected", 422),
        (401, "upstream_auth_error", 502),
        (403, "upstream_auth_error", 502),
        (429, "upstream_rate_limited", 429),
        (408, "upstream_error", 502),
        (500, "upstream_error", 502),
        (503, "upstream_error", 502),
        (529, "upstream_error", 502),
        (204, "upstream_invalid", 502),
        (302, "upstream_invalid", 502),
    ],
)
def test_failures_are_judged_by_status(status: int, kind: str, sent: int) -> None:
    # The message says 429, as a prompt could make it say: it proves nothing.
    error = OpenAITranslator().failure(
        TARGET, status, {}, b'{"error":{"message":"429 rate limit","type":"x","param":"messages"}}'
    )
    assert error.kind.name == kind
    assert error.status == sent
    assert error.target == "openai"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({b"retry-after": b"7"}, 7.0),
        ({b"retry-after-ms": b"250", b"retry-after": b"9"}, 0.25),
        ({b"retry-after": b"600"}, None),
        ({b"retry-after": b"soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_passed_on_when_clients_would_honour_it(headers: dict[bytes, bytes], seconds: float | None) -> None:
    assert OpenAITranslator().failure(TARGET, 429, headers, b"").retry_after == seconds


def test_the_providers_own_body_stays_private() -> None:
    error = OpenAITranslator().failure(TARGET, 500, {}, b"<html>stack trace with sk-secret</html>")
    assert "sk-secret" not in error.detail
    assert "sk-secret" in (error.cause or "")


def test_events_tell_whether_their_texts_are_all_the_text_in_them() -> None:
    deltas = ['{"content":"a"}', '{"content":"b","reasoning":"hm"}', '{"content":"c"}', "{}"]
    chunks = [f'data: {{"choices":[{{"index":0,"delta":{delta}}}]}}\n\n' for delta in deltas]
    chunks.insert(3, 'data: {"choices":[]}\n\n')
    events = OpenAITranslator().decoder(CHAT).feed("".join(chunks).encode())
    # Behind one that says more, the next ones are not tried: whoever wants to know reads them.
    assert [event.plain for event in events] == [True, False, False, False, True]
    assert [event.texts for event in events] == [((0, "a"),), ((0, "b"),), ((0, "c"),), (), ()]
