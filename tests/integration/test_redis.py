"""Redis at its worst: poisoned, dead, silent, slow, flushed, restarted. Callers get a miss, soon, and never somebody else's answer."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from msgspec import structs
from redis.asyncio import Redis

from gateway.core.documents import Change, KeyDocument, MessageTemplate, ReleaseDocument, VersionContent
from gateway.core.references import Reference, parse_reference
from gateway.embedded.redis import Redis as Server
from gateway.storage.memory.catalog import MemoryCatalog
from gateway.storage.redis.cache import CHANNEL, GENERATION, RedisCache
from gateway.storage.redis.leases import RedisLeases
from gateway.storage.redis.link import Link
from gateway.storage.redis.news import News
from gateway.storage.redis.seal import seal
from tests.conftest import PATIENCE, new_redis, until

SECRET = b"s" * 32


def release(app: str, reference: str = "faq", generation: int = 1, words: str = "hi") -> ReleaseDocument:
    parsed = parse_reference(reference, "p")
    content = VersionContent(messages=[MessageTemplate("system", words)])
    return ReleaseDocument(app, "id", parsed.slug, parsed.selector, 1, content, "ab" * 32, generation)


@pytest.fixture
async def client(clean_redis: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(clean_redis) as client:
        yield client


@pytest.fixture
async def link(clean_redis: str) -> AsyncIterator[Link]:
    link = Link(clean_redis, time.monotonic, timeout_s=2)
    yield link
    await link.close()


@pytest.fixture
def cache(link: Link) -> RedisCache:
    return RedisCache(link, SECRET)


@pytest.fixture
def server(server_folder: Path) -> Iterator[Server]:
    """A Redis of this test's own, to be killed."""
    server = new_redis(server_folder / f"own-{secrets.token_hex(4)}")
    server.start()
    yield server
    server.stop()


# --- poison (reliability F40) ---------------------------------------------------------------------------------------


async def test_poisoned_entries_are_misses_and_are_counted(client: Redis, cache: RedisCache) -> None:
    await cache.put_release(release("mine"))
    await cache.put_release(release("mine", "faq@staging"))
    await cache.put_release(release("theirs", words="canary"))
    place = "pg:mine:release:faq"
    good = await client.hget(place, "@production")
    staging = await client.hget(place, "@staging")
    theirs = await client.hget("pg:theirs:release:faq", "@production")
    assert isinstance(good, bytes)
    assert isinstance(staging, bytes)
    assert isinstance(theirs, bytes)

    def sealed(document: object) -> bytes:
        return seal(SECRET, f"{place} @production", msgspec.json.encode(document))

    poisons = {
        "garbage": b"\x00garbage",
        "nothing": b"",
        "another tenant's entry": theirs,
        "another selector's entry": staging,
        "another tenant's body, sealed for here": sealed(release("theirs")),
        "another prompt's body": sealed(release("mine", "other")),
        "another selector's body": sealed(release("mine", "faq@staging")),
        "an old schema": sealed(structs.replace(release("mine"), schema_version=0)),
        "not a document": sealed([1, 2]),
        "truncated": good[:-1],
        "only the seal": good[:32],
        "a changed body": good.replace(b"hi", b"ho"),
        "a changed seal": bytes([good[0] ^ 1]) + good[1:],
        "another secret's": seal(b"x" * 32, f"{place} @production", good[32:]),
    }
    for count, (name, poison) in enumerate(poisons.items(), start=1):
        await client.hset(place, "@production", poison)
        assert await cache.get_release("mine", Reference("faq")) is None, name
        assert cache.rejected == count, name
    await client.hset(place, "@production", good)
    assert await cache.get_release("mine", Reference("faq")) == release("mine")


