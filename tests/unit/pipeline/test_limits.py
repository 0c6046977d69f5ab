"""Limit rules on the path: what is reserved, what is settled at every end of a call, and what happens without the store."""

import asyncio
from typing import Any

import pytest
from msgspec import structs

from gateway.core.errors import UPSTREAM_ERROR, GatewayError
from gateway.core.limits import LARGEST_AMOUNT, Ask, LimitRule, Settlement, Spent
from gateway.dialects.chat import MAX_CHOICES
from gateway.dialects.messages.dialect import MESSAGES_DIALECT
from gateway.limits.leases import Permits
from gateway.limits.rules import DEFAULT_OUTPUT, Estimate, Match
from gateway.limits.windows import DAY_MS
from gateway.pipeline import leased
from gateway.pipeline import limits as module
from gateway.pipeline.estimates import LARGEST_BOUND
from tests.unit.pipeline.conftest import DONE, Exchange, World, chat, completion, delta, stream, usage, validators

TOKENS_OF_HELLO = 2
"""Five characters, four to a token."""
COST = 10 * 150 + 2 * 600
"""Nano-dollars of the scripted completion at gpt-4o-mini's prices."""


def rule(name: str = "r", metric: str = "requests", amount: int = 5, window: str = "minute", **fields: Any) -> LimitRule:
    scope = fields.pop("scope", "application")
    return LimitRule(id=f"id-{name}", name=name, scope=scope, metric=metric, amount=amount, window=window, **fields)  # type: ignore[arg-type]


async def used(world: World, name: str = "r", window: str = "minute", value: str = "") -> int:
    await turns()
    (state,) = await world.counters.look("app-1", [Ask(f"id-{name}:{value}", window, 0, 0)]) or []  # type: ignore[arg-type]
    return state.used


async def turns() -> None:
    """Let settlements be sent."""
    for _ in range(30):
        await asyncio.sleep(0)


async def test_a_request_counts_once_and_the_refusal_burns_nothing(world: World) -> None:
    world.allow(limits=[rule(amount=1), rule("other", amount=9)])
    world.script(completion())
    answered = await world.call()
    assert answered.head["x-ratelimit-limit-requests"] == "1"
    assert answered.head["x-ratelimit-remaining-requests"] == "0"
    error = await world.fail("rate_limited")
    assert (error.target, error.status) == ("application", 429)
    assert error.detail.startswith("Rate limit reached for this application: the limit 'r' allows 1 requests per minute.")
    assert b"x-ratelimit-rule: r\r\n" in error.headers
    assert error.retry_after is not None
    assert 0 < error.retry_after <= 60
    assert [await used(world), await used(world, "other")] == [1, 1]


async def test_tokens_and_cost_come_to_the_truth(world: World) -> None:
    world.allow(limits=[rule("t", "tokens", 5000), rule("c", "cost_nano", 10**9, "month"), rule("i", "input_tokens", 500)])
    world.script(completion())
    answered = await world.call(chat(max_tokens=400))
    assert answered.head["x-ratelimit-limit-tokens"] == "500"
    assert answered.head["x-ratelimit-remaining-tokens"] == str(500 - TOKENS_OF_HELLO)
    assert [await used(world, "t"), await used(world, "i"), await used(world, "c", "month")] == [12, 10, COST]
    assert world.row.cost_nano == COST


async def test_while_a_call_runs_its_estimate_is_taken(world: World) -> None:
    world.allow(limits=[rule("t", "tokens", 5000), rule("p", "concurrency", 1, "none")])
    gate = asyncio.Event()
    world.script(gate, completion())
    running = asyncio.ensure_future(world.call(chat(max_tokens=400)))
    await turns()
    assert await used(world, "t") == TOKENS_OF_HELLO + 400
    error = await world.fail("rate_limited")
    assert "'p' allows 1 calls at one time" in error.detail
    assert error.retry_after == 1.0
    gate.set()
    await running
    assert [await used(world, "t"), await used(world, "p", "none")] == [12, 0]


async def test_without_a_bound_a_usual_answer_is_reserved(world: World) -> None:
    world.allow(limits=[rule("o", "output_tokens", 50_000), rule("small", "output_tokens", 30)])
    gate = asyncio.Event()
    world.script(gate, completion())
    running = asyncio.ensure_future(world.call(chat(n=2)))
    await turns()
    # More than the whole limit is never reserved for what is only a guess.
    assert [await used(world, "o"), await used(world, "small")] == [2 * DEFAULT_OUTPUT, 30]
    gate.set()
    await running
    assert await used(world, "o") == 2


