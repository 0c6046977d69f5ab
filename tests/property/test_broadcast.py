"""Whatever a store loses, forgets or does twice: a listener gets the beginning of the stream, and an end only after all of it."""

import asyncio

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import UPSTREAM_ERROR, GatewayError
from gateway.core.events import Event, Usage
from gateway.pipeline.broadcast import Listener, told
from gateway.pipeline.flights import Flight
from gateway.pipeline.memory import Memory
from gateway.storage.memory.answers import MemoryAnswers

ROUNDS = 4000
"""Pauses after which a listener who still waits is taken to hang."""


class Unreliable(MemoryAnswers):
    """Does or does not do what it is told, and does or does not say so, as ``luck`` has it: 0 is a good day. ``deaf``: to questions."""

    def __init__(self, luck: list[int], deaf: list[bool]) -> None:
        super().__init__(lambda: 0.0)
        self.luck = list(luck)
        self.deaf = list(deaf)

    async def append(self, application_id: str, name: str, number: int, value: bytes, seconds: float, *, oldest: int) -> bool:
        mood = self.luck.pop(0) if self.luck else 0
        if mood == 1:
            return False
        if mood == 3:
            self._rows.clear()
        done = await super().append(application_id, name, number, value, seconds, oldest=oldest)
        return done and mood != 2

    async def after(self, application_id: str, name: str, number: int) -> list[tuple[int, bytes]]:
        return [] if self.deaf and self.deaf.pop(0) else await super().after(application_id, name, number)


def chunk(text: str) -> bytes:
    return msgspec.json.encode({"id": "c", "choices": [{"index": 0, "delta": {"content": text}}]})


@given(
    sizes=st.lists(st.integers(1, 4), min_size=3, max_size=10),
    fails=st.booleans(),
    luck=st.lists(st.sampled_from([0, 0, 1, 2, 3]), max_size=12),
    deaf=st.lists(st.booleans(), max_size=30),
)
@settings(max_examples=60, deadline=None)
def test_nothing_is_skipped_doubled_or_ended_too_soon(sizes: list[int], fails: bool, luck: list[int], deaf: list[bool]) -> None:
    batches = [[f"{number}.{part} \u2028" for part in range(size)] for number, size in enumerate(sizes)]
    texts = [text for batch in batches for text in batch]
    heard, failure, ended = asyncio.run(_shared(batches, luck, deaf, fails=fails))
    assert heard == texts[: len(heard)]
    if ended:
        assert heard == texts
        assert not fails
    else:
        assert failure is not None
        assert failure.kind is UPSTREAM_ERROR or failure.kind.name == "upstream_incomplete"
    if not luck and not deaf:
        assert ended is not fails


async def _shared(
    batches: list[list[str]], luck: list[int], deaf: list[bool], *, fails: bool
) -> tuple[list[str], GatewayError | None, bool]:
    """What a listener gets of a stream, how it failed, and whether it ended well."""
    rounds, left, made = 0, 500.0, True

    async def sleep(seconds: float) -> None:
        nonlocal rounds, left
        rounds, left = rounds + 1, left - seconds
        assert rounds < ROUNDS, "it hangs"
        await asyncio.sleep(0)

    memory = Memory(Unreliable(luck, deaf), max_bytes=1 << 20, keep_seconds=1, sleep=sleep)
    flight, other = Flight(streamed=True), Flight(streamed=True)
    flight.board()

    async def is_made() -> bool | None:
        return made

    async def makes() -> None:
        nonlocal made
        try:
            async with told(memory, "app", "call", flight):
                for batch in batches:
                    flight.add([Event(chunk(text)) for text in batch])
                    for _ in range(2):
                        await asyncio.sleep(0)
                if fails:
                    raise GatewayError(UPSTREAM_ERROR, "broken")
                flight.usage = Usage(1, 2)
                flight.end()
        except GatewayError as error:
            flight.end(error)
        finally:
            made = False

    listener = Listener(memory, "app", "call", lambda: left, is_made)
    await listener.hears()
    making = asyncio.ensure_future(makes())
    failure: GatewayError | None = None
    while made and not await listener.hears():
        await sleep(0.02)
    try:
        await listener.follow(other)
    except GatewayError as error:
        failure = error
    await making
    heard = [text for events in other.batches for event in events for _, text in event.texts]
    return heard, failure, other.over
