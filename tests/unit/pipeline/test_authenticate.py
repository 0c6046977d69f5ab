"""Keys that open nothing: what they cost the stores, counted, and that nobody can tell one kind of them from another."""

import asyncio
from typing import Any

import pytest

from gateway.core import keys
from gateway.core.documents import KeyDocument
from gateway.core.errors import GatewayError
from gateway.edge.openai import chat as door
from gateway.pipeline.authenticate import authenticate
from gateway.pipeline.releases import MAX_ENTRIES
from gateway.pipeline.together import MOST


def made(number: int) -> keys.NewKey:
    """A well-formed key, another for each number."""
    return keys.make(lambda count: (number + 1).to_bytes(count, "little"))


class Counted:
    """The stores of a world with their questions counted."""

    def __init__(self, world: Any) -> None:
        self.catalog: list[int] = []
        self.cache: list[int] = []
        asked, looked = world.catalog.keys, world.cache.get_keys

        async def ask(digests: Any) -> Any:
            self.catalog.append(len(digests))
            return await asked(digests)

        async def look(digests: Any) -> Any:
            self.cache.append(len(digests))
            return await looked(digests)

        world.catalog.keys, world.cache.get_keys = ask, look


async def enter(world: Any, key: str, header: str = "authorization") -> str:
    """``ok``, or the kind of the failure."""
    inbound = world.inbound(b"", **{header: f"Bearer {key}" if header == "authorization" else key})
    if header != "authorization":
        del inbound.headers[b"authorization"]
    try:
        await authenticate(inbound, world.services)
    except GatewayError as error:
        return error.kind.name
    return "ok"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "x",
        "pg_",
        "sk-live-0123456789",
        made(1).text[:-1],
        made(1).text[:-1] + "!",
        made(1).text.replace("_", "-"),
        "é" * 57,
    ],
)
async def test_malformed_keys_never_reach_a_store(world: Any, key: str) -> None:
    stores = Counted(world)
    for header in ("authorization", "x_api_key"):
        for _ in range(3):
            assert await enter(world, key, header) == "unauthenticated"
    assert (stores.catalog, stores.cache) == ([], [])


async def test_a_wrong_checksum_never_reaches_a_store(world: Any) -> None:
    stores, text = Counted(world), made(1).text
    for place in range(4, len(text)):
        other = "a" if text[place] != "a" else "b"
        if text[place] != "_":
            assert await enter(world, text[:place] + other + text[place + 1 :]) == "unauthenticated"
    assert (stores.catalog, stores.cache) == ([], [])


async def test_an_unknown_key_is_looked_up_once(world: Any) -> None:
    stores = Counted(world)
    for _ in range(5):
        assert await enter(world, made(1).text) == "unauthenticated"
    assert (stores.catalog, stores.cache) == ([1], [1])


async def test_the_same_unknown_key_many_times_at_once_is_one_question(world: Any) -> None:
    stores = Counted(world)
    assert set(await asyncio.gather(*[enter(world, made(1).text) for _ in range(50)])) == {"unauthenticated"}
    assert (stores.catalog, stores.cache) == ([1], [1])


