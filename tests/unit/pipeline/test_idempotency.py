"""``idempotency-key``: replayed, joined, refused, freed; and never in the way."""

import asyncio
from typing import Any

import pytest
from msgspec import structs

from gateway.core.errors import UPSTREAM_ERROR, GatewayError
from gateway.edge.openai import chat as door
from gateway.pipeline import claims, idempotency
from gateway.pipeline.memory import MAX_OUTLIVING
from tests.unit.pipeline.workers import Worker, asked, renewed, settled

KEY = "retry-1"


async def through(world: Any, body: Any, caller: Any = None, worker: Worker | None = None, **headers: Any) -> Any:
    """A call through the door, of another worker if that is given, errors said to the caller."""
    caller = caller or world.caller()
    services = world.services if worker is None else structs.replace(world.services, memory=worker.memory)
    inbound = world.inbound(body, **{"idempotency_key": KEY, **headers})
    world.ids = getattr(world, "ids", 0) + 1
    inbound.call_id = f"00000000-0000-7000-8000-{world.ids:012d}"
    await door(inbound, services, caller)
    return caller


@pytest.fixture
def neighbour(world: Any) -> Worker:
    """Another worker on the same store."""
    return Worker(world)


def sources(world: Any) -> list[tuple[Any, ...]]:
    return [(r.outcome, r.usage_source, r.status, r.cost_nano == 0) for r in world.ledger.rows]


async def test_a_retry_gets_the_same_answer_and_costs_nothing(world: Any, say: Any, neighbour: Worker) -> None:
    world.script(say.completion("Because."))
    first = await through(world, say.chat())
    for memory in (None, neighbour):
        again = await through(world, say.chat(), memory=memory, x_request_id="second")
        assert (again.status, again.body) == (200, first.body)
        assert again.head["idempotent-replayed"] == "true"
        assert again.head["x-request-id"] == "second"
        assert again.head["x-original-request-id"] == first.head["x-request-id"]
        assert again.head["x-provider"] == "openai"
        assert not {"x-cost-usd", "server-timing", "x-attempts"} & again.head.keys()
    assert "idempotent-replayed" not in first.head
    assert len(world.transport.requests) == 1
    assert sources(world) == [("ok", "upstream", 200, False)] + [("ok", "replayed", 200, True)] * 2
    assert world.ledger.rows[1].requested_model == "gpt-4o-mini"


async def test_a_stream_is_replayed_frame_by_frame(world: Any, say: Any) -> None:
    world.script(say.stream(say.delta("Be"), say.delta("cause."), say.delta(finish="stop"), say.usage(), say.DONE))
    body = say.chat(stream=True)
    first = await through(world, body)
    again = await through(world, body)
    assert again.body == first.body
    assert again.frames[-1] == "[DONE]"
    assert again.head["content-type"].startswith("text/event-stream")
    assert again.head["idempotent-replayed"] == "true"


async def test_keys_are_told_apart_by_application_door_and_text(world: Any, say: Any) -> None:
    world.script(say.completion("a"), say.completion("b"), say.completion("c"))
    await through(world, say.chat())
    assert "idempotent-replayed" not in (await through(world, say.chat(), idempotency_key="retry-2")).head
    inbound = world.inbound(say.chat(), idempotency_key=KEY)
    inbound.door = "execute"
    caller = world.caller()
    await door(inbound, world.services, caller)
    assert "idempotent-replayed" not in caller.head


@pytest.mark.parametrize("headers", [{}, {"x_prompt": "faq"}])
async def test_another_request_under_the_same_key_is_a_conflict_that_names_the_header(
    world: Any, say: Any, headers: dict[str, str]
) -> None:
    world.script(say.completion())
    await through(world, say.chat())
    other = await through(world, say.chat() if headers else say.chat("Other"), **headers)
    assert other.status == 409
    assert other.json["error"]["code"] == "conflict"
    assert other.json["error"]["param"] == "idempotency-key"
    assert sources(world)[1] == ("conflict", None, 409, False)


@pytest.mark.parametrize("key", [b"", b" ", b"x" * 256, b"\xff", b"a\x01b"])
async def test_a_bad_key_is_refused(world: Any, say: Any, key: bytes) -> None:
    answer = await through(world, say.chat(), idempotency_key=key)
    assert (answer.status, answer.json["error"]["param"]) == (400, "idempotency-key")


