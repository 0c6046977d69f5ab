"""Answers that need no second call: kept ones, and those on their way already."""

import asyncio
from typing import Any

import pytest

from gateway.core.documents import AnswerCache
from gateway.core.errors import CLIENT_GONE, DEADLINE, UPSTREAM_ERROR, GatewayError
from tests.unit.pipeline.workers import aboard, asked, settled

KEPT = AnswerCache(ttl_seconds=60)
SHARED = AnswerCache(coalesce=True)
BOTH = AnswerCache(ttl_seconds=60, coalesce=True)
HERD = 500
"""Equal calls at once (fault F42)."""


def ask(**fields: Any) -> dict[str, Any]:
    return {"model": "faq", "messages": [], "variables": {"q": "why?"}, **fields}


@pytest.fixture
def faq(world: Any) -> Any:
    """Publishes the prompt ``faq`` with a cache."""

    def publish(cache: AnswerCache, **content: Any) -> None:
        world.publish("faq", ("user", "{{ q }}"), cache=cache, **content)

    return publish


def markers(world: Any) -> list[tuple[Any, ...]]:
    return [(r.outcome, r.usage_source, r.provider, r.attempt, r.cost_nano, r.input_tokens) for r in world.ledger.rows]


HIT = ("ok", "cache", None, 0, 0, None)
JOINED = ("ok", "coalesced", None, 0, 0, None)


async def test_an_equal_request_is_answered_from_the_store_and_costs_nothing(world: Any, say: Any, faq: Any) -> None:
    faq(KEPT)
    world.script(say.completion("Because."))
    first = await world.call(ask())
    await settled(world.memory)
    world.clock.now += 7
    second = await world.call(ask(user="somebody else"))
    assert (first.head["x-cache"], second.head["x-cache"]) == ("miss", "hit")
    assert second.json == first.json
    assert len(world.transport.requests) == 1
    assert "age" not in first.head
    assert second.head["x-cost-usd"] == "0.000000000"
    assert second.head["x-attempts"] == "0"
    assert "x-provider" not in second.head
    assert second.head["x-prompt"] == "faq@production:1"
    paid, free = markers(world)
    assert paid[1:4] == ("upstream", "openai", 1)
    assert paid[4] > 0
    assert free == HIT
    assert world.ledger.rows[1].finish_reason == "stop"


async def test_the_age_of_a_hit_is_told_in_whole_seconds(world: Any, say: Any, faq: Any) -> None:
    faq(KEPT)
    world.script(say.completion())
    world.receiver._wall_ms = lambda: 1_760_000_000_000
    await world.call(ask())
    await settled(world.memory)
    world.receiver._wall_ms = lambda: 1_760_000_042_900
    assert (await world.call(ask())).head["age"] == "42"


async def test_nothing_is_kept_beyond_its_time(world: Any, say: Any, faq: Any) -> None:
    faq(KEPT)
    world.script(say.completion("old"), say.completion("new"))
    await world.call(ask())
    await settled(world.memory)
    world.clock.now += 61
    again = await world.call(ask())
    assert (again.head["x-cache"], again.json["choices"][0]["message"]["content"]) == ("miss", "new")


@pytest.mark.parametrize(
    "other",
    [
        {"variables": {"q": "who?"}},
        {"temperature": 0.5},
        {"messages": [{"role": "user", "content": "more"}]},
        {"model": "faq:2"},
        {"n": 2},
        {"metadata": {"a": "b"}},
    ],
)
async def test_whatever_may_change_the_answer_is_part_of_its_name(
    world: Any, say: Any, faq: Any, other: dict[str, Any]
) -> None:
    faq(KEPT)
    faq(KEPT, params={"seed": 1})
    world.script(say.completion("a"), say.completion("b"))
    await world.call(ask(model="faq:1"))
    await settled(world.memory)
    assert (await world.call(ask(**{"model": "faq:1", **other}))).head["x-cache"] == "miss"


async def test_a_prompt_without_the_word_is_called_each_time(world: Any, say: Any, faq: Any) -> None:
    faq(AnswerCache())
    world.script(say.completion(), say.completion())
    answers = [await world.call(ask()) for _ in range(2)]
    assert len(world.transport.requests) == 2
    assert all("x-cache" not in answer.head for answer in answers)


async def test_a_stream_fills_the_store_for_who_wants_the_whole(world: Any, say: Any, faq: Any) -> None:
    faq(KEPT)
    world.script(say.stream(say.delta("Be"), say.delta("cause."), say.delta(finish="stop"), say.usage(10, 2), say.DONE))
    streamed = await world.call(ask(stream=True))
    await settled(world.memory)
    whole = await world.call(ask())
    assert streamed.frames[-1] == "[DONE]"
    assert whole.head["x-cache"] == "hit"
    choice = whole.json["choices"][0]
    assert (choice["message"], choice["finish_reason"]) == ({"role": "assistant", "content": "Because."}, "stop")
    assert whole.json["usage"]["completion_tokens"] == 2


