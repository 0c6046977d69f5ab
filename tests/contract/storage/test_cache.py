"""What every Cache does: the memory twin, Redis and Redis Cluster pass the same assertions."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import pytest
from msgspec import structs

from gateway.core.documents import Change, KeyDocument, MessageTemplate, ReleaseDocument, Split, Variant, VersionContent
from gateway.core.ports import Cache
from gateway.core.references import Reference, parse_reference
from gateway.storage.memory.cache import MemoryCache
from gateway.storage.redis.cache import RedisCache
from gateway.storage.redis.link import Link
from gateway.storage.redis.news import News


class Subscribe(Protocol):
    async def __call__(self, on_changes: Callable[[list[Change]], None]) -> None: ...


class Scene:
    def __init__(self, cache: Cache, subscribe: Subscribe) -> None:
        self.cache = cache
        self.subscribe = subscribe


@pytest.fixture
async def scene(server: str | None) -> AsyncIterator[Scene]:
    if server is None:
        cache = MemoryCache()
        yield Scene(cache, cache.subscribe)
        return
    secret = secrets.token_bytes(32)
    link = Link(server, time.monotonic, timeout_s=2)
    yield Scene(RedisCache(link, secret), News(server, secret).subscribe)
    await link.close()


def document(reference: str = "faq", *, app: str, generation: int = 1, version: int = 1) -> ReleaseDocument:
    parsed = parse_reference(reference, "p")
    content = VersionContent(messages=[MessageTemplate("system", "schön \x00")], params={"seed": 2**70, "t": 0.1})
    return ReleaseDocument(app, "id", parsed.slug, parsed.selector, version, content, "ab" * 32, generation, "1.0.0")


def key(app: str, generation: int = 1) -> KeyDocument:
    return KeyDocument("k1", app, "shop", "pub", 60, "gpt", 123, generation)


@pytest.fixture
def app() -> str:
    return secrets.token_hex(8)


async def test_a_split_is_got_as_it_was_put(scene: Scene, app: str) -> None:
    plain = document(app=app)
    arms = [
        Variant(name, 5_000, [(i * 5_000, i * 5_000 + 5_000)], i + 1, plain.content, "ab" * 32) for i, name in enumerate("ab")
    ]
    split = structs.replace(plain, split=Split("split-1", "salt", arms))
    await scene.cache.put_release(split)
    assert await scene.cache.get_release(app, Reference("faq")) == split


async def test_what_was_put_is_got_again(scene: Scene, app: str) -> None:
    digest = secrets.token_hex(32)
    assert await scene.cache.get_release(app, Reference("faq")) is None
    assert await scene.cache.get_keys([digest]) == {}
    for reference in ("faq", "faq@staging", "faq:1", "faq:1.0.0", "faq#abababab"):
        await scene.cache.put_release(document(reference, app=app))
        got = await scene.cache.get_release(app, parse_reference(reference, "p"))
        assert got == document(reference, app=app), reference
    await scene.cache.put_key(digest, key(app))
    assert (await scene.cache.get_keys([digest])).get(digest) == key(app)


async def test_tenants_and_selectors_are_apart(scene: Scene, app: str) -> None:
    await scene.cache.put_release(document(app=app))
    assert await scene.cache.get_release(app + "x", Reference("faq")) is None
    assert await scene.cache.get_release(app, Reference("faq", alias="staging")) is None
    assert await scene.cache.get_release(app, Reference("fa")) is None


async def test_a_change_drops_every_reading_of_its_prompt_and_no_other(scene: Scene, app: str) -> None:
    for reference in ("faq", "faq@staging", "faq:1", "other"):
        await scene.cache.put_release(document(reference, app=app))
    await scene.cache.announce([Change(2, "prompt", app, "faq")])
    for reference in ("faq", "faq@staging", "faq:1"):
        assert await scene.cache.get_release(app, parse_reference(reference, "p")) is None, reference
    assert await scene.cache.get_release(app, Reference("other")) is not None


async def test_a_change_drops_its_key_and_no_other(scene: Scene, app: str) -> None:
    revoked, kept = secrets.token_hex(32), secrets.token_hex(32)
    for digest in (revoked, kept):
        await scene.cache.put_key(digest, key(app))
    await scene.cache.announce([Change(2, "key", app, revoked), Change(2, "application", app, "shop")])
    assert await scene.cache.get_keys([revoked]) == {}
    assert (await scene.cache.get_keys([kept])).get(kept) is not None


async def test_a_slow_reader_does_not_bring_back_what_was_dropped(scene: Scene, app: str) -> None:
    """It read generation 1 before the publish and stores it afterwards (reliability F05)."""
    digest = secrets.token_hex(32)
    await scene.cache.announce([Change(2, "prompt", app, "faq"), Change(2, "key", app, digest)])
    await scene.cache.put_release(document(app=app, generation=1))
    await scene.cache.put_key(digest, key(app, generation=1))
    assert await scene.cache.get_release(app, Reference("faq")) is None
    assert await scene.cache.get_keys([digest]) == {}
    await scene.cache.put_release(document(app=app, generation=2, version=2))
    await scene.cache.put_key(digest, key(app, generation=2))
    got = await scene.cache.get_release(app, Reference("faq"))
    assert got is not None
    assert got.version == 2
    assert (await scene.cache.get_keys([digest])).get(digest) == key(app, generation=2)


async def test_an_older_reading_never_replaces_a_newer_one(scene: Scene, app: str) -> None:
    await scene.cache.put_release(document(app=app, generation=5, version=2))
    await scene.cache.put_release(document(app=app, generation=4, version=1))
    got = await scene.cache.get_release(app, Reference("faq"))
    assert got is not None
    assert got.version == 2


async def test_another_schema_is_a_miss(scene: Scene, app: str) -> None:
    digest = secrets.token_hex(32)
    await scene.cache.put_release(structs.replace(document(app=app), schema_version=0))
    await scene.cache.put_key(digest, structs.replace(key(app), schema_version=99))
    assert await scene.cache.get_release(app, Reference("faq")) is None
    assert await scene.cache.get_keys([digest]) == {}


async def test_announcements_reach_every_subscriber(scene: Scene, app: str) -> None:
    heard: list[list[Change]] = []
    listeners = [asyncio.ensure_future(scene.subscribe(heard.append)) for _ in range(3)]
    changes = [Change(7, "prompt", app, "faq"), Change(8, "key", app, "ab" * 32)]
    for _ in range(100):
        await scene.cache.announce(changes)
        if len(heard) >= 3:
            break
        await asyncio.sleep(0.02)
    assert heard[:3] == [changes] * 3
    before = len(heard)
    await scene.cache.announce([])
    await asyncio.sleep(0.02)
    assert len(heard) % 3 == 0
    assert len(heard) >= before
    for listener in listeners:
        listener.cancel()
    await asyncio.gather(*listeners, return_exceptions=True)
