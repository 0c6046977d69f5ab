"""What the caller gets: bytes untouched, usage only if asked for, cost and timings in the head or the closing chunk."""

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import GatewayError
from gateway.core.journal import Journal
from gateway.dialects.chat import CHAT_DIALECT
from gateway.pipeline import respond
from gateway.pipeline.respond import header_value
from gateway.pipeline.serve import serve


async def test_a_whole_answers_bytes_are_the_providers(world: Any, say: Any) -> None:
    raw = b'{ "id":"x",  "choices": [{"index":0,"message":{"role":"assistant","content":"\\u00e9 \xf0\x9f\x9a\x80"},"finish_reason":"stop"}],"new":[1.0],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
    answer = say.completion()
    answer.pieces = [raw]
    world.script(answer)
    caller = await world.call()
    assert caller.body == raw
    assert caller.head["content-type"] == "application/json"
    assert caller.head["x-cost-usd"] == "0.000000750"


async def test_an_unpriced_model_has_no_cost_rather_than_none(world: Any, say: Any) -> None:
    world.script(say.completion())
    caller = await world.call(say.chat(model="home-made"))
    assert "x-cost-usd" not in caller.head
    assert (world.row.cost_nano, world.row.cost_status) == (None, "unpriced")


async def test_a_large_cost_has_all_its_digits(world: Any, say: Any) -> None:
    world.script(say.completion("x", (3_000_000, 1)))
    assert (await world.call(say.chat(model="o1"))).head["x-cost-usd"] == "45.000060000"


async def test_usage_nobody_asked_for_is_taken_out_of_the_stream(world: Any, say: Any) -> None:
    world.script(say.stream(say.delta("a") + say.delta("b"), say.delta(finish="stop"), say.usage() + say.DONE))
    caller = await world.call(say.chat(stream=True))
    assert b"usage" not in caller.body
    assert len(caller.chunks) == 3
    assert (world.row.input_tokens, world.row.usage_source) == (10, "upstream")
    assert b'"stream_options":{"include_usage":true}' in world.transport.requests[0][1].body


async def test_usage_and_the_last_text_in_one_read_keep_the_text(world: Any, say: Any) -> None:
    world.script(say.stream(say.delta("all", finish="stop") + say.usage() + say.DONE))
    caller = await world.call(say.chat(stream=True))
    assert [chunk["choices"][0]["delta"]["content"] for chunk in caller.chunks] == ["all"]
    assert caller.frames[-1] == "[DONE]"


async def test_asked_for_usage_comes_last_with_the_cost_in_it(world: Any, say: Any) -> None:
    world.script(say.stream(say.delta("a"), say.delta(finish="stop"), say.usage(1000, 500) + say.DONE))
    caller = await world.call(say.chat(stream=True, stream_options={"include_usage": True}))
    *others, closing = caller.chunks
    assert all(chunk["usage"] is None for chunk in others)
    assert closing["choices"] == []
    assert closing["id"] == "chatcmpl-1"
    assert closing["usage"] == {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500, "cost_usd": 0.00045}


async def test_details_in_the_providers_usage_are_kept(world: Any, say: Any) -> None:
    counts = {
        "prompt_tokens": 10,
        "completion_tokens": 2,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 4, "new": 1},
    }
    closing = b"data: " + msgspec.json.encode({"id": "c", "choices": [], "usage": counts, "extra": 1}) + b"\n\n"
    world.script(say.stream(say.delta("a"), closing + say.DONE))
    caller = await world.call(say.chat(stream=True, stream_options={"include_usage": True}))
    assert caller.chunks[-1]["usage"] == {**counts, "cost_usd": pytest.approx((6 * 150 + 4 * 75 + 2 * 600) / 1e9)}
    assert caller.chunks[-1]["extra"] == 1
    assert world.row.cached_tokens == 4


async def test_an_unpriced_stream_has_usage_without_cost(world: Any, say: Any) -> None:
    world.script(say.stream(say.delta("a"), say.usage() + say.DONE))
    caller = await world.call(say.chat(model="home-made", stream=True, stream_options={"include_usage": True}))
    assert "cost_usd" not in caller.chunks[-1]["usage"]


async def test_usage_that_comes_with_the_last_choice_is_made_into_a_closing_chunk(world: Any, say: Any) -> None:
    last = {
        "id": "c",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    }
    world.script(say.stream(say.delta("a"), b"data: " + msgspec.json.encode(last) + b"\n\n" + say.DONE))
    caller = await world.call(say.chat(stream=True, stream_options={"include_usage": True}))
    assert caller.chunks[-1]["choices"] == []
    assert caller.chunks[-1]["usage"]["total_tokens"] == 4
    assert caller.chunks[-2]["choices"][0]["finish_reason"] == "stop"


async def test_a_whole_answer_without_usage_is_counted(world: Any, say: Any) -> None:
    world.script(say.completion("one two three", usage=None))
    caller = await world.call(say.chat("a b c d"))
    assert world.tokens.asked == [("gpt-4o-mini", ["one two three", "a b c d"])]
    row = world.row
    assert (row.input_tokens, row.output_tokens, row.usage_source, row.cost_status) == (4, 3, "estimated", "estimated")
    assert caller.head["x-cost-usd"] == f"{(4 * 150 + 3 * 600) / 1e9:.9f}"


