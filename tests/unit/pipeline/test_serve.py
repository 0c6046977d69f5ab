"""The sentence from end to end on memory twins: the order of what happens, and one right row for every end."""

import asyncio
from typing import Any

import msgspec
import pytest

from gateway.core.documents import KeyDocument
from gateway.core.errors import UPSTREAM_INCOMPLETE, UPSTREAM_TIMEOUT, GatewayError
from gateway.core.upstream import Target
from gateway.dialects.chat import CHAT_DIALECT
from gateway.pipeline.serve import serve
from gateway.routing.table import Route, RouteTable


async def settle(*, turns: int = 20) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


async def test_a_whole_answer_is_recorded_before_it_is_sent(world: Any, say: Any) -> None:
    world.script(say.completion("Hi there", (1000, 500)))
    caller = await world.call()
    assert world.steps == ["intent 1", "send openai", "row 1 ok", "whole"]
    assert caller.json["choices"][0]["message"]["content"] == "Hi there"
    row = world.row
    assert (row.outcome, row.status, row.state, row.attempt, row.attempts) == ("ok", 200, 2, 1, 1)
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (1000, 500, "upstream")
    assert (row.cost_nano, row.cost_status) == (1000 * 150 + 500 * 600, "exact")
    assert (row.provider, row.model, row.requested_model, row.finish_reason) == ("openai", "gpt-4o-mini", "gpt-4o-mini", "stop")
    assert (row.application_id, row.key_id, row.prompt, row.stream) == ("app-1", "key-1", None, False)
    assert 0 < row.upstream_us < row.latency_us
    assert 0 < row.first_byte_us < row.latency_us


async def test_a_stream_is_recorded_before_its_last_byte(world: Any, say: Any) -> None:
    world.script(say.stream(say.delta("Hi "), say.delta("there"), say.delta(finish="stop") + say.usage() + say.DONE))
    caller = await world.call(say.chat(stream=True))
    assert world.steps == ["intent 1", "send openai", "start", "write", "write", "write", "row 1 ok", "end"]
    assert caller.frames[-1] == "[DONE]"
    assert world.row.outcome == "ok"
    assert world.row.stream is True


async def test_a_prompt_is_named_in_row_and_head(world: Any, say: Any) -> None:
    version = world.publish("faq", ("system", "Be {{ tone }}."))
    world.script(say.completion())
    caller = await world.call(
        say.chat(model="faq", variables={"tone": "brief"}, user="u-1"), x_session_id="s-1", x_tags="a, b", x_request_id="r-1"
    )
    row = world.row
    assert (row.prompt, row.version, row.alias, row.user, row.session, row.tags) == (
        "faq",
        version,
        "production",
        "u-1",
        "s-1",
        ("a", "b"),
    )
    assert caller.head["x-prompt"] == "faq@production:1"
    assert caller.head["x-prompt-digest"] == row.content_hash
    assert caller.head["x-request-id"] == row.request_id == "r-1"
    assert caller.head["x-provider"] == "openai"
    assert caller.head["x-model"] == "gpt-4o-mini"
    assert caller.head["x-attempts"] == "1"
    assert b'"content":"Be brief."' in world.transport.requests[0][1].body


async def test_phases_are_timed_in_their_order(world: Any, say: Any) -> None:
    world.script(say.completion())
    caller = await world.call()
    names = [entry.split(";")[0] for entry in caller.head["server-timing"].split(", ")]
    assert names == [
        "queue",
        "authenticate",
        "resolve",
        "render",
        "admit",
        "guard_in",
        "route",
        "call",
        "guard_out",
        "upstream",
        "gateway",
    ]
    (journal,) = world.observed.journals
    assert journal.laps == sorted(journal.laps)
    assert len(journal.laps) == 10