async def test_a_whole_answer_is_streamed_to_who_wants_a_stream(world: Any, say: Any, faq: Any) -> None:
    faq(KEPT)
    world.script(say.completion("Because."))
    await world.call(ask())
    await settled(world.memory)
    streamed = await world.call(ask(stream=True, stream_options={"include_usage": True}))
    assert streamed.head["x-cache"] == "hit"
    assert streamed.frames[-1] == "[DONE]"
    *_, end, usage = streamed.chunks
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in streamed.chunks if c["choices"]) == "Because."
    assert end["choices"][0]["finish_reason"] == "stop"
    assert usage["usage"]["completion_tokens"] == 2
    assert usage["usage"]["cost_usd"] == 0
    assert markers(world)[1] == HIT


@pytest.mark.parametrize("wish", ["no-cache", "no-store", "No-Cache, no-transform"])
async def test_a_caller_may_ask_for_a_new_answer(world: Any, say: Any, faq: Any, wish: str) -> None:
    faq(BOTH)
    world.script(say.completion("old"), say.completion("new"))
    await world.call(ask())
    await settled(world.memory)
    again = await world.call(ask(), cache_control=wish)
    await settled(world.memory)
    assert again.json["choices"][0]["message"]["content"] == "new"
    assert again.head["x-cache"] == ("bypass" if wish == "no-store" else "miss")
    last = await world.call(ask())
    assert last.json["choices"][0]["message"]["content"] == ("old" if wish == "no-store" else "new")


async def test_failures_cut_streams_and_blocked_answers_are_not_kept(world: Any, say: Any, faq: Any) -> None:
    faq(KEPT, guardrails=say.guardrails(post=["secret"]))
    world.script(
        say.refusal(400), say.stream(say.delta("half")), say.completion("a secret"),
        say.stream(say.delta("a "), say.delta("secret"), say.delta(finish="stop"), say.DONE), say.completion("fine"),
    )  # fmt: skip
    await world.fail("upstream_rejected", ask())
    await world.fail("upstream_incomplete", ask(stream=True))
    await world.fail("blocked", ask())
    await world.fail("blocked", ask(stream=True))
    await settled(world.memory)
    assert (await world.call(ask())).head["x-cache"] == "miss"
    assert len(world.transport.requests) == 5


async def test_kept_answers_are_judged_again(world: Any, say: Any, faq: Any) -> None:
    faq(KEPT)
    world.script(say.completion("a secret"))
    await world.call(ask())
    await settled(world.memory)
    world.publish("strict", ("user", "{{ q }}"), cache=KEPT, guardrails=say.guardrails(post=["secret"]))
    ((place, (value, ends)),) = world.answers._kept.items()
    world.script(say.completion("fine"))
    await world.call(ask(model="strict"))
    await settled(world.memory)
    (other,) = world.answers._kept.keys() - {place}
    world.answers._kept[other] = (value, ends)
    await world.fail("blocked", ask(model="strict"))


async def test_an_answer_that_is_too_large_is_given_and_not_kept(world: Any, say: Any, faq: Any) -> None:
    faq(KEPT)
    world.memory.max_bytes = 100
    world.script(say.completion("x" * 100), say.completion())
    await world.call(ask())
    await settled(world.memory)
    assert (await world.call(ask())).head["x-cache"] == "miss"


async def test_without_the_store_every_call_is_made(world: Any, say: Any, faq: Any) -> None:
    faq(KEPT)
    world.answers.available = False
    world.script(say.completion(), say.completion())
    for _ in range(2):
        assert (await world.call(ask())).head["x-cache"] == "miss"
        await settled(world.memory)


@pytest.mark.parametrize("rubbish", [b"", b"\xc1", b"\x94\x00\x00\xc4\x00\xc0"])
async def test_what_cannot_be_read_is_a_miss(world: Any, say: Any, faq: Any, rubbish: bytes) -> None:
    faq(KEPT)
    world.script(say.completion(), say.completion())
    await world.call(ask())
    await settled(world.memory)
    (place,) = world.answers._kept
    world.answers._kept[place] = (rubbish, 1e9)
    assert (await world.call(ask())).head["x-cache"] == "miss"


# --- answers on their way --------------------------------------------------------------------------------------------
async def together(world: Any, number: int, **fields: Any) -> list[Any]:
    return await asyncio.gather(*(world.call(ask(**fields)) for _ in range(number)))


async def opened(gate: asyncio.Event, world: Any, number: int) -> None:
    """Let the provider answer once so many wait for it."""
    await aboard(world.memory, number)
    gate.set()


