"""Traces through the sentence: what attempts are noted, what providers are told, where the answer says so."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.core.trace import Sampler, TracedAttempt
from gateway.core.upstream import Target
from gateway.edge.counting import of_message
from gateway.edge.openai import chat as door
from gateway.pipeline.receive import Receiver
from gateway.providers.anthropic.translator import AnthropicTranslator
from gateway.routing.policy import Policy
from gateway.routing.table import Route, RouteTable

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
OWN = 0x1000
A, B = Target("openai", "", "http://one", "sk-1"), Target("second", "", "http://two", "sk-2")


@pytest.fixture
def traced(world: Any) -> Any:
    """A world that records what its callers record; spans are numbered from :data:`OWN`, then from twice that."""
    drawn: Iterator[int] = iter(range(OWN, 100 * OWN, OWN))
    world.receiver = Receiver(world.clock, world.now_ms, lambda bits: (1 << bits) - 1, 600, Sampler(0.0, lambda _: next(drawn)))
    world.targets = (A, B)
    return world


def told(world: Any) -> list[str | None]:
    """The ``traceparent`` of every request that went out."""
    sent = [dict(request.headers).get(b"traceparent") for _, request in world.transport.requests]
    return [None if header is None else header.decode() for header in sent]


def attempts(world: Any) -> list[TracedAttempt]:
    trace = world.observed.journals[-1].inbound.trace
    return list(trace.attempts)


def child(number: int) -> str:
    return f"00-{TRACE}-{OWN + number:016x}-01"


async def test_every_attempt_is_noted_and_told_of(traced: Any, say: Any) -> None:
    traced.script(say.refusal(500))
    traced.script(say.completion(), provider="second")
    await traced.call(traceparent=SAMPLED)
    assert told(traced) == [child(1), child(2)]
    first, second = attempts(traced)
    assert (first.provider, first.error, first.status, first.answered) == ("openai", "upstream_error", 500, None)
    assert (second.provider, second.error, second.ended) == ("second", None, None)
    assert second.answered > second.began >= first.ended > first.began
    assert "sk-1" not in repr(attempts(traced))


async def test_a_trace_goes_through_where_nothing_is_recorded(world: Any, say: Any) -> None:
    world.script(say.completion(), say.completion(), say.completion())
    for header in (SAMPLED, UNSAMPLED):
        caller = world.caller()
        await door(world.inbound(say.chat(), traceparent=header, tracestate="a=1"), world.services, caller)
        assert "traceresponse" not in caller.head
    await world.call()
    assert told(world) == [SAMPLED, UNSAMPLED, None]
    assert dict(world.transport.requests[0][1].headers)[b"tracestate"] == b"a=1"
    assert world.observed.journals[-1].inbound.trace is None


async def test_a_hedge_that_lost_has_ended_without_an_error(traced: Any, say: Any) -> None:
    traced.table = RouteTable([Route(("*",), (A, B), Policy(hedge_after=0.002))])
    traced.script(say.stream(asyncio.Event()))
    traced.script(say.stream(say.delta("quick"), say.usage() + say.DONE), provider="second")
    await traced.call(say.chat(stream=True), traceparent=SAMPLED)
    lost, won = attempts(traced)
    assert (lost.number, lost.error, lost.answered, lost.ended is None) == (1, None, None, False)
    assert (won.number, won.answered is None, won.ended) == (2, False, None)
    assert told(traced) == [child(1), child(2)]


async def test_the_answer_says_where_its_span_is_and_so_does_a_refusal(traced: Any, say: Any) -> None:
    traced.script(say.completion(), say.refusal(400))
    for status in (200, 400):
        caller = traced.caller()
        await door(traced.inbound(say.chat(), traceparent=SAMPLED), traced.services, caller)
        span_id = traced.observed.journals[-1].inbound.trace.span_id
        assert (caller.status, caller.head["traceresponse"]) == (status, f"00-{TRACE}-{span_id:016x}-01")


async def test_a_replay_has_the_trace_of_its_own_call(traced: Any, say: Any) -> None:
    traced.script(say.completion())
    heads = []
    for number in (1, 2):
        caller = traced.caller()
        inbound = traced.inbound(say.chat(), traceparent=SAMPLED, idempotency_key="k")
        inbound.call_id = f"00000000-0000-7000-8000-00000000000{number}"
        await door(inbound, traced.services, caller)
        heads.append(caller.head)
    assert heads[1]["idempotent-replayed"] == "true"
    assert [head["traceresponse"] for head in heads] == [f"00-{TRACE}-{number * OWN:016x}-01" for number in (1, 2)]


async def test_a_model_that_a_guard_asks_is_below_the_call(traced: Any, say: Any) -> None:
    judge = {"type": "judge", "options": {"model": "small", "instruction": "It is rude."}}
    traced.publish("faq", ("system", "Help."), guardrails=say.validators("post", judge))
    traced.script(say.completion("One two."), say.completion('{"score": 0}'))
    await traced.call(say.chat(model="faq"), traceparent=SAMPLED)
    judged, call = (journal.inbound.trace for journal in traced.observed.journals)
    assert (judged.trace_id, judged.parent_id, judged.recorded) == (call.trace_id, call.span_id, True)
    assert len(judged.attempts) == len(call.attempts) == 1
    assert told(traced)[1] == f"00-{TRACE}-{judged.span_id + 1:016x}-01"


async def test_counting_tokens_is_an_attempt_like_any_other(traced: Any, say: Any) -> None:
    traced.translators = {"openai": AnthropicTranslator(now=lambda: 0)}
    traced.script(type(say.completion())(200, b"application/json", [b'{"input_tokens": 3}']))
    body = {"model": "claude", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
    caller = traced.caller()
    await of_message(traced.inbound(body, traceparent=SAMPLED), traced.services, caller)
    assert caller.json == {"input_tokens": 3}
    assert told(traced) == [child(1)]
    assert caller.head["traceresponse"].split("-")[1] == TRACE
