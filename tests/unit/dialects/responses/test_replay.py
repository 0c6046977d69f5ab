"""Kept responses as streams: as the live stream was but for the cutting of texts, and of the published types."""

from collections.abc import Callable
from itertools import groupby
from typing import Any

import msgspec
import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from gateway.core.events import Usage
from gateway.core.requests import ChatRequest
from gateway.dialects.responses.dialect import RESPONSES_DIALECT
from gateway.dialects.responses.replay import replayed
from tests.unit.dialects.responses.conftest import chunk, events_of, inbound

PUBLISHED = TypeAdapter[Any](ResponseStreamEvent)
CITED = {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 0, "end_index": 1}


def events(body: object) -> list[dict[str, Any]]:
    frames = replayed(msgspec.json.encode(body))
    found = events_of(b"".join(frames))
    assert [event["sequence_number"] for event in found] == list(range(len(found))) == list(range(len(frames)))
    return found


def test_the_same_events_as_the_live_stream_but_for_the_cutting(ask: Callable[..., ChatRequest]) -> None:
    call = {"index": 0, "id": "call_1", "function": {"name": "f", "arguments": '{"a":'}}
    batches = [
        [chunk({"reasoning_content": "h"}), chunk({"reasoning_content": "m"})],
        [chunk({"content": "Hel"}), chunk({"content": "lo"})],
        [chunk({"refusal": "No"}), chunk({"tool_calls": [call]})],
        [chunk({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}), chunk(finish="stop")],
    ]
    framer = RESPONSES_DIALECT.framer(ask(stream=True), inbound({}), native=False)
    data = b"".join([framer.frames(batch) for batch in batches])
    live = events_of(data + framer.end(Usage(5, 3), None))
    again = events(live[-1]["response"])
    for event in again:
        PUBLISHED.validate_python(event)

    def course(found: list[dict[str, Any]]) -> list[Any]:
        """Types in order, texts put together, no numbers and no logprobs."""
        made: list[Any] = []
        for (kind, _), group in groupby(found, key=lambda event: (event["type"], event.get("output_index"))):
            members = list(group)
            if kind.endswith(".delta"):
                made.append((kind, "".join(event["delta"] for event in members)))
            else:
                made += [{**event, "sequence_number": 0} for event in members]
        return made

    assert course(again) == course(live)


@pytest.mark.parametrize(
    ("item", "between"),
    [
        (
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
             "content": [{"type": "output_text", "text": "", "annotations": [CITED], "logprobs": []}]},
            ["content_part.added", "output_text.done", "output_text.annotation.added", "content_part.done"],
        ),
        (
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x",
             "content": [{"type": "reasoning_text", "text": "hm"}]},
            ["content_part.added", "reasoning_text.delta", "reasoning_text.done", "content_part.done"],
        ),
        (
            {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c", "name": "f", "input": "x"},
            ["custom_tool_call_input.delta", "custom_tool_call_input.done"],
        ),
        (
            {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "", "status": "completed"},
            ["function_call_arguments.done"],
        ),
        ({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}, []),
        (
            {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "new", "x": 1}]},
            ["content_part.added", "content_part.done"],
        ),
        ({"type": "message", "id": 5}, []),
    ],
)  # fmt: skip
def test_items_open_without_what_comes(item: dict[str, Any], between: list[str]) -> None:
    found = events({"id": "resp_1", "status": "incomplete", "output": [item], "usage": {}, "x_new": 1})
    kinds = [event["type"].removeprefix("response.") for event in found]
    assert kinds == ["created", "in_progress", "output_item.added", *between, "output_item.done", "incomplete"]
    begun, added, done, end = found[0]["response"], found[2]["item"], found[-2]["item"], found[-1]["response"]
    assert (begun["status"], begun["output"], begun["usage"], begun["x_new"]) == ("in_progress", [], None, 1)
    assert done == item
    assert (end["output"], end["x_new"]) == ([item], 1)
    if between and item["type"] != "message":
        assert not any(added.get(name) for name in ("content", "input", "arguments", "summary"))
    if "status" in item:
        assert added["status"] == "in_progress"
