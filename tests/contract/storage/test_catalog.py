"""What every Catalog does: the memory twin and Postgres pass the same assertions."""

import itertools
import secrets
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Protocol

import pytest
from msgspec import structs

from gateway.core.credentials import INSTALLATION, SealedCredential
from gateway.core.documents import (
    Guardrails,
    KeyDocument,
    MessageTemplate,
    PreValidation,
    VariantSpec,
    VersionContent,
    canonical,
)
from gateway.core.errors import STORE_UNAVAILABLE, GatewayError
from gateway.core.ids import uuid7
from gateway.core.ports import Catalog
from gateway.core.references import Reference, parse_reference, prompt_id_of
from gateway.storage.memory.catalog import MemoryCatalog
from gateway.storage.postgres.catalog import PostgresCatalog
from gateway.storage.postgres.pool import open_pool
from gateway.storage.postgres.registry import Registry
from gateway.storage.postgres.rows import NewSplit, PromptPatch

_COUNT = itertools.count()


def new_id() -> str:
    return uuid7(time.time_ns() // 1_000_000, secrets.randbits(76))


def text(words: str) -> VersionContent:
    return VersionContent(messages=[MessageTemplate("system", words)])


class Scene(Protocol):
    """An application in some registry, and the hands that change it."""

    application_id: str

    @property
    def catalog(self) -> Catalog: ...
    async def add_version(self, slug: str, words: str, semver: str | None = None) -> int: ...
    async def publish(self, slug: str, number: int, alias: str = "production") -> None: ...
    async def split(self, slug: str, *variants: VariantSpec, salt: str | None = None) -> None: ...
    async def delete_alias(self, slug: str, alias: str) -> None: ...
    async def switch(self, slug: str, active: bool) -> None: ...
    async def add_key(self, digest: str, expires_at_ms: int | None = None) -> None: ...
    async def revoke_key(self, digest: str) -> None: ...
    async def disturb(self) -> None:
        """Let another application change something, once."""
        ...

    async def keep(self, *sealed: SealedCredential) -> None: ...
    async def fail(self) -> None: ...


class MemoryScene:
    def __init__(self) -> None:
        self._catalog = MemoryCatalog()
        self.application_id = new_id()

    @property
    def catalog(self) -> Catalog:
        return self._catalog

    async def add_version(self, slug: str, words: str, semver: str | None = None) -> int:
        return self._catalog.add_version(self.application_id, slug, text(words), semver)

    async def publish(self, slug: str, number: int, alias: str = "production") -> None:
        self._catalog.publish(self.application_id, slug, number, alias)

    async def split(self, slug: str, *variants: VariantSpec, salt: str | None = None) -> None:
        self._catalog.split(self.application_id, slug, variants, salt=salt or "")

    async def delete_alias(self, slug: str, alias: str) -> None:
        self._catalog.delete_alias(self.application_id, slug, alias)

    async def switch(self, slug: str, active: bool) -> None:
        self._catalog.switch(self.application_id, slug, active=active)

    async def add_key(self, digest: str, expires_at_ms: int | None = None) -> None:
        self._catalog.add_key(digest, KeyDocument(new_id(), self.application_id, "app", digest[:12], 60, "gpt", expires_at_ms))

    async def revoke_key(self, digest: str) -> None:
        self._catalog.revoke_key(digest)

    async def disturb(self) -> None:
        self._catalog.add_key(new_id(), KeyDocument(new_id(), new_id(), "other", "other"))

    async def keep(self, *sealed: SealedCredential) -> None:
        self._catalog.set_credentials(list(sealed))

    async def fail(self) -> None:
        self._catalog.available = False


class PostgresScene:
    def __init__(self, registry: Registry, catalog: PostgresCatalog, application_id: str) -> None:
        self.registry = registry
        self._catalog = catalog
        self.application_id = application_id

    @property
    def catalog(self) -> Catalog:
        return self._catalog

    async def add_version(self, slug: str, words: str, semver: str | None = None) -> int:
        try:
            await self.registry.get_prompt(self.application_id, slug)
        except GatewayError:
            made = await self.registry.create_prompt(self.application_id, slug, text(words), semver=semver, actor="t")
            return made.value.latest_version
        written = await self.registry.create_version(self.application_id, slug, text(words), semver=semver, actor="t")
        return written.value.number

    async def publish(self, slug: str, number: int, alias: str = "production") -> None:
        await self.registry.publish(self.application_id, slug, number, alias=alias, actor="t")

    async def split(self, slug: str, *variants: VariantSpec, salt: str | None = None) -> None:
        await self.registry.split(self.application_id, slug, "production", NewSplit(list(variants), salt), actor="t")

    async def delete_alias(self, slug: str, alias: str) -> None:
        await self.registry.delete_alias(self.application_id, slug, alias, actor="t")

    async def switch(self, slug: str, active: bool) -> None:
        await self.registry.update_prompt(self.application_id, slug, PromptPatch(is_active=active), actor="t")

    async def add_key(self, digest: str, expires_at_ms: int | None = None) -> None:
        expires = None if expires_at_ms is None else datetime.fromtimestamp(expires_at_ms / 1000, UTC)
        await self.registry.create_key(
            self.application_id, digest=digest, public_id=digest[:12], requests_per_minute=60, expires_at=expires, actor="t"
        )

    async def revoke_key(self, digest: str) -> None:
        await self.registry.revoke_key(self.application_id, digest[:12], actor="t")

    async def disturb(self) -> None:
        slug, digest = f"other-{next(_COUNT)}", secrets.token_hex(32)
        await self.registry.create_application(slug, actor="t")
        await self.registry.create_key(slug, digest=digest, public_id=digest[:12], actor="t")

    async def keep(self, *sealed: SealedCredential) -> None:
        for old in await self.registry.list_credentials(None):
            await self.registry.delete_credential(old.id, actor="t")
        for number, one in enumerate(sealed):
            await self.registry.create_credential(None, one.provider, f"n{number}", "", lambda _, __, one=one: one, actor="t")

    async def fail(self) -> None:
        await self.registry._pool.close()


@pytest.fixture(params=["memory", "postgres"])
def server(request: pytest.FixtureRequest) -> str | None:
    return None if request.param == "memory" else request.getfixturevalue("module_database")


@pytest.fixture
async def scene(server: str | None) -> AsyncIterator[Scene]:
    if server is None:
        yield MemoryScene()
        return
    pool = await open_pool(server, 1, 2)
    registry = Registry(pool, new_id, lambda: datetime.now(UTC))
    made = await registry.create_application(f"app-{next(_COUNT)}", default_model="gpt", actor="t")
    yield PostgresScene(registry, PostgresCatalog(pool), made.value.id)
    await pool.close()


async def found(scene: Scene, reference: str) -> int | None:
    document = await scene.catalog.release(scene.application_id, parse_reference(reference, "p"))
    return None if document is None else document.version


async def test_a_release_says_all_that_serving_needs(scene: Scene) -> None:
    await scene.add_version("faq", "one", "1.0.0")
    await scene.publish("faq", 1)
    document = await scene.catalog.release(scene.application_id, Reference("faq"))
    assert document is not None
    assert (document.application_id, document.slug, document.selector) == (scene.application_id, "faq", "@production")
    assert (document.version, document.semver, document.content) == (1, "1.0.0", text("one"))
    assert canonical(document.content)
    assert len(document.content_hash) == 64
    assert document.generation == await scene.catalog.generation()


async def test_what_another_application_changes_is_not_told(scene: Scene) -> None:
    await scene.add_version("faq", "one", "1.0.0")
    await scene.publish("faq", 1)
    before = await scene.catalog.release(scene.application_id, Reference("faq"))
    assert before is not None
    await scene.disturb()
    for reference in ("faq", "faq:1", "faq@latest", "faq:1.0.0", f"faq#{before.content_hash[:12]}"):
        document = await scene.catalog.release(scene.application_id, parse_reference(reference, "p"))
        assert document is not None, reference
        assert (document.changed, document.generation) == (before.changed, before.generation + 1), reference
    await scene.publish("faq", 1, "staging")
    after = await scene.catalog.release(scene.application_id, Reference("faq"))
    assert after is not None
    assert (after.changed, after.generation) == (before.changed + 1, before.generation + 2)


async def test_every_reference_form_resolves(scene: Scene) -> None:
    await scene.add_version("faq", "one", "1.0.0")
    await scene.add_version("faq", "two", "2.0.0-rc.1")
    await scene.add_version("faq", "three")
    await scene.publish("faq", 2)
    await scene.publish("faq", 1, "staging")
    document = await scene.catalog.release(scene.application_id, Reference("faq"))
    assert document is not None
    digest = document.content_hash
    for reference, version in {
        "faq": 2,
        "faq@production": 2,
        "faq@staging": 1,
        "faq@latest": 2,
        "faq:1": 1,
        "faq:2.0.0-rc.1": 2,
        f"faq#{digest}": 2,
        f"faq#{digest[:10]}": 2,
    }.items():
        assert await found(scene, reference) == version, reference
    for missing in ["faq@draft", "faq@nope", "faq:3", "faq:4", "faq:9.9.9", "faq#00000000", "nope", "nope:1", "nope@latest"]:
        assert await found(scene, missing) is None, missing


async def test_a_split_says_what_each_variant_serves(scene: Scene) -> None:
    await scene.add_version("faq", "one", "1.0.0")
    await scene.add_version("faq", "two")
    await scene.publish("faq", 1)
    start = await scene.catalog.generation()
    terms = Guardrails(PreValidation(prohibited_terms=["no"]))
    other = VariantSpec("other", 2, 3_000, model="gpt-x", params={"temperature": 0.5, "seed": 2**70}, guardrails=terms)
    await scene.split("faq", VariantSpec("control", 1, 7_000), other, salt="salt-1")
    document = await scene.catalog.release(scene.application_id, Reference("faq"))
    assert document is not None
    assert document.generation == await scene.catalog.generation() == start + 1
    assert (document.version, document.content, document.semver) == (1, text("one"), "1.0.0"), "the first variant's"
    split = document.split
    assert split is not None
    assert split.id
    assert split.salt == "salt-1"
    control, other_served = split.variants
    assert (control.name, control.version, control.weight, control.semver) == ("control", 1, 7_000, "1.0.0")
    assert (control.content, control.content_hash) == (text("one"), document.content_hash)
    assert control.buckets == [(0, 7_000)]
    assert other_served.buckets == [(7_000, 10_000)]
    assert (other_served.name, other_served.version, other_served.content.messages) == ("other", 2, text("two").messages)
    assert (other_served.content.model, other_served.content.guardrails) == ("gpt-x", terms)
    assert other_served.content.params == {"temperature": 0.5, "seed": 2**70}
    assert await found(scene, "faq:2") == 2, "what is split is published"
    assert await scene.catalog.names(scene.application_id) == ["faq", "faq@production"]


async def test_a_split_that_follows_one_keeps_its_salt_and_moves_few(scene: Scene) -> None:
    for words in ("one", "two"):
        await scene.add_version("faq", words)

    async def split(*weights: int, salt: str | None = None) -> tuple[str, list[list[tuple[int, int]]]]:
        await scene.split("faq", *(VariantSpec(n, 1, w) for n, w in zip("abc", weights, strict=False)), salt=salt)
        document = await scene.catalog.release(scene.application_id, Reference("faq"))
        assert document is not None
        assert document.split is not None
        return document.split.salt, [variant.buckets for variant in document.split.variants]

    salt, shares = await split(3_000, 3_000, 4_000)
    assert shares == [[(0, 3_000)], [(3_000, 6_000)], [(6_000, 10_000)]]
    assert await split(4_000, 3_000, 3_000) == (salt, [[(0, 3_000), (9_000, 10_000)], [(3_000, 6_000)], [(6_000, 9_000)]])
    assert await split(10_000, 0, 0) == (salt, [[(0, 10_000)], [], []])
    again, shares = await split(5_000, 5_000, salt="another")
    assert (again, shares) == ("another", [[(0, 5_000)], [(5_000, 10_000)]])
    await scene.publish("faq", 2)
    document = await scene.catalog.release(scene.application_id, Reference("faq"))
    assert document is not None
    assert (document.version, document.split) == (2, None), "a version in the place of a split"


async def test_a_prompt_by_its_own_id(scene: Scene) -> None:
    await scene.add_version("billing/faq", "one")
    await scene.publish("billing/faq", 1)
    document = await scene.catalog.release(scene.application_id, Reference("billing/faq"))
    assert document is not None
    assert prompt_id_of("pmpt_" + document.prompt_id.replace("-", "")) == document.prompt_id
    assert await scene.catalog.slug(scene.application_id, document.prompt_id) == "billing/faq"
    assert await scene.catalog.slug(new_id(), document.prompt_id) is None
    assert await scene.catalog.slug(scene.application_id, new_id()) is None


async def test_unpublished_versions_are_not_served(scene: Scene) -> None:
    await scene.add_version("faq", "one", "1.0.0")
    for reference in ["faq", "faq:1", "faq:1.0.0", "faq@latest", "faq@draft"]:
        assert await found(scene, reference) is None, reference


async def test_latest_follows_publishing_not_writing(scene: Scene) -> None:
    for words in ("one", "two", "three"):
        await scene.add_version("faq", words)
    await scene.publish("faq", 3)
    assert await found(scene, "faq@latest") == 3
    await scene.publish("faq", 1)
    assert await found(scene, "faq@latest") == 3, "moving production back does not unpublish"
    await scene.add_version("faq", "four")
    assert await found(scene, "faq@latest") == 3


async def test_equal_contents_are_one_and_an_ambiguous_prefix_is_none(scene: Scene) -> None:
    await scene.add_version("faq", "one")
    await scene.add_version("faq", "two")
    await scene.add_version("faq", "one")
    for number in (1, 2, 3):
        await scene.publish("faq", number)
    document = await scene.catalog.release(scene.application_id, Reference("faq"))
    assert document is not None
    assert await found(scene, f"faq#{document.content_hash}") == 3
    everything = await scene.catalog.release(scene.application_id, Reference("faq", digest=""))
    assert everything is None, "the empty prefix fits both contents"


async def test_another_application_sees_nothing(scene: Scene) -> None:
    await scene.add_version("faq", "one")
    await scene.publish("faq", 1)
    for stranger in (new_id(), "not-an-id"):
        assert await scene.catalog.release(stranger, Reference("faq")) is None
        assert await scene.catalog.names(stranger) == []


async def test_inactive_prompts_are_not_served(scene: Scene) -> None:
    await scene.add_version("faq", "one")
    await scene.publish("faq", 1)
    await scene.switch("faq", False)
    assert await found(scene, "faq") is None
    assert await found(scene, "faq:1") is None
    assert await scene.catalog.names(scene.application_id) == []
    await scene.switch("faq", True)
    assert await found(scene, "faq") == 1


async def test_names_list_what_can_be_asked_for(scene: Scene) -> None:
    for slug in ("b", "a/x", "B", "unpublished"):
        await scene.add_version(slug, "one")
    await scene.publish("b", 1)
    await scene.publish("b", 1, "staging")
    await scene.publish("B", 1)
    await scene.publish("a/x", 1, "staging")
    assert await scene.catalog.names(scene.application_id) == [
        "B",
        "B@production",
        "a/x@staging",
        "b",
        "b@production",
        "b@staging",
    ]


async def test_a_key_lives_until_it_is_revoked_or_expires(scene: Scene) -> None:
    digest, gone, soon = (secrets.token_hex(32) for _ in range(3))
    later = int(time.time() * 1000) + 60_000
    await scene.add_key(digest, later)
    await scene.add_key(gone, int(time.time() * 1000) - 10)
    await scene.add_key(soon)
    document = (await scene.catalog.keys([digest])).get(digest)
    assert document is not None
    assert (document.application_id, document.public_id) == (scene.application_id, digest[:12])
    assert (document.requests_per_minute, document.default_model, document.expires_at_ms) == (60, "gpt", later)
    assert document.generation == await scene.catalog.generation()
    assert (await scene.catalog.keys([gone])).get(gone) is None
    assert (await scene.catalog.keys(["00" * 32])).get("00" * 32) is None
    assert (await scene.catalog.keys(["no hex"])).get("no hex") is None
    await scene.revoke_key(digest)
    assert (await scene.catalog.keys([digest])).get(digest) is None
    assert (await scene.catalog.keys([soon])).get(soon) is not None


async def test_generations_count_what_moves_and_changes_tell_it(scene: Scene) -> None:
    start = await scene.catalog.generation()
    await scene.add_version("faq", "one")
    assert await scene.catalog.generation() == start, "an unpublished version moves nothing"
    digest = secrets.token_hex(32)
    await scene.publish("faq", 1)
    await scene.publish("faq", 1, "staging")
    await scene.delete_alias("faq", "staging")
    await scene.add_key(digest)
    await scene.revoke_key(digest)
    changes = await scene.catalog.changes(start)
    assert [(c.generation - start, c.kind, c.application_id, c.name) for c in changes] == [
        (1, "prompt", scene.application_id, "faq"),
        (2, "prompt", scene.application_id, "faq"),
        (3, "prompt", scene.application_id, "faq"),
        (4, "key", scene.application_id, digest),
        (5, "key", scene.application_id, digest),
    ]
    assert await scene.catalog.changes(start + 3) == changes[3:]
    assert await scene.catalog.changes(await scene.catalog.generation()) == []


async def test_a_catalog_that_cannot_be_asked_says_so(scene: Scene) -> None:
    await scene.fail()
    for question in (
        scene.catalog.release(scene.application_id, Reference("faq")),
        scene.catalog.keys(["00" * 32]),
        scene.catalog.names(scene.application_id),
        scene.catalog.generation(),
        scene.catalog.changes(0),
    ):
        with pytest.raises(GatewayError) as caught:
            await question
        assert caught.value.kind is STORE_UNAVAILABLE


async def test_the_installations_credentials_are_read_in_the_order_of_their_making_and_announced(scene: Scene) -> None:
    one = SealedCredential(new_id(), INSTALLATION, "openai", "k1", bytes(range(60)), bytes(range(100, 200)))
    two = SealedCredential(new_id(), INSTALLATION, "a-2", "k1", b"wrapped", b"sealed")
    await scene.keep()
    before = await scene.catalog.generation()
    await scene.keep(one, two)
    found = await scene.catalog.credentials()
    assert [structs.replace(each, id="") for each in found] == [structs.replace(each, id="") for each in (one, two)]
    moved = {(change.kind, change.application_id, change.name) for change in await scene.catalog.changes(before)}
    assert moved == {("application", INSTALLATION, "credentials")}
    await scene.keep()
    assert await scene.catalog.credentials() == []


async def test_credentials_of_a_store_that_is_away_are_unknown_and_not_none(scene: Scene) -> None:
    await scene.fail()
    with pytest.raises(GatewayError) as caught:
        await scene.catalog.credentials()
    assert caught.value.kind is STORE_UNAVAILABLE
