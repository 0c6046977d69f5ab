"""What every ResponseStore does: the memory twin and Postgres pass the same assertions."""

import secrets
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from gateway.core.errors import STORE_UNAVAILABLE, GatewayError
from gateway.core.ids import uuid7
from gateway.core.stored import ResponseStore, StoredResponse
from gateway.storage.memory.responses import MemoryResponses
from gateway.storage.postgres.pool import open_pool
from gateway.storage.postgres.registry import Registry
from gateway.storage.postgres.responses import PostgresResponses

NOW = 1_760_000_000_000
END = NOW + 1000
MANY = 1 << 30


def new_id() -> str:
    return uuid7(time.time_ns() // 1_000_000, secrets.randbits(76))


def turn(name: str, previous: str | None = None, body: bytes = b"{}") -> StoredResponse:
    return StoredResponse(name, previous, b'[{"text":"\\u0000 and \xc3\xa9"}]', body)


class Scene:
    """A store, two applications in it, and a way to break it."""

    def __init__(self, store: ResponseStore, one: str, two: str) -> None:
        self.store = store
        self.one = one
        self.two = two

    async def put(self, response: StoredResponse, end: int = END, application: str | None = None) -> bool:
        return await self.store.put(application or self.one, response, now_ms=NOW, expires_ms=end)

    async def names(self, response_id: str, most: int = 10, most_bytes: int = MANY, now: int = NOW) -> list[str]:
        chain = await self.store.chain(self.one, response_id, now_ms=now, most=most, most_bytes=most_bytes)
        return [response.response_id for response in chain]


@pytest.fixture(params=["memory", "postgres"])
def server(request: pytest.FixtureRequest) -> str | None:
    return None if request.param == "memory" else request.getfixturevalue("module_database")


@pytest.fixture
async def scene(server: str | None) -> AsyncIterator[Scene]:
    if server is None:
        yield Scene(MemoryResponses(), new_id(), new_id())
        return
    pool = await open_pool(server, 1, 2)
    registry = Registry(pool, new_id, lambda: datetime.now(UTC))
    one = await registry.create_application(f"app-{secrets.token_hex(4)}", actor="t")
    two = await registry.create_application(f"app-{secrets.token_hex(4)}", store_responses=True, actor="t")
    assert (one.value.store_responses, two.value.store_responses) == (False, True)
    yield Scene(PostgresResponses(pool), one.value.id, two.value.id)
    await pool.close()


async def test_what_was_put_is_there_byte_for_byte(scene: Scene) -> None:
    kept = turn("resp_1", body=b'{"output":[ ]}')
    assert await scene.put(kept) is True
    assert await scene.store.get(scene.one, "resp_1", now_ms=NOW) == kept
    assert await scene.store.get(scene.one, "resp_2", now_ms=NOW) is None


async def test_a_response_is_written_once(scene: Scene) -> None:
    await scene.put(turn("resp_1"))
    assert await scene.put(turn("resp_1", "resp_0", b"[]")) is False
    assert await scene.store.get(scene.one, "resp_1", now_ms=NOW) == turn("resp_1")


async def test_tenants_do_not_see_each_other(scene: Scene) -> None:
    await scene.put(turn("resp_1"))
    assert await scene.store.get(scene.two, "resp_1", now_ms=NOW) is None
    assert await scene.store.chain(scene.two, "resp_1", now_ms=NOW, most=9, most_bytes=MANY) == []
    assert await scene.store.delete(scene.two, "resp_1", now_ms=NOW) is False
    assert await scene.put(turn("resp_1", body=b"[]"), application=scene.two) is True
    # A chain stays inside its application even where another has a response of the wanted id.
    await scene.put(turn("resp_0"), application=scene.two)
    await scene.put(turn("resp_x", "resp_0"))
    assert await scene.names("resp_x") == ["resp_x"]


async def test_a_chain_is_oldest_first_and_bounded(scene: Scene) -> None:
    for number in range(5):
        await scene.put(turn(f"resp_{number}", f"resp_{number - 1}" if number else None))
    assert await scene.names("resp_4") == [f"resp_{n}" for n in range(5)]
    assert await scene.names("resp_4", most=2) == ["resp_3", "resp_4"]
    size = len(turn("x").input) + 2
    assert await scene.names("resp_4", most_bytes=2 * size) == ["resp_2", "resp_3", "resp_4"]
    assert await scene.names("resp_4", most_bytes=size - 1) == ["resp_4"]
    assert await scene.names("resp_9") == []


async def test_a_response_that_continues_itself_ends_the_chain(scene: Scene) -> None:
    """Cannot be written by the gateway; must not run for ever all the same."""
    await scene.put(turn("resp_1", "resp_1"))
    assert await scene.names("resp_1", most=3) == ["resp_1"] * 3


async def test_nothing_is_found_past_its_end(scene: Scene) -> None:
    await scene.put(turn("resp_0"), end=NOW + 5)
    await scene.put(turn("resp_1", "resp_0"))
    assert await scene.names("resp_1", now=NOW + 4) == ["resp_0", "resp_1"]
    assert await scene.names("resp_1", now=NOW + 5) == ["resp_1"]
    assert await scene.store.get(scene.one, "resp_0", now_ms=NOW + 5) is None
    assert await scene.store.delete(scene.one, "resp_0", now_ms=NOW + 5) is False


async def test_forgetting(scene: Scene) -> None:
    await scene.put(turn("resp_0"))
    await scene.put(turn("resp_1", "resp_0"))
    assert await scene.store.delete(scene.one, "resp_0", now_ms=NOW) is True
    assert await scene.store.delete(scene.one, "resp_0", now_ms=NOW) is False
    assert await scene.names("resp_1") == ["resp_1"]


async def test_a_sweep_takes_what_is_over_and_nothing_else(scene: Scene) -> None:
    await scene.store.sweep(now_ms=NOW + 100_000)
    await scene.put(turn("resp_0"), end=NOW + 5)
    await scene.put(turn("resp_1"))
    assert await scene.store.sweep(now_ms=NOW + 5) == 1
    assert await scene.store.sweep(now_ms=NOW + 5) == 0
    assert await scene.store.get(scene.one, "resp_1", now_ms=NOW) is not None
    assert await scene.put(turn("resp_0")) is True


async def test_a_store_that_is_away_says_so(scene: Scene) -> None:
    if isinstance(scene.store, MemoryResponses):
        scene.store.available = False
    else:
        assert isinstance(scene.store, PostgresResponses)
        await scene.store._pool.close()
    for attempt in (scene.put(turn("resp_1")), scene.names("resp_1"), scene.store.sweep(now_ms=NOW)):
        with pytest.raises(GatewayError) as caught:
            await attempt
        assert caught.value.kind is STORE_UNAVAILABLE
