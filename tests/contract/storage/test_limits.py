"""What every LimitStore does: the memory twin, Redis and Redis Cluster pass the same assertions."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from gateway.core.ids import uuid7
from gateway.core.limits import Ask, CounterState, Reserved, Seed, Settlement, Unseeded, Window
from gateway.core.ports import Lease, LimitStore
from gateway.storage.memory.limits import MemoryLimits
from gateway.storage.redis.limits import RedisLimits
from gateway.storage.redis.link import Link

ALIVE = 600.0
"""Seconds that reservations live here, far longer than a test."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
async def store(server: str | None) -> AsyncIterator[LimitStore]:
    if server is None:
        yield MemoryLimits(time.monotonic, now_ms)
        return
    link = Link(server, time.monotonic, timeout_s=5)
    yield RedisLimits(link, time.monotonic)
    await link.close()


@pytest.fixture
async def app(store: LimitStore) -> str:
    """An application of its own, so that no test sees another's counters; it has used nothing yet."""
    return await known(store, secrets.token_hex(8))


async def known(store: LimitStore, app: str, *seeds: Seed) -> str:
    """Seed the counters of an application for the first time."""
    assert await store.seed(app, seeds, "first")
    return app


async def lose_everything(store: LimitStore, server: str | None) -> None:
    if isinstance(store, MemoryLimits):
        store.forget()
        return
    assert server is not None
    nodes = server.removeprefix("redis+cluster://").split(",") if server.startswith("redis+cluster") else [server]
    for node in nodes:
        client = redis.asyncio.Redis.from_url(node if "://" in node else f"redis://{node}")
        await client.flushall()
        await client.aclose()


def ask(counter: str, need: int, limit: int = 10, window: Window = "month", *, firm: bool = False, shadow: bool = False) -> Ask:
    return Ask(counter, window, limit, need, firm, shadow)


async def take(store: LimitStore, app: str, name: str, *asks: Ask, seconds: float = ALIVE) -> tuple[bool, list[CounterState]]:
    reserved = await store.reserve(app, name, seconds, asks)
    assert isinstance(reserved, Reserved)
    return reserved.granted, reserved.states


async def used(store: LimitStore, app: str, *counters: str, window: Window = "month") -> list[int]:
    states = await store.look(app, [ask(counter, 0, window=window) for counter in counters])
    assert isinstance(states, list)
    return [state.used for state in states]


async def settle(
    store: LimitStore, app: str, name: str, state: CounterState, reserved: int, truth: int, **options: bool
) -> None:
    assert await store.settle(app, [Settlement("c", state.window, name, reserved, truth)], **options)


async def test_what_is_reserved_counts_until_the_truth_takes_its_place(store: LimitStore, app: str) -> None:
    granted, (state,) = await take(store, app, "one", ask("c", 6))
    assert (granted, state.used, state.fits) == (True, 6, True)
    refused, (state,) = await take(store, app, "two", ask("c", 5))
    assert (refused, state.used, state.fits) == (False, 6, False)
    await settle(store, app, "one", state, 6, 2)
    assert await used(store, app, "c") == [2]
    assert (await take(store, app, "two", ask("c", 8)))[0]


async def test_a_refusal_by_one_counter_leaves_all_of_them_alone(store: LimitStore, app: str) -> None:
    await take(store, app, "one", ask("a", 3), ask("b", 3, firm=True), ask("full", 10))
    granted, states = await take(store, app, "two", ask("a", 1), ask("b", 1, firm=True), ask("new", 1), ask("full", 1))
    assert not granted
    assert [state.fits for state in states] == [True, True, True, False]
    assert await used(store, app, "a", "b", "new", "full") == [3, 3, 0, 10]


async def test_requests_count_for_good_at_once(store: LimitStore, app: str) -> None:
    for _ in range(10):
        assert (await take(store, app, secrets.token_hex(4), ask("c", 1, firm=True)))[0]
    assert not (await take(store, app, "x", ask("c", 1, firm=True)))[0]


async def test_a_shadow_counts_beyond_its_limit_and_refuses_nobody(store: LimitStore, app: str) -> None:
    granted, (shadow, real) = await take(store, app, "one", ask("s", 25, shadow=True), ask("r", 1))
    assert (granted, shadow.fits, real.fits) == (True, False, True)
    assert await used(store, app, "s", "r") == [25, 1]


async def test_a_settlement_counts_once_however_often_it_is_sent(store: LimitStore, app: str) -> None:
    _, (state,) = await take(store, app, "one", ask("c", 6))
    await settle(store, app, "one", state, 6, 4)
    await settle(store, app, "one", state, 6, 4, again=True)
    assert await used(store, app, "c") == [4]