async def test_an_input_beyond_the_limit_is_refused_for_good(world: World) -> None:
    world.allow(limits=[rule("t", "tokens", 10)])
    error = await world.fail("rate_limited", chat("x" * 400))
    assert error.retry_after is None
    assert b"x-should-retry: false" in error.headers
    assert "needs 100 tokens, which the limit never allows" in error.detail


async def test_a_budget_is_exhausted_with_the_error_that_sdks_do_not_repeat(world: World) -> None:
    world.allow(limits=[rule("b", "cost_nano", COST, "month")])
    world.script(completion())
    await world.call(chat(max_tokens=1))
    error = await world.fail("budget_exhausted")
    assert (error.kind.openai_type, error.kind.code, error.kind.retryable) == (
        "insufficient_quota",
        "insufficient_quota",
        False,
    )
    assert "allows $0.0000027 per month" in error.detail
    assert error.retry_after == 119.0
    assert error.target == "application"


async def test_each_value_has_a_counter_of_its_own_and_others_do_not_match(world: World) -> None:
    limits = [
        rule("each", amount=1, scope="user"),
        rule("one", amount=0, scope="tag", match="batch"),
        rule("m", amount=9, scope="model", match="gpt-4o-mini"),
        rule("k", amount=9, scope="key", match=world.key.public_id),
        rule("not", amount=0, scope="key", match="another"),
    ]
    world.allow(limits=limits)
    world.script(completion(), completion(), completion())
    await world.call(chat(user="ann"))
    await world.call(chat(user="bob"))
    await world.call(chat())
    assert (await world.fail("rate_limited", chat(user="ann"))).detail.startswith("Rate limit reached for the user 'ann'")
    assert (await world.fail("rate_limited", x_tags="a,batch")).detail.startswith("Rate limit reached for the tag 'batch'")
    counts = [await used(world, "m", value="gpt-4o-mini"), await used(world, "k", value=world.key.public_id)]
    assert counts == [3, 3]


async def test_a_rotated_key_goes_on_with_what_its_predecessors_have_used(world: World) -> None:
    rules = [rule(name, amount=2, scope="key", match=match) for name, match in (("e", "*"), ("f", "pub1"), ("s", "pub2"))]
    for ancestors in (["pub1", "pub2"], ["pub1"]):
        world.allow(limits=[*rules, rule("x", amount=0, scope="key", match="pub9")], ancestors=ancestors)
        world.script(completion())
        await world.call()
    assert [await used(world, name, value="pub1") for name in ("e", "f")] == [2, 2]
    assert await used(world, "s", value="pub2") == 1
    assert await used(world, "e", value=world.key.public_id) == 0
    await world.fail("rate_limited")


async def test_what_fails_before_a_provider_is_asked_uses_no_tokens(world: World) -> None:
    world.allow(limits=[rule("t", "tokens", 5000), rule("p", "concurrency", 5, "none"), rule()])
    world.script(GatewayError(UPSTREAM_ERROR, "no"))
    await world.fail("upstream_error")
    assert [await used(world, "t"), await used(world, "p", "none"), await used(world)] == [0, 0, 1]


async def test_a_caller_who_leaves_pays_for_what_was_made(world: World) -> None:
    world.allow(limits=[rule("t", "tokens", 5000), rule("p", "concurrency", 5, "none")])
    world.script(stream(delta("Hel"), delta("lo")))
    caller = world.caller()
    caller.leave_at = "write"
    with pytest.raises(GatewayError):
        await world.call(chat(stream=True), caller)
    row = world.row
    assert row.input_tokens is not None
    assert row.output_tokens is not None
    assert await used(world, "t") == row.input_tokens + row.output_tokens
    assert await used(world, "p", "none") == 0


async def test_leased_limits_ask_the_store_once_for_several_calls(world: World) -> None:
    world.allow(limits=[rule(amount=1000, mode="leased", window="month"), rule("t", "tokens", 100_000, "month", mode="leased")])
    world.script(*[completion() for _ in range(6)])
    for _ in range(6):
        await world.call(chat(max_tokens=50))
    assert world.counters.questions < 6
    taken = await used(world, "t", "month")
    assert taken >= 6 * 12