async def test_a_stream_without_usage_is_counted_and_the_caller_told_if_it_asked(world: Any, say: Any) -> None:
    world.script(say.stream(say.delta("one "), say.delta("two", finish="stop"), say.DONE))
    caller = await world.call(say.chat("a b", stream=True, stream_options={"include_usage": True}))
    assert caller.chunks[-1]["usage"]["completion_tokens"] == 2
    assert caller.chunks[-1]["usage"]["prompt_tokens"] == 2
    assert world.row.usage_source == "estimated"


async def test_an_empty_stream_of_one_event_still_ends_well(world: Any, say: Any) -> None:
    world.script(say.stream(say.usage(5, 0) + say.DONE))
    caller = await world.call(say.chat(stream=True))
    assert caller.frames == ["[DONE]"]


async def test_without_server_timing_the_header_is_not_there(world: Any, say: Any) -> None:
    world.script(say.completion())
    caller = world.caller()
    await serve(world.inbound(say.chat()), msgspec.structs.replace(world.services, server_timing=False), caller, CHAT_DIALECT)
    assert "server-timing" not in caller.head


async def test_a_model_name_cannot_write_headers(world: Any, say: Any) -> None:
    world.script(say.completion())
    caller = await world.call(say.chat(model="evil\r\nset-cookie: a=b\r\nä"))
    assert caller.head["x-model"] == "evil??set-cookie: a=b???"
    assert "set-cookie" not in caller.head


def test_header_values_are_printable_ascii() -> None:
    assert header_value("gpt-4o") == "gpt-4o"
    assert header_value("a\tb\x00cé\x7f") == "a?b?c??"


async def test_server_timing_is_in_milliseconds_and_tells_our_share_from_the_providers(world: Any, say: Any) -> None:
    answer = say.completion()
    answer.pieces.insert(0, 2.5)
    world.script(answer)
    timing = (await world.call()).head["server-timing"]
    ms = {name: float(value) for name, value in (entry.split(";dur=") for entry in timing.split(", "))}
    assert 2500 <= ms["upstream"] < 2520
    assert 2500 <= ms["call"] < 2520
    assert 0 < ms["authenticate"] < 10
    assert 5 < ms["gateway"] < 50
    assert ms["gateway"] + ms["upstream"] == pytest.approx(
        sum(v for n, v in ms.items() if n not in {"gateway", "upstream"}), abs=20
    )


@pytest.mark.parametrize("longest", [0.0005, 0.0009995, 0.001, 0.004, 0.75, 61.0009])
async def test_server_timing_names_every_phase_however_long_it_was(world: Any, say: Any, longest: float) -> None:
    names = ["queue", "authenticate", "resolve", "render", "admit", "guard_in", "route", "call", "guard_out"]
    for slow in names:
        journal = Journal(world.inbound(say.chat()))
        spans = {name: longest if name == slow else 0.000_1 * number for number, name in enumerate(names, 1)}
        at = journal.inbound.started
        journal.laps = [at := at + seconds for seconds in spans.values()]
        journal.upstream = spans["call"]
        head = respond.server_timing(journal, at)
        assert head.endswith("\r\n")
        entries = [entry.split(";dur=") for entry in head.removeprefix("server-timing: ").rstrip().split(", ")]
        assert [name for name, _ in entries] == [*names, "upstream", "gateway"]
        whole = {**spans, "upstream": spans["call"], "gateway": sum(spans.values()) - spans["call"]}
        assert {name: float(text) for name, text in entries} == pytest.approx(
            {name: seconds * 1e3 for name, seconds in whole.items()}, abs=0.0011
        )


def test_server_timing_has_three_decimals_whatever_the_span(world: Any, say: Any) -> None:
    journal = Journal(world.inbound(say.chat()))
    began = journal.inbound.started
    journal.laps = [began] * 9

    @given(st.floats(-700, 700))
    def holds(seconds: float) -> None:
        journal.upstream = seconds
        upstream, gateway = re.findall(r";dur=(-?\d+\.\d{3})(?=[,\r])", respond.server_timing(journal, began))[-2:]
        assert float(upstream) == pytest.approx(seconds * 1e3, abs=0.0011)
        assert float(gateway) == pytest.approx(-seconds * 1e3, abs=0.0011)

    holds()


async def test_head_lines_that_callers_choose_are_remembered_within_bounds(
    world: Any, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(respond, "_REMEMBERED", 3)
    monkeypatch.setattr(respond, "_heads", kept := {})
    for i in range(10):
        world.script(say.completion())
        caller = await world.call(say.chat(model=f"m{i}"))
        assert caller.head["x-model"] == f"m{i}"
        assert len(kept) <= 3


async def test_serving_without_the_registry_is_said(world: Any, say: Any) -> None:
    world.script(say.completion(), say.completion())
    assert "x-degraded" not in (await world.call()).head
    world.catalog.available = False
    with pytest.raises(GatewayError):
        await world.releases.catch_up()
    assert (await world.call()).head["x-degraded"] == "registry"