async def test_what_expired_counts_no_longer_and_its_settlement_tells_the_truth(store: LimitStore, app: str) -> None:
    _, (state,) = await take(store, app, "one", ask("c", 6), seconds=0.001)
    async with asyncio.timeout(40):
        while await used(store, app, "c") != [0]:
            await asyncio.sleep(0.005)
    await settle(store, app, "one", state, 6, 3, again=True)
    assert await used(store, app, "c") == [0]
    await settle(store, app, "one", state, 6, 3)
    assert await used(store, app, "c") == [3]


async def test_renewed_reservations_live_on(store: LimitStore, app: str) -> None:
    reserved = await store.reserve(app, "long", 20, [ask("c", 6), ask("d", 1, window="none")])
    assert isinstance(reserved, Reserved)
    (state, _), epoch = reserved.states, reserved.epoch
    held = [
        Settlement("c", state.window, "long", 6, 0, "month", epoch),
        Settlement("d", 0, "long", 1, 0, "none", epoch),
        Settlement("gone", state.window, "x", 1, 0, "month", epoch),
    ]
    assert await store.renew(app, ALIVE, held) == epoch
    assert await used(store, app, "c", "gone") == [6, 0]
    assert await used(store, app, "d", window="none") == [1]
    await settle(store, app, "long", state, 6, 5)
    assert await used(store, app, "c") == [5]


async def test_calls_at_one_time_have_no_window_and_never_go_below_zero(store: LimitStore, app: str) -> None:
    places = [await take(store, app, f"call-{i}", ask("c", 1, 2, "none")) for i in range(3)]
    assert [granted for granted, _ in places] == [True, True, False]
    assert places[0][1][0].left_ms == 0
    for _ in range(3):
        await settle(store, app, "call-0", places[0][1][0], 1, 0)
    assert await used(store, app, "c", window="none") == [1]
    assert (await take(store, app, "call-3", ask("c", 1, 2, "none")))[0]


async def test_a_settlement_of_another_window_changes_nothing(store: LimitStore, app: str) -> None:
    _, (state,) = await take(store, app, "one", ask("c", 6))
    assert await store.settle(app, [Settlement("c", state.window - 1, "one", 6, 3), Settlement("never", 5, "one", 6, 3)])
    assert await used(store, app, "c", "never") == [6, 0]


async def test_leases_and_reservations_share_a_counter(store: LimitStore, app: str) -> None:
    first = await store.lease(app, "c", "month", 10, 4)
    assert isinstance(first, Lease)
    assert (first.granted, first.remaining) == (4, 6)
    assert time.monotonic() < first.window_ends <= time.monotonic() + 31 * 86_400
    assert (await take(store, app, "one", ask("c", 5)))[0]
    last = await store.lease(app, "c", "month", 10, 4)
    assert isinstance(last, Lease)
    assert (last.granted, last.remaining) == (1, 0)
    assert not (await take(store, app, "two", ask("c", 1)))[0]


async def test_applications_do_not_share(store: LimitStore, app: str) -> None:
    await take(store, app, "one", ask("c", 10))
    assert (await take(store, await known(store, app + "x"), "one", ask("c", 10)))[0]


async def test_no_value_is_called_like_the_place_of_anothers_reservations(store: LimitStore, app: str) -> None:
    """Users and tags are named by callers: no name may make a counter that breaks another one, or is another one."""
    names = [
        "r:ann",
        "r:ann:held",
        "r:ann:held:",
        "r:ann:held::",
        "r:ann:held:held",
        "r::held",
        "r:",
        "r:}{",
        "r:known",
        "r:known:claim",
    ]
    for number, name in enumerate(names, 1):
        assert (await take(store, app, f"one-{number}", ask(name, number, 100)))[0], name
        assert (await take(store, app, f"two-{number}", ask(name, 1, 100, firm=True)))[0], name
    assert await used(store, app, *names) == [number + 1 for number in range(1, len(names) + 1)]
    for number, name in enumerate(names, 1):
        (state,) = (await take(store, app, f"three-{number}", ask(name, 0, 100)))[1]
        assert await store.settle(app, [Settlement(name, state.window, f"one-{number}", number, 0)])
    assert await used(store, app, *names) == [1] * len(names)


async def test_a_lease_that_is_of_no_use_takes_nothing(store: LimitStore, app: str) -> None:
    first = await store.lease(app, "c", "month", 10, 6)
    assert isinstance(first, Lease)
    useless = await store.lease(app, "c", "month", 10, 8, 5)
    useful = await store.lease(app, "c", "month", 10, 8, 4)
    assert isinstance(useless, Lease)
    assert isinstance(useful, Lease)
    assert (first.granted, useless.granted, useless.remaining, useful.granted, useful.remaining) == (6, 0, 4, 4, 0)


