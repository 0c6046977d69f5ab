"""The registry on a real Postgres: what each write does, refuses and leaves behind, and races that end in one linear history."""

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec
import pytest

from gateway.core.documents import Guardrails, MessageTemplate, Placeholder, PreValidation, VersionContent, canonical
from gateway.core.errors import CONFLICT, MALFORMED, NOT_FOUND, STORE_UNAVAILABLE, UNKNOWN_PROMPT, GatewayError, Kind
from gateway.core.ids import uuid7
from gateway.core.references import Reference, parse_reference
from gateway.storage.postgres.catalog import PostgresCatalog
from gateway.storage.postgres.pool import Pool, open_pool
from gateway.storage.postgres.registry import Registry
from gateway.storage.postgres.rows import ApplicationPatch, PromptPatch
from tests.conftest import PATIENCE

_COUNT = itertools.count()


def new_id() -> str:
    return uuid7(time.time_ns() // 1_000_000, secrets.randbits(76))


def now() -> datetime:
    return datetime.now(UTC)


def text(words: str, **more: object) -> VersionContent:
    return VersionContent(messages=[MessageTemplate("system", words), Placeholder()], **more)  # type: ignore[arg-type]


@pytest.fixture
async def pool(module_database: str) -> AsyncIterator[Pool]:
    pool = await open_pool(module_database, 1, 8)
    yield pool
    await pool.close()


@pytest.fixture
def registry(pool: Pool) -> Registry:
    return Registry(pool, new_id, now)


@pytest.fixture
async def app(registry: Registry) -> str:
    slug = f"app-{next(_COUNT)}"
    await registry.create_application(slug, actor="ada")
    return slug


@pytest.fixture
async def faq(registry: Registry, app: str) -> str:
    await registry.create_prompt(app, "faq", text("one"), actor="ada")
    return "faq"


class refused:
    """``with refused(CONFLICT, "alias"):`` - the block must raise this kind about this parameter."""

    def __init__(self, kind: Kind, param: str | None) -> None:
        self.wanted = (kind, param)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        assert isinstance(error, GatewayError), f"not refused: {error!r}"
        assert (error.kind, error.param) == self.wanted, f"{error.kind.name} {error.param}: {error.detail}"
        return True


# --- applications and keys ------------------------------------------------------------------------------------------


async def test_an_application_is_found_by_slug_and_by_id(registry: Registry, app: str) -> None:
    found = await registry.get_application(app)
    assert await registry.get_application(found.id) == found
    assert found.name == app
    with refused(NOT_FOUND, "application"):
        await registry.get_application("nobody")


async def test_application_names_are_unique_and_checked(registry: Registry, app: str) -> None:
    with refused(CONFLICT, "slug"):
        await registry.create_application(app, actor="ada")
    for bad in ["", "Upper", "a/b", "x" * 64, new_id()]:
        with refused(MALFORMED, "slug"):
            await registry.create_application(bad, actor="ada")


async def test_applications_are_paged_by_slug(registry: Registry) -> None:
    prefix = f"page{next(_COUNT)}"
    for name in "bac":
        await registry.create_application(f"{prefix}-{name}", actor="ada")
    first = await registry.list_applications(after=f"{prefix}-", limit=2)
    assert [item.slug for item in first.items] == [f"{prefix}-a", f"{prefix}-b"]
    assert first.next == f"{prefix}-b"
    second = await registry.list_applications(after=first.next, limit=1)
    assert second.items[0].slug == f"{prefix}-c"


async def test_updating_an_application_moves_its_keys(registry: Registry, pool: Pool, app: str) -> None:
    catalog = PostgresCatalog(pool)
    digest = secrets.token_hex(32)
    await registry.create_key(app, digest=digest, public_id=new_id(), actor="ada")
    same = await registry.update_application(app, ApplicationPatch(), actor="ada")
    assert not same.created
    assert not same.changes
    described = await registry.update_application(app, ApplicationPatch(description="d"), actor="ada")
    assert described.created
    assert not described.changes
    moved = await registry.update_application(app, ApplicationPatch(default_model="gpt", requests_per_minute=7), actor="ada")
    assert {(c.kind, c.name) for c in moved.changes} == {("application", app), ("key", digest)}
    assert await catalog.changes(moved.generation - 1) == sorted(moved.changes, key=lambda c: c.kind)
    document = (await catalog.keys([digest])).get(digest)
    assert document is not None
    assert (document.default_model, document.requests_per_minute, document.generation) == ("gpt", 7, moved.generation)


async def test_an_archived_application_serves_and_takes_nothing(registry: Registry, pool: Pool, app: str, faq: str) -> None:
    catalog = PostgresCatalog(pool)
    digest = secrets.token_hex(32)
    await registry.create_key(app, digest=digest, public_id=new_id(), actor="ada")
    await registry.publish(app, faq, 1, actor="ada")
    application = await registry.get_application(app)
    await registry.archive_application(app, actor="ada")
    assert (await catalog.keys([digest])).get(digest) is None
    assert await catalog.release(application.id, Reference(faq)) is None
    assert await catalog.names(application.id) == []
    with refused(CONFLICT, "application"):
        await registry.publish(app, faq, 1, actor="ada")
    listed = await registry.list_applications(limit=1000)
    assert app not in [item.slug for item in listed.items]
    assert not (await registry.archive_application(app, actor="ada")).created
    await registry.restore_application(app, actor="ada")
    assert (await catalog.keys([digest])).get(digest) is not None
    assert await catalog.release(application.id, Reference(faq)) is not None


async def test_a_key_lives_from_creation_to_revocation(registry: Registry, pool: Pool, app: str) -> None:
    catalog = PostgresCatalog(pool)
    digest = secrets.token_hex(32)
    made = await registry.create_key(app, digest=digest, public_id="pub-" + digest[:8], requests_per_minute=5, actor="ada")
    assert [c.name for c in made.changes] == [digest]
    document = (await catalog.keys([digest])).get(digest)
    assert document is not None
    assert (document.key_id, document.application, document.requests_per_minute) == (made.value.id, app, 5)
    assert digest not in str(made.value)
    gone = await registry.revoke_key(app, made.value.public_id, actor="ada")
    assert gone.generation == made.generation + 1 or gone.generation > made.generation
    assert (await catalog.keys([digest])).get(digest) is None
    assert not (await registry.revoke_key(app, made.value.id, actor="ada")).created
    assert await registry.list_keys(app) == []
    assert [key.revoked_at is None for key in await registry.list_keys(app, include_revoked=True)] == [False]


async def test_keys_are_checked(registry: Registry, app: str) -> None:
    digest = secrets.token_hex(32)
    await registry.create_key(app, digest=digest, public_id="p" + digest, actor="ada")
    with refused(CONFLICT, None):
        await registry.create_key(app, digest=digest, public_id="q" + digest, actor="ada")
    with refused(MALFORMED, "digest"):
        await registry.create_key(app, digest="zz", public_id="r" + digest, actor="ada")
    with refused(MALFORMED, None):
        await registry.create_key(app, digest=secrets.token_hex(32), public_id="nul\x00", actor="ada")
    with refused(MALFORMED, None):
        await registry.create_key(app, digest=secrets.token_hex(32), public_id="big", requests_per_minute=2**40, actor="ada")
    with refused(NOT_FOUND, "key"):
        await registry.revoke_key(app, "nothing", actor="ada")


async def test_a_key_of_another_application_is_not_found(registry: Registry, app: str) -> None:
    other = f"app-{next(_COUNT)}"
    await registry.create_application(other, actor="eve")
    key = await registry.create_key(app, digest=secrets.token_hex(32), public_id=new_id(), actor="ada")
    for name in (key.value.id, key.value.public_id):
        with refused(NOT_FOUND, "key"):
            await registry.revoke_key(other, name, actor="eve")


async def test_regenerating_replaces_all_keys(registry: Registry, pool: Pool, app: str) -> None:
    catalog = PostgresCatalog(pool)
    old, graced, new = (secrets.token_hex(32) for _ in range(3))
    await registry.create_key(app, digest=old, public_id=new_id(), actor="ada")
    written = await registry.regenerate_key(app, digest=graced, public_id=new_id(), actor="ada")
    assert {c.name for c in written.changes} == {old, graced}
    assert (await catalog.keys([old])).get(old) is None
    await registry.regenerate_key(app, digest=new, public_id=new_id(), grace_s=60, actor="ada")
    document = (await catalog.keys([graced])).get(graced)
    assert document is not None
    assert document.expires_at_ms is not None
    assert 50_000 < document.expires_at_ms - time.time() * 1000 < 70_000
    fresh = (await catalog.keys([new])).get(new)
    assert fresh is not None
    assert fresh.expires_at_ms is None


async def test_grace_never_prolongs_a_key(registry: Registry, pool: Pool, app: str) -> None:
    soon = (now() + timedelta(seconds=5)).replace(microsecond=999_600)  # a fraction that must not be rounded up
    digest = secrets.token_hex(32)
    await registry.create_key(app, digest=digest, public_id=new_id(), expires_at=soon, actor="ada")
    await registry.regenerate_key(app, digest=secrets.token_hex(32), public_id=new_id(), grace_s=3600, actor="ada")
    document = (await PostgresCatalog(pool).keys([digest])).get(digest)
    assert document is not None
    assert document.expires_at_ms == int(soon.timestamp() * 1000)


async def test_a_successor_knows_the_first_of_its_line_and_the_newest(registry: Registry, pool: Pool, app: str) -> None:
    line = [(await registry.create_key(app, digest=secrets.token_hex(32), public_id="k0", actor="ada")).value]
    for number in range(1, 67):
        made = await registry.rotate_key(
            app, line[-1].id, digest=secrets.token_hex(32), public_id=f"k{number}", grace_s=60, actor="ada"
        )
        line.append(made.value)
    assert line[2].ancestors == ["k0", "k1"]
    assert line[63].ancestors == [f"k{number}" for number in range(63)]
    assert line[66].ancestors == ["k0", *[f"k{number}" for number in range(4, 66)]]


async def test_a_successor_has_everything_of_the_key_but_its_identity(registry: Registry, pool: Pool, app: str) -> None:
    old, new = secrets.token_hex(32), secrets.token_hex(32)
    made = await registry.create_key(
        app,
        digest=old,
        public_id=new_id(),
        name="n",
        requests_per_minute=5,
        expires_at=now() + timedelta(days=9),
        scopes=["chat"],
        prompts=["faq"],
        models=["m"],
        actor="ada",
    )
    await pool.execute("update api_keys set last_used_on = current_date where id = $1", made.value.id)
    rotated = await registry.rotate_key(app, made.value.id, digest=new, public_id=new_id(), grace_s=60, actor="ada")
    before, after = [await pool.fetchrow("select * from api_keys where id = $1", key.value.id) for key in (made, rotated)]
    assert before is not None
    assert after is not None
    own = {"id", "public_id", "digest", "created_at", "expires_at", "replaced_by", "last_used_on", "ancestors"}
    assert {name for name, value in before.items() if value != after[name]} <= own, (
        "a new column has to be inherited, or said here"
    )
    assert after["expires_at"] - after["created_at"] == timedelta(days=9)
    catalog = PostgresCatalog(pool)
    grace, fresh = (await catalog.keys([old])).get(old), (await catalog.keys([new])).get(new)
    assert grace is not None
    assert fresh is not None
    assert 50_000 < (grace.expires_at_ms or 0) - time.time() * 1000 < 70_000
    assert (fresh.scopes, fresh.prompts, fresh.models) == (["chat"], ["faq"], ["m"])
    assert fresh.requests_per_minute == 5


# --- prompts --------------------------------------------------------------------------------------------------------


async def test_a_prompt_starts_with_an_unpublished_version(registry: Registry, app: str) -> None:
    made = await registry.create_prompt(
        app, "billing/refund", text("hi"), description="d", tags=["b", "a", "b"], message="first", actor="ada"
    )
    prompt = made.value
    assert (prompt.folder, prompt.tags, prompt.latest_version, prompt.aliases) == ("billing", ["a", "b"], 1, {})
    assert made.changes == []
    version = await registry.get_version(app, Reference("billing/refund", version=1))
    assert (version.content, version.message, version.parents, version.published_at) == (text("hi"), "first", [], None)
    with refused(CONFLICT, "slug"):
        await registry.create_prompt(app, "billing/refund", text("hi"), actor="ada")
    for bad in ["", "/a", "a b", "a:1", new_id()]:
        with refused(MALFORMED, "slug"):
            await registry.create_prompt(app, bad, text("hi"), actor="ada")
    with refused(UNKNOWN_PROMPT, "prompt"):
        await registry.get_prompt(app, "billing")
    assert await registry.get_prompt(app, prompt.id) == prompt


async def test_listing_prompts_filters_and_pages(registry: Registry, app: str) -> None:
    for slug, tags, words in [
        ("a/x", ["t"], "alpha"),
        ("a/b/y", [], "beta"),
        ("ab", ["t", "u"], "100% sure"),
        ("c_d", [], "g"),
    ]:
        await registry.create_prompt(app, slug, text(words), tags=tags, actor="ada")
    await registry.create_prompt(app, "old", text("o"), actor="ada")
    await registry.archive_prompt(app, "old", actor="ada")

    async def slugs(**filters: object) -> list[str]:
        return [prompt.slug for prompt in (await registry.list_prompts(app, **filters)).items]  # type: ignore[arg-type]

    assert await slugs() == ["a/b/y", "a/x", "ab", "c_d"]
    assert await slugs(include_archived=True) == ["a/b/y", "a/x", "ab", "c_d", "old"]
    assert await slugs(tag="t") == ["a/x", "ab"]
    assert await slugs(name="_") == ["c_d"]
    assert await slugs(text="100%") == ["ab"]
    assert await slugs(text="BETA") == ["a/b/y"]
    assert await slugs(folder="a") == ["a/b/y", "a/x"]
    page = await registry.list_prompts(app, limit=3)
    assert page.next == "ab"
    assert await slugs(after=page.next) == ["c_d"]


async def test_metadata_changes_without_a_new_generation_but_switching_off_does(
    registry: Registry, pool: Pool, app: str, faq: str
) -> None:
    catalog = PostgresCatalog(pool)
    application = await registry.get_application(app)
    await registry.publish(app, faq, 1, actor="ada")
    described = await registry.update_prompt(app, faq, PromptPatch(description="d", tags=["z", "y"]), actor="ada")
    assert described.changes == []
    assert described.value.tags == ["y", "z"]
    assert not (await registry.update_prompt(app, faq, PromptPatch(tags=["y", "z"]), actor="ada")).created
    off = await registry.update_prompt(app, faq, PromptPatch(is_active=False), actor="ada")
    assert off.generation > described.generation
    assert await catalog.release(application.id, Reference(faq)) is None
    await registry.update_prompt(app, faq, PromptPatch(is_active=True), actor="ada")
    await registry.archive_prompt(app, faq, actor="ada")
    assert await catalog.release(application.id, Reference(faq, version=1)) is None
    for write in (
        lambda: registry.publish(app, faq, 1, actor="ada"),
        lambda: registry.create_version(app, faq, text("two"), actor="ada"),
        lambda: registry.update_prompt(app, faq, PromptPatch(), actor="ada"),
    ):
        with refused(CONFLICT, "prompt"):
            await write()
    back = await registry.restore_prompt(app, faq, actor="ada")
    assert back.value.archived_at is None
    assert await catalog.release(application.id, Reference(faq)) is not None


# --- versions -------------------------------------------------------------------------------------------------------


async def test_versions_are_numbered_linked_and_deduplicated(registry: Registry, app: str, faq: str) -> None:
    first = await registry.get_version(app, Reference(faq, version=1))
    second = await registry.create_version(app, faq, text("two"), base_version=1, message="m", actor="bob")
    assert (second.value.number, second.value.parents, second.value.created_by) == (2, [first.id], "bob")
    again = await registry.create_version(app, faq, text("two"), base_version=1, actor="bob")
    assert again.created is False
    assert again.value == second.value
    with refused(CONFLICT, "base_version"):
        await registry.create_version(app, faq, text("three"), base_version=1, actor="bob")
    back = await registry.revert(app, faq, 1, actor="bob")
    assert (back.value.number, back.value.content, back.value.content_hash) == (3, text("one"), first.content_hash)
    assert back.value.message == "Revert to version 1"
    assert not (await registry.revert(app, faq, 3, actor="bob")).created
    with refused(NOT_FOUND, "version"):
        await registry.revert(app, faq, 9, actor="bob")
    page = await registry.list_versions(app, faq, limit=2)
    assert [(v.number, v.content) for v in page.items] == [(3, None), (2, None)]
    assert [v.number for v in (await registry.list_versions(app, faq, after=page.next)).items] == [1]
    with refused(MALFORMED, "after"):
        await registry.list_versions(app, faq, after="x")


async def test_semvers_are_unique_and_well_formed(registry: Registry, app: str, faq: str) -> None:
    made = await registry.create_version(app, faq, text("two"), semver="1.2.0", actor="ada")
    assert (await registry.get_version(app, parse_reference("faq:1.2.0", "p"))).id == made.value.id
    tagged = await registry.create_version(app, faq, text("two"), semver="1.2.1", actor="ada")
    assert tagged.created
    assert tagged.value.number == 3
    with refused(CONFLICT, "semver"):
        await registry.create_version(app, faq, text("three"), semver="1.2.0", actor="ada")
    for bad in ["1.2", "7", "v1.2.3"]:
        with refused(MALFORMED, "semver"):
            await registry.create_version(app, faq, text("four"), semver=bad, actor="ada")
    assert (await registry.get_prompt(app, faq)).latest_version == 3, "a refused version must not use up a number"


async def test_a_version_is_found_by_every_reference_form(registry: Registry, app: str, faq: str) -> None:
    await registry.create_version(app, faq, text("two"), semver="2.0.0", actor="ada")
    await registry.create_version(app, faq, text("three"), actor="ada")
    await registry.publish(app, faq, 2, actor="ada")
    await registry.publish(app, faq, 1, alias="staging", actor="ada")
    digest = (await registry.get_version(app, Reference(faq, version=3))).content_hash
    for reference, number in [
        ("faq", 2),
        ("faq@staging", 1),
        ("faq@latest", 2),
        ("faq@draft", 3),
        ("faq:2.0.0", 2),
        (f"faq#{digest[:12]}", 3),
        (f"faq#{digest}", 3),
    ]:
        assert (await registry.get_version(app, parse_reference(reference, "p"))).number == number, reference
    for missing in ["faq@nope", "faq:99", "faq:9.9.9", "faq#000000"]:
        with refused(NOT_FOUND, "version"):
            await registry.get_version(app, parse_reference(missing, "p"))


async def test_a_hash_prefix_of_two_contents_is_refused_but_equal_contents_are_one(
    registry: Registry, app: str, faq: str
) -> None:
    seen: dict[str, int] = {}
    prefix, number = "", 1
    for number in itertools.count(2):
        written = await registry.create_version(app, faq, text(f"words {number}"), actor="ada")
        prefix = written.value.content_hash[:1]
        if prefix in seen:
            break
        seen[prefix] = number
    with refused(CONFLICT, "version"):
        await registry.get_version(app, Reference(faq, digest=prefix))
    await registry.create_version(app, faq, text("one"), actor="ada")
    hashed = (await registry.get_version(app, Reference(faq, alias="draft"))).content_hash
    assert (await registry.get_version(app, Reference(faq, digest=hashed))).number == number + 1


async def test_content_comes_back_exactly_and_its_hash_holds(registry: Registry, pool: Pool, app: str) -> None:
    content = text(
        "schön \x00 \\u0000 ✓ \U0001f680",
        params={"temperature": 1e22, "top_p": 0.1, "seed": 2**60, "n": 1.0, "b": [None, True]},
        variables={"type": "object", "b": 1, "a": 2},
        guardrails=Guardrails(pre_validation=PreValidation(prohibited_terms=["x"])),
        metadata={"z": {"y": ["x"]}},
    )
    await registry.create_prompt(app, "odd", content, actor="ada")
    await registry.publish(app, "odd", 1, actor="ada")
    version = await registry.get_version(app, Reference("odd", version=1))
    application = await registry.get_application(app)
    document = await PostgresCatalog(pool).release(application.id, Reference("odd"))
    assert version.content is not None
    assert document is not None
    assert canonical(version.content) == canonical(document.content) == canonical(content)
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute(
            "insert into versions (id, prompt_id, number, content, content_hash, created_by, created_at) "
            "values ($1, $2, 9, $3, $4, 'eve', now())",
            new_id(),
            version.prompt_id,
            msgspec.Raw(b'{"messages":[]}'),
            version.content_hash,
        )


async def test_versions_and_histories_cannot_be_rewritten(registry: Registry, pool: Pool, app: str, faq: str) -> None:
    await registry.publish(app, faq, 1, actor="ada")
    for statement in [
        "update versions set message = 'x'",
        "update versions set published_at = null, published_by = null",
        "update alias_history set actor = 'eve'",
        "delete from alias_history",
        "truncate alias_history",
        "update audit set actor = 'eve'",
        "delete from audit",
    ]:
        with pytest.raises(asyncpg.RestrictViolationError):
            await pool.execute(statement)


# --- publishing -----------------------------------------------------------------------------------------------------


async def test_publishing_moves_production_and_says_so(registry: Registry, pool: Pool, app: str, faq: str) -> None:
    catalog = PostgresCatalog(pool)
    application = await registry.get_application(app)
    before = await catalog.generation()
    moved = await registry.publish(app, faq, 1, message="go", actor="bob")
    assert (moved.value.from_version, moved.value.to_version, moved.value.alias) == (None, 1, "production")
    assert moved.generation == moved.value.generation == before + 1 == await catalog.generation()
    assert [(c.generation, c.kind, c.application_id, c.name) for c in moved.changes] == [
        (before + 1, "prompt", application.id, "faq")
    ]
    assert await catalog.changes(before) == moved.changes
    version = await registry.get_version(app, Reference(faq))
    assert (version.published_by, version.aliases) == ("bob", ["production"])
    repeated = await registry.publish(app, faq, 1, actor="eve")
    assert not repeated.created
    assert repeated.generation == moved.generation
    assert (await registry.get_version(app, Reference(faq))).published_by == "bob"
    assert len((await registry.alias_history(app, faq)).items) == 1


async def test_an_unpublished_version_is_not_served_under_any_name(registry: Registry, pool: Pool, app: str, faq: str) -> None:
    catalog = PostgresCatalog(pool)
    application = await registry.get_application(app)
    version = await registry.create_version(app, faq, text("two"), semver="1.0.0", actor="ada")
    for reference in ["faq", "faq:2", "faq:1.0.0", f"faq#{version.value.content_hash}", "faq@latest", "faq@draft"]:
        assert await catalog.release(application.id, parse_reference(reference, "p")) is None, reference
    with refused(CONFLICT, "version"):
        await registry.set_alias(app, faq, "staging", 2, actor="ada")
    await registry.publish(app, faq, 2, alias="staging", actor="ada")
    assert (await registry.set_alias(app, faq, "canary", 2, actor="ada")).value.to_version == 2


async def test_compare_and_set(registry: Registry, app: str, faq: str) -> None:
    await registry.create_version(app, faq, text("two"), actor="ada")
    with refused(CONFLICT, "expected_version"):
        await registry.publish(app, faq, 1, expected_version=1, actor="ada")
    await registry.publish(app, faq, 1, expected_version=0, actor="ada")
    with refused(CONFLICT, "expected_version"):
        await registry.publish(app, faq, 2, expected_version=0, actor="ada")
    await registry.publish(app, faq, 2, expected_version=1, actor="ada")
    for stale in (
        lambda: registry.rollback(app, faq, expected_version=1, actor="ada"),
        lambda: registry.delete_alias(app, faq, "production", expected_version=1, actor="ada"),
        lambda: registry.set_alias(app, faq, "production", 1, expected_version=1, actor="ada"),
    ):
        with refused(CONFLICT, "expected_version"):
            await stale()


async def test_reserved_and_malformed_aliases_are_refused(registry: Registry, app: str, faq: str) -> None:
    for bad in ["latest", "draft", "7", "Upper", "", "a" * 64]:
        with refused(MALFORMED, "alias"):
            await registry.publish(app, faq, 1, alias=bad, actor="ada")
    with refused(NOT_FOUND, "version"):
        await registry.publish(app, faq, 2, actor="ada")
    with refused(NOT_FOUND, "alias"):
        await registry.delete_alias(app, faq, "staging", actor="ada")
    with refused(NOT_FOUND, "alias"):
        await registry.rollback(app, faq, actor="ada")


async def walk(registry: Registry, app: str, script: str) -> list[int | None]:
    """Play moves (a number publishes, ``-`` rolls back, ``x`` deletes) and tell where production stood after each."""
    stood: list[int | None] = []
    for step in script.split():
        if step == "-":
            move = await registry.rollback(app, "faq", actor="ada")
        elif step == "x":
            move = await registry.delete_alias(app, "faq", "production", actor="ada")
        else:
            move = await registry.publish(app, "faq", int(step), actor="ada")
        stood.append(move.value.to_version)
    return stood


@pytest.mark.parametrize(
    ("script", "stood", "again"),
    [
        ("1 2 3 - -", [1, 2, 3, 2, 1], False),
        ("1 2 1 -", [1, 2, 1, 2], True),
        ("1 2 - 3 -", [1, 2, 1, 3, 1], False),
        ("1 1 2 2 -", [1, 1, 2, 2, 1], False),
        ("1 2 x 2 -", [1, 2, None, 2, 1], False),
        ("1 2 x 3 - -", [1, 2, None, 3, 2, 1], False),
        ("1 x 1", [1, None, 1], False),
        ("1 2 3 - 3 -", [1, 2, 3, 2, 3, 2], True),
    ],
)
async def test_rolling_back_walks_the_history(
    registry: Registry, app: str, faq: str, script: str, stood: list[int | None], again: bool
) -> None:
    for number in (2, 3):
        await registry.create_version(app, faq, text(f"words {number}"), actor="ada")
    assert await walk(registry, app, script) == stood
    if again:
        assert (await registry.rollback(app, faq, actor="ada")).value.action == "rollback"
    else:
        with refused(CONFLICT, "alias"):
            await registry.rollback(app, faq, actor="ada")


async def test_history_and_aliases_are_listed(registry: Registry, app: str, faq: str) -> None:
    await registry.create_version(app, faq, text("two"), actor="ada")
    await registry.publish(app, faq, 1, message="first", actor="ada")
    await registry.publish(app, faq, 2, actor="bob")
    await registry.set_alias(app, faq, "staging", 1, actor="ada")
    await registry.rollback(app, faq, message="oops", actor="eve")
    history = await registry.alias_history(app, faq, "production")
    assert [(m.action, m.from_version, m.to_version, m.actor, m.message) for m in history.items] == [
        ("rollback", 2, 1, "eve", "oops"),
        ("publish", 1, 2, "bob", ""),
        ("publish", None, 1, "ada", "first"),
    ]
    everything = await registry.alias_history(app, faq, limit=2)
    assert [m.alias for m in everything.items] == ["production", "staging"]
    rest = await registry.alias_history(app, faq, after=everything.next)
    assert [m.action for m in rest.items] == ["publish", "publish"]
    assert [(a.name, a.version, a.updated_by) for a in await registry.list_aliases(app, faq)] == [
        ("production", 1, "eve"),
        ("staging", 1, "ada"),
    ]
    assert (await registry.get_prompt(app, faq)).aliases == {"production": 1, "staging": 1}


# --- races ----------------------------------------------------------------------------------------------------------


async def settle(calls: Sequence[Callable[[], object]]) -> tuple[list[object], list[GatewayError]]:
    results = await asyncio.gather(*(call() for call in calls), return_exceptions=True)  # type: ignore[arg-type]
    strange = [r for r in results if isinstance(r, BaseException) and not isinstance(r, GatewayError)]
    assert strange == []
    return [r for r in results if not isinstance(r, GatewayError)], [r for r in results if isinstance(r, GatewayError)]


async def test_racing_writers_number_versions_without_gaps(registry: Registry, app: str, faq: str) -> None:
    done, refusals = await settle(
        [lambda i=i: registry.create_version(app, faq, text(f"words {i}"), actor="ada") for i in range(20)]
    )
    assert refusals == []
    assert sorted(w.value.number for w in done) == list(range(2, 22))  # type: ignore[attr-defined]


async def test_of_racing_compare_and_sets_one_wins(registry: Registry, app: str, faq: str) -> None:
    for number in range(2, 12):
        await registry.create_version(app, faq, text(f"words {number}"), actor="ada")
    await registry.publish(app, faq, 1, actor="ada")
    done, refusals = await settle(
        [lambda n=n: registry.publish(app, faq, n, expected_version=1, actor="ada") for n in range(2, 12)]
    )
    assert len(done) == 1
    assert {(r.kind, r.param) for r in refusals} == {(CONFLICT, "expected_version")}


async def test_publishes_and_rollbacks_in_a_storm_leave_one_linear_history(
    registry: Registry, pool: Pool, app: str, faq: str
) -> None:
    """Reliability F39."""
    for number in range(2, 6):
        await registry.create_version(app, faq, text(f"words {number}"), actor="ada")
    start = await PostgresCatalog(pool).generation()
    calls = [lambda n=n: registry.publish(app, faq, n % 5 + 1, actor="ada") for n in range(60)]
    calls += [lambda: registry.rollback(app, faq, actor="bob") for _ in range(20)]
    done, refusals = await settle(calls)
    assert all(r.kind in {CONFLICT, NOT_FOUND} for r in refusals)
    moves = (await registry.alias_history(app, faq, "production", limit=1000)).items[::-1]
    assert len(moves) == sum(w.created for w in done)  # type: ignore[attr-defined]
    assert [m.from_version for m in moves] == [None, *(m.to_version for m in moves[:-1])]
    assert [m.generation for m in moves] == list(range(start + 1, start + 1 + len(moves)))
    assert (await registry.get_version(app, Reference(faq))).number == moves[-1].to_version
    assert await registry.verify_audit() is None


async def test_a_reader_of_the_outbox_misses_nothing(registry: Registry, pool: Pool, app: str, faq: str) -> None:
    """Generations become visible in order: whoever has seen n has seen everything up to n."""
    catalog = PostgresCatalog(pool)
    await registry.create_version(app, faq, text("two"), actor="ada")
    start = seen = await catalog.generation()
    heard: list[int] = []
    writers = [asyncio.ensure_future(registry.publish(app, faq, n % 2 + 1, actor="ada")) for n in range(30)]
    finished = False
    while not finished:
        finished = all(writer.done() for writer in writers)
        for change in await catalog.changes(seen):
            heard.append(change.generation)
            seen = change.generation
    assert heard == list(range(start + 1, await catalog.generation() + 1))


# --- audit ----------------------------------------------------------------------------------------------------------


async def test_every_write_is_audited_and_the_chain_shows_tampering(fresh_database: str) -> None:
    pool = await open_pool(fresh_database)
    registry = Registry(pool, new_id, now)
    await registry.create_application("shop", actor="ada")
    await registry.create_prompt("shop", "faq", text("one"), actor="ada")
    await registry.publish("shop", "faq", 1, message="go", actor="bob")
    with refused(CONFLICT, "alias"):
        await registry.rollback("shop", "faq", actor="eve")
    entries = (await registry.audit()).items
    assert [(e.seq, e.actor, e.action, e.object) for e in entries] == [
        (3, "bob", "alias.publish", "shop/faq@production"),
        (2, "ada", "prompt.create", "shop/faq"),
        (1, "ada", "application.create", "shop"),
    ]
    assert entries[0].detail == {"from_version": None, "to_version": 1, "message": "go"}
    assert await registry.verify_audit() is None
    await pool.execute("alter table audit disable trigger all")
    for tamper, mend, first in [
        ("update audit set actor = 'eve' where seq = 2", "update audit set actor = 'ada' where seq = 2", 2),
        ("update audit set detail = '{}' where seq = 3", None, 3),
        ("delete from audit where seq = 3", None, 3),
    ]:
        await pool.execute(tamper)
        assert await registry.verify_audit() == first
        if mend:
            await pool.execute(mend)
            assert await registry.verify_audit() is None
    await pool.close()


# --- workers --------------------------------------------------------------------------------------------------------


async def test_waiting_for_workers(registry: Registry, pool: Pool) -> None:
    await registry.report_worker("a", host="h", pid=1, slot=0, generation=5)
    await registry.report_worker("b", host="h", pid=2, slot=1, generation=4)
    await pool.execute(
        "insert into workers (worker_id, host, pid, slot, generation, seen_at) values ('dead', 'h', 3, 2, 0, now() - interval '9 s')"
    )
    assert [w.worker_id for w in await registry.workers()] == ["a", "b"]
    lagging = await registry.wait_for_generation(5, timeout_s=0.02)
    assert [(w.worker_id, w.generation) for w in lagging] == [("b", 4)]
    waiting = asyncio.ensure_future(registry.wait_for_generation(5, timeout_s=PATIENCE))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    await registry.report_worker("b", host="h", pid=2, slot=1, generation=5)
    assert await asyncio.wait_for(waiting, PATIENCE) == []
    await registry.forget_worker("b")
    assert [w.worker_id for w in await registry.workers()] == ["a"]
    await pool.execute("update workers set seen_at = now() - interval '2 h'")
    await registry.report_worker("c", host="h", pid=4, slot=0, generation=5)
    assert await pool.fetchval("select array_agg(worker_id) from workers") == ["c"]
    await registry.forget_worker("c")


# --- Postgres away --------------------------------------------------------------------------------------------------


async def test_without_postgres_the_answer_is_store_unavailable(registry: Registry, pool: Pool, app: str) -> None:
    await pool.close()
    with refused(STORE_UNAVAILABLE, None):
        await registry.get_application(app)
    with refused(STORE_UNAVAILABLE, None):
        await PostgresCatalog(pool).generation()


async def test_a_stuck_postgres_is_given_up_on(registry: Registry, pool: Pool, module_database: str, app: str) -> None:
    """Another transaction holds the write lock: the writer ends after the command time-out, not never."""
    holder = await asyncpg.connect(module_database)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("select 1 from generation for update")
    async with asyncio.timeout(PATIENCE):
        with refused(STORE_UNAVAILABLE, None):
            await registry.create_prompt(app, "late", text("x"), actor="ada")
    await transaction.rollback()
    await holder.close()
    assert (await registry.create_prompt(app, "late", text("x"), actor="ada")).value.slug == "late"
