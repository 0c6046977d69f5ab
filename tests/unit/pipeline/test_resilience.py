"""The playbook: one script per rule of routing and resilience, through the whole sentence."""

import asyncio
from typing import Any

import pytest

from gateway.core.errors import UPSTREAM_INCOMPLETE, UPSTREAM_TIMEOUT, UPSTREAM_UNREACHABLE, GatewayError
from gateway.core.upstream import Target, Timeouts
from gateway.pipeline.waiting import wait_for_place
from gateway.routing.breaker import BreakerRules
from gateway.routing.health import Health, Rules
from gateway.routing.policy import Candidate, Condition, Policy
from gateway.routing.table import Route, RouteTable
from tests.unit.pipeline.workers import asked

A, B = Target("openai", "", "http://one", "sk-1"), Target("second", "", "http://two", "sk-2")
ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
SOON = Timeouts(first_token=0.005)
"""Real seconds: these few tests wait for a timer to fire, none measures it."""


def away() -> GatewayError:
    return GatewayError(UPSTREAM_UNREACHABLE, "away")


def table(world: Any, *targets: Target | Candidate, policy: Policy | None = None, **rules: Any) -> RouteTable:
    """The world's only route, with a memory."""
    world.targets = (A, B)
    world.table = RouteTable([Route(("*",), targets or (A, B), policy or Policy())], Rules(**rules))
    return world.table


def outcomes(world: Any) -> list[tuple[int, str | None, str]]:
    return [(row.attempt, row.provider, row.outcome) for row in world.ledger.rows]


# --- keys -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("status", [401, 402, 403, 429])
async def test_another_key_answers_when_one_is_refused_or_at_its_limit(world: Any, say: Any, status: int) -> None:
    table(world, Candidate(A, keys=("sk-9",)))
    world.script(say.refusal(status), say.completion())
    caller = await world.call()
    assert (caller.status, caller.head["x-attempts"]) == (200, "2")
    sent = [dict(request.headers)[b"authorization"] for _, request in world.transport.requests]
    assert sent == [b"Bearer sk-1", b"Bearer sk-9"]
    assert [step for step in world.steps if " " in step][2].startswith("row 1 upstream_")
    assert [row.attempt for row in world.ledger.rows] == [1, 2]


async def test_a_dead_key_is_left_alone_for_a_while_and_then_tried_again(world: Any, say: Any) -> None:
    routes = table(world, Candidate(A, keys=("sk-9",)))
    world.script(say.refusal(401), *[say.completion() for _ in range(4)])
    for _ in range(3):
        await world.call()
    assert [target.api_key for target, _ in world.transport.requests] == ["sk-1", "sk-9", "sk-9", "sk-9"]
    assert routes.accounts["openai"].keys.dead(world.clock()) == 1
    world.clock.now += 6
    await world.call()
    assert world.transport.requests[-1][0].api_key == "sk-1"


async def test_when_every_key_is_refused_the_caller_is_told_so_and_nobody_is_asked_again(world: Any, say: Any) -> None:
    table(world, Candidate(A, keys=("sk-9",)))
    world.script(say.refusal(401), say.refusal(402))
    error = await world.fail("upstream_auth_error")
    assert (error.status, error.detail) == (502, "openai refuses every one of the gateway's 2 keys")
    assert [row.attempt for row in world.ledger.rows] == [1, 2]
    again = await world.fail("upstream_auth_error")
    assert 0 < (again.retry_after or 0) <= 5
    assert len(world.transport.requests) == 2
    assert world.ledger.rows[-1].attempt == 0


async def test_a_lone_key_is_asked_with_again_each_time(world: Any, say: Any) -> None:
    table(world, A)
    world.script(say.refusal(401), say.completion())
    await world.fail("upstream_auth_error")
    assert (await world.call()).status == 200


async def test_a_forbidden_model_does_not_take_the_key_away_from_others(world: Any, say: Any) -> None:
    routes = table(world, Candidate(A, keys=("sk-9",)))
    world.script(say.refusal(403), say.refusal(403))
    await world.fail("upstream_auth_error")
    assert routes.accounts["openai"].keys.dead(world.clock()) == 0


