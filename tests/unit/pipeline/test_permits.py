"""Permits: one fetch for all who wait, refusals that say whose limit and when it resets, and a store that may be away."""

import asyncio
from typing import Any

import pytest

from gateway.core.errors import GatewayError
from gateway.core.ports import Lease
from gateway.core.requests import Caller
from gateway.pipeline import leased as module
from gateway.pipeline.permits import Permit, Permits


def caller(key: str = "k", limit: int | None = 10) -> Caller:
    return Caller("app", "demo", key, "pub", limit, None)


class Store:
    """Gives the listed grants, then what is asked for, after ``gate``; counts how often."""

    def __init__(self, *grants: Lease | None) -> None:
        self.grants = list(grants)
        self.asked: list[tuple[str, int, int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def lease(self, key_id: str, limit: int, want: int) -> Lease | None:
        self.asked.append((key_id, limit, want))
        await self.gate.wait()
        return self.grants.pop(0) if self.grants else Lease(want, limit - want, 60.0)


class Now:
    def __init__(self) -> None:
        self.value = 0.0

    def __call__(self) -> float:
        return self.value


async def test_without_a_limit_nobody_is_asked_and_no_header_says_one() -> None:
    store = Store()
    permit = await Permits(store, Now(), None).take(caller(limit=None))
    assert not permit.head()
    assert store.asked == []


async def test_the_keys_own_limit_wins_over_the_default() -> None:
    permits = Permits(Store(), Now(), 5)
    assert (await permits.take(caller("a", None))).standing.limit == 5  # type: ignore[union-attr]
    assert (await permits.take(caller("b", 9))).standing.limit == 9  # type: ignore[union-attr]


async def test_what_is_given_back_belongs_to_its_own_window() -> None:
    """A call that is refused over the end of a minute gives nobody a request more in the next one."""
    now = Now()
    permits = Permits(Store(Lease(1, 0, 60.0), Lease(1, 0, 120.0)), now, None)
    await permits.take(caller(limit=1))
    window = permits.window(caller(limit=1))
    now.value = 61.0
    await permits.take(caller(limit=1))
    permits.give_back(caller(limit=1), window)
    with pytest.raises(GatewayError):
        await permits.take(caller(limit=1))
    permits.give_back(caller(limit=1), permits.window(caller(limit=1)))
    assert await permits.take(caller(limit=1))
    assert permits.window(caller("unknown")) == 0.0


async def test_all_who_wait_share_one_fetch() -> None:
    store = Store(Lease(8, 992, 60.0))
    store.gate.clear()
    permits = Permits(store, Now(), None)
    waiting = [asyncio.ensure_future(permits.take(caller(limit=1000))) for _ in range(4)]
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(store.asked) == 1
    store.gate.set()
    granted = await asyncio.gather(*waiting)
    assert sorted(permit.standing.remaining for permit in granted if permit.standing) == [996, 997, 998, 999]
    assert len(store.asked) == 1


async def test_a_caller_who_leaves_does_not_end_the_fetch_of_the_others() -> None:
    store = Store(Lease(8, 992, 60.0))
    store.gate.clear()
    permits = Permits(store, Now(), None)
    first, second = (asyncio.ensure_future(permits.take(caller(limit=1000))) for _ in range(2))
    for _ in range(3):
        await asyncio.sleep(0)
    first.cancel()
    store.gate.set()
    assert (await second).standing is not None
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_refill_happens_behind_the_callers_back() -> None:
    store = Store(Lease(8, 992, 60.0), Lease(8, 984, 60.0))
    permits = Permits(store, Now(), None)
    for _ in range(5):
        await permits.take(caller(limit=1000))
    await asyncio.sleep(0)
    assert len(store.asked) == 2
    await asyncio.sleep(0)
    assert (await permits.take(caller(limit=1000))).standing.remaining == 994  # type: ignore[union-attr]


async def test_a_refusal_says_whose_limit_and_when() -> None:
    now = Now()
    permits = Permits(Store(Lease(1, 0, 60.0), Lease(0, 0, 60.0)), now, None)
    await permits.take(caller(limit=1))
    now.value = 50.0
    with pytest.raises(GatewayError) as caught:
        await permits.take(caller(limit=1))
    error = caught.value
    assert (error.kind.name, error.status, error.target, error.retry_after) == ("rate_limited", 429, "key", 10.0)
    assert "1 requests per minute" in error.detail
    assert error.headers == (
        b"x-ratelimit-limit-requests: 1\r\nx-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 10s\r\n"
    )
    now.value = 60.0
    permits._store.grants.append(Lease(1, 0, 120.0))  # type: ignore[attr-defined]
    assert (await permits.take(caller(limit=1))).standing is not None


async def test_without_the_store_the_limit_is_kept_here() -> None:
    permits = Permits(Store(None, None, None), Now(), None)
    for _ in range(2):
        await permits.take(caller(limit=2))
    assert permits.degraded
    with pytest.raises(GatewayError):
        await permits.take(caller(limit=2))


async def test_a_burst_far_below_the_limit_is_served_however_small_the_bundles() -> None:
    grants = [Lease(2, 990 - 2 * i, 60.0) for i in range(40)]
    permits = Permits(Store(*grants), Now(), None)
    served = await asyncio.gather(*[permits.take(caller(limit=1000)) for _ in range(60)])
    assert len(served) == 60


async def test_who_comes_in_the_turn_that_ends_a_fetch_has_one_of_their_own() -> None:
    """They find nothing left of it, and awaiting what is over would bring nothing, however often."""
    late: list[asyncio.Task[Permit]] = []

    class Crowded(Store):
        async def lease(self, key_id: str, limit: int, want: int) -> Lease | None:
            first = not self.asked
            lease = await super().lease(key_id, limit, want)
            if first:
                late.extend(asyncio.ensure_future(permits.take(caller(limit=1000))) for _ in range(3))
            return lease

    store = Crowded(Lease(1, 999, 60.0))
    permits = Permits(store, Now(), None)
    await permits.take(caller(limit=1000))
    assert len(await asyncio.gather(*late)) == 3
    assert len(store.asked) == 2


async def test_a_limit_contested_to_the_last_is_refused_in_the_end() -> None:
    permits = Permits(Store(*[Lease(0, 5, -1.0)] * module.ATTEMPTS), Now(), None)
    with pytest.raises(GatewayError) as caught:
        await permits.take(caller())
    assert caught.value.retry_after == 1.0
    assert len(permits._store.asked) == module.ATTEMPTS  # type: ignore[attr-defined]


async def test_a_changed_limit_holds_at_once() -> None:
    permits = Permits(Store(), Now(), None)
    assert (await permits.take(caller(limit=10))).standing.limit == 10  # type: ignore[union-attr]
    assert (await permits.take(caller(limit=100))).standing.limit == 100  # type: ignore[union-attr]


async def test_keys_are_held_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEYS", 3)
    permits = Permits(Store(), Now(), None)
    for i in range(9):
        await permits.take(caller(f"k{i}"))
    assert list(permits._held) == ["k6", "k7", "k8"]


def test_a_permit_is_a_value() -> None:
    assert Permit() == Permit()


async def test_the_memory_store_never_grants_more_than_the_limit(world: Any) -> None:
    world.allow(requests_per_minute=5)
    taken = refused = 0
    for _ in range(9):
        try:
            await world.permits.take(caller("k", 5))
            taken += 1
        except GatewayError:
            refused += 1
    assert (taken, refused) == (5, 4)
