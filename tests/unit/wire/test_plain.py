"""Plain answers: read once, and to the same end as by those who read every answer."""

from typing import Any

import msgspec
import pytest

from gateway.wire import openai as wire
from gateway.wire.chat_said import is_plain
from gateway.wire.plain import AnswerChoice, PlainAnswer, PlainChunk, PlainSaid, decode_plain_answer, decode_plain_chunk

_CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
_USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "prompt_tokens_details": {"cached_tokens": 3}}


def _answer(message: dict[str, Any] | None = None, choice: dict[str, Any] | None = None, **more: Any) -> bytes:
    said: dict[str, Any] = {"role": "assistant", "content": "hello", "refusal": None, "annotations": []}
    said |= message or {}
    choices: list[dict[str, Any]] = [{"index": 0, "message": said, "logprobs": None, "finish_reason": "stop"} | (choice or {})]
    return msgspec.json.encode({"id": "a", "object": "chat.completion", "created": 1, "model": "m", "choices": choices} | more)


@pytest.mark.parametrize(
    "data",
    [
        _answer(),
        _answer(usage=_USAGE, service_tier="default", system_fingerprint=None),
        _answer(usage=None, service_tier=None),
        _answer({"content": None, "tool_calls": [_CALL]}, {"finish_reason": "tool_calls"}),
        _answer({"reasoning_content": None, "tool_calls": [], "function_call": None, "audio": None}, {"stop_reason": None}),
        _answer(choice={"index": 3}, x_groq={"id": "g"}),
    ],
)
def test_a_plain_answer_is_read_as_by_those_who_read_every_answer(data: bytes) -> None:
    plain, other = decode_plain_answer(data), wire.decode_completion(data)
    assert is_plain(data)
    ((choice,), (also,)) = plain.choices, other.choices
    assert (choice.index, choice.finish_reason) == (also.index, also.finish_reason)
    assert choice.message.content == also.message.content
    usage = None if plain.usage is None else wire.usage_of(plain.usage, None)
    assert usage == wire.read_usage(other.usage, other.service_tier)


@pytest.mark.parametrize(
    "data",
    [
        _answer({"refusal": "no"}),
        _answer({"reasoning_content": "hm"}),
        _answer({"reasoning": "hm"}),
        _answer({"annotations": [{"type": "url_citation"}]}),
        _answer({"audio": {"transcript": "said"}}),
        _answer({"content": [{"type": "text", "text": "parts"}]}),
        _answer({"tool_calls": "a text"}),
        _answer({"new": "field"}),
        _answer(choice={"logprobs": {"content": [{"token": "hello"}]}}),
        _answer(choice={"delta": {"content": "twice"}}),
        _answer(choice={"new": "field"}),
        _answer(new="field"),
        _answer(choices=[]),
        _answer(choices=[{"message": {"content": "a"}}, {"message": {"content": "b"}, "index": 1}]),
        _answer(choices=[{}]),
        _answer(usage="much"),
        _answer(usage={"prompt_tokens": "5"}),
        _answer(service_tier=7),
        _answer()[:-1],
        b'{"choices":[{"message":{"content":"\xff"}}]}',
        b"[" * 100_000,
        b"",
    ],
)
def test_what_says_more_or_is_none_is_left_to_others(data: bytes) -> None:
    with pytest.raises(wire.DECODE_ERRORS):
        decode_plain_answer(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"error":{"message":"no"},"choices":[{"delta":{"content":"a"}}]}',
        b'{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":1}}',
        b'{"choices":[{"delta":{"content":"a","reasoning_content":"hm"}}]}',
        b'{"choices":[{"delta":{"content":"a"},"message":{"content":"b"}}]}',
        b'{"choices":[{"delta":{"content":"a"}},{"index":1,"delta":{"content":"b"}}]}',
        b'{"choices":[],"usage":null}',
        b"{}",
        b"[DONE]",
    ],
)
def test_a_chunk_that_says_more_is_left_to_others(data: bytes) -> None:
    with pytest.raises(wire.DECODE_ERRORS):
        decode_plain_chunk(data)


def test_a_field_that_the_full_reading_does_not_know_cannot_be_known_here() -> None:
    for kind, place in ((PlainSaid, "said"), (AnswerChoice, "choice"), (PlainAnswer, "answer"), (PlainChunk, "answer")):
        for name in set(kind.__struct_fields__) - {"choices", "message", "usage", "service_tier", "error"}:
            value: Any = [] if name in {"tool_calls", "annotations"} else 0 if name == "index" else None
            extra = {name: value}
            data = _answer(extra) if place == "said" else _answer(choice=extra) if place == "choice" else _answer(**extra)
            assert is_plain(data), name