async def test_poisoned_keys_are_misses(client: Redis, cache: RedisCache) -> None:
    mine, theirs = "aa" * 32, "bb" * 32
    await cache.put_key(mine, KeyDocument("k1", "app", "shop", "pub"))
    await cache.put_key(theirs, KeyDocument("k2", "app2", "shop2", "pub2"))
    stolen = await client.hget(f"pg:key:{theirs}", "key")
    assert isinstance(stolen, bytes)
    await client.hset(f"pg:key:{mine}", "key", stolen)
    assert await cache.get_keys([mine]) == {}
    assert cache.rejected == 1


async def test_a_foreign_value_in_our_place_is_survived_and_replaced(client: Redis, cache: RedisCache) -> None:
    for rubbish in ("put", "announce"):
        await client.set("pg:mine:release:faq", "a string, not a hash")
        assert await cache.get_release("mine", Reference("faq")) is None
        if rubbish == "announce":
            await cache.announce([Change(1, "prompt", "mine", "faq")])
        await cache.put_release(release("mine"))
        assert await cache.get_release("mine", Reference("faq")) is not None


async def test_entries_live_a_day(client: Redis, cache: RedisCache) -> None:
    await cache.put_release(release("mine"))
    await cache.announce([Change(1, "key", "mine", "aa" * 32)])
    for place in ("pg:mine:release:faq", f"pg:key:{'aa' * 32}"):
        assert 86_000 < await client.ttl(place) <= 86_400


# --- lost announcements ---------------------------------------------------------------------------------------------


async def test_a_lost_announcement_is_seen_and_repeated(client: Redis, cache: RedisCache) -> None:
    catalog = MemoryCatalog()
    content = VersionContent(messages=[MessageTemplate("system", "hi")])
    for slug in ("a", "b", "c"):
        catalog.add_version("app", slug, content)
    await cache.announce(catalog.publish("app", "a", 1))
    assert await cache.generation() == 1
    stale = release("app", "b", generation=1)
    await cache.put_release(stale)
    catalog.publish("app", "b", 1)  # the announcement of generation 2 never comes
    await cache.announce(catalog.publish("app", "c", 1))
    assert await cache.generation() == 1, "a gap must stay visible"
    assert await cache.get_release("app", Reference("b")) == stale
    await cache.repair(catalog, 3)
    assert await cache.generation() == 3
    assert await cache.get_release("app", Reference("b")) is None
    questions = catalog.questions
    await cache.repair(catalog, 3)
    assert catalog.questions == questions, "nothing to repair, nothing to ask"


async def test_an_emptied_redis_starts_anywhere(client: Redis, cache: RedisCache) -> None:
    assert await cache.generation() is None
    await cache.announce([Change(41, "prompt", "app", "a"), Change(42, "prompt", "app", "b")])
    assert await cache.generation() == 42
    await cache.announce([Change(40, "prompt", "app", "a")])
    assert await cache.generation() == 42, "never backwards"
    await client.flushall()
    await cache.announce([Change(50, "prompt", "app", "a")])
    assert await cache.generation() == 50
    await client.set(GENERATION, "rubbish")
    assert await cache.generation() is None


# --- leases ---------------------------------------------------------------------------------------------------------


async def window_of(client: Redis, key: str) -> int:
    return int(await client.hget(f"pg:rpm:{{{key}}}", "window") or 0)


async def test_a_new_minute_gives_the_whole_limit_again(client: Redis, link: Link) -> None:
    leases = RedisLeases(link, time.monotonic)
    first = await leases.lease("k", 5, 5)
    assert first is not None
    assert first.granted == 5
    await client.hincrby("pg:rpm:{k}", "window", -1)
    again = await leases.lease("k", 5, 9)
    assert again is not None
    assert again.granted == 5
    assert 0 < await client.ttl("pg:rpm:{k}") <= 120


async def test_a_server_with_a_slower_clock_does_not_hand_out_the_minute_twice(client: Redis, link: Link) -> None:
    leases = RedisLeases(link, time.monotonic)
    await leases.lease("k", 5, 5)
    await client.hincrby("pg:rpm:{k}", "window", 1)
    ahead = await window_of(client, "k")
    lease = await leases.lease("k", 5, 1)
    assert lease is not None
    assert lease.granted == 0
    assert await window_of(client, "k") == ahead


