"""What every Outages does: the memory twin, Redis and Redis Cluster pass the same assertions."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import redis

from gateway.core.ports import Outages
from gateway.storage.memory.outages import MemoryOutages
from gateway.storage.redis.link import Link
from gateway.storage.redis.outages import KEPT, OWN_OUTAGES, RedisOutages


@pytest.fixture
async def outages(server: str | None) -> AsyncIterator[Outages]:
    if server is None:
        yield MemoryOutages(time.monotonic)
        return
    link = Link(server, time.monotonic, timeout_s=2)
    yield RedisOutages(link, b"secret")
    await link.close()


async def test_what_one_tells_everybody_hears(outages: Outages) -> None:
    assert await outages.exchange({}) == {}
    told = await outages.exchange({"a/model": 30.0, "b/\u00e9 with spaces": 60.0})
    heard = await outages.exchange({})
    assert told is not None
    assert heard is not None
    assert set(heard) == set(told) == {"a/model", "b/\u00e9 with spaces"}
    assert 25 < heard["a/model"] <= 30
    assert 55 < heard["b/\u00e9 with spaces"] <= 60


async def test_a_longer_word_prolongs_a_shorter_one_does_not_cut(outages: Outages) -> None:
    await outages.exchange({"a": 30.0})
    await outages.exchange({"a": 10.0})
    heard = await outages.exchange({})
    assert heard is not None
    assert heard["a"] > 25
    heard = await outages.exchange({"a": 100.0})
    assert heard is not None
    assert heard["a"] > 95


async def test_what_is_over_is_forgotten(outages: Outages) -> None:
    await outages.exchange({"a": 0.01, "b": 30.0})
    await asyncio.sleep(0.05)
    heard = await outages.exchange({})
    assert heard is not None
    assert set(heard) == {"b"}


async def test_a_strangers_word_is_not_heard(clean_redis: str) -> None:
    link = Link(clean_redis, time.monotonic, timeout_s=2)
    await RedisOutages(link, b"another").exchange({"a": 30.0})
    with redis.Redis.from_url(clean_redis) as client:
        client.zadd("pg:outages", {b"a": 9e15, b"": 9e15})
    assert await RedisOutages(link, b"secret").exchange({"b": 30.0}) == {"b": pytest.approx(30, abs=1)}
    await link.close()


async def test_what_applications_have_of_their_own_is_told_apart(clean_redis: str) -> None:
    link = Link(clean_redis, time.monotonic, timeout_s=5)
    installation, own = RedisOutages(link, b"secret"), RedisOutages(link, b"secret", OWN_OUTAGES)
    await installation.exchange({"a": 30.0})
    assert set(await own.exchange({f"app a/{i}": 90.0 for i in range(KEPT + 1)}) or ()).isdisjoint({"a"})
    assert set(await installation.exchange({}) or ()) == {"a"}, "no application's word crowds out the installation's"
    await link.close()


async def test_the_set_is_bounded(clean_redis: str) -> None:
    link = Link(clean_redis, time.monotonic, timeout_s=5)
    heard = await RedisOutages(link, b"secret").exchange({f"a/{i}": 30.0 + i for i in range(KEPT + 100)})
    assert heard is not None
    assert len(heard) == KEPT
    await link.close()


async def test_without_a_store_there_is_no_word(redis_url: str) -> None:
    link = Link("redis://127.0.0.1:1", time.monotonic, timeout_s=0.2)
    assert await RedisOutages(link, b"secret").exchange({"a": 1.0}) is None
    await link.close()
    memory = MemoryOutages(time.monotonic)
    memory.available = False
    assert await memory.exchange({"a": 1.0}) is None
