"""Calls that go without a task: which do, what is handed over, and what becomes of those whose callers leave.

What they answer and record is held to the other way by every test of the modules that ``conftest`` runs twice.
"""

import asyncio
from typing import Any

import pytest

from gateway.core.errors import UPSTREAM_UNREACHABLE, GatewayError
from gateway.core.upstream import Target
from gateway.routing.table import Route, RouteTable


@pytest.fixture
def world(world: Any) -> Any:
    return type(world)(express=True)


async def _warm(world: Any, say: Any, **fields: Any) -> None:
    """Key and permits come to be held by a first call, which waits for them."""
    world.script(say.completion())
    await world.call(say.chat(**fields))
    world.steps.clear()
    world.ledger.rows.clear()
    world.departed = 0


async def test_a_call_that_has_nothing_to_wait_for_needs_no_task(world: Any, say: Any) -> None:
    await _warm(world, say)
    world.script(say.completion("Hi there", (1000, 500)))
    caller = await world.call()
    assert (world.departed, caller.rest) == (1, None)
    assert world.steps == ["intent 1", "send openai", "row 1 ok", "whole"]
    assert (world.row.outcome, world.row.input_tokens, world.row.attempts) == ("ok", 1000, 1)
    assert caller.head["x-attempts"] == "1"
    assert [part.partition(";")[0] for part in caller.head["server-timing"].split(", ")] == [
        *("queue", "authenticate", "resolve", "render", "admit", "guard_in", "route", "call", "guard_out"),
        *("upstream", "gateway"),
    ]


@pytest.mark.parametrize(
    ("fields", "headers"),
    [({"stream": True}, {}), ({}, {"idempotency_key": "k"}), ({}, {"x_first_token_timeout_ms": "100"}), ({"messages": 1}, {})],
    ids=["stream", "idempotency", "first token", "malformed"],
)
async def test_what_may_have_to_wait_is_left_to_serve(world: Any, say: Any, fields: Any, headers: Any) -> None:
    await _warm(world, say)
    inbound = world.inbound(say.chat(**fields), **headers)
    assert world.depart(inbound, world.caller()) is None
    assert world.steps == []


async def test_the_first_call_of_a_key_waits_for_its_key(world: Any, say: Any) -> None:
    assert world.depart(world.inbound(say.chat()), world.caller()) is None


async def test_a_full_ledger_leaves_nothing_taken(world: Any, say: Any) -> None:
    world.allow(requests_per_minute=60)
    world.table = RouteTable([Route(("*",), world.targets)])
    await _warm(world, say)
    before = world.permits.look(world.releases.key_now(world.key.digest).caller)[1].remaining
    world.ledger.full = True
    assert world.depart(world.inbound(say.chat()), world.caller()) is None
    assert world.permits.look(world.releases.key_now(world.key.digest).caller)[1].remaining == before
    assert [stop.health.in_flight for stop in world.table.plan("gpt-4o-mini").stops] == [0]
    await world.fail("ledger_full")


async def test_a_failure_is_handed_over_and_another_target_answers(world: Any, say: Any) -> None:
    world.targets = (Target("openai", "", "http://one", "sk-1"), Target("other", "", "http://two", "sk-2"))
    world.table = RouteTable([Route(("*",), world.targets)])
    await _warm(world, say)
    world.script(GatewayError(UPSTREAM_UNREACHABLE, "gone", target="openai"))
    world.script(say.completion("from the other"), provider="other")
    caller = await world.call()
    assert world.departed == 1
    assert caller.rest is not None
    assert world.steps[:5] == ["intent 1", "send openai", "row 1 upstream_unreachable", "intent 2", "send other"]
    assert [(row.attempt, row.outcome, row.provider) for row in world.ledger.rows] == [
        (1, "upstream_unreachable", "openai"),
        (2, "ok", "other"),
    ]
    assert [stop.health.in_flight for stop in world.table.plan("gpt-4o-mini").stops] == [0, 0]


async def test_an_answer_without_usage_is_handed_over_and_counted(world: Any, say: Any) -> None:
    await _warm(world, say)
    world.script(say.completion("three words here", None))
    caller = await world.call()
    assert (world.departed, caller.rest is not None) == (1, True)
    assert world.steps == ["intent 1", "send openai", "row 1 ok", "whole"]
    assert (world.row.output_tokens, world.row.usage_source) == (3, "estimated")


@pytest.mark.parametrize("body", [b"{", b'{"choices": 5}', b""])
async def test_a_broken_answer_is_handed_over_and_told(world: Any, say: Any, body: bytes) -> None:
    await _warm(world, say)
    broken = say.completion()
    broken.pieces = [body] if body else []
    world.script(broken)
    await world.fail("upstream_invalid")
    assert world.departed == 1
    assert world.row.outcome == "upstream_invalid"


async def test_a_caller_who_leaves_ends_the_work_and_is_recorded(world: Any, say: Any) -> None:
    world.table = RouteTable([Route(("*",), world.targets)])
    await _warm(world, say)
    never = asyncio.Event()
    world.script(never)
    caller = world.caller()
    departed = world.depart(world.inbound(say.chat()), caller)
    assert departed is not None
    await asyncio.sleep(0)
    caller.gone = True
    departed.abandon()
    await asyncio.sleep(0)
    assert (world.row.outcome, world.row.status, world.row.attempts) == ("client_gone", 499, 1)
    assert world.row.upstream_us > 0
    assert [stop.health.in_flight for stop in world.table.plan("gpt-4o-mini").stops] == [0]
    assert not caller.started


async def test_a_caller_who_leaves_as_the_answer_comes_in_gets_none(world: Any, say: Any) -> None:
    await _warm(world, say)
    never = asyncio.Event()
    world.script(never)
    caller = world.caller()
    departed = world.depart(world.inbound(say.chat()), caller)
    departed.arrived()
    caller.gone = True
    departed.abandon()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [row.outcome for row in world.ledger.rows] == ["client_gone"]
    assert not caller.started


async def test_a_caller_who_has_left_sends_nothing_ahead(world: Any, say: Any) -> None:
    await _warm(world, say)
    caller = world.caller()
    caller.gone = True
    assert world.depart(world.inbound(say.chat()), caller) is None
    assert world.steps == []


@pytest.mark.parametrize("patience", ["answered", "ended"])
async def test_a_worker_that_stops_waits_in_a_task(world: Any, say: Any, patience: str) -> None:
    world.table = RouteTable([Route(("*",), world.targets)])
    await _warm(world, say)
    go = asyncio.Event()
    world.script(go, say.completion())
    caller = world.caller()
    departed = world.depart(world.inbound(say.chat()), caller)
    assert departed is not None
    departed.wait()
    await asyncio.sleep(0)
    assert not caller.rest.done()
    if patience == "answered":
        go.set()
        await caller.wait()
        assert (caller.status, world.row.outcome) == (200, "ok")
    else:
        caller.rest.cancel()
        with pytest.raises(GatewayError) as caught:
            await caller.rest
        assert (caught.value.kind.name, world.row.outcome) == ("draining", "draining")
        assert world.row.upstream_us > 0
    assert [stop.health.in_flight for stop in world.table.plan("gpt-4o-mini").stops] == [0]
