"""The bounds and rarer turns of the worker's view of the registry."""

import asyncio
from typing import Any

import pytest

from gateway.core.documents import Change, KeyDocument, MessageTemplate, ReleaseDocument, VersionContent
from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.references import Reference
from gateway.pipeline import releases as module
from gateway.pipeline.releases import Releases, Shelf, Snapshot, decode_snapshot, encode_snapshot

FAQ = Reference("faq")


def test_a_shelf_is_bounded_in_every_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 3)
    shelf: Shelf[int] = Shelf(trusts_absence=True)
    for i in range(10):
        shelf.put(f"k{i}", i)
        shelf.miss(f"m{i}", 0.0)
    assert list(shelf.live) == ["k7", "k8", "k9"]
    assert len(shelf.absent) <= 3
    for i in range(10):
        shelf.put(f"n{i}", i)
        shelf.drop(lambda key: True)
    assert len(shelf.stale) == 3
    assert shelf.live == {}


async def test_a_cache_that_holds_the_key_spares_the_catalog(world: Any) -> None:
    await world.cache.put_key("d", KeyDocument("k", "app-1", "demo", "pub", generation=9))
    asked = world.catalog.questions
    entry = await world.releases.key("d")
    assert entry.caller.key_id == "k"
    assert world.catalog.questions == asked
    assert world.releases.key_now("d") is entry
    assert await world.releases.key("d") is entry


async def test_a_cached_key_older_than_the_news_is_passed_over(world: Any) -> None:
    await world.cache.put_key("d", KeyDocument("k", "app-1", "demo", "pub", generation=1))
    world.releases.apply([Change(2, "key", "app-1", "d")])
    assert await world.releases.key("d") is None


async def test_what_an_application_changes_reaches_its_keys(world: Any) -> None:
    await world.releases.key(world.key.digest)
    world.releases.apply([Change(5, "application", "app-2", "other")])
    assert world.releases.key_now(world.key.digest) is not None
    world.releases.apply([Change(6, "application", "app-1", "demo")])
    assert world.releases.key_now(world.key.digest) is None
    assert await world.releases.key(world.key.digest) is not None


async def test_a_failure_that_is_no_outage_is_not_hidden_by_the_shelf(world: Any) -> None:
    world.publish("faq", ("system", "one"))
    await world.releases.release("app-1", FAQ)
    bad = world.catalog.add_version("app-1", "faq", VersionContent(messages=[]))
    world.releases.apply(world.catalog.publish("app-1", "faq", bad))

    async def broken(application_id: str, reference: Reference) -> ReleaseDocument | None:
        raise GatewayError(MALFORMED, "does not compile")

    world.catalog.release = broken
    with pytest.raises(GatewayError) as caught:
        await world.releases.release("app-1", FAQ)
    assert caught.value.kind.name == "malformed"
    assert not world.releases.degraded


async def test_names_come_from_the_truth_or_not_at_all(world: Any) -> None:
    world.publish("faq", ("system", "one"))
    assert await world.releases.names("app-1") == ["faq", "faq@production"]
    world.catalog.available = False
    for _ in range(2):
        with pytest.raises(GatewayError) as caught:
            await world.releases.names("app-1")
        assert caught.value.kind.name == "store_unavailable"


async def test_a_snapshot_keeps_what_it_can_compile(world: Any) -> None:
    world.publish("faq", ("system", "one"))
    await world.releases.release("app-1", FAQ)
    await world.releases.key(world.key.digest)
    shot = world.releases.snapshot()
    shot.releases.append(
        ReleaseDocument(
            "app-1",
            "p",
            "bad",
            "@production",
            1,
            VersionContent(messages=[MessageTemplate("system", "{{ never closed")]),
            "0" * 64,
            1,
        )
    )
    fresh = Releases(world.catalog, world.cache, world.clock)
    fresh.restore(decode_snapshot(encode_snapshot(shot)))
    assert fresh.rejected == 1
    assert fresh.has_something
    assert fresh.release_now("app-1", FAQ) is None, "last-known-good is served only without the stores"
    world.catalog.available = world.cache.available = False
    assert (await fresh.release("app-1", FAQ)).document.version == 1
    assert fresh.stale_served == 1
    assert isinstance(shot, Snapshot)


async def test_a_load_whose_callers_have_all_left_ends_quietly(world: Any) -> None:
    world.catalog.available = False
    waiting = asyncio.ensure_future(world.releases.release("app-1", FAQ))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    for _ in range(5):
        await asyncio.sleep(0)
    with pytest.raises(GatewayError):
        await world.releases.release("app-1", FAQ)


async def test_nothing_new_changes_nothing(world: Any) -> None:
    await world.releases.catch_up()
    generation, asked = world.releases.generation, world.catalog.questions
    await world.releases.catch_up()
    assert (world.releases.generation, world.catalog.questions) == (generation, asked + 1)
