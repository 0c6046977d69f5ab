"""Several workers on one world's stores."""

import asyncio
from typing import Any

from msgspec import structs

from gateway.pipeline.memory import Memory
from gateway.pipeline.serve import serve

ASK: dict[str, Any] = {"model": "faq", "messages": [], "variables": {"q": "why?"}}


class Naps:
    """How a worker waits between two looks at what another one does: without the clock's moving on."""

    def __init__(self) -> None:
        self.taken = 0

    async def __call__(self, _: float) -> None:
        self.taken += 1
        await asyncio.sleep(0.001)

    async def more(self) -> None:
        """Until it has waited twice again, and so has looked in vain."""
        enough = self.taken + 2
        while self.taken < enough:
            await asyncio.sleep(0)


class Worker:
    """A process of its own on the world's stores: what it keeps in memory is nobody else's."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.naps = Naps()
        self.memory = Memory(world.answers, max_bytes=1 << 20, keep_seconds=86_400, sleep=self.naps)

    def call(self, caller: Any = None, body: dict[str, Any] | None = None, **headers: str) -> "asyncio.Task[Any]":
        """Begin an equal call here."""
        return asyncio.ensure_future(self._call(caller or self.world.caller(), body or ASK, headers))

    async def _call(self, caller: Any, body: dict[str, Any], headers: dict[str, str]) -> Any:
        world = self.world
        world.ids = getattr(world, "ids", 0) + 1
        inbound = world.inbound(body, **headers)
        inbound.call_id = f"00000000-0000-7000-8000-{world.ids:012d}"
        await serve(inbound, structs.replace(world.services, memory=self.memory), caller, world.dialect)
        return caller

    async def settled(self) -> None:
        await settled(self.memory)


async def settled(memory: Memory) -> None:
    """Until nothing runs in the background."""
    while memory._tasks:
        await asyncio.sleep(0)


async def aboard(memory: Memory, passengers: int) -> None:
    """Until so many wait for answers that are on their way to this worker."""
    while sum(flight._passengers for flight in memory.flights.values()) != passengers:
        await asyncio.sleep(0)


async def renewed(world: Any, name: str) -> None:
    """Until the call that holds a place in the store has prolonged its lease, which never ended."""
    place = ("app-1", name)
    _, ends = world.answers._kept[place]
    while world.answers._kept[place][1] == ends:
        await asyncio.sleep(0)


async def asked(world: Any, times: int = 1) -> None:
    """Until the provider was asked so often."""
    while len(world.transport.requests) < times:
        await asyncio.sleep(0)


def markers(world: Any) -> list[tuple[Any, ...]]:
    return [(r.outcome, r.usage_source, r.attempt, r.input_tokens is None) for r in world.ledger.rows]