async def test_without_a_valid_key_of_the_application_nothing_is_told(world: Any, say: Any) -> None:
    world.script(say.completion())
    await through(world, say.chat())
    answer = await through(world, say.chat(), authorization="Bearer pg_wrong")
    assert answer.status == 401
    assert len(world.ledger.rows) == 1


async def test_a_retry_waits_for_the_running_call_of_another_worker(world: Any, say: Any, neighbour: Worker) -> None:
    gate = asyncio.Event()
    world.script(gate, say.completion("Because."))
    first = asyncio.ensure_future(through(world, say.chat()))
    await asked(world)
    second = asyncio.ensure_future(through(world, say.chat(), worker=neighbour))
    await neighbour.naps.more()
    assert not second.done()
    gate.set()
    assert (await second).body == (await first).body
    assert second.result().head["idempotent-replayed"] == "true"
    assert len(world.transport.requests) == 1


async def test_a_retry_waits_no_longer_than_its_own_deadline(world: Any, say: Any) -> None:
    world.script(asyncio.Event())
    first = asyncio.ensure_future(through(world, say.chat()))
    await asked(world)
    late = await through(world, say.chat(), x_request_timeout_ms="2000")
    assert late.status == 504
    assert "idempotency-key" in late.json["error"]["message"]
    first.cancel()
    await first


async def test_a_failed_call_frees_its_key(world: Any, say: Any) -> None:
    world.script(
        GatewayError(UPSTREAM_ERROR, "broken"), say.stream(say.delta("half")), say.refusal(400), say.completion("fine")
    )
    assert (await through(world, say.chat())).status == 502
    assert (await through(world, say.chat(stream=True))).frames[-1].startswith('{"error"')
    assert (await through(world, say.chat())).status == 400
    last = await through(world, say.chat())
    assert (last.status, "idempotent-replayed" in last.head) == (200, False)


async def test_a_dead_owners_key_is_free_after_its_lease(world: Any, say: Any) -> None:
    inbound = world.inbound(say.chat())
    dead = idempotency.Once(idempotency.received_digest({}, [inbound.body]), "dead", "dead")
    name = idempotency.once_name("app-1", "chat", KEY.encode())
    await world.answers.swap("app-1", name, None, idempotency._encode(dead), claims.LEASE_S)
    began = world.clock.now
    world.script(say.completion("fine"))
    answer = await through(world, say.chat())
    assert answer.status == 200
    assert claims.LEASE_S - 1 < world.clock.now - began < claims.LEASE_S + 2
    assert "idempotent-replayed" in (await through(world, say.chat())).head


async def test_a_running_call_keeps_its_claim(world: Any, say: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "RENEW_S", 0.001)
    gate = asyncio.Event()
    world.script(gate, say.completion())
    first = asyncio.ensure_future(through(world, say.chat()))
    await asked(world)
    name = idempotency.once_name("app-1", "chat", KEY.encode())
    for _ in range(5):
        world.clock.now += claims.LEASE_S - 1
        await renewed(world, name)
    assert await world.answers.get("app-1", name)
    gate.set()
    await first
    assert len(world.transport.requests) == 1


async def test_a_caller_who_leaves_finds_the_answer_when_it_comes_back(world: Any, say: Any) -> None:
    gate = asyncio.Event()
    world.script(gate, say.completion("Because."))
    leaver = world.caller()
    leaver.leave_at = "whole"
    first = asyncio.ensure_future(through(world, say.chat(), leaver))
    await asked(world)
    leaver.gone = True
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    gate.set()
    again = await through(world, say.chat())
    assert again.head["idempotent-replayed"] == "true"
    assert again.json["choices"][0]["message"]["content"] == "Because."
    assert sources(world) == [("ok", "upstream", 200, False), ("ok", "replayed", 200, True)]
    await settled(world.memory)
    assert world.memory.outliving == 0


@pytest.mark.parametrize("at", ["start", "write", "end"])
async def test_a_stream_goes_on_for_the_retry(world: Any, say: Any, at: str) -> None:
    world.script(say.stream(say.delta("Be"), say.delta("cause."), say.delta(finish="stop"), say.usage(), say.DONE))
    leaver = world.caller()
    leaver.leave_at = at
    await through(world, say.chat(stream=True), leaver)
    again = await through(world, say.chat(stream=True))
    assert again.head["idempotent-replayed"] == "true"
    assert again.frames[-1] == "[DONE]"
    assert [c["choices"][0]["delta"].get("content") for c in again.chunks[:2]] == ["Be", "cause."]


