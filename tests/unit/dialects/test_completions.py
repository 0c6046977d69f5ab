"""The legacy completions API as a client format: what is read, and how chat answers become texts."""

from typing import Any

import msgspec
import pytest

from gateway.core.errors import CONTRADICTION, MALFORMED, UPSTREAM_INVALID, UPSTREAM_TIMEOUT, GatewayError
from gateway.core.events import Event, Usage
from gateway.core.requests import ChatRequest, Inbound
from gateway.dialects.completions import COMPLETIONS_DIALECT, MAX_PROMPTS


def inbound(body: object, **headers: str) -> Inbound:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    given = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return Inbound("completions", given, data, "call", "req", 0, 0.0, 1.0)


def read(prompt: object = "Say hi", **fields: object) -> ChatRequest:
    return COMPLETIONS_DIALECT.read(inbound({"model": "m", "prompt": prompt, **fields}))


def refused(prompt: object = "hi", **fields: object) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        read(prompt, **fields)
    assert caught.value.kind is MALFORMED
    return caught.value


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_text_becomes_one_message_and_the_fields_keep_their_bytes() -> None:
    request = COMPLETIONS_DIALECT.read(
        inbound(
            b'{"model":"m","prompt":"Say \\u0068i","max_tokens":5,"temperature":1.0,"stop":["\\n"],"seed":null,'
            b'"stream":true,"stream_options":{"include_usage":true},"n":2,"user":"u","x_new":{"a": 1}}',
            x_session_id="s",
            x_tags="a,b",
        )
    )
    (message,) = request.messages
    assert (message.role, message.text, message.native) == ("user", "Say hi", b'"Say \\u0068i"')
    assert msgspec.json.decode(message.raw) == {"role": "user", "content": "Say hi"}
    assert (request.model, request.stream, request.include_usage, request.choices) == ("m", True, True, 2)
    assert (request.user, request.unit, request.session, request.tags) == ("u", "u", "s", ("a", "b"))
    assert request.untranslatable is None
    fields = {name: bytes(value) for name, value in request.fields.items()}
    assert fields == {
        "max_tokens": b"5",
        "temperature": b"1.0",
        "stop": b'["\\n"]',
        "seed": b"null",
        "stream_options": b'{"include_usage":true}',
        "n": b"2",
        "user": b'"u"',
        "x_new": b'{"a": 1}',
    }
    assert {name: bytes(value) for name, value in request.native.items()} == fields


@pytest.mark.parametrize(
    ("prompt", "text", "choices", "untranslatable"),
    [
        ("a", "a", 2, None),
        (["a"], "a", 2, None),
        (["a", "b"], "a\nb", 4, "prompt"),
        ([1, 2, 3], "", 2, "prompt"),
        ([[1], [2, 3]], "", 4, "prompt"),
        ("", "", 2, None),
    ],
)
def test_forms_of_the_prompt(prompt: object, text: str, choices: int, untranslatable: str | None) -> None:
    request = read(prompt, n=2)
    assert [m.text for m in request.messages] == [text]
    assert request.messages[0].native == msgspec.json.encode(prompt)
    assert (request.choices, request.untranslatable) == (choices, untranslatable)


@pytest.mark.parametrize("body", [{"model": "m"}, {"model": "m", "prompt": None}])
def test_no_prompt_is_no_message(body: object) -> None:
    assert COMPLETIONS_DIALECT.read(inbound(body)).messages == ()


@pytest.mark.parametrize("prompt", [[], 5, {}, ["a", 1], [[1], 2], [["a"]], [[1], "a"], ["a"] * (MAX_PROMPTS + 1), [[1]] * 33])
def test_a_prompt_that_is_none(prompt: object) -> None:
    assert (refused(prompt).param or "").startswith("prompt")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 0}, "n"),
        ({"n": 9}, "n"),
        ({"best_of": 99}, "best_of"),
        ({"n": 3, "best_of": 2}, "best_of"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": -1}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"echo": "yes"}, "echo"),
        ({"model": 5}, "model"),
        ({"user": "a\0"}, "user"),
    ],
)
def test_bad_fields_are_named(fields: dict[str, object], param: str) -> None:
    assert refused(**fields).param == param