async def test_large_amounts_are_exact(store: LimitStore, app: str) -> None:
    most = 2**53 - 1
    _, (state,) = await take(store, app, "one", ask("c", most - 3, most))
    assert state.used == most - 3
    await settle(store, app, "one", state, most - 3, most - 1)
    assert await used(store, app, "c") == [most - 1]
    assert [(await take(store, app, n, ask("c", 1, most)))[0] for n in ("two", "three")] == [True, False]


async def test_racing_workers_never_get_more_than_all_limits_allow(store: LimitStore, app: str) -> None:
    took = await asyncio.gather(
        *(take(store, app, f"{i}", ask("wide", 7, 1000), ask("narrow", 1, 30, firm=True)) for i in range(60))
    )
    assert sum(granted for granted, _ in took) == 30
    assert await used(store, app, "wide", "narrow") == [210, 30]


@pytest.mark.parametrize("window", ["second", "minute", "hour", "day", "month"])
async def test_windows_end_within_their_length(store: LimitStore, app: str, window: Window) -> None:
    states = await store.look(app, [ask("c", 0, window=window)])
    assert isinstance(states, list)
    (state,) = states
    length = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "month": 31 * 86_400}[window]
    assert 0 < state.left_ms <= length * 1000


async def test_a_counter_of_an_earlier_window_starts_anew(store: LimitStore, app: str) -> None:
    granted, (state,) = await take(store, app, "one", ask("c", 10, window="second"))
    assert granted
    async with asyncio.timeout(40):
        while not (await take(store, app, "two", ask("c", 10, window="second")))[0]:
            await asyncio.sleep(0.01)
    await settle(store, app, "one", state, 10, 10)
    assert (await used(store, app, "c", window="second"))[0] <= 10


async def test_a_store_without_an_account_of_long_windows_says_so_and_takes_nothing(
    store: LimitStore, server: str | None, app: str
) -> None:
    await lose_everything(store, server)
    for window in ("hour", "day", "month"):
        asks = [ask("short", 1, window="minute", firm=True), ask("long", 1, window=window)]
        assert await store.reserve(app, "one", ALIVE, asks) == Unseeded()
        assert await store.look(app, asks) == Unseeded()
        assert await store.lease(app, "long", window, 10, 1) == Unseeded()
    assert await used(store, app, "short", window="minute") == [0]
    assert (await take(store, app, "two", ask("short", 1, window="minute"), ask("places", 1, window="none")))[0]


async def test_one_at_a_time_seeds_and_the_seed_is_what_was_used(store: LimitStore, server: str | None, app: str) -> None:
    _, (state,) = await take(store, app, "one", ask("c", 6))
    await lose_everything(store, server)
    turns = [await store.turn(app, who, 600) for who in ("a", "b", "a")]
    assert [turn.whose for turn in turns if turn is not None] == ["mine", "theirs", "mine"]
    assert await store.seed(app, [], "given_up")
    turn = await store.turn(app, "b", 600)
    assert turn is not None
    assert turn.whose == "mine"
    assert abs(turn.now_ms - now_ms()) < 40_000
    assert await store.seed(app, [Seed("c", "month", state.window, 4), Seed("old", "month", state.window - 1, 9)], "more")
    assert await store.look(app, [ask("c", 0)]) == Unseeded()
    await known(store, app, Seed("d", "month", state.window, 10))
    after = await store.turn(app, "a", 600)
    assert after is not None
    assert after.whose == "nobody"
    assert await used(store, app, "c", "d", "old", "never") == [4, 10, 0, 0]
    assert [(await take(store, app, "two", ask(name, 5)))[0] for name in ("c", "d", "never")] == [True, False, True]


async def test_a_later_seed_takes_the_place_of_an_earlier_one(store: LimitStore, server: str | None, app: str) -> None:
    _, (state,) = await take(store, app, "one", ask("c", 1))
    await lose_everything(store, server)
    await known(store, app, Seed("c", "month", state.window, 4))
    assert (await take(store, app, "two", ask("c", 3)))[0]
    await settle(store, app, "two", state, 3, 2)
    assert await store.seed(app, [Seed("c", "month", state.window, 5), Seed("late", "month", state.window, 1)], "last")
    assert await used(store, app, "c", "late") == [7, 1]


async def test_reservations_under_way_survive_a_loss_and_settle_once(store: LimitStore, server: str | None, app: str) -> None:
    asks = [ask("c", 6), ask("places", 1, window="none")]
    reserved = await store.reserve(app, "one", ALIVE, asks)
    assert isinstance(reserved, Reserved)
    window, epoch = reserved.states[0].window, reserved.epoch
    held = [Settlement("c", window, "one", 6, 0, "month", epoch), Settlement("places", 0, "one", 1, 0, "none", epoch)]
    assert await store.renew(app, ALIVE, held) == epoch
    await lose_everything(store, server)
    for _ in range(2):
        assert await store.renew(app, ALIVE, held) not in {None, epoch}
    await known(store, app, Seed("c", "month", window, 3))
    assert await used(store, app, "c") == [9]
    assert await used(store, app, "places", window="none") == [1]
    assert await store.settle(app, [Settlement("c", window, "one", 6, 4, "month", epoch)])
    assert await used(store, app, "c") == [7]


