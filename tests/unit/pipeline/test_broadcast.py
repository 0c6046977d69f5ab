"""A stream that two workers share: its events come to the other worker's callers while the provider still writes."""

import asyncio
from typing import Any

import pytest

from gateway.core.documents import AnswerCache
from gateway.core.errors import UPSTREAM_ERROR, GatewayError
from gateway.pipeline import broadcast, claims
from tests.unit.pipeline.workers import ASK, Worker, asked, markers

STREAM = {**ASK, "stream": True}
LONG: dict[str, str] = {"x_request_timeout_ms": "500000"}


@pytest.fixture
def here(world: Any) -> Worker:
    world.publish("faq", ("user", "{{ q }}"), cache=AnswerCache(coalesce=True))
    return Worker(world)


@pytest.fixture
def there(world: Any) -> Worker:
    return Worker(world)


@pytest.fixture
def gates(world: Any, say: Any) -> list[asyncio.Event]:
    """The provider says ``Be``, ``cause`` and the end, and waits before the second and the third."""
    gates = [asyncio.Event(), asyncio.Event()]
    world.script(
        say.stream(
            say.delta("Be"), gates[0], say.delta("cause"), gates[1], say.delta(finish="stop"), say.usage(10, 2), say.DONE
        )
    )
    return gates


def said(caller: Any) -> str:
    """The text of the frames so far."""
    return "".join(c["choices"][0]["delta"].get("content", "") for c in caller.chunks if c.get("choices"))


async def until(caller: Any, text: str) -> None:
    """Until a caller has got so much."""
    while said(caller) != text:
        await asyncio.sleep(0.001)


async def test_the_other_workers_callers_get_events_as_they_come(
    world: Any, here: Worker, there: Worker, gates: list[asyncio.Event]
) -> None:
    first = here.call(body=STREAM)
    await asked(world)
    callers = [world.caller() for _ in range(2)]
    others = [there.call(caller, STREAM) for caller in callers]
    for caller in callers:
        await until(caller, "Be")
    gates[0].set()
    for caller in callers:
        await until(caller, "Because")
    assert not first.done()
    gates[1].set()
    await asyncio.gather(first, *others)
    for caller in callers:
        assert caller.head["x-cache"] == "coalesced"
        assert caller.frames[-1] == "[DONE]"
        assert caller.chunks == (await first).chunks
    assert len(world.transport.requests) == 1
    assert sorted(markers(world)) == [("ok", "coalesced", 0, True)] * 2 + [("ok", "upstream", 1, False)]
    await here.settled()
    await there.settled()
    assert not any(name.startswith("flight:") for _, name in world.answers._kept)


async def test_nothing_is_written_down_while_nobody_listens(world: Any, here: Worker, gates: list[asyncio.Event]) -> None:
    caller = world.caller()
    first = here.call(caller, STREAM)
    for gate, text in zip(gates, ("Be", "Because"), strict=True):
        await until(caller, text)
        await here.naps.more()
        gate.set()
    await first
    await here.settled()
    assert not world.answers._rows


async def test_the_call_goes_on_for_listeners_when_its_own_callers_have_left(
    world: Any, here: Worker, there: Worker, gates: list[asyncio.Event]
) -> None:
    payer, caller = world.caller(), world.caller()
    first = here.call(payer, STREAM)
    await asked(world)
    second = there.call(caller, STREAM)
    await until(caller, "Be")
    payer.gone = True
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    for gate in gates:
        gate.set()
    await second
    assert said(caller) == "Because"
    assert caller.frames[-1] == "[DONE]"
    await here.settled()
    assert sorted(markers(world)) == [("client_gone", "upstream", 1, False), ("ok", "coalesced", 0, True)]


