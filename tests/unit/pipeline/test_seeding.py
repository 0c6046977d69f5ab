"""Counters that the store has lost: made again from the ledger before anybody spends from them, once, bounded, and by the rule's choice."""

import asyncio
import itertools
from typing import Any

import pytest

from gateway.core.errors import INTERNAL, GatewayError
from gateway.core.limits import Ask, Unseeded
from gateway.core.spending import Span
from gateway.limits import seeds
from gateway.limits.spans import HOUR_MS, cover
from gateway.limits.windows import DAY_MS
from gateway.pipeline.receive import Receiver
from gateway.pipeline.seeding import AGAIN_S, PATIENCE_S, REST_S, Seeding
from tests.unit.pipeline.conftest import World, chat, completion
from tests.unit.pipeline.test_limits import COST, rule, turns, used


@pytest.fixture(autouse=True)
def calls_of_their_own(world: World) -> None:
    """Each call has an id by its own time, which the ledger is asked by."""
    numbers = itertools.count(1)
    world.receiver = Receiver(world.clock, world.now_ms, lambda _: next(numbers), 600)


def lose(world: World) -> None:
    """Some time after the last call, so that it is told apart from what comes."""
    world.clock.now += 1
    world.counters.forget()


def allow(world: World, *limits: Any) -> None:
    world.allow(limits=list(limits))
    world.spending.limits["app-1"] = list(limits)
    world.spending.keys["key-1"] = (world.key.public_id,)


async def test_after_a_loss_only_the_rest_of_a_budget_is_left(world: World) -> None:
    allow(world, rule("c", "cost_nano", 4 * COST, "month"), rule("t", "tokens", 100, "day", scope="tag", match="a"))
    for _ in range(2):
        world.script(completion())
        await world.call(chat(max_tokens=2), x_tags="a,a,b")
    lose(world)
    for _ in range(2):
        world.script(completion())
        await world.call(chat(max_tokens=2), x_tags="b")
    await turns()
    await world.fail("budget_exhausted", chat(max_tokens=2))
    assert await used(world, "c", "month") == 4 * COST
    assert await used(world, "t", "day", value="a") == 24
    assert (world.seeding.done, world.seeding.failed) == (1, 0)
    await world.limits.close()


async def test_requests_and_leased_rules_are_counted_again_too(world: World) -> None:
    allow(world, rule("r", amount=3, window="hour"), rule("l", amount=90, window="month", mode="leased", scope="key"))
    world.script(completion())
    await world.call()
    lose(world)
    world.script(completion())
    await world.call()
    assert await used(world, window="hour") == 2
    world.script(completion())
    await world.call()
    assert "'r'" in (await world.fail("rate_limited")).detail
    # Of the leased rule: the first call by the ledger, and a bundle of a tenth at most.
    assert 1 < await used(world, "l", "month", world.key.public_id) <= 1 + 9
    await world.limits.close()


async def test_what_was_not_in_the_ledger_yet_is_counted_later(world: World) -> None:
    allow(world, rule("c", "cost_nano", 10 * COST, "month"))
    world.script(completion())
    await world.call()
    await turns()
    late = list(world.ledger.rows)
    world.ledger.rows.clear()
    lose(world)
    asleep = world.naps[AGAIN_S] = asyncio.Event()
    world.script(completion())
    await world.call()
    assert await used(world, "c", "month") == COST
    world.ledger.rows[:0] = late
    asleep.set()
    assert await used(world, "c", "month") == 2 * COST
    await world.limits.close()


async def test_calls_that_waited_are_counted_once(world: World) -> None:
    """They started before the counters were known, were counted at the door then, and are in the ledger when it is asked again."""
    allow(world, rule("r", amount=100, window="month"), rule("c", "cost_nano", 10**9, "month"))
    world.script(completion())
    await world.call()
    lose(world)
    asleep = world.naps[AGAIN_S] = asyncio.Event()
    gate = asyncio.Event()
    ask = world.spending.totals

    async def slow(*arguments: Any) -> Any:
        await gate.wait()
        return await ask(*arguments)

    world.spending.totals = slow  # type: ignore[method-assign]
    world.script(*[completion() for _ in range(8)])
    waiting = [asyncio.ensure_future(world.call()) for _ in range(8)]
    await turns()
    world.clock.now += 1
    gate.set()
    await asyncio.gather(*waiting)
    assert await used(world, "r", "month") == 9
    asleep.set()
    assert [await used(world, "r", "month"), await used(world, "c", "month")] == [9, 9 * COST]
    await world.limits.close()


