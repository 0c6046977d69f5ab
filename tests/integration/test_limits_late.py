"""A Redis whose answer comes too late: what it had reserved for a call that was not made is taken back, also of requests."""

import asyncio
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from gateway.core.errors import GatewayError
from gateway.core.limits import Ask, LimitRule, Metric, Seed
from gateway.limits.rules import Estimate, Match, counter_of
from gateway.pipeline.limits import Limits
from gateway.pipeline.seeding import Seeding
from gateway.storage.memory.spending import MemorySpending
from gateway.storage.redis.limits import RedisLimits
from gateway.storage.redis.link import Link
from tests.conftest import until

APP = "app-late"


class LateRedis:
    """Between us and a real Redis. While ``answers`` is not set, questions go through and no answer comes back."""

    def __init__(self, path: str) -> None:
        self.answers = asyncio.Event()
        self.answers.set()
        self.heard = asyncio.Event()
        """Set when Redis has answered, whether or not we were told."""
        self._path = path
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return f"redis://{host}:{port}"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_redis, to_redis = await asyncio.open_unix_connection(self._path)
        for work in (self._pass(reader, to_redis, late=False), self._pass(from_redis, writer, late=True)):
            task = asyncio.ensure_future(work)
            self._tasks.add(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, late: bool) -> None:
        try:
            while data := await reader.read(65536):
                if late:
                    self.heard.set()
                    await self.answers.wait()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@pytest.fixture
async def proxy(clean_redis: str) -> AsyncIterator[tuple[LateRedis, str]]:
    proxy = LateRedis(urlsplit(clean_redis).path)
    url = await proxy.start()
    yield proxy, url
    await proxy.stop()


@pytest.mark.parametrize("metrics", [["requests"], ["requests", "tokens"], ["tokens", "concurrency"]])
@pytest.mark.parametrize("leaves", [False, True])
async def test_what_was_reserved_for_a_call_that_is_not_made_is_taken_back(
    proxy: tuple[LateRedis, str], clean_redis: str, metrics: list[Metric], leaves: bool
) -> None:
    late, url = proxy
    truth_link, link = Link(clean_redis, time.monotonic, 40), Link(url, time.monotonic, 40 if leaves else 0.2)
    truth, store = RedisLimits(truth_link, time.monotonic), RedisLimits(link, time.monotonic)
    seeding = Seeding(store, MemorySpending(tuple), "worker", time.monotonic)
    limits = Limits(store, seeding, time.monotonic, lambda: time.time_ns() // 1_000_000)
    rules = [
        LimitRule(f"id-{m}", m, "application", m, 100, "none" if m == "concurrency" else "month", on_store_error="closed")
        for m in metrics
    ]
    matches = [Match(rule, counter_of(rule, "")) for rule in rules]
    asks = [Ask(match.counter, match.rule.window, 100, 0) for match in matches]

    async def used() -> list[int]:
        states = await truth.look(APP, asks)
        assert isinstance(states, list)
        return [state.used for state in states]

    try:
        assert await truth.seed(APP, list[Seed](), "first")
        taken, _ = await limits.reserve(APP, "made", matches, Estimate(7, 3), [])
        before = await used()
        assert len(taken) == len(metrics)
        late.answers.clear()
        late.heard.clear()
        call = asyncio.ensure_future(limits.reserve(APP, "not made", matches, Estimate(7, 3), []))
        async with asyncio.timeout(60):
            await late.heard.wait()
        assert await used() == [2 * amount for amount in before]
        if leaves:
            call.cancel()
        with pytest.raises(asyncio.CancelledError if leaves else GatewayError):
            await call
        late.answers.set()

        async def told() -> list[int]:
            await limits.round()
            return await used()

        async with asyncio.timeout(60):
            while await told() != before:
                await asyncio.sleep(0.05)
        await until(lambda: limits.after.cancelled == 1)
        # Told twice, it is taken back once; what another call has stays.
        await limits.round()
        assert await used() == before
    finally:
        late.answers.set()
        await limits.close()
        await link.close()
        await truth_link.close()