async def test_when_the_listeners_leave_too_the_providers_work_ends(
    world: Any, here: Worker, there: Worker, gates: list[asyncio.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "LISTENING_S", -1.0)
    payer, caller = world.caller(), world.caller()
    keep = world.answers.put

    async def put(application_id: str, name: str, value: bytes, seconds: float) -> None:
        await keep(application_id, name, value, seconds if second.done() else 1e9)

    world.answers.put = put
    first = here.call(payer, STREAM)
    await asked(world)
    second = there.call(caller, STREAM)
    await until(caller, "Be")
    for leaver, task in ((payer, first), (caller, second)):
        leaver.gone = True
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    for application_id, name in list(world.answers._kept):
        if name.startswith("listening:"):
            await keep(application_id, name, b"1", 0)
    await here.settled()
    await there.settled()
    assert not gates[0].is_set()
    assert not world.answers._kept.keys() & {place for place in world.answers._kept if place[1].startswith("flight:")}


async def test_a_failure_after_the_beginning_is_told_to_all(world: Any, say: Any, here: Worker, there: Worker) -> None:
    gate = asyncio.Event()
    world.script(say.stream(say.delta("Be"), gate, GatewayError(UPSTREAM_ERROR, "broken", target="openai")))
    first = here.call(body=STREAM)
    await asked(world)
    caller = world.caller()
    second = there.call(caller, STREAM)
    await until(caller, "Be")
    gate.set()
    for call in (first, second):
        with pytest.raises(GatewayError, match="broken") as caught:
            await call
        assert (caught.value.kind, caught.value.target) == (UPSTREAM_ERROR, "openai")
    assert len(world.transport.requests) == 1


async def test_a_failure_before_anybody_listened_lets_the_others_ask(world: Any, say: Any, here: Worker, there: Worker) -> None:
    gate = asyncio.Event()
    world.script(
        gate,
        say.stream(say.delta("Be"), GatewayError(UPSTREAM_ERROR, "broken")),
        say.stream(say.delta("So"), say.delta(finish="stop"), say.DONE),
    )
    first = here.call(body=STREAM)
    await asked(world)
    second = there.call(body=STREAM)
    await there.naps.more()
    gate.set()
    with pytest.raises(GatewayError, match="broken"):
        await first
    assert (await second).head["x-cache"] == "miss"


async def test_a_worker_that_dies_leaves_listeners_an_error_not_an_end(
    world: Any, here: Worker, there: Worker, gates: list[asyncio.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = here.call(body=STREAM, **LONG)
    await asked(world)
    caller = world.caller()
    second = there.call(caller, STREAM, **LONG)
    await until(caller, "Be")
    alive = world.answers.append

    async def dead(*_: object, **__: object) -> bool:
        return False

    world.answers.append = dead
    world.clock.now += claims.LEASE_S
    with pytest.raises(GatewayError, match="ended before it was complete") as caught:
        await second
    assert caught.value.kind.name == "upstream_incomplete"
    assert caller.frames[-1] != "[DONE]"
    world.answers.append = alive
    for gate in gates:
        gate.set()
    await first


async def test_pieces_that_are_lost_are_never_skipped(
    world: Any, here: Worker, there: Worker, gates: list[asyncio.Event]
) -> None:
    first = here.call(body=STREAM, **LONG)
    await asked(world)
    caller = world.caller()
    second = there.call(caller, STREAM, **LONG)
    await until(caller, "Be")
    ((place, (row, ends)),) = world.answers._rows.items()
    world.answers._rows[place] = ({7: row[1]}, ends)
    with pytest.raises(GatewayError, match="ended before it was complete"):
        await second
    for gate in gates:
        gate.set()
    await first


async def test_who_comes_when_the_beginning_is_gone_waits_for_the_whole(
    world: Any, here: Worker, there: Worker, gates: list[asyncio.Event]
) -> None:
    first = here.call(body=STREAM)
    await asked(world)
    caller = world.caller()
    second = there.call(caller, STREAM)
    await until(caller, "Be")
    ((place, (row, ends)),) = world.answers._rows.items()
    world.answers._rows[place] = ({2: row[1]}, ends)
    late = world.caller()
    latecomers = Worker(world)
    third = latecomers.call(late, STREAM)
    await latecomers.naps.more()
    assert not late.started
    world.answers._rows[place] = (row, ends)
    for gate in gates:
        gate.set()
    await asyncio.gather(first, second, third)
    assert (said(late), late.head["x-cache"]) == ("Because", "coalesced")


@pytest.mark.parametrize("rubbish", [b"", b"\x93\x63\x90\xc0", b"\x93\x01\x91\xc4\x01x\xc0"])
async def test_what_cannot_be_read_is_no_piece(
    world: Any, here: Worker, there: Worker, gates: list[asyncio.Event], rubbish: bytes
) -> None:
    first = here.call(body=STREAM)
    await asked(world)
    caller = world.caller()
    second = there.call(caller, STREAM)
    await until(caller, "Be")
    ((place, (row, _)),) = world.answers._rows.items()
    await world.answers.append(*place, max(row) + 1, rubbish, 60, oldest=1)
    with pytest.raises(GatewayError, match="ended before it was complete"):
        await second
    for gate in gates:
        gate.set()
    await first


async def test_a_row_holds_no_more_than_a_kept_answer(
    world: Any, say: Any, here: Worker, there: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "LATEST", 2)
    here.memory.max_bytes = 500
    gates = [asyncio.Event() for _ in range(9)]
    texts = [str(i) * 20 for i in range(10)]
    pieces: list[Any] = [say.delta(texts[0])]
    for gate, text in zip(gates, texts[1:], strict=True):
        pieces += [gate, say.delta(text)]
    world.script(say.stream(*pieces, say.delta(finish="stop"), say.DONE))
    first = here.call(body=STREAM)
    await asked(world)
    caller = world.caller()
    second = there.call(caller, STREAM)
    for i, gate in enumerate(gates):
        await until(caller, "".join(texts[: i + 1]))
        gate.set()
    await asyncio.gather(first, second)
    assert said(caller) == "".join(texts)
    ((row, _),) = world.answers._rows.values()
    assert len(row) < len(gates)
    assert sum(map(len, row.values())) <= 500


async def test_a_store_that_is_away_for_a_moment_costs_a_listener_nothing(
    world: Any, here: Worker, there: Worker, gates: list[asyncio.Event]
) -> None:
    first = here.call(body=STREAM, **LONG)
    await asked(world)
    caller = world.caller()
    second = there.call(caller, STREAM, **LONG)
    await until(caller, "Be")
    world.answers.available = False
    gates[0].set()
    await there.naps.more()
    assert not second.done()
    world.answers.available = True
    await until(caller, "Because")
    world.answers.available = False
    await there.naps.more()
    world.clock.now += claims.LEASE_S
    with pytest.raises(GatewayError, match="ended before it was complete"):
        await second
    gates[1].set()
    await first


async def test_a_burst_is_written_in_pieces_that_a_listener_can_follow(
    world: Any, say: Any, here: Worker, there: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "PIECE_BYTES", 100)
    gate = asyncio.Event()
    more = [say.delta(str(i % 10)) for i in range(50)]
    world.script(say.stream(say.delta("0"), gate, *more, say.delta(finish="stop"), say.DONE))
    first = here.call(body=STREAM)
    await asked(world)
    caller = world.caller()
    second = there.call(caller, STREAM)
    await until(caller, "0")
    gate.set()
    await asyncio.gather(first, second)
    assert said(caller) == "0" + "0123456789" * 5
    assert caller.chunks == (await first).chunks