# --- Redis away (F01, F02, F03) -------------------------------------------------------------------------------------


async def timed(call: Callable[[], Awaitable[object]]) -> tuple[object, float]:
    start = time.perf_counter()
    return await call(), time.perf_counter() - start


class Ticking:
    """Monotonic time plus what the test adds."""

    def __init__(self) -> None:
        self.skipped = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.skipped


@asynccontextmanager
async def black_hole() -> AsyncIterator[str]:
    """Accepts, reads, never answers."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError, ConnectionError):
            while await reader.read(65536):
                pass
        writer.close()

    hole = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = hole.sockets[0].getsockname()[1]
    yield f"redis://127.0.0.1:{port}/0"
    hole.close()


async def test_a_silent_redis_costs_each_caller_milliseconds_and_then_nothing() -> None:
    clock = Ticking()
    async with black_hole() as url:
        link = Link(url, clock)
        cache, leases = RedisCache(link, SECRET), RedisLeases(link, clock)
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: cache.get_release("app", Reference("faq")),
            lambda: cache.get_keys(["aa" * 32]),
            lambda: leases.lease("k", 5, 5),
        ]
        slow = [await timed(call) for call in calls]
        assert [result for result, _ in slow] == [None, {}, None]
        assert min(s for _, s in slow) >= 0.004, "the time-out, which is 5 ms"
        assert link.failures == 3, "each waited once"
        assert link.breaker.is_open
        assert not any([await call() for call in calls * 20])
        assert link.failures == 3, "nobody waited"
        clock.skipped += 0.6
        await cache.get_keys(["aa" * 32])
        assert link.failures == 4, "one probe after half a second"
        await cache.get_keys(["aa" * 32])
        assert link.failures == 4
        await cache.put_release(release("app"))
        await cache.announce([Change(1, "prompt", "app", "faq")])
        assert link.failures == 4
        await link.close()


async def test_a_killed_redis_is_missed_and_found_again(server: Server) -> None:
    clock = Ticking()
    link = Link(server.url, clock, timeout_s=PATIENCE)
    cache = RedisCache(link, SECRET)
    await cache.put_release(release("app"))
    assert await cache.get_release("app", Reference("faq")) is not None
    server.stop()
    for _ in range(3):
        assert await cache.get_release("app", Reference("faq")) is None
    assert link.breaker.is_open
    assert "ConnectionError" in link.last_failure, "a refused connection needs no time-out"
    server.start()
    assert await cache.get_release("app", Reference("faq")) is None
    await cache.put_release(release("app"))
    clock.skipped += 0.6
    assert await cache.get_release("app", Reference("faq")) is None, "the probe asks an empty Redis"
    assert not link.breaker.is_open
    await cache.put_release(release("app"))
    assert await cache.get_release("app", Reference("faq")) is not None
    await link.close()


async def test_nothing_listens_at_all(tmp_path: Path) -> None:
    link = Link(f"unix://{tmp_path}/none.sock", time.monotonic)
    cache = RedisCache(link, SECRET)
    assert await cache.get_keys(["aa" * 32]) == {}
    assert await cache.generation() is None
    await cache.announce([Change(1, "prompt", "app", "faq")])
    await link.close()


# --- a slow Redis and callers who leave (F03, F07) ------------------------------------------------------------------


@asynccontextmanager
async def slow_way(target: str, delay: float) -> AsyncIterator[tuple[str, list[int]]]:
    """A way to the Redis at ``target`` that takes ``delay`` seconds back; the list counts connections."""
    connections = [0]

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wait: float) -> None:
        while data := await reader.read(7 if wait else 65536):
            if wait:
                await asyncio.sleep(wait)
            writer.write(data + await reader.read(65536) if wait and len(data) == 7 else data)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections[0] += 1
        up_reader, up_writer = await asyncio.open_unix_connection(target.removeprefix("unix://"))
        ways = [asyncio.ensure_future(pipe(reader, up_writer, 0)), asyncio.ensure_future(pipe(up_reader, writer, delay))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            up_writer.close()
            writer.close()

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{proxy.sockets[0].getsockname()[1]}/0", connections
    proxy.close()
    await asyncio.sleep(0.01)


async def test_a_storm_of_cancelled_callers_mixes_up_no_answers(client: Redis, clean_redis: str) -> None:
    async with slow_way(clean_redis, 0.003) as (url, connections):
        link = Link(url, time.monotonic, timeout_s=PATIENCE)
        cache = RedisCache(link, SECRET)
        names = [f"p{n}" for n in range(30)]
        for name in names:
            await cache.put_release(release("app", name, words=f"{name} " * 50))
        wrong = right = 0
        for round_ in range(12):
            tasks = {name: asyncio.ensure_future(cache.get_release("app", Reference(name))) for name in names}
            await asyncio.sleep(0.001 * (round_ % 4))
            for name in names[round_ % 2 :: 2]:
                tasks[name].cancel()
            for name, task in tasks.items():
                with suppress(asyncio.CancelledError):
                    got = await task
                    if got is not None:
                        right += got == release("app", name, words=f"{name} " * 50)
                        wrong += got != release("app", name, words=f"{name} " * 50)
        assert wrong == 0
        assert right >= 12 * 15, "whoever was not cancelled has its answer"
        assert connections[0] <= 10, "cancelled callers must not cost connections"
        await link.close()


async def test_a_late_answer_is_nobodys_and_costs_no_connection(cache: RedisCache, clean_redis: str) -> None:
    await cache.put_key("aa" * 32, KeyDocument("k", "a", "b", "c"))
    async with slow_way(clean_redis, 0.03) as (url, connections):
        clock = Ticking()
        link = Link(url, clock, timeout_s=0.01)
        for _ in range(4):
            assert await RedisCache(link, SECRET).get_keys(["aa" * 32]) == {}
            await asyncio.sleep(0.06)
            clock.skipped += 6
        assert connections[0] == 1
        await link.close()


# --- news -----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[tuple[News, "asyncio.Queue[list[Change]]"]]:
    news = News(url, SECRET)
    heard: asyncio.Queue[list[Change]] = asyncio.Queue()
    task = asyncio.ensure_future(news.subscribe(heard.put_nowait))
    await asyncio.wait_for(news.connected.wait(), PATIENCE)
    yield news, heard
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_news_arrive_one_by_one_without_being_asked_for(client: Redis, clean_redis: str, cache: RedisCache) -> None:
    async with listening(clean_redis) as (_, heard):
        for generation in range(1, 21):
            await cache.announce([Change(generation, "prompt", "app", "faq")])
            assert await asyncio.wait_for(heard.get(), PATIENCE) == [Change(generation, "prompt", "app", "faq")]


async def test_forged_news_are_ignored(client: Redis, clean_redis: str, cache: RedisCache) -> None:
    async with listening(clean_redis) as (news, heard):
        forged = msgspec.json.encode([Change(10**9, "prompt", "app", "faq")])
        for message in (b"", b"garbage", forged, seal(b"x" * 32, CHANNEL, forged), seal(SECRET, CHANNEL, b"[1]")):
            await client.publish(CHANNEL, message)
        await cache.announce([Change(1, "prompt", "app", "faq")])
        assert await asyncio.wait_for(heard.get(), PATIENCE) == [Change(1, "prompt", "app", "faq")]
        assert news.rejected == 5


async def test_the_subscription_comes_back_after_a_restart(server: Server) -> None:
    async with listening(server.url) as (news, heard):
        server.stop()
        await until(lambda: not news.connected.is_set())
        server.start()
        await asyncio.wait_for(news.connected.wait(), PATIENCE)
        link = Link(server.url, time.monotonic, timeout_s=2)
        await RedisCache(link, SECRET).announce([Change(5, "prompt", "app", "faq")])
        assert (await asyncio.wait_for(heard.get(), PATIENCE))[0].generation == 5
        await link.close()
