"""Answers in the chat form as response objects and events, held to the types of the published schema as the openai SDK has them."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from gateway.core.errors import RATE_LIMITED, UPSTREAM_INCOMPLETE, UPSTREAM_INVALID, GatewayError
from gateway.core.events import Event, Usage
from gateway.core.requests import ChatRequest
from gateway.dialects.responses.dialect import RESPONSES_DIALECT, finished
from tests.unit.dialects.responses.conftest import CALL_ID, chunk, events_of, inbound

Ask = Callable[..., ChatRequest]
HEX = CALL_ID.replace("-", "")
PUBLISHED = TypeAdapter[Any](ResponseStreamEvent)
LOGPROB = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}


def stream(request: ChatRequest, *batches: list[Event], usage: Usage | None = Usage(5, 3), cost: int | None = None) -> Any:
    framer = RESPONSES_DIALECT.framer(request, inbound({}), native=False)
    data = b"".join([framer.frames(batch) for batch in batches])
    events = events_of(data + framer.end(usage, cost))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for event in events:
        PUBLISHED.validate_python(event)
    return events


def completion(message: dict[str, Any], finish: str = "stop", usage: Usage | None = Usage(5, 3, 2, 1), **more: object) -> Event:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return Event(msgspec.json.encode({"model": "gpt-x", "choices": [choice], **more}), usage=usage)


def whole(request: ChatRequest, event: Event) -> Any:
    body = msgspec.json.decode(RESPONSES_DIALECT.whole(event, request, inbound({}), native=False))
    Response.model_validate(body)
    return body


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def test_a_whole_answer(ask: Ask) -> None:
    request = ask(instructions="Be brief.", temperature=0.5, metadata={"a": "b"}, max_output_tokens=9)
    body = whole(request, completion({"role": "assistant", "content": "Hello"}, service_tier="default"))
    assert body["id"] == f"resp_{HEX}"
    assert (body["object"], body["status"], body["created_at"]) == ("response", "completed", 1_760_000_000)
    assert (body["model"], body["service_tier"]) == ("gpt-x", "default")
    assert body["output"] == [
        {
            "id": f"msg_{HEX}00",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}],
        }
    ]
    assert body["usage"] == {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 8,
    }
    assert (body["instructions"], body["temperature"], body["metadata"]) == ("Be brief.", 0.5, {"a": "b"})
    assert (body["max_output_tokens"], body["tool_choice"], body["tools"]) == (9, "auto", [])
    assert body["text"] == {"format": {"type": "text"}}


def test_a_whole_answer_with_everything(ask: Ask) -> None:
    message = {
        "content": "I look.",
        "reasoning_content": "hm",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "c2", "type": "function", "function": {"name": "g", "arguments": ""}},
        ],
    }
    body = whole(ask(), completion(message, "tool_calls"))
    assert [item["type"] for item in body["output"]] == ["reasoning", "message", "function_call", "function_call"]
    assert body["output"][0]["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert [(i["call_id"], i["name"], i["arguments"], i["status"]) for i in body["output"][2:]] == [
        ("c1", "f", "{}", "completed"),
        ("c2", "g", "", "completed"),
    ]


def test_a_refusal(ask: Ask) -> None:
    body = whole(ask(), completion({"content": None, "refusal": "No."}))
    assert body["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_answer_cut_by_its_limits(ask: Ask, finish: str, reason: str) -> None:
    body = whole(ask(), completion({"content": "Hel"}, finish))
    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert body["output"][0]["status"] == "incomplete"
    events = stream(ask(stream=True), [chunk({"content": "Hel"})], [chunk(finish=finish)])
    assert types(events)[-1] == "incomplete"
    assert events[-1]["response"]["incomplete_details"] == {"reason": reason}


def test_an_answer_that_is_none(ask: Ask) -> None:
    for data in (b'{"choices":[]}', b'{"choices":[{"index":0}]}', b'{"choices":7}'):
        with pytest.raises(GatewayError) as caught:
            whole(ask(), Event(data))
        assert caught.value.kind is UPSTREAM_INVALID


def test_a_stream_of_text(ask: Ask) -> None:
    logprobs = {"content": [LOGPROB]}
    events = stream(
        ask(stream=True, store=False),
        [chunk({"role": "assistant", "content": ""}), chunk({"content": "Hi"}, logprobs=logprobs)],
        [chunk({"content": " you"}), chunk(finish="stop")],
        cost=1_500_000_000,
    )
    assert types(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert events[0]["response"]["status"] == "in_progress"
    assert [e["delta"] for e in events if e["type"].endswith("delta")] == ["Hi", " you"]
    assert events[4]["logprobs"] == [LOGPROB]
    assert events[6]["text"] == "Hi you"
    assert events[3]["part"]["logprobs"] == []
    final = events[-1]["response"]
    assert final["output"] == [events[8]["item"]]
    assert final["output"][0]["content"][0]["logprobs"] == [LOGPROB]
    assert final["usage"]["cost_usd"] == 1.5
    assert final["store"] is False
    assert {event["item_id"] for event in events if "item_id" in event} == {f"msg_{HEX}00"}


def test_a_stream_of_reasoning_text_and_interleaved_calls(ask: Ask) -> None:
    def call(index: int, **function: str) -> dict[str, Any]:
        return {"tool_calls": [{"index": index, "function": function}]}

    events = stream(
        ask(stream=True),
        [chunk({"reasoning": "so"}), chunk({"content": "A"})],
        [chunk({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": ""}}]})],
        [chunk(call(1, arguments='{"b"')), chunk({"tool_calls": [{"index": 1, "id": "c2", "function": {"name": "g"}}]})],
        [chunk(call(0, arguments="{}")), chunk(call(1, arguments=":1}")), chunk(finish="tool_calls")],
    )
    assert types(events)[2:] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    output = events[-1]["response"]["output"]
    assert [(i["call_id"], i["name"], i["arguments"]) for i in output[2:]] == [("c1", "f", "{}"), ("c2", "g", '{"b":1}')]
    deltas = [e for e in events if e["type"] == "response.function_call_arguments.delta"]
    assert [(e["output_index"], e["delta"]) for e in deltas] == [(3, '{"b"'), (2, "{}"), (3, ":1}")]


def test_a_refusal_after_text_has_its_own_item(ask: Ask) -> None:
    events = stream(ask(stream=True), [chunk({"content": "A"}), chunk({"refusal": "No"}), chunk({"refusal": "."})])
    assert [e["delta"] for e in events if e["type"] == "response.refusal.delta"] == ["No", "."]
    assert [i["content"][0]["type"] for i in events[-1]["response"]["output"]] == ["output_text", "refusal"]


def test_a_call_that_never_got_a_name_is_still_announced(ask: Ask) -> None:
    events = stream(ask(stream=True), [chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]})])
    item = events[-1]["response"]["output"][0]
    assert (item["name"], item["arguments"]) == ("", "{}")
    assert item["call_id"].startswith("call_")
    assert types(events)[2:4] == ["output_item.added", "function_call_arguments.delta"]


def test_other_choices_and_closing_chunks_are_no_events(ask: Ask) -> None:
    other = Event(msgspec.json.encode({"choices": [{"index": 1, "delta": {"content": "B"}}]}))
    closing = Event(b'{"choices":[],"usage":{}}', usage_only=True)
    events = stream(ask(stream=True), [chunk({"content": "A"}), other], [closing], usage=None)
    assert [e["delta"] for e in events if e["type"].endswith(".delta")] == ["A"]
    assert events[-1]["response"]["usage"] is None


def test_both_forms_of_an_answer_agree(ask: Ask) -> None:
    message = {
        "content": "Hello",
        "reasoning_content": "hm",
        "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}],
    }
    delta = {**message, "tool_calls": [{"index": 0, **message["tool_calls"][0]}]}  # type: ignore[dict-item]
    request = ask(stream=True)
    final = stream(request, [chunk(delta), chunk(finish="tool_calls")], usage=Usage(5, 3, 2, 1))[-1]["response"]
    assert final == whole(request, completion(message, "tool_calls"))


def test_the_finished_object_is_what_the_end_carries(ask: Ask) -> None:
    framer = RESPONSES_DIALECT.framer(ask(stream=True), inbound({}), native=False)
    framer.frames([chunk({"content": "A"})])
    kept = msgspec.json.decode(finished(framer, Usage(1, 1), None))
    events = events_of(framer.end(Usage(1, 1), None))
    assert events[-1]["response"] == kept
    assert types(events)[:1] == ["output_text.done"]


def test_a_stream_cut_short(ask: Ask) -> None:
    framer = RESPONSES_DIALECT.framer(ask(stream=True), inbound({}), native=False)
    before = events_of(framer.frames([chunk({"content": "Hel"})]))
    failed, error = events_of(framer.failure(GatewayError(UPSTREAM_INCOMPLETE, "it broke off")))
    assert failed["type"] == "response.failed"
    assert failed["sequence_number"] == len(before)
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": "server_error", "message": "it broke off"}
    assert failed["response"]["output"][0]["content"][0]["text"] == "Hel"
    assert failed["response"]["output"][0]["status"] == "in_progress"
    assert failed["response"]["store"] is False
    PUBLISHED.validate_python(failed)
    PUBLISHED.validate_python(error)
    assert (error["type"], error["code"], error["message"]) == ("error", "upstream_incomplete", "it broke off")
    assert error["error"]["type"] == "server_error"
    assert error["sequence_number"] == len(before) + 1


def test_a_failure_before_the_first_event(ask: Ask) -> None:
    framer = RESPONSES_DIALECT.framer(ask(stream=True), inbound({}), native=False)
    (error,) = events_of(framer.failure(GatewayError(RATE_LIMITED, "slow down")))
    assert (error["sequence_number"], error["code"]) == (0, "rate_limit_exceeded")
    assert events_of(RESPONSES_DIALECT.problem_frames(GatewayError(RATE_LIMITED, "slow down"))) == [error]


def test_refusals_are_openai_errors(ask: Ask) -> None:
    body = msgspec.json.decode(RESPONSES_DIALECT.problem(GatewayError(RATE_LIMITED, "slow down", param="p"), "r"))
    assert body["error"] == {"message": "slow down", "type": "rate_limit_error", "param": "p", "code": "rate_limit_exceeded"}
    assert RESPONSES_DIALECT.problem_head("r1") == "x-request-id: r1\r\n"


def test_a_chunk_that_cannot_be_translated(ask: Ask) -> None:
    framer = RESPONSES_DIALECT.framer(ask(stream=True), inbound({}), native=False)
    with pytest.raises(GatewayError) as caught:
        framer.frames([Event(b'{"choices":[{"delta":{"tool_calls":7}}]}')])
    assert caught.value.kind is UPSTREAM_INVALID


def test_reasoning_that_is_no_text_is_left_alone(ask: Ask) -> None:
    body = whole(ask(), completion({"content": "A", "reasoning": {"steps": []}}))
    assert [item["type"] for item in body["output"]] == ["message"]


CITED = {"type": "url_citation", "url_citation": {"url": "https://a.example/", "title": "A", "start_index": 0, "end_index": 2}}


def test_pages_that_are_cited(ask: Ask) -> None:
    note = {"type": "url_citation", "url": "https://a.example/", "title": "A", "start_index": 0, "end_index": 2}
    body = whole(ask(), completion({"content": "Hi", "annotations": [CITED, {"type": "newest"}]}))
    assert body["output"][0]["content"][0]["annotations"] == [note]
    events = stream(ask(), [chunk({"content": "Hi"}), chunk({"annotations": [CITED]}), chunk(finish="stop")])
    (added,) = [event for event in events if event["type"] == "response.output_text.annotation.added"]
    assert (added["annotation"], added["annotation_index"], added["content_index"]) == (note, 0, 0)
    assert events[-1]["response"]["output"][0]["content"][0]["annotations"] == [note]


@pytest.mark.parametrize("odd", [None, 7, {}, [7], [{"type": "url_citation"}], [{"url_citation": {"url": 7}}]])
def test_what_is_no_citation_is_none(ask: Ask, odd: object) -> None:
    body = whole(ask(), completion({"content": "Hi", "annotations": odd}))
    assert body["output"][0]["content"][0]["annotations"] == []


@pytest.mark.parametrize("index", [{}, {"index": None}, {"index": 0}])
def test_another_id_is_another_call(ask: Ask, index: dict[str, Any]) -> None:
    """Google's OpenAI endpoint counts no calls."""
    pieces = [{"id": f"c{i}", "function": {"name": f"f{i}", "arguments": "{}"}, **index} for i in range(2)]
    output = stream(ask(), [chunk({"tool_calls": [piece]}) for piece in pieces])[-1]["response"]["output"]
    assert [(item["call_id"], item["name"], item["arguments"]) for item in output] == [("c0", "f0", "{}"), ("c1", "f1", "{}")]