async def test_calls_at_one_time_share_one_question_to_the_ledger(world: World) -> None:
    allow(world, rule("c", "cost_nano", 10**9, "month"))
    lose(world)
    world.naps[AGAIN_S] = asyncio.Event()
    world.script(*[completion() for _ in range(8)])
    await asyncio.gather(*[world.call() for _ in range(8)])
    month_so_far = len(cover(*span(world), ()).rows)
    assert world.spending.questions == month_so_far
    assert world.seeding.done == 1
    await world.limits.close()


def span(world: World) -> tuple[int, int]:
    ((question, _),) = seeds.questions([rule("c", "cost_nano", 10**9, "month")], world.now_ms(), None).items()
    return question.since_ms, world.now_ms() + 60_000


async def test_what_is_summed_up_is_not_read_again(world: World) -> None:
    """Sums for all but the last two hours; those row by row, and once for all rules, whenever they were made."""
    world.clock.now += 40 * DAY_MS / 1000
    allow(world, rule("c", "cost_nano", 10**9, "month"), rule("d", "cost_nano", 10**9, "day"))
    for _ in range(2):
        world.script(completion())
        await world.call()
        world.clock.now += 2 * HOUR_MS / 1000
    this_hour = world.now_ms() // HOUR_MS * HOUR_MS
    world.spending.spans = {Span("hour", this_hour - ago * HOUR_MS) for ago in range(2, 31 * 24)}
    lose(world)
    world.naps[AGAIN_S] = asyncio.Event()
    asks = [Ask("id-c:", "month", 10**9, 0), Ask("id-d:", "day", 10**9, 0)]
    assert [state.used for state in await world.seeding.look("app-1", asks) or []] == [2 * COST, 2 * COST]
    assert world.spending.questions == 1
    assert world.spending.spans_asked > 24
    await world.limits.close()


@pytest.mark.parametrize("mode", ["exact", "leased"])
async def test_without_the_ledger_the_rule_says_what_holds(world: World, mode: str) -> None:
    allow(world, rule("open", amount=1, window="month", mode=mode))
    lose(world)
    world.spending.available = False
    world.script(completion())
    await world.call()
    await world.fail("rate_limited")
    assert world.limits.degraded
    allow(world, rule("closed", amount=1, window="month", mode=mode, on_store_error="closed"))
    await world.fail("store_unavailable")
    assert world.seeding.failed == 1
    # The ledger is asked again a second later, not by every call.
    world.spending.available = True
    await world.fail("store_unavailable")
    world.clock.now += REST_S
    assert await world.seeding.look("app-1", [Ask("id-closed:", "month", 1, 0)]) is not None
    await world.limits.close()


async def test_another_workers_seeding_is_waited_for_but_not_for_ever(world: World) -> None:
    allow(world, rule("c", amount=5, window="month", on_store_error="closed"))
    lose(world)
    turn = await world.counters.turn("app-1", "another", 600)
    assert turn is not None
    assert turn.whose == "mine"
    asks = [Ask("id-c:", "month", 5, 0)]
    waiting = asyncio.ensure_future(world.seeding.look("app-1", asks))
    await turns()
    assert not waiting.done()
    await world.counters.seed("app-1", [], "first")
    states = await waiting
    assert states is not None
    assert states[0].used == 0
    assert world.seeding.done == 0


async def test_a_call_waits_no_longer_than_it_may(world: World) -> None:
    lose(world)
    never = asyncio.Event()
    seeding = Seeding(world.counters, world.spending, "impatient", world.clock, patience_s=0.001, sleep=lambda _: never.wait())
    assert PATIENCE_S > 1
    await world.counters.turn("app-1", "another", 600)
    assert await seeding.look("app-1", [Ask("c", "day", 5, 0)]) is None
    await seeding.close()


