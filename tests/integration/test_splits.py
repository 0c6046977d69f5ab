"""Splits on a real Postgres and a real Redis: what each write leaves behind, ways back, what the schema refuses, two workers that agree."""

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime

import asyncpg
import pytest
from msgspec import structs

from gateway.core.documents import Guardrails, MessageTemplate, PreValidation, VariantSpec, VersionContent
from gateway.core.errors import CONFLICT, MALFORMED, NOT_FOUND, GatewayError
from gateway.core.ids import uuid7
from gateway.core.references import Reference, parse_reference
from gateway.experiments.overlay import overlay
from gateway.pipeline.releases import Releases
from gateway.storage.postgres.catalog import PostgresCatalog
from gateway.storage.postgres.pool import Pool, open_pool
from gateway.storage.postgres.registry import Registry
from gateway.storage.postgres.rows import NewSplit
from gateway.storage.redis.cache import RedisCache
from gateway.storage.redis.link import Link

_COUNT = itertools.count()
CONTROL, CONCISE = VariantSpec("control", 1, 5_000), VariantSpec("concise", 2, 5_000)
HALVES = NewSplit([CONTROL, CONCISE])


def new_id() -> str:
    return uuid7(time.time_ns() // 1_000_000, secrets.randbits(76))


def text(words: str) -> VersionContent:
    return VersionContent(messages=[MessageTemplate("system", words)])


@pytest.fixture
async def pool(module_database: str) -> AsyncIterator[Pool]:
    pool = await open_pool(module_database, 1, 8)
    yield pool
    await pool.close()


@pytest.fixture
def registry(pool: Pool) -> Registry:
    return Registry(pool, new_id, lambda: datetime.now(UTC))


@pytest.fixture
async def app(registry: Registry) -> str:
    """An application with ``faq`` in three versions, the first of them in production."""
    slug = f"app-{next(_COUNT)}"
    await registry.create_application(slug, actor="ada")
    await registry.create_prompt(slug, "faq", text("one"), actor="ada")
    for words in ("two", "three"):
        await registry.create_version(slug, "faq", text(words), actor="ada")
    await registry.publish(slug, "faq", 1, actor="ada")
    return slug


async def refusal(work: object) -> tuple[str, str | None]:
    with pytest.raises(GatewayError) as caught:
        await work  # type: ignore[misc]
    return caught.value.kind.name, caught.value.param


# --- what a write leaves behind -------------------------------------------------------------------------------------


async def test_splitting_is_one_write_with_all_its_traces(registry: Registry, pool: Pool, app: str) -> None:
    catalog = PostgresCatalog(pool)
    before = await catalog.generation()
    written = await registry.split(app, "faq", "production", HALVES, message="try", actor="bob")
    move = written.value
    assert (move.action, move.from_version, move.to_version, move.from_split) == ("split", 1, None, None)
    assert move.to_split is not None
    assert move.to_split.variants == [CONTROL, CONCISE]
    assert (written.generation, written.created) == (before + 1, True)
    assert await catalog.changes(before) == written.changes
    assert [(c.kind, c.name) for c in written.changes] == [("prompt", "faq")]
    (latest, *_) = (await registry.alias_history(app, "faq", "production")).items
    assert (latest.action, latest.to_split, latest.message, latest.actor) == ("split", move.to_split, "try", "bob")
    assert await registry.get_split(app, "faq", "production") == move.to_split
    (alias,) = await registry.list_aliases(app, "faq")
    assert (alias.version, alias.content_hash, alias.split) == (None, None, move.to_split)
    prompt = await registry.get_prompt(app, "faq")
    assert (prompt.aliases, prompt.splits) == ({}, {"production": {"control": 1, "concise": 2}})
    version = await registry.get_version(app, parse_reference("faq:2", "p"))
    assert (version.aliases, version.published_by) == (["production"], "bob")
    (entry,) = (await registry.audit(limit=1)).items
    assert (entry.action, entry.actor, entry.detail["from_version"]) == ("alias.split", "bob", 1)
    assert entry.detail["to_split"] == ["control=1:5000", "concise=2:5000"]
    assert await registry.verify_audit() is None


async def test_the_same_split_again_is_no_write(registry: Registry, app: str) -> None:
    terms = Guardrails(PreValidation(prohibited_terms=["x"]))
    own = VariantSpec("concise", 2, 5_000, model="gpt", params={"temperature": 0.5, "stop": ["a"]}, guardrails=terms)
    asked = NewSplit([CONTROL, own])
    first = await registry.split(app, "faq", "production", asked, actor="ada")
    again = await registry.split(app, "faq", "production", asked, actor="eve")
    assert (again.created, again.changes, again.generation) == (False, [], first.generation)
    assert again.value.to_split == first.value.to_split
    salted = structs.replace(asked, salt=first.value.to_split.salt)  # type: ignore[union-attr]
    assert not (await registry.split(app, "faq", "production", salted, actor="eve")).created
    other = await registry.split(app, "faq", "production", structs.replace(asked, salt="fresh"), actor="eve")
    assert other.created
    assert other.value.to_split is not None
    assert other.value.to_split.salt == "fresh"


async def test_an_alias_may_begin_as_a_split(registry: Registry, app: str) -> None:
    moved = await registry.split(app, "faq", "canary", structs.replace(HALVES, expected_version=0), actor="ada")
    assert (moved.value.from_version, moved.value.from_split) == (None, None)
    assert await refusal(registry.rollback(app, "faq", alias="canary", actor="ada")) == ("conflict", "alias")


# --- ways back ------------------------------------------------------------------------------------------------------


async def test_rolling_back_walks_over_splits(registry: Registry, pool: Pool, app: str) -> None:
    catalog = PostgresCatalog(pool)
    owner = (await registry.get_application(app)).id
    first = (await registry.split(app, "faq", "production", HALVES, actor="ada")).value.to_split
    heavier = NewSplit([structs.replace(CONTROL, weight=2_000), structs.replace(CONCISE, weight=8_000)])
    second = (await registry.split(app, "faq", "production", heavier, actor="ada")).value.to_split
    assert first is not None
    assert second is not None
    assert second.salt == first.salt
    await registry.publish(app, "faq", 3, actor="ada")
    document = await catalog.release(owner, Reference("faq"))
    assert document is not None
    assert (document.version, document.split) == (3, None), "a version takes the place of a split"
    stood = []
    for _ in range(3):
        move = (await registry.rollback(app, "faq", actor="ada")).value
        stood.append(move.to_split.id if move.to_split else move.to_version)
    assert stood == [second.id, first.id, 1]
    assert await refusal(registry.rollback(app, "faq", actor="ada")) == ("conflict", "alias")
    actions = [m.action for m in (await registry.alias_history(app, "faq", "production")).items]
    assert actions == ["rollback", "rollback", "rollback", "publish", "split", "split", "publish"]


async def test_a_split_comes_back_with_the_same_buckets(registry: Registry, pool: Pool, app: str) -> None:
    catalog = PostgresCatalog(pool)
    owner = (await registry.get_application(app)).id
    await registry.split(app, "faq", "production", HALVES, actor="ada")
    was = (await catalog.release(owner, Reference("faq"))).split  # type: ignore[union-attr]
    gone = (await registry.delete_alias(app, "faq", "production", actor="ada")).value
    assert (gone.to_split, gone.from_split.id if gone.from_split else None) == (None, was.id if was else "")
    assert await catalog.release(owner, Reference("faq")) is None
    assert was is not None
    back = await registry.set_split(app, "faq", "production", was.id, actor="ada")
    assert back.value.action == "set"
    assert (await catalog.release(owner, Reference("faq"))).split == was  # type: ignore[union-attr]
    assert not (await registry.set_split(app, "faq", "production", was.id, actor="ada")).created
    assert await refusal(registry.set_split(app, "faq", "production", new_id(), actor="ada")) == ("not_found", "split")
    assert await refusal(registry.set_split(app, "faq", "production", "no id", actor="ada")) == ("malformed", "split")
    await registry.create_prompt(app, "other", text("x"), actor="ada")
    assert await refusal(registry.set_split(app, "other", "production", was.id, actor="ada")) == ("not_found", "split")


async def test_promoting_a_plain_variant_points_at_its_version(registry: Registry, app: str) -> None:
    split = (await registry.split(app, "faq", "production", HALVES, actor="ada")).value.to_split
    assert split is not None
    assert await refusal(registry.promote(app, "faq", "production", "nobody", actor="ada")) == ("not_found", "variant")
    stale = registry.promote(app, "faq", "production", "concise", expected_split=new_id(), actor="ada")
    assert await refusal(stale) == ("conflict", "expected_split")
    move = (await registry.promote(app, "faq", "production", "concise", expected_split=split.id, actor="ada")).value
    assert (move.action, move.from_split, move.to_version) == ("promote", split, 2)
    assert await refusal(registry.promote(app, "faq", "production", "concise", actor="ada")) == ("not_found", "alias")
    assert await refusal(registry.promote(app, "faq", "nowhere", "concise", actor="ada")) == ("not_found", "alias")
    assert (await registry.rollback(app, "faq", actor="ada")).value.to_split == split


async def test_promoting_a_variant_of_its_own_makes_that_a_version(registry: Registry, app: str) -> None:
    own = VariantSpec("own", 2, 5_000, model="gpt-x")
    await registry.split(app, "faq", "production", NewSplit([CONTROL, own]), actor="ada")
    content = overlay(text("two"), own)
    move = (await registry.promote(app, "faq", "production", "own", content=content, actor="ada")).value
    assert move.to_version == 4
    made = await registry.get_version(app, parse_reference("faq:4", "p"))
    parent = await registry.get_version(app, parse_reference("faq:2", "p"))
    assert (made.content, made.parents, made.published_by) == (content, [parent.id], "ada")
    await registry.rollback(app, "faq", actor="ada")
    again = (await registry.promote(app, "faq", "production", "own", content=content, actor="ada")).value
    assert again.to_version == 4, "it is there already"


# --- refusals -------------------------------------------------------------------------------------------------------


async def test_expectations_are_about_versions_and_splits(registry: Registry, app: str) -> None:
    for wrong in (NewSplit([CONTROL, CONCISE], expected_version=2), NewSplit([CONTROL, CONCISE], expected_version=0)):
        assert await refusal(registry.split(app, "faq", "production", wrong, actor="ada")) == ("conflict", "expected_version")
    unsplit = structs.replace(HALVES, expected_split=new_id())
    assert await refusal(registry.split(app, "faq", "production", unsplit, actor="ada")) == ("conflict", "expected_split")
    made = await registry.split(app, "faq", "production", structs.replace(HALVES, expected_version=1), actor="ada")
    for expected in (0, 1):
        stale = registry.publish(app, "faq", 1, expected_version=expected, actor="ada")
        assert await refusal(stale) == ("conflict", "expected_version"), "a split is no version"
    split = made.value.to_split
    assert split is not None
    other = NewSplit([CONTROL, structs.replace(CONCISE, version=3)], expected_split=split.id)
    assert (await registry.split(app, "faq", "production", other, actor="ada")).created
    stale = registry.split(app, "faq", "production", structs.replace(HALVES, expected_split=split.id), actor="ada")
    assert await refusal(stale) == ("conflict", "expected_split")


@pytest.mark.parametrize(
    ("asked", "kind", "param"),
    [
        (NewSplit([CONTROL]), MALFORMED, "variants"),
        (NewSplit([CONTROL, CONTROL]), MALFORMED, "variants"),
        (NewSplit([CONTROL, structs.replace(CONCISE, weight=1)]), MALFORMED, "variants"),
        (NewSplit([CONTROL, structs.replace(CONCISE, version=9)]), NOT_FOUND, "version"),
        (NewSplit([CONTROL, CONCISE], salt=""), MALFORMED, "salt"),
        (NewSplit([CONTROL, CONCISE], salt="s" * 65), MALFORMED, "salt"),
        (NewSplit([CONTROL, CONCISE], salt="sält"), MALFORMED, "salt"),
        (NewSplit([CONTROL, structs.replace(CONCISE, model="a\0b")]), MALFORMED, None),
        (NewSplit([CONTROL, structs.replace(CONCISE, params={"stop": "\0"})]), MALFORMED, None),
    ],
)
async def test_what_is_no_split_is_refused_and_changes_nothing(
    registry: Registry, pool: Pool, app: str, asked: NewSplit, kind: object, param: str | None
) -> None:
    before = await PostgresCatalog(pool).generation()
    with pytest.raises(GatewayError) as caught:
        await registry.split(app, "faq", "production", asked, actor="ada")
    assert (caught.value.kind, caught.value.param) == (kind, param)
    assert await PostgresCatalog(pool).generation() == before
    assert (await registry.get_version(app, parse_reference("faq:2", "p"))).published_at is None


async def test_a_split_alias_names_no_single_version(registry: Registry, app: str) -> None:
    await registry.split(app, "faq", "production", HALVES, actor="ada")
    with pytest.raises(GatewayError) as caught:
        await registry.get_version(app, Reference("faq"))
    assert caught.value.kind is CONFLICT
    assert "concise: 2, control: 1" in caught.value.detail
    assert await refusal(registry.get_split(app, "faq", "nowhere")) == ("not_found", "alias")


async def test_the_schema_itself_refuses_what_is_no_split(registry: Registry, pool: Pool, app: str) -> None:
    split = (await registry.split(app, "faq", "production", HALVES, actor="ada")).value.to_split
    assert split is not None
    await registry.create_prompt(app, "other", text("x"), actor="ada")
    prompt, other = (await registry.get_prompt(app, "faq")).id, (await registry.get_prompt(app, "other")).id
    versions = [(await registry.get_version(app, parse_reference(f"faq:{n}", "p"))).id for n in (1, 2, 3)]
    foreign = (await registry.get_version(app, parse_reference("other:1", "p"))).id

    def variants(*rows: tuple[str, int, str]) -> str:
        values = ", ".join(
            f"('{{new}}', '{prompt}', {i}, 'v{i}', '{version}', {weight}, '{buckets}')"
            for i, (version, weight, buckets) in enumerate(rows)
        )
        columns = "split_id, prompt_id, position, name, version_id, weight, buckets"
        return (
            f"insert into splits (id, prompt_id, salt, size, created_by, created_at) values ('{{new}}', '{prompt}', 's', "
            f"{max(2, len(rows))}, 'eve', now())"
            + (f"; insert into split_variants ({columns}) values {values}" if rows else "")
        )

    one, two, draft = versions
    whole = "{[0,10000)}"
    for statement in (
        variants(),
        variants((one, 10_000, whole)),
        variants((one, 5_000, "{[0,5000)}"), (two, 4_000, "{[5000,9000)}")),
        variants((one, 5_000, "{[0,5000)}"), (two, 5_000, "{[0,5000)}")),
        variants((one, 6_000, "{[0,5000)}"), (two, 4_000, "{[5000,10000)}")),
        variants((one, 5_000, "{[0,5000)}"), (two, 5_000, "{[6000,11000)}")),
        variants((one, 5_000, "{[0,5000)}"), (draft, 5_000, "{[5000,10000)}")),
        variants((one, 5_000, "{[0,5000)}"), (foreign, 5_000, "{[5000,10000)}")),
        f"insert into split_variants values ('{split.id}', '{prompt}', 5, 'late', '{one}', 0, '{{}}', null, null, null)",
        f"update splits set salt = 'x' where id = '{split.id}'",
        f"delete from split_variants where split_id = '{split.id}'",
        "truncate split_variants",
        f"update aliases set version_id = '{one}' where prompt_id = '{prompt}'",
        f"insert into aliases (prompt_id, name, split_id, generation, updated_by, updated_at) values ('{other}', 'x', '{split.id}', 1, 'e', now())",
    ):
        async with pool.acquire() as connection:
            with pytest.raises((asyncpg.IntegrityConstraintViolationError, asyncpg.RestrictViolationError)):
                await connection.execute(statement.replace("{new}", new_id()))
    async with pool.acquire() as connection:
        good = variants((one, 5_000, "{[0,5000)}"), (two, 5_000, "{[5000,10000)}"))
        await connection.execute(good.replace("{new}", new_id()))


async def test_splits_publishes_and_rollbacks_in_a_storm_leave_one_linear_history(registry: Registry, app: str) -> None:
    def weighted(n: int) -> NewSplit:
        return NewSplit([structs.replace(CONTROL, weight=n * 100), structs.replace(CONCISE, weight=10_000 - n * 100)])

    work = [registry.split(app, "faq", "production", weighted(n % 7), actor="ada") for n in range(20)]
    work += [registry.publish(app, "faq", n % 3 + 1, actor="bob") for n in range(20)]  # type: ignore[misc]
    work += [registry.rollback(app, "faq", actor="eve") for _ in range(10)]  # type: ignore[misc]
    turns = asyncio.Semaphore(6)  # fewer than the pool has connections: nobody may wait so long for one that it gives up

    async def in_turn(write: Awaitable[object]) -> object:
        async with turns:
            return await write

    ends = await asyncio.gather(*map(in_turn, work), return_exceptions=True)
    assert all(end.kind is CONFLICT for end in ends if isinstance(end, GatewayError))
    assert not [end for end in ends if isinstance(end, BaseException) and not isinstance(end, GatewayError)]
    moves = (await registry.alias_history(app, "faq", "production", limit=1000)).items[::-1]
    places = [(m.to_version, m.to_split) for m in moves]
    assert [(m.from_version, m.from_split) for m in moves[1:]] == places[:-1]
    assert await registry.verify_audit() is None


# --- Postgres, Redis, two workers -----------------------------------------------------------------------------------


async def test_two_workers_agree_through_redis_and_through_postgres(
    registry: Registry, pool: Pool, app: str, redis_url: str
) -> None:
    owner = (await registry.get_application(app)).id
    await registry.split(app, "faq", "production", HALVES, actor="ada")
    secret, catalog = secrets.token_bytes(32), PostgresCatalog(pool)
    link = Link(redis_url, time.monotonic, timeout_s=2)
    cache = RedisCache(link, secret)
    one, two = Releases(catalog, cache, time.monotonic), Releases(catalog, cache, time.monotonic)

    async def assigned(worker: Releases) -> list[str | None]:
        release = await worker.release(owner, Reference("faq"))
        assert release is not None
        assert release.split is not None
        return [release.split.choose(f"u{i}", None).facts.variant for i in range(1_000)]

    from_postgres = await assigned(one)
    hits = cache.hits
    assert await assigned(two) == from_postgres
    assert cache.hits == hits + 1, "the second worker asked Redis"
    grown = NewSplit([structs.replace(CONTROL, weight=4_000), structs.replace(CONCISE, weight=6_000)])
    written = await registry.split(app, "faq", "production", grown, actor="ada")
    await cache.announce(written.changes)
    for worker in (one, two):
        worker.apply(written.changes)
    after = await assigned(one)
    assert await assigned(two) == after
    moved = [(a, b) for a, b in zip(from_postgres, after, strict=True) if a != b]
    assert set(moved) == {("control", "concise")}
    assert 60 < len(moved) < 140
    await link.close()