async def test_beyond_the_bound_a_call_ends_with_its_caller(world: Any, say: Any) -> None:
    world.memory.outliving = MAX_OUTLIVING
    world.script(asyncio.Event())
    leaver = world.caller()
    first = asyncio.ensure_future(through(world, say.chat(), leaver))
    await asked(world)
    leaver.gone = True
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert sources(world)[0][0] == "client_gone"
    world.script(say.completion())
    assert (await through(world, say.chat())).status == 200


async def test_who_waits_and_leaves_has_a_row_too(world: Any, say: Any, neighbour: Worker) -> None:
    world.script(asyncio.Event())
    first = asyncio.ensure_future(through(world, say.chat()))
    await asked(world)
    leaver = world.caller()
    second = asyncio.ensure_future(through(world, say.chat(), leaver, neighbour))
    await neighbour.naps.more()
    leaver.gone = True
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert sources(world)[0][:3] == ("client_gone", None, 499)
    third = asyncio.ensure_future(through(world, say.chat(), worker=neighbour))
    await neighbour.naps.more()
    third.cancel()
    assert (await third).status == 503
    first.cancel()
    assert (await first).status == 503


async def test_without_the_store_calls_are_made_and_say_so(world: Any, say: Any) -> None:
    world.answers.available = False
    world.script(say.completion(), say.stream(say.delta("a"), say.delta(finish="stop"), say.usage(), say.DONE))
    assert (await through(world, say.chat())).head["x-idempotency"] == "unavailable"
    streamed = await through(world, say.chat(stream=True))
    assert streamed.head["x-idempotency"] == "unavailable"
    assert streamed.frames[-1] == "[DONE]"


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_is_too_large_is_given_and_not_kept(world: Any, say: Any, stream: bool) -> None:
    world.memory.max_bytes = 100
    for _ in range(2):
        frames = [say.delta("x" * 90), say.delta("y" * 90), say.delta(finish="stop"), say.usage(), say.DONE]
        world.script(say.stream(*frames) if stream else say.completion("x" * 200))
        answer = await through(world, say.chat(stream=stream))
        assert answer.ended
        assert "idempotent-replayed" not in answer.head
    assert world.answers._kept == {}


async def test_what_another_version_has_left_is_waited_out(world: Any, say: Any) -> None:
    await world.answers.swap("app-1", idempotency.once_name("app-1", "chat", KEY.encode()), None, b"\xc1", 5)
    world.script(say.completion())
    assert (await through(world, say.chat())).status == 200


async def test_a_replay_counts_against_the_limit(world: Any, say: Any) -> None:
    world.allow(requests_per_minute=1)
    world.script(say.completion())
    await through(world, say.chat())
    refused = await through(world, say.chat())
    assert refused.status == 429
    assert sources(world)[1][0] == "rate_limited"


async def test_a_large_body_is_compared_too(world: Any, say: Any) -> None:
    world.script(say.completion())
    await through(world, say.chat("x" * 70_000))
    assert "idempotent-replayed" in (await through(world, say.chat("x" * 70_000))).head
    assert (await through(world, say.chat("y" * 70_000))).status == 409


async def test_a_bug_while_claiming_is_an_internal_error_with_a_row(world: Any, say: Any) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("bug")

    world.answers.swap = broken
    answer = await through(world, say.chat())
    assert (answer.status, answer.json["error"]["code"]) == (500, "internal_error")
    assert sources(world)[0][0] == "internal"


async def test_a_claim_granted_to_who_has_left_is_given_back(world: Any, say: Any) -> None:
    swap, asked, go = world.answers.swap, asyncio.Event(), asyncio.Event()

    async def slow(*arguments: Any) -> Any:
        done = await swap(*arguments)
        if not asked.is_set():
            asked.set()
            await go.wait()
        return done

    world.answers.swap = slow
    leaver = world.caller()
    first = asyncio.ensure_future(through(world, say.chat(), leaver))
    await asked.wait()
    leaver.gone = True
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await settled(world.memory)
    assert world.answers._kept == {}


async def test_unavailable_marks_know_what_the_caller_knows(world: Any) -> None:
    caller = world.caller()
    marked = idempotency.Marked(caller, idempotency.UNAVAILABLE)
    assert (marked.started, marked.gone) == (False, False)
    await marked.start(200, b"")
    assert (marked.started, caller.head) == (True, {"x-idempotency": "unavailable"})
    caller.gone = True
    assert marked.gone
