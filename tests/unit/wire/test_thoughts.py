"""Where thoughts stand in the events of each dialect, and what is none."""

from typing import Any

import msgspec
import pytest

from gateway.wire.thoughts import thoughts, thoughts_again


@pytest.mark.parametrize(
    ("event", "found"),
    [
        ({"choices": [{"index": 1, "delta": {"reasoning_content": "a"}}]}, [(1, "a")]),
        ({"choices": [{"index": 0, "delta": {"reasoning": "a", "content": "b"}}]}, [(0, "a")]),
        ({"choices": [{"message": {"reasoning_content": "a", "reasoning": "a"}}]}, [(0, "a")]),
        ({"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "a"}}, [(0, "a")]),
        ({"type": "content_block_start", "content_block": {"type": "thinking", "thinking": "a"}}, [(0, "a")]),
        ({"content": [{"type": "thinking", "thinking": "a"}, {"type": "text", "text": "b"}]}, [(0, "a")]),
        ({"type": "response.reasoning_summary_text.delta", "delta": "a"}, [(0, "a")]),
        ({"type": "response.reasoning_text.delta", "delta": "a"}, [(0, "a")]),
        ({"output": [{"type": "reasoning", "summary": [{"text": "a"}], "content": [{"text": "b"}]}]}, [(0, "a"), (0, "b")]),
        ({"output": [{"type": "message", "content": [{"text": "reasoning"}]}]}, []),
        ({"type": "response.output_text.delta", "delta": "on thinking"}, []),
        ({"usage": {"reasoning_tokens": 0}, "choices": [{"index": None, "delta": None}]}, []),
        ({"choices": [None, {"delta": {"reasoning": {"text": "a"}, "reasoning_content": None}}], "content": "thinking"}, []),
        ({"choices": [{"delta": {"content": "a"}}]}, []),
    ],
)
def test_thoughts(event: dict[str, Any], found: list[tuple[int, str]]):
    assert thoughts(msgspec.json.encode(event)) == found


@pytest.mark.parametrize(
    ("event", "found"),
    [
        ({"type": "response.reasoning_text.done", "text": "a"}, ["a"]),
        ({"type": "response.reasoning_summary_part.done", "part": {"type": "summary_text", "text": "a"}}, ["a"]),
        ({"type": "response.output_item.done", "item": {"type": "reasoning", "summary": [{"text": "a"}]}}, ["a"]),
        ({"type": "response.completed", "response": {"output": [{"type": "reasoning", "content": [{"text": "a"}]}]}}, ["a"]),
        ({"type": "response.reasoning_text.delta", "delta": "a"}, []),
        ({"type": "response.output_text.done", "text": "reasoning"}, []),
        ({"type": "message_start", "text": "reasoning"}, []),
        ({"reasoning": "a"}, []),
    ],
)
def test_thoughts_that_are_said_again(event: dict[str, Any], found: list[str]):
    assert thoughts_again(msgspec.json.encode(event)) == found