async def test_the_truth_of_calls_under_way_counts_from_the_first_seed_on(
    store: LimitStore, server: str | None, app: str
) -> None:
    _, (state,) = await take(store, app, "early", ask("c", 1))
    await lose_everything(store, server)
    truth = [Settlement("c", state.window, "early", 1, 5, "month"), Settlement("c", state.window - 1, "x", 1, 5, "month")]
    # Before the seed the ledger counts what has ended, after it the store does.
    assert await store.settle(app, truth)
    await known(store, app)
    assert await used(store, app, "c") == [0]
    assert await store.settle(app, truth)
    assert await used(store, app, "c") == [5]


async def test_calls_that_waited_for_the_first_seed_are_noted_until_the_last(
    store: LimitStore, server: str | None, app: str
) -> None:
    await lose_everything(store, server)
    waited, later = (uuid7(now_ms() + shift, secrets.randbits(76)) for shift in (-60_000, 60_000))
    assert await store.reserve(app, waited, ALIVE, [ask("c", 1, firm=True)]) == Unseeded()
    assert await store.early(app) == []
    assert await store.seed(app, [], "first")
    assert (await take(store, app, waited, ask("c", 1, firm=True)))[0]
    assert (await take(store, app, later, ask("c", 1, firm=True)))[0]
    assert not (await take(store, app, uuid7(now_ms() - 60_000, 7), ask("c", 9, firm=True)))[0]
    assert await store.early(app) == [waited]
    assert await store.seed(app, [], "last")
    assert await store.early(app) == []
    assert (await take(store, app, uuid7(now_ms() - 60_000, 8), ask("c", 1, firm=True)))[0]
    assert await store.early(app) == []
    assert await used(store, app, "c") == [3]


async def test_what_nobody_settled_is_charged_once(store: LimitStore, server: str | None, app: str) -> None:
    _, (state,) = await take(store, app, "one", ask("c", 1))
    spent = [
        Seed("c", "month", state.window, 5),
        Seed("c", "month", state.window - 1, 5),
        Seed("new", "month", state.window, 2),
    ]
    for name in ("call", "call", "other"):
        assert await store.charge(app, name, now_ms() - 1000, spent)
    # The last seed of the fixture's application has not come: what started before it is left to that.
    assert await used(store, app, "c", "new") == [1, 0]
    assert await store.seed(app, [], "last")
    for name in ("third", "third", "fourth"):
        assert await store.charge(app, name, now_ms() - 1000, spent)
    assert await used(store, app, "c", "new") == [11, 4]
    await lose_everything(store, server)
    assert await store.charge(app, "fifth", now_ms(), spent)
    await known(store, app)
    assert await used(store, app, "c") == [0]


async def test_a_reservation_is_taken_back_by_its_name(store: LimitStore, app: str) -> None:
    both = [ask("c", 6), ask("r", 1, firm=True)]
    alone = [ask("q", 1, firm=True), ask("s", 1, firm=True), ask("nothing", 0)]
    for asks in (both, alone):
        names = [each.counter for each in asks]
        await take(store, app, "stays", *asks)
        before = await used(store, app, *names)
        assert await store.cancel(app, "late", asks) is False
        await take(store, app, "late", *[Ask(a.counter, a.window, 100, a.need, a.firm) for a in asks])
        assert [await store.cancel(app, "late", asks) for _ in range(2)] == [True, False]
        assert await used(store, app, *names) == before


async def test_calls_that_spend_what_was_leased_since_the_first_seed_are_noted_too(
    store: LimitStore, server: str | None, app: str
) -> None:
    await lose_everything(store, server)
    waited, later = (uuid7(now_ms() + shift, secrets.randbits(76)) for shift in (-60_000, 60_000))
    assert await store.note(app, [waited])
    assert await store.early(app) == []
    opened = await store.seed(app, [], "first")
    leased = [await store.lease(app, "c", "month", 10, 2), await store.lease(app, "short", "minute", 10, 2)]
    assert [one.seeded_ms for one in leased if isinstance(one, Lease)] == [opened, 0]
    assert await store.note(app, [waited, later, waited, "no id"])
    assert await store.early(app) == [waited]
    assert await store.seed(app, [], "last")
    assert await store.early(app) == []
    last = await store.lease(app, "c", "month", 10, 2)
    assert isinstance(last, Lease)
    assert last.seeded_ms == 0
    assert await store.note(app, [waited])
    assert await store.early(app) == []