async def test_equal_calls_at_one_time_are_one_call(world: Any, say: Any, faq: Any) -> None:
    faq(SHARED)
    gate = asyncio.Event()
    world.script(gate, say.completion("Because."))
    answers, _ = await asyncio.gather(together(world, HERD), opened(gate, world, HERD))
    assert len(world.transport.requests) == 1
    assert sorted(a.head["x-cache"] for a in answers) == ["coalesced"] * (HERD - 1) + ["miss"]
    assert {a.body for a in answers} == {answers[0].body}
    assert sorted(map(str, markers(world)))[: HERD - 1] == [str(JOINED)] * (HERD - 1)
    await settled(world.memory)
    world.script(say.completion())
    assert (await world.call(ask())).head["x-cache"] == "miss"


async def test_a_stream_is_shared_as_it_comes_and_from_its_beginning(world: Any, say: Any, faq: Any) -> None:
    faq(SHARED)
    gate = asyncio.Event()
    world.script(say.stream(say.delta("Be"), gate, say.delta("cause."), say.delta(finish="stop"), say.usage(), say.DONE))
    callers = [world.caller() for _ in range(3)]
    first = asyncio.ensure_future(world.call(ask(stream=True), callers[0]))
    while not callers[0].pieces:
        await asyncio.sleep(0)
    others = [asyncio.ensure_future(world.call(ask(stream=True), caller)) for caller in callers[1:]]
    while not all(caller.pieces for caller in callers):
        await asyncio.sleep(0)
    assert all(not caller.ended for caller in callers)
    gate.set()
    await asyncio.gather(first, *others)
    assert len(world.transport.requests) == 1
    assert {caller.body for caller in callers} == {callers[0].body}
    assert callers[2].frames[-1] == "[DONE]"


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_call_in_the_other_form_waits_for_the_whole(world: Any, say: Any, faq: Any, streamed: bool) -> None:
    faq(SHARED)
    gate = asyncio.Event()
    stream = say.stream(say.delta("Be"), say.delta("cause."), say.delta(finish="stop"), say.usage(), say.DONE)
    world.script(gate, stream if streamed else say.completion("Because."))
    calls = [world.call(ask(stream=each)) for each in (streamed, not streamed)]
    first, second, _ = await asyncio.gather(*calls, opened(gate, world, 2))
    whole, frames = (second, first) if streamed else (first, second)
    assert second.head["x-cache"] == "coalesced"
    assert whole.json["choices"][0]["message"]["content"] == "Because."
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in frames.chunks) == "Because."
    assert len(world.transport.requests) == 1


async def test_a_failure_is_told_to_everybody_who_waited_and_to_nobody_else(world: Any, say: Any, faq: Any) -> None:
    faq(BOTH)
    gate = asyncio.Event()
    world.script(gate, GatewayError(UPSTREAM_ERROR, "broken"))
    *ends, _ = await asyncio.gather(*(world.call(ask()) for _ in range(3)), opened(gate, world, 3), return_exceptions=True)
    assert [isinstance(e, GatewayError) and e.kind is UPSTREAM_ERROR for e in ends] == [True] * 3
    await settled(world.memory)
    world.script(say.completion())
    assert (await world.call(ask())).head["x-cache"] == "miss"


async def test_when_the_first_caller_runs_out_of_time_the_next_one_asks(world: Any, say: Any, faq: Any) -> None:
    faq(SHARED)
    gate = asyncio.Event()
    world.script(gate, GatewayError(DEADLINE, "too late"), say.completion("Because."))
    first = asyncio.ensure_future(world.fail("deadline", ask()))
    second = asyncio.ensure_future(world.call(ask()))
    await opened(gate, world, 2)
    await first
    assert (await second).json["choices"][0]["message"]["content"] == "Because."
    assert second.result().head["x-cache"] == "miss"


async def leave(task: "asyncio.Task[Any]", caller: Any) -> None:
    caller.gone = True
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_caller_who_leaves_does_not_end_the_call_for_the_others_and_pays_it_to_the_end(
    world: Any, say: Any, faq: Any
) -> None:
    faq(BOTH)
    gate = asyncio.Event()
    world.script(say.stream(say.delta("Be"), gate, say.delta("cause."), say.delta(finish="stop"), say.usage(10, 2), say.DONE))
    leaver = world.caller()
    first = asyncio.ensure_future(world.call(ask(stream=True), leaver))
    while not leaver.pieces:
        await asyncio.sleep(0)
    second = asyncio.ensure_future(world.call(ask(stream=True)))
    await aboard(world.memory, 2)
    await leave(first, leaver)
    assert world.ledger.rows == []
    gate.set()
    assert (await second).frames[-1] == "[DONE]"
    await settled(world.memory)
    rows = {row.usage_source: row for row in world.ledger.rows}
    assert (rows["upstream"].outcome, rows["upstream"].output_tokens) == (CLIENT_GONE.name, 2)
    assert rows["upstream"].cost_nano
    assert (rows["coalesced"].outcome, rows["coalesced"].cost_nano) == ("ok", 0)