async def test_a_limited_key_rests_as_long_as_the_provider_asked(world: Any, say: Any) -> None:
    routes = table(world, A, B)
    limited = say.refusal(429)
    limited.headers = {**limited.headers, b"retry-after": b"30"}
    world.script(limited)
    world.script(*[say.completion() for _ in range(2)], provider="second")
    await world.call()
    await world.call()
    assert [target.provider for target, _ in world.transport.requests] == ["openai", "second", "second"]
    world.clock.now += 30
    world.script(say.completion())
    await world.call()
    assert world.transport.requests[-1][0].provider == "openai"
    assert routes.accounts["openai"].keys.is_good(world.clock())


async def test_the_retry_after_of_the_last_provider_reaches_the_caller(world: Any, say: Any) -> None:
    table(world, A)
    limited = say.refusal(429)
    limited.headers = {**limited.headers, b"retry-after": b"7"}
    world.script(limited)
    error = await world.fail("upstream_rate_limited")
    assert error.retry_after == 7


# --- the commit point -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "then", [GatewayError(UPSTREAM_INCOMPLETE, "cut"), b'data: {"error":{"message":"overloaded"}}\n\n', b"data: {broken\n\n"]
)
async def test_a_role_is_no_answer_yet_so_another_target_may_still_give_one(world: Any, say: Any, then: Any) -> None:
    table(world)
    world.script(broken := say.stream(ROLE, then))
    world.script(say.stream(ROLE, say.delta("ok"), say.usage() + say.DONE), provider="second")
    caller = await world.call(say.chat(stream=True))
    assert [chunk["choices"][0]["delta"].get("content") for chunk in caller.chunks] == ["", "ok"]
    assert (caller.head["x-provider"], broken.closed) == ("second", 1)
    assert world.ledger.rows[0].first_byte_us is None


async def test_after_content_a_failure_is_the_callers_and_counts_against_the_target(world: Any, say: Any) -> None:
    routes = table(world, breaker=BreakerRules(failures=1))
    world.script(say.stream(ROLE, say.delta("I was"), GatewayError(UPSTREAM_INCOMPLETE, "cut")))
    caller = world.caller()
    error = await world.fail("upstream_incomplete", say.chat(stream=True), caller)
    assert error.frames is not None
    assert error.frames.startswith(b"data: {")
    assert b"[DONE]" not in error.frames
    assert outcomes(world) == [(1, "openai", "upstream_incomplete")]
    assert routes.plan("gpt-4o-mini").stops[0].health.breaker.state(world.clock()) == "open"
    assert routes.plan("gpt-4o-mini").stops[0].health.in_flight == 0


async def test_a_stream_that_ends_without_a_word_is_an_answer_too(world: Any, say: Any) -> None:
    table(world)
    world.script(say.stream(ROLE + say.DONE))
    caller = await world.call(say.chat(stream=True))
    assert caller.frames[-1] == "[DONE]"
    assert outcomes(world) == [(1, "openai", "ok")]


async def test_without_a_first_token_in_time_the_next_target_answers(world: Any, say: Any) -> None:
    table(world, Target("openai", "", "http://one", "sk-1", SOON), B)
    world.script(slow := say.stream(ROLE, asyncio.Event()))
    world.script(say.stream(say.delta("ok"), say.DONE), provider="second")
    caller = await world.call(say.chat(stream=True))
    assert caller.head["x-provider"] == "second"
    assert outcomes(world) == [(1, "openai", "upstream_timeout"), (2, "second", "ok")]
    assert world.ledger.rows[0].error == "Provider 'openai': no first token within 0.005 s."
    assert slow.closed == 1


async def test_the_caller_may_shorten_the_wait_for_the_first_token_but_not_lengthen_it(world: Any, say: Any) -> None:
    table(world, A, Target("second", "", "http://two", "sk-2", SOON))
    world.script(say.stream(ROLE, asyncio.Event()))
    world.script(say.stream(ROLE, asyncio.Event()), provider="second")
    await world.fail("upstream_timeout", say.chat(stream=True), x_first_token_timeout_ms="4")
    assert [row.error.rpartition("within ")[2] for row in world.ledger.rows] == ["0.004 s.", "0.004 s."]
    world.script(say.completion())
    await world.call(x_first_token_timeout_ms="900")
    assert world.transport.requests[-1][0].timeouts.first_byte == 0.9
    world.table = None
    world.targets = (Target("second", "", "http://two", "sk-2", SOON),)
    world.script(say.stream(asyncio.Event()), provider="second")
    error = await world.fail("upstream_timeout", say.chat(stream=True), x_first_token_timeout_ms="60000")
    assert error.detail.endswith("0.005 s.")


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "soon", "9999999999"])
async def test_an_odd_first_token_timeout_is_refused_by_name(world: Any, value: str) -> None:
    error = await world.fail("malformed", x_first_token_timeout_ms=value)
    assert error.param == "x-first-token-timeout-ms"


