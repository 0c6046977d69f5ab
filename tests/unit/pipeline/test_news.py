"""Following the registry: a push applies at once, a gap is caught up, a lost message costs a poll, and every step is reported."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.core.documents import Change, MessageTemplate, VersionContent
from gateway.core.errors import STORE_UNAVAILABLE, GatewayError
from gateway.pipeline.news import Follower
from tests.conftest import until


class Registry:
    """What the follower talks to."""

    def __init__(self) -> None:
        self.reported: list[int] = []
        self.repaired: list[int] = []
        self.down = False

    async def report(self, generation: int) -> None:
        if self.down:
            raise GatewayError(STORE_UNAVAILABLE, "away", cause="connection refused")
        self.reported.append(generation)

    async def repair(self, generation: int) -> None:
        self.repaired.append(generation)


@asynccontextmanager
async def following(follower: Follower) -> AsyncIterator[None]:
    task = asyncio.ensure_future(follower.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def registry() -> Registry:
    return Registry()


def follower(world: Any, registry: Registry, poll: float = 60.0) -> Follower:
    return Follower(world.releases, registry.report, registry.repair, poll)


async def test_it_looks_at_once_and_says_where_it_is(world: Any, registry: Registry) -> None:
    world.catalog.add_version("app-1", "faq", _content())
    world.catalog.publish("app-1", "faq", 1)
    async with following(follower(world, registry)):
        await until(lambda: registry.reported == [2])
    assert world.releases.generation == 2
    assert registry.repaired == [2]


async def test_a_push_that_follows_on_asks_nobody(world: Any, registry: Registry) -> None:
    subject = follower(world, registry)
    async with following(subject):
        await until(lambda: registry.reported == [1])
        asked = world.catalog.questions
        world.catalog.add_version("app-1", "faq", _content())
        subject.hear(world.catalog.publish("app-1", "faq", 1))
        assert world.releases.generation == 2, "applied before hear returns"
        await until(lambda: registry.reported == [1, 2])
        assert world.catalog.questions == asked


async def test_a_gap_is_caught_up_from_the_truth(world: Any, registry: Registry) -> None:
    subject = follower(world, registry)
    async with following(subject):
        await until(lambda: registry.reported == [1])
        world.catalog.add_version("app-1", "faq", _content())
        world.catalog.publish("app-1", "faq", 1)  # never heard
        third = world.catalog.publish("app-1", "faq", 1)
        subject.hear(third)
        assert world.releases.generation == 1
        await until(lambda: registry.reported == [1, 3])
        assert registry.repaired == [1, 3]


async def test_a_lost_message_costs_one_poll(world: Any, registry: Registry) -> None:
    async with following(follower(world, registry, poll=0.01)):
        await until(lambda: bool(registry.reported))
        world.catalog.add_version("app-1", "faq", _content())
        world.catalog.publish("app-1", "faq", 1)
        await until(lambda: registry.reported[-1] == 2)


async def test_an_unreachable_registry_is_said_once_and_so_is_its_return(
    world: Any, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway.registry")
    world.catalog.available = False
    polls: list[Any] = []
    catch_up = world.releases.catch_up
    world.releases.catch_up = lambda: (polls.append(None), catch_up())[1]
    async with following(follower(world, registry, poll=0.002)):
        await until(lambda: bool(caplog.records))
        assert world.releases.degraded
        await until(lambda: len(polls) > 3)
        world.clock.now += 5
        world.catalog.available = True
        await until(lambda: bool(registry.reported))
    assert [record.getMessage() for record in caplog.records] == [
        "registry unreachable: serving last-known-good",
        "registry reachable again",
    ]
    assert not world.releases.degraded


async def test_a_report_that_fails_is_tried_again(world: Any, registry: Registry) -> None:
    registry.down = True
    async with following(follower(world, registry, poll=0.002)):
        await until(lambda: bool(registry.repaired))
        registry.down = False
        await until(lambda: bool(registry.reported))


async def test_news_heard_before_it_runs_is_not_lost(world: Any, registry: Registry) -> None:
    subject = follower(world, registry)
    subject.hear([Change(9, "prompt", "app-1", "faq")])
    world.catalog.add_version("app-1", "faq", _content())
    world.catalog.publish("app-1", "faq", 1)
    async with following(subject):
        await until(lambda: registry.reported == [2])


def _content() -> Any:
    return VersionContent(messages=[MessageTemplate("system", "hi")])