async def test_the_last_caller_who_leaves_ends_the_call(world: Any, say: Any, faq: Any) -> None:
    faq(SHARED)
    exchange = say.stream(say.delta("Be"), asyncio.Event())
    world.script(exchange)
    callers = [world.caller(), world.caller()]
    tasks = [asyncio.ensure_future(world.call(ask(stream=True), caller)) for caller in callers]
    while not all(caller.pieces for caller in callers):
        await asyncio.sleep(0)
    await leave(tasks[0], callers[0])
    assert exchange.closed == 0
    await leave(tasks[1], callers[1])
    assert exchange.closed == 1
    await settled(world.memory)
    rows = {row.usage_source: row for row in world.ledger.rows}
    assert (rows["estimated"].outcome, rows["estimated"].provider) == ("client_gone", "openai")
    assert (rows["coalesced"].outcome, rows["coalesced"].cost_nano) == ("client_gone", 0)
    assert not world.memory.flights


async def test_who_waits_for_another_call_does_not_wait_beyond_its_own_deadline(world: Any, say: Any, faq: Any) -> None:
    faq(SHARED)
    gate = asyncio.Event()
    world.script(gate, say.completion())
    first = asyncio.ensure_future(world.call(ask()))
    await asyncio.sleep(0)
    await world.fail("deadline", ask(), x_request_timeout_ms="30")
    gate.set()
    assert (await first).status == 200


async def test_a_closing_worker_ends_what_is_on_its_way(world: Any, say: Any, faq: Any) -> None:
    faq(SHARED)
    world.script(asyncio.Event())
    call = asyncio.ensure_future(world.fail("draining", ask()))
    await asked(world)
    await world.memory.close()
    await call


async def test_a_stream_longer_than_the_longest_answer_is_cut(world: Any, say: Any, faq: Any) -> None:
    faq(SHARED)
    world.script(say.stream(say.delta("x" * 700_000), say.delta("x" * 700_000), say.DONE))
    await world.fail("upstream_invalid", ask(stream=True))


async def test_an_answer_without_another_form_is_asked_for_anew(world: Any, say: Any, faq: Any) -> None:
    faq(BOTH)
    gate = asyncio.Event()
    odd = say.stream(b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\n', say.usage(), say.DONE)
    world.script(gate, odd, say.completion("Because."))
    first = asyncio.ensure_future(world.call(ask(stream=True)))
    await asked(world)
    second = asyncio.ensure_future(world.call(ask()))
    await opened(gate, world, 2)
    assert (await first).frames[-1] == "[DONE]"
    assert (await second).head["x-cache"] == "miss"
    assert len(world.transport.requests) == 2


async def test_a_joiner_who_leaves_before_the_first_event_disturbs_nobody(world: Any, say: Any, faq: Any) -> None:
    faq(SHARED)
    gate = asyncio.Event()
    world.script(gate, say.completion("Because."))
    first = asyncio.ensure_future(world.call(ask()))
    await asked(world)
    for stream in (False, True):
        leaver = world.caller()
        task = asyncio.ensure_future(world.call(ask(stream=stream), leaver))
        await aboard(world.memory, 2)
        await leave(task, leaver)
    gate.set()
    assert (await first).status == 200


async def test_a_bug_is_told_to_who_waits(world: Any, faq: Any) -> None:
    faq(SHARED)
    world.script(RuntimeError("bug"))
    error = await world.fail("internal", ask())
    assert "bug" not in error.detail
    await settled(world.memory)


async def test_large_requests_and_answers_are_recalled_too(world: Any, say: Any, faq: Any) -> None:
    faq(KEPT)
    long = ask(variables={"q": "x" * 70_000})
    pieces = [say.delta("y" * 7_000) for _ in range(12)]
    world.script(say.stream(*pieces, say.delta(finish="stop"), say.usage(), say.DONE))
    await world.call({**long, "stream": True})
    await settled(world.memory)
    again = await world.call(long)
    assert again.head["x-cache"] == "hit"
    assert len(again.json["choices"][0]["message"]["content"]) == 84_000


async def test_tokens_are_counted_once_where_the_provider_tells_none(world: Any, say: Any, faq: Any) -> None:
    faq(KEPT)
    world.script(say.completion("one two three", usage=None))
    await world.call(ask())
    await settled(world.memory)
    streamed = await world.call(ask(stream=True, stream_options={"include_usage": True}))
    assert streamed.chunks[-1]["usage"]["completion_tokens"] == 3
    assert [row.usage_source for row in world.ledger.rows] == ["estimated", "cache"]
    assert len(world.tokens.asked) == 1