async def test_the_gate_is_before_the_work(world: Any, say: Any) -> None:
    """Nobody without a key learns anything, not even whether the body was JSON; no row names them, but they are counted."""
    for headers in ({"authorization": "Bearer pg_no"}, {"authorization": "Basic x"}, {"authorization": ""}):
        await world.fail("unauthenticated", b"{not json", **headers)
    assert world.steps == []
    assert [journal.caller for journal in world.observed.journals] == [None] * 3


async def test_an_expired_key_is_refused_even_from_memory(world: Any, say: Any) -> None:
    world.script(say.completion())
    await world.call()
    world.allow(expires_at_ms=1)
    world.ledger.rows.clear()
    await world.fail("unauthenticated")
    document = KeyDocument("key-1", "app-1", "demo", "pub", expires_at_ms=1_760_000_000_000)
    world.releases._keys.live[world.key.digest] = world.releases._key_entry(document)
    await world.fail("unauthenticated")
    assert world.ledger.rows == []


@pytest.mark.parametrize(
    ("kind", "status", "body", "headers"),
    [
        ("malformed", 400, b"{", {}),
        ("malformed", 400, {"model": "gpt-4o-mini", "messages": []}, {}),
        ("unsupported", 415, {}, {"content_type": "text/plain"}),
        ("unknown_prompt", 404, {"prompt": {"id": "nobody"}, "messages": []}, {}),
        ("contradiction", 400, {"prompt": {"id": "a"}, "messages": []}, {"x_prompt": "b"}),
        ("missing_variable", 400, {"model": "ask", "messages": []}, {}),
        ("invalid_variable", 400, {"model": "ask", "variables": {"q": 7}, "messages": []}, {}),
        ("blocked", 400, {"model": "ask", "variables": {"q": "the secret word"}, "messages": []}, {}),
        ("unknown_model", 404, {"model": "elsewhere", "messages": [{"role": "user", "content": "x"}]}, {}),
    ],
)
async def test_a_call_that_ends_before_the_provider_has_one_row_and_no_intent(
    world: Any, say: Any, kind: str, status: int, body: object, headers: dict[str, str]
) -> None:
    world.publish(
        "ask",
        ("user", "{{ q }}"),
        variables={"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
        guardrails=say.guardrails(pre=["secret"]),
    )
    services = msgspec.structs.replace(world.services, routes=RouteTable([Route(("gpt-*",), world.targets)]))
    with pytest.raises(GatewayError) as caught:
        await serve(world.inbound(body, **headers), services, world.caller(), CHAT_DIALECT)
    assert caught.value.kind.name == kind, caught.value.detail
    row = world.row
    assert (row.outcome, row.status, row.attempt, row.attempts, row.upstream_us) == (kind, status, 0, 0, None)
    assert row.error == caught.value.detail
    assert row.cost_nano is None
    assert row.usage_source is None
    assert world.ledger.intents == []
    assert world.steps == [f"row 0 {kind}"]
    assert row.guard == ("pre:prohibited_terms" if kind == "blocked" else None)


async def test_over_the_limit_nothing_is_sent(world: Any, say: Any) -> None:
    world.allow(requests_per_minute=1)
    world.script(say.completion())
    first = await world.call()
    assert first.head["x-ratelimit-limit-requests"] == "1"
    assert first.head["x-ratelimit-remaining-requests"] == "0"
    error = await world.fail("rate_limited")
    assert b"x-ratelimit-remaining-requests: 0" in error.headers
    assert [(row.outcome, row.status) for row in world.ledger.rows] == [("ok", 200), ("rate_limited", 429)]


async def test_with_a_full_ledger_nothing_is_sent(world: Any) -> None:
    world.ledger.full = True
    await world.fail("ledger_full")
    assert world.steps == ["row 0 ledger_full"]
    assert world.row.status == 503


@pytest.mark.parametrize("status", [400, 401, 404, 422, 429, 500, 503])
async def test_a_providers_refusal_is_the_outcome(world: Any, say: Any, status: int) -> None:
    kind = {
        400: "upstream_rejected",
        401: "upstream_auth_error",
        404: "upstream_rejected",
        422: "upstream_rejected",
        429: "upstream_rate_limited",
    }
    world.script(exchange := say.refusal(status))
    error = await world.fail(kind.get(status, "upstream_error"))
    row = world.row
    assert (row.outcome, row.status, row.attempt) == (error.kind.name, error.status, 1)
    assert (row.input_tokens, row.output_tokens, row.cost_nano, row.cost_status) == (None, None, None, None)
    assert exchange.closed == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_that_does_not_answer(world: Any, say: Any, stream: bool) -> None:
    world.script(GatewayError(UPSTREAM_TIMEOUT, "too slow"))
    await world.fail("upstream_timeout", say.chat(stream=stream))
    assert (world.row.outcome, world.row.status, world.row.first_byte_us) == ("upstream_timeout", 504, None)


async def test_a_stream_cut_in_the_middle_bills_what_was_made_as_an_estimate(world: Any, say: Any) -> None:
    world.script(exchange := say.stream(say.delta("twelve chars"), GatewayError(UPSTREAM_INCOMPLETE, "cut")))
    caller = world.caller()
    await world.fail("upstream_incomplete", say.chat("x" * 400, stream=True), caller)
    assert caller.started
    assert not caller.ended
    row = world.row
    assert (row.outcome, row.status, row.usage_source, row.cost_status) == (
        "upstream_incomplete",
        200,
        "estimated",
        "estimated",
    )
    assert row.output_tokens == 3
    assert row.input_tokens == 100
    assert row.cost_nano == 100 * 150 + 3 * 600
    assert exchange.closed == 1
    assert world.steps == ["intent 1", "send openai", "start", "write", "row 1 upstream_incomplete"]


async def test_a_caller_who_leaves_while_the_provider_thinks(world: Any, say: Any) -> None:
    world.script(asyncio.Event())
    caller = world.caller()
    task = asyncio.ensure_future(world.call(caller=caller))
    await settle()
    caller.gone = True
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    row = world.row
    assert (row.outcome, row.status, row.attempt, row.usage_source) == ("client_gone", 499, 1, None)
    assert world.steps == ["intent 1", "send openai", "row 1 client_gone"]


async def test_a_caller_who_leaves_in_the_middle_of_a_stream(world: Any, say: Any) -> None:
    world.script(exchange := say.stream(say.delta("a" * 40), asyncio.Event()))
    caller = world.caller()
    task = asyncio.ensure_future(world.call(say.chat(stream=True), caller))
    await settle()
    assert caller.chunks
    caller.gone = True
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    row = world.row
    assert (row.outcome, row.status, row.usage_source, row.output_tokens) == ("client_gone", 200, "estimated", 10)
    assert exchange.closed == 1


@pytest.mark.parametrize("step", ["start", "write"])
async def test_a_caller_found_gone_when_written_to(world: Any, say: Any, step: str) -> None:
    world.script(exchange := say.stream(say.delta("abcdefgh"), say.usage() + say.DONE))
    caller = world.caller()
    caller.leave_at = step
    await world.fail("client_gone", say.chat(stream=True), caller)
    assert world.row.outcome == "client_gone"
    assert world.row.output_tokens == 2
    assert exchange.closed == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_shutdown_ends_the_call_with_a_503_and_a_row(world: Any, say: Any, stream: bool) -> None:
    world.script(asyncio.Event())
    task = asyncio.ensure_future(world.call(say.chat(stream=stream)))
    await settle()
    task.cancel()
    with pytest.raises(GatewayError) as caught:
        await task
    assert caught.value.kind.name == "draining"
    assert caught.value.retry_after == 1
    assert (world.row.outcome, world.row.status) == ("draining", 503)


async def test_a_bug_is_a_500_with_its_cause_kept_private(world: Any, say: Any) -> None:
    world.script(ZeroDivisionError("a private number"))
    error = await world.fail("internal")
    assert error.detail == "internal error"
    assert "private" in (error.cause or "")
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert (world.row.outcome, world.row.status, world.row.error) == ("internal", 500, "internal error")


async def test_a_bug_in_a_stream_still_writes_the_row_and_closes_the_connection(world: Any, say: Any) -> None:
    world.script(exchange := say.stream(say.delta("x"), ZeroDivisionError()))
    await world.fail("internal", say.chat(stream=True))
    assert (world.row.outcome, world.row.status) == ("internal", 200)
    assert exchange.closed == 1


async def test_a_block_of_the_answer_shows_nothing_of_it_and_bills_it(world: Any, say: Any) -> None:
    world.publish("ask", ("user", "hi"), guardrails=say.guardrails(post=["secret"]))
    world.script(say.completion("my Secret plan", (5, 4)))
    caller = world.caller()
    error = await world.fail("blocked", {"model": "ask"}, caller)
    assert not caller.started
    assert error.param == "post:prohibited_terms"
    row = world.row
    assert (row.outcome, row.status, row.guard, row.output_tokens, row.cost_status) == (
        "blocked",
        400,
        "post:prohibited_terms",
        4,
        "exact",
    )


async def test_a_block_in_a_stream_releases_what_was_clean_and_no_done(world: Any, say: Any) -> None:
    world.publish("ask", ("user", "hi"), guardrails=say.guardrails(post=["secret"]))
    world.script(say.stream(say.delta("All clean. "), say.delta("Now my sec"), say.delta("ret "), asyncio.Event()))
    caller = world.caller()
    await world.fail("blocked", {"model": "ask", "stream": True}, caller)
    assert caller.started
    shown = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in caller.chunks)
    assert shown == "All clean. "
    assert b"[DONE]" not in caller.body
    row = world.row
    assert (row.outcome, row.status, row.guard, row.usage_source) == ("blocked", 200, "post:prohibited_terms", "estimated")


