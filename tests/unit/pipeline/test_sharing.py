"""Equal calls on several workers: one asks, the others get its answer; nobody is kept waiting for the dead or the failed."""

import asyncio
from typing import Any

import pytest

from gateway.core.documents import AnswerCache
from gateway.core.errors import UPSTREAM_ERROR, GatewayError
from gateway.core.ports import Swap
from gateway.pipeline import claims
from gateway.pipeline.sharing import LINGER_S, Sharing, is_awaited
from tests.unit.pipeline.workers import ASK, Worker, aboard, asked, markers, renewed

SHARED = AnswerCache(coalesce=True)
BOTH = AnswerCache(ttl_seconds=60, coalesce=True)


@pytest.fixture
def here(world: Any) -> Worker:
    return Worker(world)


@pytest.fixture
def there(world: Any) -> Worker:
    return Worker(world)


@pytest.fixture(params=[SHARED, BOTH], ids=["shared", "kept"])
def faq(request: pytest.FixtureRequest, world: Any) -> None:
    """The prompt that is asked, whose answers are shared, kept or not."""
    world.publish("faq", ("user", "{{ q }}"), cache=request.param)


@pytest.mark.usefixtures("faq")
@pytest.mark.parametrize("streamed", [(False, False), (True, True), (True, False), (False, True)])
async def test_of_two_workers_one_asks(world: Any, say: Any, here: Worker, there: Worker, streamed: tuple[bool, bool]) -> None:
    gate = asyncio.Event()
    stream = say.stream(say.delta("Be"), say.delta("cause."), say.delta(finish="stop"), say.usage(), say.DONE)
    world.script(gate, stream if streamed[0] else say.completion("Because."))
    first = here.call(body={**ASK, "stream": streamed[0]})
    await asked(world)
    others = [there.call(body={**ASK, "stream": streamed[1]}) for _ in range(3)]
    await there.naps.more()
    await aboard(there.memory, 3)
    assert not any(other.done() for other in others)
    gate.set()
    assert (await first).head["x-cache"] == "miss"
    for answer in await asyncio.gather(*others):
        assert answer.head["x-cache"] == "coalesced"
        said = (
            "".join(c["choices"][0]["delta"].get("content", "") for c in answer.chunks if c["choices"])
            if streamed[1]
            else answer.json["choices"][0]["message"]["content"]
        )
        assert said == "Because."
    assert len(world.transport.requests) == 1
    assert sorted(markers(world)) == [("ok", "coalesced", 0, True)] * 3 + [("ok", "upstream", 1, False)]
    assert (here.memory.misses, there.memory.misses, there.memory.coalesced) == (1, 0, 3)
    await here.settled()
    assert not any(name.startswith("flight:") for _, name in world.answers._kept)


async def test_what_is_not_kept_is_only_for_those_who_waited(world: Any, say: Any, here: Worker, there: Worker) -> None:
    world.publish("faq", ("user", "{{ q }}"), cache=SHARED)
    world.script(say.completion("a"), say.completion("b"))
    await here.call()
    await here.settled()
    assert (await there.call()).head["x-cache"] == "miss"
    world.clock.now += LINGER_S
    await there.settled()
    assert [await world.answers.get(*place) for place in list(world.answers._kept)][:-1] == [None]


async def test_who_was_too_late_to_wait_finds_what_is_kept(world: Any, say: Any, here: Worker, there: Worker) -> None:
    world.publish("faq", ("user", "{{ q }}"), cache=BOTH)
    world.script(say.completion("Because."))
    look = world.answers.get

    async def slow(application_id: str, name: str) -> bytes | None:
        found: bytes | None = await look(application_id, name)
        world.answers.get = look
        await here.call()
        await here.settled()
        return found

    world.answers.get = slow
    assert (await there.call()).head["x-cache"] == "coalesced"
    await there.settled()
    assert len(world.transport.requests) == 1


@pytest.mark.usefixtures("faq")
async def test_after_a_failure_the_others_ask(world: Any, say: Any, here: Worker, there: Worker) -> None:
    gate = asyncio.Event()
    world.script(gate, GatewayError(UPSTREAM_ERROR, "broken"), say.completion("Because."))
    first = here.call()
    await asked(world)
    second = there.call()
    await there.naps.more()
    gate.set()
    with pytest.raises(GatewayError, match="broken"):
        await first
    assert (await second).head["x-cache"] == "miss"


@pytest.mark.usefixtures("faq")
async def test_nobody_waits_for_a_second_call_after_one_that_left_nothing(
    world: Any, say: Any, here: Worker, there: Worker
) -> None:
    gate = asyncio.Event()
    world.script(gate, say.completion("Because."), say.completion())
    first = here.call()
    await asked(world)
    ((application_id, place),) = [place for place in world.answers._kept if place[1].startswith("flight:")]
    second = there.call()
    await there.naps.more()
    held = await world.answers.get(application_id, place)
    await world.answers.put(application_id, place, b"a third worker", 1e9)
    assert (await second).head["x-cache"] == "miss"  # it holds the place, and we go on without it
    gate.set()
    await first
    await there.settled()
    assert held == b"00000000-0000-7000-8000-000000000001"
    assert await world.answers.get(application_id, place) == b"a third worker"