# --- order ----------------------------------------------------------------------------------------------------------
async def test_weights_decide_who_is_asked_first_and_the_other_is_the_fallback(world: Any, say: Any) -> None:
    table(world, Candidate(A, weight=1), Candidate(B, weight=3), policy=Policy("weighted"))
    world.draws = [0.9, 0.0]
    world.script(away(), provider="second")
    world.script(say.completion())
    assert (await world.call()).head["x-provider"] == "openai"
    assert outcomes(world) == [(1, "second", "upstream_unreachable"), (2, "openai", "ok")]


async def test_the_quicker_target_is_asked_first(world: Any, say: Any) -> None:
    routes = table(world, policy=Policy("least_latency"))
    routes.plan("gpt-4o-mini").stops[0].health.latency.saw(9.0, world.clock())
    routes.plan("gpt-4o-mini").stops[1].health.latency.saw(1.0, world.clock())
    world.script(say.completion(), provider="second")
    assert (await world.call()).head["x-provider"] == "second"


async def test_a_call_goes_to_the_route_whose_conditions_it_meets(world: Any, say: Any) -> None:
    world.targets = (A, B)
    batch = Policy(when=Condition(tags=frozenset({"batch"})))
    long = Policy(when=Condition(min_tokens=100))
    world.table = RouteTable([Route(("*",), (B,), batch), Route(("*",), (B,), long), Route(("*",), (A,))])
    world.script(say.completion(), say.completion(), provider="second")
    world.script(say.completion())
    assert (await world.call(x_tags="nightly, batch")).head["x-provider"] == "second"
    assert (await world.call(say.chat("x" * 500))).head["x-provider"] == "second"
    assert (await world.call()).head["x-provider"] == "openai"


async def test_a_call_that_meets_no_routes_conditions_has_no_model(world: Any) -> None:
    world.table = RouteTable([Route(("*",), (A,), Policy(when=Condition(min_tokens=100)))])
    error = await world.fail("unknown_model")
    assert error.param == "model"


# --- retries --------------------------------------------------------------------------------------------------------
async def test_a_lone_target_is_asked_again_where_the_route_allows_it(world: Any, say: Any) -> None:
    routes = table(world, A, policy=Policy(attempts=3))
    world.script(say.refusal(500), away(), say.completion())
    assert (await world.call()).head["x-attempts"] == "3"
    assert [row.outcome for row in world.ledger.rows] == ["upstream_error", "upstream_unreachable", "ok"]
    assert routes.accounts["openai"].retried == 2


async def test_and_not_without_budget(world: Any, say: Any) -> None:
    table(world, A, policy=Policy(attempts=3), retry_ratio=0.0, retries_per_second=0.0)
    world.script(say.refusal(500), say.completion())
    await world.fail("upstream_error")
    assert len(world.transport.requests) == 1


async def test_a_pause_that_outlasts_the_deadline_is_not_made(world: Any, say: Any) -> None:
    table(world, A, policy=Policy(attempts=3))
    world.draws = [1.0]
    world.script(say.refusal(500))
    await world.fail("upstream_error", x_request_timeout_ms="50")


async def test_the_upstream_sees_no_storm_when_it_is_down(world: Any, say: Any) -> None:
    table(world, A, policy=Policy(attempts=8), breaker=BreakerRules(enabled=False), retries_per_second=0.0)
    world.script(*[say.refusal(503) for _ in range(300)])
    for _ in range(100):
        await world.fail("upstream_error")
    assert len(world.transport.requests) <= 120 + 1


