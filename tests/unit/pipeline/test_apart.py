"""Where guards judge: short texts on the loop, long ones in threads of their own, going in and coming out, whole and streamed."""

import asyncio
import threading
from typing import Any

import pytest

from gateway.guards.plan import LONG, LONG_LISTED, InputGuard
from gateway.pipeline.apart import Apart
from gateway.pipeline.gates import JudgingGate
from tests.unit.pipeline.conftest import DONE, World, chat, completion, delta, stream, usage, validators

BAD: dict[str, Any] = {"type": "regex", "options": {"pattern": "b[a]d"}}
WORDS = "word " * (LONG // 4)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads in which what goes in, and events that come out, were judged."""
    asked: list[str] = []

    def watched(kind: type, name: str) -> None:
        work = getattr(kind, name)

        def watching(self: Any, *given: Any) -> Any:
            asked.append(threading.current_thread().name.partition("_")[0])
            return work(self, *given)

        monkeypatch.setattr(kind, name, watching)

    watched(InputGuard, "check")
    for name in ("feed", "end", "whole"):
        watched(JudgingGate, name)
    return asked


@pytest.mark.parametrize("world", ["task", "express"], indirect=True)
@pytest.mark.parametrize(("text", "where"), [("Hi", "MainThread"), (WORDS, "guards")])
async def test_a_long_request_is_judged_in_a_thread(world: World, threads: list[str], text: str, where: str) -> None:
    world.allow(guardrails=validators("pre", BAD))
    world.script(completion())
    await world.call(chat(text))
    assert set(threads) == {where}
    error = await world.fail("blocked", chat(text + " bad"))
    assert error.param == "pre:regex"
    assert set(threads) == {where}


@pytest.mark.parametrize("world", ["task", "express"], indirect=True)
@pytest.mark.parametrize(("text", "where"), [(WORDS, "MainThread"), ("word " * (LONG_LISTED // 4), "guards")])
async def test_lists_judge_what_is_longer_on_the_loop(world: World, threads: list[str], text: str, where: str) -> None:
    world.allow(guardrails=validators("pre", prohibited_terms=["bad"]))
    world.script(completion())
    await world.call(chat(text))
    error = await world.fail("blocked", chat(text + " bad"))
    assert error.param == "pre:prohibited_terms"
    assert set(threads) == {where}


@pytest.mark.parametrize("text", ["Hi", WORDS])
async def test_a_long_whole_answer_is_judged_in_a_thread(world: World, threads: list[str], text: str) -> None:
    world.allow(guardrails=validators("post", {**BAD, "on_fail": "redact"}))
    world.script(completion(text + " bad"))
    caller = await world.call()
    assert caller.json["choices"][0]["message"]["content"] == f"{text} [MATCH]"
    assert set(threads) == {"MainThread" if text == "Hi" else "guards"}


@pytest.mark.parametrize("world", ["task", "express"], indirect=True)
@pytest.mark.parametrize("text", ["Hi", WORDS, "word " * (LONG_LISTED // 4)])
async def test_prohibited_terms_end_a_long_answer_as_they_end_a_short_one(world: World, text: str) -> None:
    world.allow(guardrails=validators("post", prohibited_terms=["bad"]))
    world.script(completion(text), completion(f"{text} bad"))
    assert (await world.call()).json["choices"][0]["message"]["content"] == text
    assert (await world.fail("blocked")).param == "post:prohibited_terms"


async def test_a_long_batch_of_a_stream_is_judged_in_a_thread_and_a_short_one_is_not(world: World, threads: list[str]) -> None:
    world.allow(guardrails=validators("post", BAD))
    world.script(stream(delta("Hello "), delta(WORDS), delta("end."), delta(finish="stop"), usage(1, 2), DONE))
    caller = await world.call(chat(stream=True))
    assert caller.frames[-1] == "[DONE]"
    assert set(threads) == {"MainThread", "guards"}


async def test_the_whole_of_a_long_stream_is_judged_in_a_thread(world: World, threads: list[str]) -> None:
    world.allow(guardrails=validators("post", {**BAD, "stage": "whole"}))
    pieces = [delta(WORDS[at : at + 1000]) for at in range(0, len(WORDS), 1000)]
    world.script(stream(*pieces, delta(" b"), delta("ad"), delta(finish="stop"), usage(1, 2), DONE))
    assert (await world.fail("blocked", chat(stream=True))).param == "post:regex"
    assert threads[-1] == "guards"
    assert set(threads[:-1]) == {"MainThread"}


async def test_values_are_put_back_into_a_long_answer(world: World) -> None:
    world.allow(guardrails=validators("pre", {"type": "pii", "on_fail": "mask"}))
    world.script(completion(f"{WORDS}<EMAIL_1>"))
    caller = await world.call(chat("I am ann@example.org"))
    assert caller.json["choices"][0]["message"]["content"] == f"{WORDS}ann@example.org"


async def test_who_is_cancelled_waits_for_what_is_under_way_and_not_for_what_has_not_begun() -> None:
    apart, begun, go = Apart(), threading.Barrier(3), threading.Event()
    done: list[int] = []

    def work(number: int) -> None:
        begun.wait(40)
        go.wait(40)
        done.append(number)

    running = [asyncio.ensure_future(apart.do(lambda number=number: work(number))) for number in range(2)]
    await asyncio.to_thread(begun.wait, 40)
    queued = asyncio.ensure_future(apart.do(lambda: done.append(9)))
    await asyncio.sleep(0)
    for task in (*running, queued):
        task.cancel()
    await asyncio.wait((queued,), timeout=40)
    assert (queued.cancelled(), [task.done() for task in running], done) == (True, [False, False], [])
    go.set()
    await asyncio.gather(*running, return_exceptions=True)
    assert all(task.cancelled() for task in running)
    assert sorted(done) == [0, 1]