def test_no_json_at_all() -> None:
    with pytest.raises(GatewayError):
        COMPLETIONS_DIALECT.read(inbound(b"{"))


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"suffix": "end"}, "suffix"),
        ({"suffix": ""}, None),
        ({"suffix": None}, None),
        ({"best_of": 3}, "best_of"),
        ({"best_of": 2, "n": 2}, None),
        ({"echo": True}, None),
        ({"echo": True, "logprobs": 0}, "echo"),
        ({"echo": False, "logprobs": 2}, None),
    ],
)
def test_what_chat_has_no_form_for(fields: dict[str, object], name: str | None) -> None:
    request = read(**fields)
    assert request.untranslatable == name
    assert not {"suffix", "best_of", "echo"} & set(request.fields)
    assert set(fields) <= set(request.native)


def test_token_probabilities_are_asked_for_in_chats_way() -> None:
    assert bytes(read(logprobs=3).fields["logprobs"]) == b"true"
    assert bytes(read(logprobs=3).fields["top_logprobs"]) == b"3"
    assert "top_logprobs" not in read(logprobs=0).fields
    assert not {"logprobs", "top_logprobs"} & set(read(logprobs=None).fields)


def test_prompts_are_named_by_model_and_headers() -> None:
    assert str(read(model="faq@staging").reference) == "faq@staging"
    request = COMPLETIONS_DIALECT.read(inbound({"model": "m", "prompt": "faq", "variables": {"a": "b"}}, x_prompt="faq"))
    assert (str(request.reference), request.variables) == ("faq@production", {"a": "b"})
    assert request.messages[0].text == "faq", "the field prompt is text"
    with pytest.raises(GatewayError) as caught:
        COMPLETIONS_DIALECT.read(inbound({"model": "a@b", "prompt": ""}, x_prompt="c"))
    assert caught.value.kind is CONTRADICTION


# --- answers ----------------------------------------------------------------------------------------------------------


def answered(answer: object, **fields: object) -> Any:
    body = inbound({})
    return msgspec.json.decode(
        COMPLETIONS_DIALECT.whole(Event(msgspec.json.encode(answer)), read(**fields), body, native=False)
    )


def said(text: str | None, index: int = 0, **fields: object) -> dict[str, object]:
    return {"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", **fields}


def test_a_chat_answer_as_texts() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "new": [1]}
    answer = {
        "id": "x", "object": "chat.completion", "created": 7, "model": "m-1", "system_fingerprint": "fp",
        "choices": [said("Hi"), said(None, 1, finish_reason="length")], "usage": usage,
    }  # fmt: skip
    assert answered(answer) == {
        "id": "x",
        "object": "text_completion",
        "created": 7,
        "model": "m-1",
        "system_fingerprint": "fp",
        "choices": [
            {"text": "Hi", "index": 0, "logprobs": None, "finish_reason": "stop"},
            {"text": "", "index": 1, "logprobs": None, "finish_reason": "length"},
        ],
        "usage": usage,
    }
    refusal = {"index": 0, "message": {"content": None, "refusal": "No."}, "finish_reason": "stop"}
    assert answered({"choices": [refusal]})["choices"][0]["text"] == "No."


def test_echo_comes_first() -> None:
    assert answered({"choices": [said("!"), said("?", 1)]}, prompt="Hi", echo=True)["choices"][1]["text"] == "Hi?"
    assert answered({"choices": [said("!")]}, prompt="Hi", echo=False)["choices"][0]["text"] == "!"
    silent = COMPLETIONS_DIALECT.read(inbound({"model": "m", "echo": True}))
    whole = COMPLETIONS_DIALECT.whole(Event(msgspec.json.encode({"choices": [said("!")]})), silent, inbound({}), native=False)
    assert msgspec.json.decode(whole)["choices"][0]["text"] == "!"


TOKENS = [
    {"token": "Hi", "logprob": -0.5, "bytes": [72], "top_logprobs": [{"token": "Hi", "logprob": -0.5}, {"token": "Yo", "logprob": -2.0}]},
    {"token": " you", "logprob": -1.0, "bytes": None, "top_logprobs": []},
]  # fmt: skip


def test_token_probabilities_in_the_legacy_form() -> None:
    assert answered({"choices": [said("Hi you", logprobs={"content": TOKENS})]})["choices"][0]["logprobs"] == {
        "tokens": ["Hi", " you"],
        "token_logprobs": [-0.5, -1.0],
        "top_logprobs": [{"Hi": -0.5, "Yo": -2.0}, {}],
        "text_offset": [0, 2],
    }
    assert answered({"choices": [said("a", logprobs={"content": None})]})["choices"][0]["logprobs"] is None


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense",
        {"choices": [{"message": {"content": None, "tool_calls": [{"id": "1"}]}}]},
        {"choices": [{"message": {"function_call": {"name": "f"}}}]},
    ],
)
def test_what_is_no_text(answer: object) -> None:
    data = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
    with pytest.raises(GatewayError) as caught:
        COMPLETIONS_DIALECT.whole(Event(data), read(), inbound({}), native=False)
    assert caught.value.kind is UPSTREAM_INVALID