@pytest.mark.usefixtures("faq")
async def test_a_dead_workers_place_is_free_after_its_lease(world: Any, say: Any, here: Worker, there: Worker) -> None:
    world.script(asyncio.Event(), say.completion("Because."))
    dead = here.call()
    await asked(world)
    ((_, place),) = [place for place in world.answers._kept if place[1].startswith("flight:")]
    second = there.call()
    await there.naps.more()
    assert len(world.transport.requests) == 1
    world.clock.now += claims.LEASE_S
    assert (await second).head["x-cache"] == "miss"
    assert await is_awaited(world.memory, "app-1", place.removeprefix("flight:")) is False
    dead.cancel()
    await asyncio.gather(dead, return_exceptions=True)
    await here.settled()


@pytest.mark.usefixtures("faq")
async def test_a_running_call_keeps_its_place(
    world: Any, say: Any, here: Worker, there: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "RENEW_S", 0.001)
    gate = asyncio.Event()
    world.script(gate, say.completion())
    first = here.call(x_request_timeout_ms="500000")
    await asked(world)
    ((_, place),) = [place for place in world.answers._kept if place[1].startswith("flight:")]
    second = there.call(x_request_timeout_ms="500000")
    for _ in range(5):
        world.clock.now += claims.LEASE_S - 1
        await renewed(world, place)
    gate.set()
    assert ((await first).head["x-cache"], (await second).head["x-cache"]) == ("miss", "coalesced")


@pytest.mark.usefixtures("faq")
async def test_nobody_waits_beyond_the_own_deadline(world: Any, say: Any, here: Worker, there: Worker) -> None:
    gate = asyncio.Event()
    world.script(gate, say.completion())
    first = here.call()
    await asked(world)
    impatient = there.call(x_request_timeout_ms="1000")
    await there.naps.more()
    world.clock.now += 2
    with pytest.raises(GatewayError) as caught:
        await impatient
    assert caught.value.kind.name == "deadline"
    gate.set()
    assert (await first).status == 200


@pytest.mark.usefixtures("faq")
async def test_who_leaves_while_it_waits_leaves_no_claim(world: Any, say: Any, here: Worker, there: Worker) -> None:
    gate = asyncio.Event()
    world.script(gate, say.completion())
    first = here.call()
    await asked(world)
    caller = world.caller()
    leaver = there.call(caller)
    await there.naps.more()
    caller.gone = True
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    await there.settled()
    gate.set()
    await first
    await here.settled()
    assert markers(world)[0] == ("client_gone", None, 0, True)
    assert not any(name.startswith("flight:") for _, name in world.answers._kept)


@pytest.mark.usefixtures("faq")
async def test_who_leaves_while_others_wait_with_it_has_a_row(world: Any, say: Any, here: Worker, there: Worker) -> None:
    gate = asyncio.Event()
    world.script(gate, say.completion())
    first = here.call()
    await asked(world)
    caller = world.caller()
    leaver = there.call(caller)
    await there.naps.more()
    stays = there.call()
    await aboard(there.memory, 2)
    caller.gone = True
    leaver.cancel()
    await asyncio.gather(leaver, return_exceptions=True)
    gate.set()
    await first
    assert (await stays).head["x-cache"] == "coalesced"
    await there.settled()
    assert sorted(markers(world), key=str) == [
        ("client_gone", None, 0, True),
        ("ok", "coalesced", 0, True),
        ("ok", "upstream", 1, False),
    ]


@pytest.mark.usefixtures("faq")
async def test_without_the_store_each_worker_asks_for_itself(world: Any, say: Any, here: Worker, there: Worker) -> None:
    world.answers.available = False
    gate = asyncio.Event()
    world.script(gate, say.completion("a"), say.completion("b"))
    calls = [here.call(), here.call()]
    await asked(world)
    assert (await there.call()).head["x-cache"] == "miss"
    gate.set()
    assert [(await call).head["x-cache"] for call in calls] == ["miss", "coalesced"]


@pytest.mark.usefixtures("faq")
async def test_when_the_store_goes_away_waiting_ends(world: Any, say: Any, here: Worker, there: Worker) -> None:
    gate = asyncio.Event()
    world.script(gate, say.completion("a"), say.completion("b"))
    first = here.call()
    await asked(world)
    second = there.call()
    await there.naps.more()
    world.answers.available = False
    assert (await second).head["x-cache"] == "miss"
    gate.set()
    await first


@pytest.mark.usefixtures("faq")
async def test_an_answer_that_is_too_large_or_unreadable_is_asked_for_anew(
    world: Any, say: Any, here: Worker, there: Worker
) -> None:
    here.memory.max_bytes = 10
    gate = asyncio.Event()
    world.script(gate, say.completion("a"), say.completion("b"))
    first = here.call()
    await asked(world)
    second = there.call()
    await there.naps.more()
    gate.set()
    await first
    assert (await second).head["x-cache"] == "miss"


@pytest.mark.usefixtures("faq")
async def test_tenants_wait_for_none_but_their_own(world: Any) -> None:
    mine = Sharing("app-1", "name", b"a", False, world.memory, lambda: 1.0)
    theirs = Sharing("app-2", "name", b"b", False, world.memory, lambda: 1.0)
    assert [await mine.wait(streamed=False), await theirs.wait(streamed=False)] == [None, None]
    assert (mine.held, theirs.held) == (True, True)
    await theirs.end()
    assert await world.answers.swap("app-1", "flight:name", None, b"c", 1) == Swap(done=False, found=b"a")


async def test_a_new_answer_on_demand_waits_for_nobody(world: Any, say: Any, here: Worker, there: Worker) -> None:
    world.publish("faq", ("user", "{{ q }}"), cache=BOTH)
    gate = asyncio.Event()
    world.script(gate, say.completion("a"), say.completion("b"))
    first = here.call()
    await asked(world)
    assert (await there.call(cache_control="no-cache")).head["x-cache"] == "miss"
    gate.set()
    await first