async def test_a_leased_limit_refuses_and_gives_back_what_other_rules_refused(world: World) -> None:
    world.allow(limits=[rule("l", amount=3, mode="leased", window="month"), rule("zero", "concurrency", 0, "none")])
    for _ in range(5):
        assert "'zero'" in (await world.fail("rate_limited")).detail
    world.allow(limits=[rule("l", amount=3, mode="leased", window="month")])
    world.script(*[completion() for _ in range(3)])
    for _ in range(3):
        await world.call()
    assert "'l' allows 3 requests per month" in (await world.fail("rate_limited")).detail


async def test_the_keys_own_limit_is_given_back_too(world: World) -> None:
    world.allow(requests_per_minute=1, limits=[rule("zero", "concurrency", 0, "none")])
    for _ in range(3):
        assert (await world.fail("rate_limited")).target == "application"


async def test_a_shadow_rule_counts_and_lets_pass(world: World) -> None:
    world.allow(limits=[rule(amount=1, shadow=True), rule("l", amount=1, shadow=True, mode="leased", window="month")])
    world.script(*[completion() for _ in range(3)])
    for _ in range(3):
        answered = await world.call()
        assert "x-ratelimit-limit-requests" not in answered.head
    assert await used(world) == 3
    assert (world.limits.shadowed, world.limits.refused) == (4, 0)
    assert [row.shadowed for row in world.ledger.rows] == [(), ("l", "r"), ("l", "r")]
    assert {row.route for row in world.ledger.rows} == {"gpt-4o-mini"}


async def test_without_the_store_an_open_rule_holds_per_worker(world: World) -> None:
    world.allow(limits=[rule(amount=100, local_amount=2), rule("t", "tokens", 5000)])
    world.counters.available = False
    world.script(completion(), completion())
    await world.call()
    await world.call()
    assert world.limits.degraded
    assert "'r'" in (await world.fail("rate_limited")).detail
    await turns()
    world.counters.available = True
    world.script(completion())
    await world.call()
    assert not world.limits.degraded
    assert await used(world) == 1


@pytest.mark.parametrize("mode", ["exact", "leased"])
async def test_without_the_store_a_closed_rule_refuses(world: World, mode: str) -> None:
    world.allow(limits=[rule(mode=mode, on_store_error="closed")])
    world.counters.available = False
    error = await world.fail("store_unavailable")
    assert "The limit 'r' of this application cannot be checked" in error.detail
    world.counters.available = True
    world.script(completion())
    await world.call()


async def test_a_closed_shadow_refuses_nobody(world: World) -> None:
    world.allow(limits=[rule(shadow=True, on_store_error="closed")])
    world.counters.available = False
    world.script(completion())
    await world.call()


async def test_settlements_that_did_not_arrive_are_sent_again_and_then_given_up(world: World) -> None:
    world.allow(limits=[rule("t", "tokens", 5000, "month"), rule("p", "concurrency", 1, "none")])
    gate = asyncio.Event()
    world.script(gate, completion())
    running = asyncio.ensure_future(world.call())
    await turns()
    world.counters.available = False
    gate.set()
    await running
    await turns()
    world.counters.available = True
    assert await used(world, "p", "none") == 1
    await world.limits.round()
    assert [await used(world, "t", "month"), await used(world, "p", "none")] == [12, 0]
    world.counters.available = False
    world.limits.after.settle("app-1", Settlement("c", 0, "x", 1, 1))
    await turns()
    await world.limits.round()
    assert world.limits.after.unsettled == 0
    world.clock.now += module.LIFETIME_S
    await world.limits.round()
    assert world.limits.after.unsettled == 1


async def test_running_calls_keep_their_places(world: World) -> None:
    world.allow(limits=[rule("p", "concurrency", 1, "none")])
    gate = asyncio.Event()
    world.script(gate, completion())
    running = asyncio.ensure_future(world.call())
    await turns()
    for _ in range(4):
        world.clock.now += module.LIFETIME_S / 3
        await world.limits.round()
    assert await used(world, "p", "none") == 1
    world.clock.now += module.LIFETIME_S
    assert await used(world, "p", "none") == 0
    gate.set()
    await running
    await world.limits.close()
    assert await used(world, "p", "none") == 0


