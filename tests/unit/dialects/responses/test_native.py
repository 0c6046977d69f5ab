"""Answers of providers that speak the Responses API themselves: their bytes, with our fields in the response object."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gateway.core.dialect import Framer
from gateway.core.errors import UPSTREAM_INCOMPLETE, UPSTREAM_INVALID, GatewayError
from gateway.core.events import Event, Usage
from gateway.core.requests import ChatRequest
from gateway.dialects.responses.dialect import RESPONSES_DIALECT, finished
from tests.unit.dialects.responses.conftest import events_of, inbound

Ask = Callable[..., ChatRequest]
OBJECT = {
    "id": "resp_up",
    "object": "response",
    "status": "in_progress",
    "store": False,
    "previous_response_id": None,
    "new": 1,
}
DELTA = b'{"type":"response.output_text.delta",  "delta":"Hi","sequence_number":1,"unheard":"of"}'


def event(kind: str, number: int, **fields: Any) -> Event:
    return Event(msgspec.json.encode({"type": kind, "sequence_number": number, **fields}))


def framer_of(request: ChatRequest) -> Framer:
    return RESPONSES_DIALECT.framer(request, inbound({}), native=True)


def test_a_whole_answer_has_our_fields(ask: Ask) -> None:
    request = ask(previous_response_id="resp_1", instructions="Be brief.")
    body = msgspec.json.decode(RESPONSES_DIALECT.whole(Event(msgspec.json.encode(OBJECT)), request, inbound({}), native=True))
    ours = {"store": True, "previous_response_id": "resp_1", "instructions": "Be brief."}
    assert body == {**OBJECT, **ours}


def test_events_pass_and_the_last_one_waits(ask: Ask) -> None:
    framer = framer_of(ask(stream=True, store=False, previous_response_id="resp_1"))
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    done = event("response.completed", 2, response={**OBJECT, "status": "completed", "usage": usage})
    out = framer.frames([event("response.created", 0, response=OBJECT), Event(DELTA), done])
    assert b"event: response.output_text.delta\ndata: " + DELTA + b"\n\n" in out
    shown = events_of(out)
    assert [e["type"] for e in shown] == ["response.created", "response.output_text.delta"]
    assert shown[0]["response"]["previous_response_id"] == "resp_1"
    kept = msgspec.json.decode(finished(framer, Usage(1, 2), 2_000_000_000))
    (last,) = events_of(framer.end(Usage(1, 2), 2_000_000_000))
    assert (last["type"], last["sequence_number"]) == ("response.completed", 2)
    assert last["response"] == kept
    assert last["response"]["usage"] == {**usage, "cost_usd": 2.0}
    assert last["response"]["new"] == 1


def test_usage_that_the_provider_left_out_is_ours(ask: Ask) -> None:
    framer = framer_of(ask(stream=True))
    framer.frames([event("response.incomplete", 0, response={**OBJECT, "status": "incomplete", "usage": None})])
    (last,) = events_of(framer.end(Usage(1, 2), None))
    assert last["type"] == "response.incomplete"
    assert last["response"]["usage"]["total_tokens"] == 3


def test_a_stream_cut_short(ask: Ask) -> None:
    framer = framer_of(ask(stream=True))
    framer.frames([event("response.created", 0, response=OBJECT), Event(DELTA)])
    failed, error = events_of(framer.failure(GatewayError(UPSTREAM_INCOMPLETE, "it broke off")))
    assert (failed["type"], failed["sequence_number"]) == ("response.failed", 2)
    assert (failed["response"]["status"], failed["response"]["id"]) == ("failed", "resp_up")
    assert failed["response"]["error"]["message"] == "it broke off"
    assert (error["type"], error["sequence_number"], error["code"]) == ("error", 3, "upstream_incomplete")


def test_a_failure_before_the_response_is_known(ask: Ask) -> None:
    framer = framer_of(ask(stream=True))
    assert [e["sequence_number"] for e in events_of(framer.failure(GatewayError(UPSTREAM_INCOMPLETE, "it broke off")))] == [0]


def test_an_event_without_its_response_is_refused(ask: Ask) -> None:
    with pytest.raises(GatewayError) as caught:
        framer_of(ask(stream=True)).frames([event("response.created", 0)])
    assert caught.value.kind is UPSTREAM_INVALID
