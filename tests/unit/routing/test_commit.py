"""What commits an answer to a target, and what only opens it."""

import msgspec
import pytest

from gateway.core.events import Event, Usage
from gateway.routing.commit import says_something


def chunk(**delta: object) -> Event:
    return Event(msgspec.json.encode({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}))


@pytest.mark.parametrize(
    "event",
    [
        chunk(role="assistant"),
        chunk(role="assistant", content=""),
        chunk(role="assistant", content=None, refusal=None, tool_calls=None),
        chunk(),
        Event(b'{"choices":[],"prompt_filter_results":[]}'),
    ],
)
def test_a_role_alone_is_no_answer(event: Event) -> None:
    assert not says_something(event, "chat")


@pytest.mark.parametrize(
    "event",
    [
        Event(b"{}", ((0, "Hi"),)),
        Event(b"{}", (), "stop"),
        Event(b"{}", (), None, Usage(1, 1), usage_only=True),
        chunk(role="assistant", content="Hi"),
        chunk(role="assistant", content=None, tool_calls=[{"index": 0}]),
        chunk(reasoning_content="hm"),
        chunk(something_new={"a": 1}),
        Event(b"not JSON"),
        Event(b'{"choices":"odd"}'),
    ],
)
def test_content_tools_reasoning_and_what_is_unknown_are(event: Event) -> None:
    assert says_something(event, "chat")


@pytest.mark.parametrize(
    ("dialect", "kind", "says"),
    [
        ("responses", "response.created", False),
        ("responses", "response.output_item.added", False),
        ("responses", "response.output_text.delta", True),
        ("responses", "response.completed", True),
        ("messages", "message_start", False),
        ("messages", "content_block_start", False),
        ("messages", "ping", False),
        ("messages", "content_block_delta", True),
        ("messages", "error", True),
    ],
)
def test_typed_events_are_told_by_their_type(dialect: str, kind: str, says: bool) -> None:
    assert says_something(Event(msgspec.json.encode({"type": kind})), dialect) is says


def test_no_text_is_no_content() -> None:
    assert not says_something(Event(b'{"choices":[{"delta":{"content":""}}]}', ((0, ""),)), "chat")
