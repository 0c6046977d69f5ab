"""What every LeaseStore does: the memory twin, Redis and Redis Cluster pass the same assertions."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator

import pytest

from gateway.core.ports import LeaseStore
from gateway.storage.memory.leases import MemoryLeases
from gateway.storage.redis.leases import RedisLeases
from gateway.storage.redis.link import Link


@pytest.fixture
async def leases(server: str | None) -> AsyncIterator[LeaseStore]:
    if server is None:
        yield MemoryLeases(time.monotonic)
        return
    link = Link(server, time.monotonic, timeout_s=2)
    yield RedisLeases(link, time.monotonic)
    await link.close()


async def grants(leases: LeaseStore, key: str, limit: int, *wanted: int) -> list[tuple[int, int]]:
    """Granted and remaining, all from one window: tried again in the rare case that a minute ends in between."""
    for _ in range(3):
        fresh = f"{key}-{secrets.token_hex(4)}"
        got = [await leases.lease(fresh, limit, want) for want in wanted]
        assert all(lease is not None for lease in got)
        ends = [lease.window_ends for lease in got if lease is not None]
        if max(ends) - min(ends) < 30:
            return [(lease.granted, lease.remaining) for lease in got if lease is not None]
    raise AssertionError("three minutes ended in three attempts")


async def test_grants_add_up_to_the_limit_and_no_further(leases: LeaseStore) -> None:
    assert await grants(leases, "k", 10, 4, 4, 4, 4) == [(4, 6), (4, 2), (2, 0), (0, 0)]


async def test_a_limit_of_nothing_grants_nothing(leases: LeaseStore) -> None:
    assert await grants(leases, "k", 0, 1, 5) == [(0, 0), (0, 0)]


async def test_a_lowered_limit_is_kept_at_once_and_a_raised_one_gives_more(leases: LeaseStore) -> None:
    key = secrets.token_hex(8)
    first = await leases.lease(key, 10, 8)
    lowered = await leases.lease(key, 5, 1)
    raised = await leases.lease(key, 20, 100)
    assert first is not None
    assert lowered is not None
    assert raised is not None
    if raised.window_ends - first.window_ends < 30:
        assert (first.granted, lowered.granted, lowered.remaining, raised.granted) == (8, 0, 0, 12)


async def test_keys_do_not_share(leases: LeaseStore) -> None:
    for key in (secrets.token_hex(8), secrets.token_hex(8)):
        lease = await leases.lease(key, 3, 3)
        assert lease is not None
        assert lease.granted == 3


async def test_the_window_ends_within_a_minute(leases: LeaseStore) -> None:
    before = time.monotonic()
    lease = await leases.lease(secrets.token_hex(8), 3, 1)
    assert lease is not None
    assert before < lease.window_ends <= time.monotonic() + 60.001


async def test_racing_workers_never_get_more_than_the_limit(leases: LeaseStore) -> None:
    key = secrets.token_hex(8)
    got = await asyncio.gather(*(leases.lease(key, 100, 7) for _ in range(40)))
    by_window: dict[int, int] = {}
    for lease in got:
        assert lease is not None
        window = round(lease.window_ends / 10)
        by_window[window] = by_window.get(window, 0) + lease.granted
    assert max(by_window.values()) == 100