def words(count: int, made: int | None = None) -> Exchange:
    """A stream of so many tokens, with usage where ``made`` is given."""
    end = [] if made is None else [usage(10, made)]
    return stream(*[delta("word")] * count, delta(finish="stop"), *end, DONE)


async def test_a_hard_limit_ends_a_stream_with_a_proper_end(world: World) -> None:
    world.allow(limits=[rule("o", "output_tokens", 20, "day", hard=True)])
    world.script(words(200))
    answered = await world.call(chat(stream=True, stream_options={"include_usage": True}))
    assert answered.frames[-1] == "[DONE]"
    ends = [c["choices"][0]["finish_reason"] for c in answered.chunks if c["choices"]]
    assert ends.count("length") == 1
    assert ends[-1] == "length"
    assert sum(1 for c in answered.chunks if c["choices"] and c["choices"][0]["delta"].get("content")) == 21
    row = world.row
    assert (row.outcome, row.finish_reason, row.usage_source, row.status) == ("budget_exhausted", "length", "estimated", 200)
    assert row.error == "the limit 'o' had nothing left for this answer"


async def test_a_stream_asks_for_more_before_it_is_ended(world: World) -> None:
    world.allow(limits=[rule("o", "output_tokens", 1100, "day", hard=True), rule("c", "cost_nano", 10**9, "day", hard=True)])
    world.script(words(1060, 1060))
    answered = await world.call(chat(stream=True))
    assert world.row.outcome == "ok"
    assert answered.frames[-1] == "[DONE]"
    assert [await used(world, "o", "day"), await used(world, "c", "day")] == [1060, 10 * 150 + 1060 * 600]


async def test_an_answer_that_was_refused_counts_for_the_one_after_it(world: World) -> None:
    """A hard limit ends the second answer where both together pass it."""
    world.allow(limits=[rule("o", "output_tokens", 40, "day", hard=True)])
    guard = {"type": "regex", "options": {"pattern": "secret"}, "stage": "whole", "on_fail": "reask"}
    world.publish("faq", ("user", "Hi"), guardrails=validators("post", guard))
    refused = stream(*[delta("word")] * 24, delta(" secret"), delta(finish="stop"), usage(10, 25), DONE)
    world.script(refused, words(200))
    answered = await world.call({"model": "faq", "stream": True})
    assert answered.frames[-1] == "[DONE]"
    assert [row.outcome for row in world.ledger.rows] == ["blocked", "budget_exhausted"]
    assert answered.body.count(b'"word"') == 40 - 25 + 1
    assert await used(world, "o", "day") == sum([row.output_tokens or 0 for row in world.ledger.rows]) > 25


async def test_an_event_that_is_larger_than_a_step_is_paid_for_by_one_question(world: World) -> None:
    world.allow(limits=[rule("o", "output_tokens", 10_000, "day", hard=True)])
    world.script(stream(delta("word" * 5000), delta(finish="stop"), usage(10, 5000), DONE))
    before = world.counters.questions
    await world.call(chat(stream=True, max_tokens=10))
    assert world.row.outcome == "ok"
    assert await used(world, "o", "day") == 5000
    assert world.counters.questions - before < 6
    # What the limit cannot pay for whole ends the stream, without a question for every step of it.
    world.script(stream(delta("word" * 6000), delta(finish="stop"), DONE))
    before = world.counters.questions
    await world.call(chat(stream=True, max_tokens=10))
    assert world.ledger.rows[-1].outcome == "budget_exhausted"
    await turns()
    assert world.counters.questions - before < 6


async def test_a_bound_that_no_model_has_reserves_no_sum_that_no_counter_holds(world: World) -> None:
    world.allow(limits=[rule("c", "cost_nano", LARGEST_AMOUNT, "day", shadow=True)])
    gate = asyncio.Event()
    world.script(gate, completion())
    running = asyncio.ensure_future(world.call(chat(max_tokens=999_999_999, n=MAX_CHOICES)))
    await turns()
    assert await used(world, "c", "day") == TOKENS_OF_HELLO * 150 + MAX_CHOICES * LARGEST_BOUND * 600
    gate.set()
    await running
    await world.limits.close()