# --- the breaker ----------------------------------------------------------------------------------------------------
async def test_an_open_target_is_passed_over_and_found_again_when_it_has_healed(world: Any, say: Any) -> None:
    table(world, breaker=BreakerRules(failures=2, probes=1))
    world.script(away(), away())
    world.script(*[say.completion() for _ in range(3)], provider="second")
    for _ in range(3):
        await world.call()
    assert [target.provider for target, _ in world.transport.requests] == ["openai", "second", "openai", "second", "second"]
    world.clock.now += 1
    world.script(say.completion(), say.completion())
    assert [(await world.call()).head["x-provider"] for _ in range(2)] == ["openai", "openai"]


async def test_when_every_target_is_open_the_refusal_is_quick_and_says_when_to_come_back(world: Any, say: Any) -> None:
    routes = table(world, breaker=BreakerRules(failures=1, wait=3.0))
    world.script(away())
    world.script(say.refusal(500), provider="second")
    await world.fail("upstream_error")
    error = await world.fail("upstream_unavailable")
    assert (error.status, len(world.transport.requests)) == (503, 2)
    assert 0.1 <= (error.retry_after or 0) <= 3
    assert error.detail == "openai, second: failing or fully in use, and not asked for now"
    assert "openai/gpt-4o-mini open 0" in (error.cause or "")
    assert world.ledger.rows[-1].attempt == 0
    assert routes.plan("gpt-4o-mini").stops[0].health.in_flight == 0


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_callers_own_faults_never_open_a_breaker(world: Any, say: Any, status: int) -> None:
    routes = table(world, A, breaker=BreakerRules(failures=1, min_calls=1))
    world.script(*[say.refusal(status) for _ in range(5)])
    for _ in range(5):
        await world.fail("upstream_rejected")
    assert routes.plan("gpt-4o-mini").stops[0].health.breaker.is_closed


async def test_a_caller_who_leaves_a_probe_does_not_keep_the_breaker_open(world: Any, say: Any) -> None:
    routes = table(world, A, breaker=BreakerRules(failures=1, probes=1))
    world.script(away())
    await world.fail("upstream_unreachable")
    world.clock.now += 2
    world.script(asyncio.Event())
    probing = asyncio.ensure_future(world.call())
    await asked(world, 2)
    probing.cancel()
    await asyncio.gather(probing, return_exceptions=True)
    health = routes.plan("gpt-4o-mini").stops[0].health
    assert health.in_flight == 0
    world.transport.scripts["openai"] = [say.completion()]
    assert (await world.call()).status == 200
    assert health.breaker.is_closed


# --- limit and queue ------------------------------------------------------------------------------------------------
async def hold(world: Any, say: Any) -> tuple[asyncio.Event, "asyncio.Task[Any]"]:
    """A call that stays with the first target until the event is set."""
    release = asyncio.Event()
    world.script(say.stream(say.delta("a"), release, say.delta("b"), say.DONE))
    held = asyncio.ensure_future(world.call(say.chat(stream=True)))
    await asked(world)
    return release, held


async def test_a_full_target_is_passed_over(world: Any, say: Any) -> None:
    routes = table(world, concurrency=1)
    release, held = await hold(world, say)
    world.script(say.completion(), provider="second")
    assert (await world.call()).head["x-provider"] == "second"
    release.set()
    await held
    assert [stop.health.in_flight for stop in routes.plan("gpt-4o-mini").stops] == [0, 0]


async def test_a_call_waits_for_a_place_when_all_are_taken(world: Any, say: Any) -> None:
    routes = table(world, A, concurrency=1)
    release, held = await hold(world, say)
    world.script(say.completion())
    waiting = asyncio.ensure_future(world.call())
    health = routes.plan("gpt-4o-mini").stops[0].health
    while not health.waiters:
        await asyncio.sleep(0)
    release.set()
    await held
    assert (await waiting).status == 200
    assert (health.in_flight, health.queued) == (0, 1)


async def test_who_waits_too_long_or_in_too_long_a_queue_is_refused(world: Any, say: Any) -> None:
    routes = table(world, A, policy=Policy(queue_seconds=0.005), concurrency=1)
    release, held = await hold(world, say)
    error = await world.fail("upstream_unavailable")
    assert (error.status, error.retry_after) == (503, 0.1)
    health = routes.plan("gpt-4o-mini").stops[0].health
    assert not health.waiters
    health.waiters.append(lambda: False)
    await world.fail("upstream_unavailable")
    assert health.queued == 1
    release.set()
    await held
    assert health.in_flight == 0


