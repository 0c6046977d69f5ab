"""Streams as whole answers and back: OpenAI's own SDK is the judge of what a stream means."""

from typing import Any

import msgspec
import pytest
from openai.lib.streaming._deltas import accumulate_delta
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.wire.folding import MAX_CALLS, MAX_CHOICES, fold, unfold

encode, decode = msgspec.json.encode, msgspec.json.decode


def chunk(*choices: Any, **fields: Any) -> bytes:
    return encode(
        {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": list(choices), **fields}
    )


def part(delta: dict[str, Any] | None = None, finish: str | None = None, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta or {}, "finish_reason": finish, **fields}


CALLS = [
    chunk(part({"role": "assistant", "content": None, "tool_calls": [
        {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]})),
    chunk(part({"tool_calls": [{"index": 0, "function": {"arguments": '{"x"'}}]})),
    chunk(part({"tool_calls": [{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}]})),
    chunk(part({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]})),
    chunk(part(finish="tool_calls")),
    chunk(usage={"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}),
]  # fmt: skip


def test_text_tools_choices_logprobs_and_usage_are_put_together():
    whole = decode(fold(CALLS) or b"")
    ChatCompletion.model_validate(whole, strict=True)
    message = whole["choices"][0]["message"]
    assert [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in message["tool_calls"]] == [
        ("a", "f", '{"x":1}'),
        ("b", "g", "{}"),
    ]
    assert all("index" not in call for call in message["tool_calls"])
    assert whole["usage"]["total_tokens"] == 7
    many = decode(
        fold(
            [
                chunk(
                    part({"content": "b"}, index=1), part({"content": "a", "reasoning_content": "r"}), system_fingerprint="fp"
                ),
                chunk(part({"content": "B", "refusal": "no"}, index=1, logprobs={"content": [{"token": "B"}]})),
                chunk(part(index=1, logprobs={"content": [{"token": "!"}]}), part(finish="stop")),
                chunk(part(finish="length", index=1), usage=None),
            ]
        )
        or b""
    )
    first, second = many["choices"]
    assert (first["message"]["content"], first["message"]["reasoning_content"], first["finish_reason"]) == ("a", "r", "stop")
    assert (second["message"]["content"], second["message"]["refusal"], second["finish_reason"]) == ("bB", "no", "length")
    assert [t["token"] for t in second["logprobs"]["content"]] == ["B", "!"]
    assert many["system_fingerprint"] == "fp"
    assert "usage" not in many


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [chunk()],
        [chunk(part({"content": "cut"}))],
        [b"no json"],
        [chunk({"delta": {}})],
        [chunk(part(index=-1))],
        [chunk(part(index=MAX_CHOICES))],
        [chunk(part({"tool_calls": [{"index": MAX_CALLS}]}, "stop"))],
        [chunk(part({"tool_calls": [{"index": "0"}]}, "stop"))],
        [chunk(part({"tool_calls": [{"index": 0, "id": i}]}, "stop")) for i in ("a", "b")],
        [chunk(part({"tool_calls": [{"index": 0, "id": i}]}, "stop")) for i in ({}, [1])],
        [chunk("x")],
        [encode({"choices": 5})],
        [chunk(part([1], "stop"))],  # type: ignore[arg-type]
        [chunk(part({"content": "a"}, "stop"), part(finish=None, index=1))],
        [chunk(part(logprobs="x", finish="stop"), part(logprobs={"a": 1}))],
    ],
)
def test_what_is_no_complete_stream_is_no_answer(chunks: list[bytes]):
    assert fold(chunks) is None


def test_odd_values_neither_break_nor_vanish():
    whole = decode(
        fold(
            [
                chunk(part({"x": 1, "y": {"a": "b"}, "z": [1], "w": None})),
                chunk(part({"x": 2, "y": {"a": "c"}, "z": [2], "w": None}, "stop")),
            ]
        )
        or b""
    )
    message = whole["choices"][0]["message"]
    assert (message["x"], message["y"], message["z"], message["w"]) == (2, {"a": "bc"}, [1, 2], None)


def test_unfolding_gives_what_the_sdk_reads_as_the_same_answer():
    body = fold(CALLS) or b""
    accumulated: dict[object, object] = {}
    for data in unfold(body):
        ChatCompletionChunk.model_validate(decode(data), strict=True)
        delta = decode(data)["choices"][0]["delta"]
        accumulated = accumulate_delta(accumulated, delta)
    message = decode(body)["choices"][0]["message"]
    calls = [{k: v for k, v in c.items() if k != "index"} for c in accumulated["tool_calls"]]  # type: ignore[attr-defined]
    assert calls == message["tool_calls"]
    assert decode(fold(unfold(body)) or b"")["choices"] == decode(body)["choices"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"choices":[{}]}', b'{"choices":[{"message":5}]}', b'{"choices":5}'])
def test_what_is_no_completion_cannot_be_streamed(body: bytes):
    with pytest.raises(ValueError, match="not a chat completion"):
        unfold(body)