async def test_a_flood_of_unknown_keys_costs_few_questions_and_refuses_no_good_one(world: Any) -> None:
    """A good key that no worker has seen comes in the middle of it."""
    good = made(10_000)
    world.catalog.add_key(good.digest, KeyDocument("key-2", "app-1", "demo", good.public_id))
    assert await enter(world, world.key.text) == "ok"
    stores = Counted(world)
    numbers = [*range(500), 10_000, *range(500, 1000)]
    ends = await asyncio.gather(*[enter(world, made(number).text) for number in numbers])
    assert ends == ["ok" if number == 10_000 else "unauthenticated" for number in numbers]
    assert sum(stores.catalog) == len(numbers)
    assert len(stores.catalog) == len(stores.cache) == -(-len(numbers) // MOST)
    stores = Counted(world)
    assert await enter(world, world.key.text) == await enter(world, good.text) == "ok"
    assert (stores.catalog, stores.cache) == ([], []), "what was good before the flood is in memory still"


async def test_memory_of_unknown_keys_is_bounded_and_apart_from_the_good_ones(world: Any) -> None:
    assert await enter(world, world.key.text) == "ok"
    shelf = world.releases._keys
    for number in range(MAX_ENTRIES + 10):
        shelf.miss(f"{number:064x}", 0.0)
    assert len(shelf.absent) <= MAX_ENTRIES
    assert world.key.digest in shelf.live
    for number in range(5):
        await enter(world, made(number).text)
    assert set(shelf.live) == {world.key.digest}
    assert (shelf.loading, world.releases._strangers._waiting) == ({}, {})


async def test_nobody_can_tell_why_a_key_opens_nothing(world: Any, say: Any) -> None:
    """Unknown, revoked, expired, malformed and missing keys get the same bytes."""
    revoked, expired, dying = made(1), made(2), made(3)
    for key, ends in ((revoked, None), (expired, 1), (dying, 1_760_000_000_000)):
        world.catalog.add_key(key.digest, KeyDocument("k", "app-1", "demo", key.public_id, expires_at_ms=ends))
    assert await enter(world, revoked.text) == "ok"
    world.releases.apply(world.catalog.revoke_key(revoked.digest))
    answers = set()
    for key in (revoked.text, expired.text, dying.text, made(4).text, "pg_nonsense", ""):
        for _ in range(2):
            caller = world.caller()
            await door(world.inbound(say.chat(), authorization=f"Bearer {key}"), world.services, caller)
            answers.add((caller.status, caller.body, tuple(sorted(set(caller.head) - {"x-request-id"}))))
    assert len(answers) == 1
    assert world.ledger.rows == []


async def test_a_new_key_opens_at_once_although_it_was_guessed_before(world: Any) -> None:
    key = made(7)
    assert await enter(world, key.text) == "unauthenticated"
    world.releases.apply(world.catalog.add_key(key.digest, KeyDocument("key-2", "app-1", "demo", key.public_id)))
    assert await enter(world, key.text) == "ok"


async def test_a_cached_key_opens_while_the_catalog_is_away_and_others_wait_for_it(world: Any) -> None:
    cached, other = made(1), made(2)
    await world.cache.put_key(cached.digest, KeyDocument("key-2", "app-1", "demo", cached.public_id, generation=9))
    world.catalog.available = False
    assert await asyncio.gather(enter(world, cached.text), enter(world, other.text)) == ["ok", "store_unavailable"]


OLD, NEW = b"o" * 32, b"n" * 32


def peppered(world: Any, number: int, peppers: keys.Peppers) -> keys.NewKey:
    key = keys.make(lambda count: (number + 1).to_bytes(count, "little"), peppers)
    world.catalog.add_key(key.digest, KeyDocument(f"key-{number}", "app-1", "demo", key.public_id))
    return key


async def test_keys_of_all_peppers_open_and_the_newest_by_one_question(world: Any) -> None:
    made_with = [keys.PLAIN, keys.Peppers(OLD), keys.Peppers(NEW)]
    plain, old, new = (peppered(world, number, peppers) for number, peppers in enumerate(made_with))
    world.peppers = keys.Peppers(NEW, OLD)
    stores = Counted(world)
    assert await enter(world, new.text) == "ok"
    assert stores.catalog == [1]
    assert [await enter(world, key.text) for key in (old, plain, made(9))] == ["ok", "ok", "unauthenticated"]
    asked = len(stores.catalog)
    for _ in range(2):
        assert [await enter(world, key.text) for key in (old, plain, made(9))] == ["ok", "ok", "unauthenticated"]
    assert len(stores.catalog) == asked, "what was found, and what was not, is remembered"
    world.releases.apply(world.catalog.revoke_key(old.digest))
    assert [await enter(world, key.text) for key in (old, plain)] == ["unauthenticated", "ok"]


async def test_a_key_without_its_pepper_opens_nothing(world: Any) -> None:
    old = peppered(world, 1, keys.Peppers(OLD))
    for peppers in (keys.PLAIN, keys.Peppers(NEW)):
        world.peppers = peppers
        assert await enter(world, old.text) == "unauthenticated"


async def test_a_key_from_before_the_pepper_opens_while_the_catalog_is_away(world: Any) -> None:
    cached, other = made(1), made(2)
    await world.cache.put_key(cached.digest, KeyDocument("key-2", "app-1", "demo", cached.public_id, generation=9))
    world.peppers = keys.Peppers(NEW, OLD)
    world.catalog.available = False
    assert [await enter(world, key.text) for key in (cached, other)] == ["ok", "store_unavailable"]