async def test_who_leaves_the_queue_leaves_no_trace(world: Any, say: Any) -> None:
    routes = table(world, A, concurrency=1)
    release, held = await hold(world, say)
    health = routes.plan("gpt-4o-mini").stops[0].health
    waiting = asyncio.ensure_future(world.call())
    while not health.waiters:
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not health.waiters
    late = asyncio.ensure_future(world.call())
    while not health.waiters:
        await asyncio.sleep(0)
    release.set()
    await held
    late.cancel()  # it may hold the place by now, without having used it
    await asyncio.gather(late, return_exceptions=True)
    assert health.in_flight == 0


async def test_a_place_is_offered_to_one_whose_caller_has_just_left() -> None:
    health = Health("one", Rules(concurrency=1))
    assert health.enter(0.0)
    waiting = asyncio.ensure_future(wait_for_place(health, 60.0))
    while not health.waiters:
        await asyncio.sleep(0)
    waiting.cancel()
    health.leave()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (health.in_flight, len(health.waiters)) == (0, 0)


async def test_a_place_is_offered_in_the_turn_in_which_the_time_ran_out() -> None:
    health, loop = Health("one", Rules(concurrency=1)), asyncio.get_running_loop()
    assert health.enter(0.0)
    waiting = asyncio.ensure_future(wait_for_place(health, 0.001))
    while not health.waiters:
        await asyncio.sleep(0)
    offered = loop.time() + 0.002
    loop.call_at(offered, health.leave)
    while loop.time() < offered:  # so that both timers fire in one turn
        pass
    assert await waiting is False
    assert (health.in_flight, len(health.waiters)) == (0, 0)


async def test_a_target_that_has_too_much_to_do_gets_less(world: Any, say: Any) -> None:
    routes = table(world, A, concurrency=100)
    world.script(GatewayError(UPSTREAM_TIMEOUT, "slow"), say.refusal(429), say.refusal(503))
    for kind in ("upstream_timeout", "upstream_rate_limited", "upstream_error"):
        await world.fail(kind)
        world.clock.now += 1
    assert routes.plan("gpt-4o-mini").stops[0].health.limiter.limit == pytest.approx(34.3)


# --- hedges ---------------------------------------------------------------------------------------------------------
HEDGED = Policy(hedge_after=0.002)


async def test_a_slow_first_token_is_hedged_and_the_quicker_target_answers(world: Any, say: Any) -> None:
    routes = table(world, policy=HEDGED)
    world.script(slow := say.stream(ROLE, asyncio.Event()))
    world.script(say.stream(say.delta("quick"), say.usage() + say.DONE), provider="second")
    caller = await world.call(say.chat("x" * 400, stream=True))
    assert (caller.head["x-provider"], caller.head["x-attempts"], slow.closed) == ("second", "2", 1)
    rows = {row.attempt: row for row in world.ledger.rows}
    assert (rows[1].outcome, rows[1].provider, rows[1].status) == ("hedge_lost", "openai", 499)
    assert (rows[1].input_tokens, rows[1].output_tokens, rows[1].usage_source, rows[1].cost_status) == (
        100,
        0,
        "estimated",
        "estimated",
    )
    assert rows[1].cost_nano > 0
    assert (rows[2].outcome, rows[2].provider, rows[2].usage_source) == ("ok", "second", "upstream")
    assert [intent.attempt for intent in world.ledger.intents] == [1, 2]
    assert [stop.health.in_flight for stop in routes.plan("gpt-4o-mini").stops] == [0, 0]
    assert routes.accounts["second"].hedged == 1


async def test_the_first_may_still_win(world: Any, say: Any) -> None:
    table(world, policy=HEDGED)
    go = asyncio.Event()
    world.script(say.stream(go, say.delta("first"), say.DONE))
    world.script(asyncio.Event(), provider="second")
    running = asyncio.ensure_future(world.call(say.chat(stream=True)))
    await asked(world, 2)
    go.set()
    caller = await running
    assert (caller.head["x-provider"], caller.head["x-attempts"]) == ("openai", "2")
    assert {row.attempt: row.outcome for row in world.ledger.rows} == {1: "ok", 2: "hedge_lost"}
    assert {row.attempt: row.provider for row in world.ledger.rows} == {1: "openai", 2: "second"}