async def test_a_leased_call_that_cannot_be_served_takes_nothing_from_others(world: World) -> None:
    world.allow(limits=[rule("l", "input_tokens", 100, "day", mode="leased")])
    await world.fail("rate_limited", chat(messages=[{"role": "user", "content": "x" * 600}]))
    assert await used(world, "l", "day") == 0
    world.script(completion())
    await world.call()


async def test_a_leased_rule_that_changes_keeps_what_is_owed(world: World) -> None:
    before = rule("l", "output_tokens", 1000, "day", mode="leased")
    after = structs.replace(before, amount=999, local_amount=7)

    async def reserve(asked: LimitRule, tokens: int) -> list[module.Taken]:
        taken, _ = await world.limits.reserve("app-1", "c", [Match(asked, "id-l:")], Estimate(0, tokens), [])
        return taken

    first = await reserve(before, 10)
    await reserve(after, 10)
    world.limits.settle("app-1", "c", first, Spent(0, 900, 0))
    held = world.limits._leased.held("id-l:")
    assert held is not None
    assert held.local == 7
    # 890 tokens more than were reserved are owed: what is left of 999 does not cover another hundred.
    with pytest.raises(GatewayError, match="Rate limit reached"):
        await reserve(after, 100)
    await reserve(after, 50)


async def test_a_rule_that_is_deleted_while_a_call_runs_is_settled_all_the_same(world: World) -> None:
    world.allow(limits=[rule("t", "tokens", 5000, "month"), rule("p", "concurrency", 1, "none")])
    gate = asyncio.Event()
    world.script(gate, completion())
    running = asyncio.ensure_future(world.call(chat(max_tokens=400)))
    await turns()
    world.allow(limits=[])
    await world.limits.round()
    gate.set()
    await running
    assert [await used(world, "t", "month"), await used(world, "p", "none")] == [12, 0]
    await world.limits.close()


async def test_a_call_over_midnight_leaves_the_new_day_alone(world: World) -> None:
    """It counts in the day in which it was admitted, also what it takes of the limit after midnight."""
    world.allow(limits=[rule("o", "output_tokens", 3000, "day", hard=True)])
    today = world.now_ms() // DAY_MS
    gate = asyncio.Event()
    world.script(stream(delta("word"), gate, *[delta("word")] * 1500, delta(finish="stop"), usage(10, 1501), DONE))
    running = asyncio.ensure_future(world.call(chat(stream=True, max_tokens=10)))
    await turns()
    world.clock.now += DAY_MS / 1000
    assert world.now_ms() // DAY_MS == today + 1
    gate.set()
    await running
    assert (world.row.outcome, world.row.output_tokens) == ("ok", 1501)
    assert await used(world, "o", "day") == 0
    await world.limits.close()


def test_values_that_one_application_makes_up_do_not_push_out_what_another_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leased, "MAX_KEYS", 3)
    held = leased.Leased(lambda: 0.0)
    steady = held.hold("steady", Permits(10))
    for number in range(10):
        held.hold(f"made up {number}", Permits(10))
        assert held.held("steady") is steady
    assert held.held("made up 7") is None


async def test_a_hard_budget_of_money_ends_a_stream(world: World) -> None:
    world.allow(limits=[rule("c", "cost_nano", 60_000, "month", hard=True, mode="leased")])
    world.script(words(400))
    answered = await world.call(chat(stream=True))
    assert answered.frames[-1] == "[DONE]"
    assert world.row.outcome == "budget_exhausted"
    # (60,000 - 2 * 150) / 600 tokens are paid for, and the event that passes them has come.
    assert answered.body.count(b'"word"') == 100


async def test_an_answer_that_comes_whole_or_is_within_its_limit_ends_by_itself(world: World) -> None:
    world.allow(limits=[rule("o", "output_tokens", 3, "day", hard=True)])
    world.script(words(3, 3))
    await world.call(chat(stream=True, max_tokens=3))
    assert world.row.outcome == "ok"


async def test_a_hard_limit_ends_a_stream_in_the_callers_dialect(world: World) -> None:
    world.allow(limits=[rule("o", "output_tokens", 20, "day", hard=True)])
    world.dialect = MESSAGES_DIALECT
    world.script(words(200))
    answered = await world.call(chat(stream=True, max_tokens=300))
    text = answered.body.decode()
    assert '"stop_reason":"max_tokens"' in text
    assert text.rstrip().endswith('{"type":"message_stop"}')
