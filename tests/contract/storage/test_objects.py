"""What every store of upstream objects does: the memory twin and Postgres pass the same assertions."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import pytest

from gateway.core.errors import STORE_UNAVAILABLE, GatewayError
from gateway.core.ids import RANDOM_BITS, uuid7
from gateway.core.objects import UpstreamObjects
from gateway.storage.memory.objects import MemoryObjects
from gateway.storage.postgres.objects import PostgresObjects
from gateway.storage.postgres.pool import open_pool
from gateway.storage.postgres.registry import Registry


def new_id() -> str:
    return uuid7(1_760_000_000_000, secrets.randbits(RANDOM_BITS))


class Scene:
    """A store, two applications, and a way to take the store away."""

    def __init__(self, objects: UpstreamObjects, ours: str, theirs: str, fail: Callable[[], Awaitable[None]]) -> None:
        self.objects = objects
        self.ours = ours
        self.theirs = theirs
        self.fail = fail


@pytest.fixture(params=["memory", "postgres"])
def server(request: pytest.FixtureRequest) -> str | None:
    return None if request.param == "memory" else request.getfixturevalue("fresh_database")


@pytest.fixture
async def scene(server: str | None) -> AsyncIterator[Scene]:
    if server is None:
        memory = MemoryObjects()

        async def stop() -> None:
            memory.available = False

        yield Scene(memory, new_id(), new_id(), stop)
        return
    pool = await open_pool(server, 1, 2)
    registry = Registry(pool, new_id, lambda: datetime.now(UTC))
    made = [(await registry.create_application(slug, default_model="gpt", actor="t")).value.id for slug in ("one", "two")]
    yield Scene(PostgresObjects(pool), *made, pool.close)
    await pool.close()


async def test_what_an_application_made_is_its_own(scene: Scene) -> None:
    objects = scene.objects
    assert not await objects.has_any(scene.ours, "openai")
    await objects.claim(scene.ours, "openai", ["file-1", "file-2"])
    assert await objects.provider_of(scene.ours, "file-1") == "openai"
    assert await objects.provider_of(scene.theirs, "file-1") is None
    assert await objects.provider_of(scene.ours, "file-3") is None
    assert await objects.owned(scene.ours, "openai", ["file-1", "file-2", "file-3"]) == {"file-1", "file-2"}
    assert await objects.owned(scene.theirs, "openai", ["file-1", "file-2"]) == frozenset()
    assert await objects.owned(scene.ours, "azure", ["file-1"]) == frozenset()
    assert await objects.has_any(scene.ours, "openai")
    assert not await objects.has_any(scene.theirs, "openai")
    assert not await objects.has_any(scene.ours, "azure")


async def test_nobody_can_claim_what_is_claimed(scene: Scene) -> None:
    objects = scene.objects
    await objects.claim(scene.ours, "openai", ["file-1"])
    await objects.claim(scene.theirs, "openai", ["file-1", "file-2"])
    await objects.claim(scene.ours, "openai", ["file-1", "file-1"])
    assert await objects.provider_of(scene.ours, "file-1") == "openai"
    assert await objects.provider_of(scene.theirs, "file-1") is None
    assert await objects.provider_of(scene.theirs, "file-2") == "openai"


async def test_the_same_id_at_two_providers_is_two_objects(scene: Scene) -> None:
    objects = scene.objects
    await objects.claim(scene.ours, "openai", ["file-1"])
    await objects.claim(scene.ours, "azure", ["file-1"])
    await objects.claim(scene.theirs, "local", ["file-1"])
    assert await objects.provider_of(scene.ours, "file-1") == "azure"
    assert await objects.provider_of(scene.theirs, "file-1") == "local"


async def test_only_the_owner_can_forget(scene: Scene) -> None:
    objects = scene.objects
    await objects.claim(scene.ours, "openai", ["file-1"])
    await objects.forget(scene.theirs, "openai", "file-1")
    await objects.forget(scene.ours, "azure", "file-1")
    await objects.forget(scene.ours, "openai", "file-9")
    assert await objects.provider_of(scene.ours, "file-1") == "openai"
    await objects.forget(scene.ours, "openai", "file-1")
    assert await objects.provider_of(scene.ours, "file-1") is None


async def test_no_objects_are_no_question(scene: Scene) -> None:
    await scene.objects.claim(scene.ours, "openai", [])
    assert await scene.objects.owned(scene.ours, "openai", []) == frozenset()


async def test_a_store_that_cannot_be_asked_says_so(scene: Scene) -> None:
    await scene.fail()
    objects = scene.objects
    for question in (
        objects.claim(scene.ours, "openai", ["file-1"]),
        objects.provider_of(scene.ours, "file-1"),
        objects.owned(scene.ours, "openai", ["file-1"]),
        objects.has_any(scene.ours, "openai"),
        objects.forget(scene.ours, "openai", "file-1"),
    ):
        with pytest.raises(GatewayError) as caught:
            await question
        assert caught.value.kind is STORE_UNAVAILABLE