async def test_no_hedge_when_the_first_is_quick(world: Any, say: Any) -> None:
    table(world, policy=Policy(hedge_after=60.0))
    world.script(say.completion())
    assert (await world.call()).head["x-attempts"] == "1"


async def test_no_hedge_without_budget_or_experience(world: Any, say: Any) -> None:
    for policy, rules in ((HEDGED, {"hedge_ratio": 0.0, "hedges_per_second": 0.0}), (Policy(hedge_after="p95"), {})):
        table(world, policy=policy, **rules)
        go = asyncio.Event()
        world.script(say.stream(go, say.delta("a"), say.DONE))
        running = asyncio.ensure_future(world.call(say.chat(stream=True)))
        await asyncio.sleep(0.01)
        go.set()
        assert (await running).head["x-attempts"] == "1"


async def test_a_hedge_by_experience(world: Any, say: Any) -> None:
    routes = table(world, policy=Policy(hedge_after="p95"))
    routes.plan("gpt-4o-mini").stops[0].health.latency.saw(0.002, world.clock())
    world.script(say.stream(asyncio.Event()))
    world.script(say.stream(say.delta("quick"), say.DONE), provider="second")
    assert (await world.call(say.chat(stream=True))).head["x-provider"] == "second"


async def test_when_the_hedged_one_fails_the_other_goes_on(world: Any, say: Any) -> None:
    table(world, policy=HEDGED)
    go = asyncio.Event()
    world.script(say.stream(go, away()))
    world.script(say.stream(second := asyncio.Event(), say.delta("b"), say.DONE), provider="second")
    running = asyncio.ensure_future(world.call(say.chat(stream=True)))
    await asked(world, 2)
    go.set()
    while not world.ledger.rows:
        await asyncio.sleep(0)
    second.set()
    assert (await running).head["x-provider"] == "second"
    assert {row.attempt: (row.provider, row.outcome) for row in world.ledger.rows} == {
        1: ("openai", "upstream_unreachable"),
        2: ("second", "ok"),
    }


async def test_when_both_fail_the_last_failure_is_the_answer_and_each_has_its_row(world: Any, say: Any) -> None:
    routes = table(world, policy=HEDGED)
    go = asyncio.Event()
    world.script(say.stream(go, away()))
    world.script(say.stream(go, GatewayError(UPSTREAM_INCOMPLETE, "cut")), provider="second")
    running = asyncio.ensure_future(world.call(say.chat(stream=True)))
    await asked(world, 2)
    go.set()
    with pytest.raises(GatewayError):
        await running
    assert {row.attempt: (row.provider, row.outcome) for row in world.ledger.rows} == {
        1: ("openai", "upstream_unreachable"),
        2: ("second", "upstream_incomplete"),
    }
    assert [stop.health.in_flight for stop in routes.plan("gpt-4o-mini").stops] == [0, 0]


async def test_a_caller_who_leaves_during_a_hedge_closes_both(world: Any, say: Any) -> None:
    routes = table(world, policy=HEDGED)
    world.script(one := say.stream(asyncio.Event()))
    world.script(two := say.stream(asyncio.Event()), provider="second")
    caller = world.caller()
    running = asyncio.ensure_future(world.call(say.chat(stream=True), caller))
    await asked(world, 2)
    caller.gone = True
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (one.closed, two.closed) == (1, 1)
    assert sorted((row.attempt, row.outcome) for row in world.ledger.rows) == [(1, "hedge_lost"), (2, "client_gone")]
    assert [stop.health.in_flight for stop in routes.plan("gpt-4o-mini").stops] == [0, 0]


async def test_a_failure_before_the_hedge_is_a_plain_fallback(world: Any, say: Any) -> None:
    table(world, policy=Policy(hedge_after=60.0))
    world.script(say.refusal(500))
    world.script(say.completion(), provider="second")
    assert (await world.call()).head["x-attempts"] == "2"
    assert outcomes(world) == [(1, "openai", "upstream_error"), (2, "second", "ok")]