def test_a_native_answer_is_not_touched() -> None:
    assert COMPLETIONS_DIALECT.whole(Event(b" {} "), read(echo=True), inbound({}), native=True) == b" {} "


# --- streams ----------------------------------------------------------------------------------------------------------


def chunk(text: str | None = None, index: int = 0, finish: str | None = None, **fields: object) -> Event:
    delta = {} if text is None else {"content": text}
    choice = {"index": index, "delta": delta, "finish_reason": finish, **fields}
    return Event(msgspec.json.encode({"id": "x", "model": "m", "choices": [choice], "usage": None}))


def payloads(frames: bytes) -> list[Any]:
    return [
        text if text == "[DONE]" else msgspec.json.decode(text)
        for text in (frame.removeprefix("data: ") for frame in frames.decode().split("\n\n") if frame)
    ]


def test_chunks_become_chunks_of_text() -> None:
    framer = COMPLETIONS_DIALECT.framer(read(prompt="P", echo=True), inbound({}), native=False)
    frames = framer.frames([chunk(""), chunk("a"), chunk("b", 1)]) + framer.frames([chunk("c"), chunk(finish="stop")])
    frames += framer.end(Usage(1, 2), 5)
    *chunks, end = payloads(frames)
    assert end == "[DONE]"
    assert {(c["object"], c["id"], c["model"]) for c in chunks} == {("text_completion", "x", "m")}
    assert [(c["choices"][0]["index"], c["choices"][0]["text"]) for c in chunks] == [
        (0, "P"), (0, "a"), (1, "Pb"), (0, "c"), (0, ""),
    ]  # fmt: skip
    assert [c["choices"][0]["finish_reason"] for c in chunks] == [None, None, None, None, "stop"]
    assert all("usage" not in c for c in chunks)


def test_offsets_of_tokens_go_on_from_chunk_to_chunk() -> None:
    framer = COMPLETIONS_DIALECT.framer(read(logprobs=1), inbound({}), native=False)
    events = [chunk(t["token"], logprobs={"content": [t]}) for t in TOKENS]  # type: ignore[arg-type]
    offsets = [c["choices"][0]["logprobs"]["text_offset"] for c in payloads(framer.frames(events))]
    assert offsets == [[0], [2]]


def test_usage_comes_last_with_its_cost_if_it_was_asked_for() -> None:
    counts = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    usage = Usage(1, 2)
    closing = Event(msgspec.json.encode({"id": "x", "choices": [], "usage": counts}), (), None, usage, usage_only=True)
    framer = COMPLETIONS_DIALECT.framer(read(stream_options={"include_usage": True}), inbound({}), native=False)
    first, last, end = payloads(framer.frames([chunk("a")]) + framer.frames([closing]) + framer.end(usage, 2_000_000_000))
    assert "usage" not in first
    assert (last["object"], last["choices"], last["usage"]) == ("text_completion", [], {**counts, "cost_usd": 2.0})
    assert end == "[DONE]"


def test_native_chunks_pass() -> None:
    framer = COMPLETIONS_DIALECT.framer(read(), inbound({}), native=True)
    assert framer.frames([Event(b'{"a":1,"usage":null}')]) == b'data: {"a":1}\n\n'


def test_failures_are_as_in_chat() -> None:
    error = GatewayError(UPSTREAM_TIMEOUT, "late")
    framer = COMPLETIONS_DIALECT.framer(read(), inbound({}), native=False)
    assert framer.failure(error) == COMPLETIONS_DIALECT.problem_frames(error)
    (event,) = payloads(framer.failure(error))
    assert event["error"]["code"] == "upstream_timeout"
    assert msgspec.json.decode(COMPLETIONS_DIALECT.problem(error, "r"))["error"]["message"] == "late"
    assert COMPLETIONS_DIALECT.problem_head("r") == "x-request-id: r\r\n"
    with pytest.raises(GatewayError):
        framer.frames([Event(b'{"choices":[{"delta":{"tool_calls":[{}]}}]}')])
