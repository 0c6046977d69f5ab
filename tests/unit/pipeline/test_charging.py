"""Calls of dead workers: counted once, when their rows are in the ledger, however long a store is away."""

import asyncio
from typing import Any

from msgspec import structs

from gateway.core.ids import uuid7
from gateway.core.ledger import LedgerRow, State
from gateway.core.limits import LimitRule
from gateway.pipeline import charging as module
from gateway.pipeline.charging import Charging
from tests.unit.pipeline.conftest import World, chat, completion
from tests.unit.pipeline.test_limits import rule, turns, used


def charging(world: World) -> Charging:
    return Charging(world.counters, world.spending, sleep=world.rest)


async def dead_calls(world: World, *rules: LimitRule) -> list[LedgerRow]:
    """Two calls of a worker that died: one had a refused answer before, one had none; and one that had ended."""
    world.allow()
    world.script(completion())
    await world.call(chat(user="ann"), x_tags="a,b")
    world.spending.limits["app-1"] = list(rules)
    world.spending.keys["key-1"] = (world.key.public_id,)
    (row,) = world.ledger.rows
    cut: dict[str, Any] = {"state": State.INTERRUPTED, "outcome": "interrupted", "output_tokens": None, "cost_nano": 7}
    one, other = (uuid7(world.now_ms(), number) for number in (1, 2))
    rows = [
        structs.replace(row, call_id=one, attempt=1),
        structs.replace(row, call_id=one, attempt=2, **cut),
        structs.replace(row, call_id=other, attempt=1, **cut),
        structs.replace(row, call_id=uuid7(world.now_ms(), 3)),
    ]
    world.ledger.rows[:] = rows
    return rows


async def test_each_counter_gets_what_the_calls_used_once(world: World) -> None:
    rules = [
        rule("tokens", "tokens", 10**6, "day", scope="user"),
        rule("money", "cost_nano", 10**9, "month", scope="key"),
        rule("tag", "input_tokens", 10**6, "hour", scope="tag", match="b"),
        rule("model", "output_tokens", 10**6, "month", scope="model"),
        rule("requests", amount=100, window="month"),
        rule("leased", "tokens", 10**6, "month", mode="leased"),
        rule("places", "concurrency", 9, "none"),
    ]
    rows = await dead_calls(world, *rules)
    mine = charging(world)
    for _ in range(2):
        mine.recovered(rows)
        await turns()
    counted = {
        "tokens": await used(world, "tokens", "day", "ann"),
        "money": await used(world, "money", "month", world.key.public_id),
        "tag": await used(world, "tag", "hour", "b"),
        "model": await used(world, "model", "month", "gpt-4o-mini"),
        "requests": await used(world, "requests", "month"),
        "leased": await used(world, "leased", "month"),
        "places": await used(world, "places", "none"),
    }
    cost = rows[0].cost_nano or 0
    assert counted == {
        "tokens": 12 + 10 + 10,
        "money": cost + 7 + 7,
        "tag": 30,
        "model": 2,
        "requests": 0,
        "leased": 0,
        "places": 0,
    }
    await mine.close()


async def test_a_store_that_is_away_gets_it_later(world: World) -> None:
    rows = await dead_calls(world, rule("t", "input_tokens", 10**6, "day"))
    mine = charging(world)
    nap = world.naps[module.PAUSE_S] = asyncio.Event()
    world.counters.available = world.spending.available = False
    mine.recovered(rows)
    await turns()
    world.spending.available = True
    nap.set()
    nap = world.naps[module.PAUSE_S] = asyncio.Event()
    await turns()
    assert mine.charged == 0
    world.counters.available = True
    nap.set()
    assert await used(world, "t", "day") == 30
    assert mine.charged == 2
    await mine.close()


async def test_what_cannot_be_told_is_given_up_in_the_end(world: World) -> None:
    rows = await dead_calls(world, rule("t", "input_tokens", 10**6, "day"))
    mine = charging(world)
    world.spending.available = False
    mine.recovered(rows)
    tries = 0

    async def counted(_: float) -> None:
        nonlocal tries
        tries += 1
        await asyncio.sleep(0)

    mine._sleep = counted  # type: ignore[assignment]
    while mine._waiting:
        await asyncio.sleep(0)
    await turns()
    assert tries == module.TRIES
    mine._waiting = module.MAX_WAITING
    mine.recovered(rows)
    assert not mine._tasks
    mine.recovered([rows[0], rows[-1]])
    await mine.close()