async def test_a_block_before_anything_was_shown_is_a_plain_400(world: Any, say: Any) -> None:
    world.publish("ask", ("user", "hi"), guardrails=say.guardrails(required=["disclaimer"]))
    world.script(say.stream(say.delta("secret"), say.DONE))
    caller = world.caller()
    await world.fail("blocked", {"model": "ask", "stream": True}, caller)
    assert world.row.guard == "post:required_elements"


async def test_the_deadline_of_the_caller_is_handed_on(world: Any, say: Any) -> None:
    world.script(say.completion())
    seen: list[float] = []
    send = world.transport.send

    async def noted(target: Target, request: Any, deadline: float) -> Any:
        seen.append(deadline)
        return await send(target, request, deadline)

    world.transport.send = noted
    await world.call(x_request_timeout_ms="250")
    assert seen == [pytest.approx(600.25, abs=0.01)]


async def test_what_follows_done_is_read_so_that_the_connection_can_be_kept(world: Any, say: Any) -> None:
    world.script(exchange := say.stream(say.delta("x") + say.usage() + say.DONE, b": bye\n\n"))
    await world.call(say.chat(stream=True))
    assert exchange.pieces == []
    assert exchange.closed == 1


async def test_what_the_guards_let_pass_is_sent(world: Any, say: Any) -> None:
    world.publish("ask", ("user", "{{ q }}"), guardrails=say.guardrails(pre=["secret"], post=["secret"]))
    world.script(say.completion("secretary"))
    caller = await world.call({"model": "ask", "variables": {"q": "the secretary"}})
    assert caller.json["choices"][0]["message"]["content"] == "secretary"
    assert (world.row.outcome, world.row.guard) == ("ok", None)


async def test_a_block_names_the_guard_and_not_the_text(world: Any, say: Any) -> None:
    world.publish("ask", ("user", "{{ q }}"), guardrails=say.guardrails(pre=["secret"]))
    error = await world.fail("blocked", {"model": "ask", "variables": {"q": "my diary holds a SECRET"}})
    assert error.param == "pre:prohibited_terms"
    assert "diary" not in error.detail
    assert world.transport.requests == []