async def test_a_store_that_goes_away_in_the_middle_is_no_answer(world: World) -> None:
    allow(world, rule("c", amount=5, window="month"))
    lose(world)
    asks = [Ask("id-c:", "month", 5, 0)]
    assert await world.counters.look("app-1", asks) == Unseeded()
    ask = world.spending.totals

    async def cut(*arguments: Any) -> Any:
        world.counters.available = False
        return await ask(*arguments)

    world.spending.totals = cut  # type: ignore[method-assign]
    assert await world.seeding.look("app-1", asks) is None
    assert world.seeding.failed == 1
    world.counters.available, world.spending.totals = True, ask  # type: ignore[method-assign]
    world.clock.now += REST_S
    assert await world.seeding.look("app-1", asks) is not None
    await world.limits.close()


async def test_a_last_seed_that_fails_leaves_what_the_first_said(world: World) -> None:
    allow(world, rule("c", amount=5, window="month"))
    lose(world)
    asleep = world.naps[AGAIN_S] = asyncio.Event()
    assert await world.seeding.look("app-1", [Ask("id-c:", "month", 5, 0)]) is not None
    world.spending.available = False
    asleep.set()
    await turns()
    assert await used(world, "c", "month") == 0
    await world.limits.close()


async def test_running_calls_are_told_to_a_store_that_lost_them(world: World) -> None:
    allow(world, rule("t", "tokens", 5000, "month"), rule("p", "concurrency", 2, "none"))
    gate = asyncio.Event()
    world.script(gate, completion())
    running = asyncio.ensure_future(world.call(chat(max_tokens=400)))
    await turns()
    before = [await used(world, "t", "month"), await used(world, "p", "none")]
    lose(world)
    world.script(completion())
    # The next call hears of the loss, and the worker tells at once what it holds.
    assert await world.seeding.look("app-1", [Ask("id-t:", "month", 1, 0)]) is not None
    other = await world.limits.reserve("app-1", "other", [], None, [])  # type: ignore[arg-type]
    assert other == ([], [])
    await world.limits.round()
    assert [await used(world, "t", "month"), await used(world, "p", "none")] == before == [402, 1]
    gate.set()
    await running
    assert [await used(world, "t", "month"), await used(world, "p", "none")] == [12, 0]
    await world.limits.close()


async def test_a_failure_of_our_own_is_not_hidden(world: World) -> None:
    world.counters.forget()

    async def broken(application_id: str) -> Any:
        raise GatewayError(INTERNAL, "broken")

    world.spending.rules = broken  # type: ignore[method-assign]
    assert await world.seeding.look("app-1", [Ask("c", "day", 5, 0)]) is None
    turn = await world.counters.turn("app-1", "another", 1)
    assert turn is not None
    assert turn.whose == "mine"


async def test_calls_that_waited_under_a_leased_rule_are_counted_once(world: World) -> None:
    """Their permits come of the counters as they are now, and their rows say that they started before."""
    allow(world, rule("l", amount=900, window="month", mode="leased"), rule("m", "tokens", 90_000, "day", mode="leased"))
    world.script(completion())
    await world.call(chat(max_tokens=10))
    lose(world)
    world.clock.now += 1
    asleep = world.naps[AGAIN_S] = asyncio.Event()
    gate = asyncio.Event()
    ask = world.spending.totals

    async def slow(*arguments: Any) -> Any:
        await gate.wait()
        return await ask(*arguments)

    world.spending.totals = slow  # type: ignore[method-assign]
    world.script(*[completion() for _ in range(9)])
    waiting = [asyncio.ensure_future(world.call(chat(max_tokens=10))) for _ in range(8)]
    await turns()
    world.clock.now += 1
    gate.set()
    await asyncio.gather(*waiting)
    world.clock.now += 1
    await world.call(chat(max_tokens=10))  # it started after the seed, and is no affair of the ledger's
    before = [await used(world, "l", "month"), await used(world, "m", "day")]
    assert before[0] >= 1 + 9
    asleep.set()
    assert [await used(world, "l", "month"), await used(world, "m", "day")] == before
    await world.limits.close()
