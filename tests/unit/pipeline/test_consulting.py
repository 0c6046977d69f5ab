"""Guards that ask others: when they are asked, what follows, and that nothing of an answer is out before they have spoken."""

import asyncio
from typing import Any

import msgspec
import pytest

from gateway.core.documents import VariantSpec
from gateway.core.errors import UPSTREAM_UNREACHABLE, GatewayError
from gateway.core.trace import given
from gateway.edge import doors
from gateway.pipeline.serve import serve
from gateway.pipeline.services import Provider
from gateway.providers.forwarding import OpenAIForwarder
from tests.unit.pipeline.conftest import Exchange

HTTP = {"type": "http", "name": "house", "options": {"endpoint": "rules"}}
JUDGE = {"type": "judge", "options": {"model": "small", "instruction": "It is rude."}}

GENERATING: dict[str, Any] = {
    "/v1/chat/completions": lambda text: {"model": "m", "messages": [{"role": "user", "content": text}]},
    "/v1/completions": lambda text: {"model": "m", "prompt": text},
    "/v1/messages": lambda text: {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": text}]},
    "/v1/responses": lambda text: {"model": "m", "input": text},
    "/v1/prompts/faq/completions": lambda text: {"messages": [{"role": "user", "content": text}]},
    "/api/v1/execute/faq/latest": lambda text: {"messages": [{"role": "user", "content": text}]},
}
"""Every path at which a model is asked for text, with the body that asks."""


def sent(world: Any, provider: str) -> list[Any]:
    """The bodies that a provider or an endpoint was sent."""
    return [msgspec.json.decode(request.body) for target, request in world.transport.requests if target.provider == provider]


# --- going in -----------------------------------------------------------------------------------------------------------


async def test_a_service_is_asked_beside_the_provider_and_what_it_allows_passes(guarded: Any, say: Any):
    world = guarded("pre", HTTP)
    world.script(say.completion("Hello."))
    world.script(say.opinion(), provider="guard:rules")
    caller = await world.call(say.chat("Hi", model="faq"))
    assert caller.status == 200
    assert "x-guardrails" not in caller.head
    (question,) = sent(world, "guard:rules")
    assert (question["stage"], question["texts"], question["roles"]) == ("pre", ["Help.", "Hi"], ["system", "user"])
    assert (question["application"], question["prompt"]) == ("demo", "faq@production:1")
    ((target, request),) = [pair for pair in world.transport.requests if pair[0].provider == "guard:rules"]
    assert target.base_url == "http://guard"
    assert dict(request.headers)[b"x-promptgate-signature"].startswith(b"t=1760000000,v1=")
    assert b"traceparent" not in dict(request.headers)
    assert world.row.trace_id is None


async def test_a_service_is_told_of_the_trace_and_so_is_the_row(guarded: Any, say: Any):
    world = guarded("pre", HTTP)
    world.script(say.completion("Hello."))
    world.script(say.opinion(), provider="guard:rules")
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    inbound = world.inbound(say.chat("Hi", model="faq"))
    inbound.trace = given({b"traceparent": f"00-{trace}-{parent}-00".encode()})
    await serve(inbound, world.services, world.caller(), world.dialect)
    ((_, request),) = [pair for pair in world.transport.requests if pair[0].provider == "guard:rules"]
    assert dict(request.headers)[b"traceparent"] == f"00-{trace}-{parent}-00".encode()
    assert world.row.trace_id == trace


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_block_ends_the_call_though_its_answer_is_there(guarded: Any, say: Any, streamed: bool):
    world = guarded("pre", HTTP)
    whole = say.completion("Secret answer.", usage=(10, 3))
    answer = say.stream(say.delta("Secret"), say.delta(finish="stop"), say.DONE) if streamed else whole
    waits = asyncio.Event()
    world.script(answer)
    world.script(waits, say.opinion("block", what="rule_7"), provider="guard:rules")
    caller = world.caller()
    running = asyncio.ensure_future(world.fail("blocked", say.chat(model="faq", stream=streamed), caller))
    while world.transport.scripts["openai"]:
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not running.done()
    waits.set()
    error = await running
    assert (error.param, error.status) == ("pre:house", 400)
    assert error.headers == b'x-guardrails: pre:house;action=block;found="rule_7"\r\n'
    assert caller.pieces == []
    assert answer.closed == 1
    row = world.row
    assert (row.attempt, row.outcome, row.guard, row.input_tokens is not None) == (1, "blocked", "pre:house", True)
    assert row.verdicts == ['pre:house;action=block;found="rule_7"']


async def test_a_block_cancels_a_call_that_still_waits(guarded: Any, say: Any):
    world = guarded("pre", {**HTTP, "message": "Not that."})
    world.script(asyncio.Event(), say.completion("never"))
    world.script(say.opinion("block"), provider="guard:rules")
    caller = await world.call(say.chat(model="faq"))
    assert caller.json["choices"][0]["message"]["content"] == "Not that."
    assert (world.row.outcome, world.row.status, world.row.usage_source) == ("blocked", 200, "estimated")


async def test_a_call_that_fails_does_not_wait_for_its_guards(guarded: Any, say: Any):
    world = guarded("pre", HTTP)
    world.script(say.refusal(400))
    world.script(asyncio.Event(), provider="guard:rules")
    await world.fail("upstream_rejected", say.chat(model="faq"))


async def test_a_service_may_rewrite_before_the_provider_is_asked(guarded: Any, say: Any):
    world = guarded("pre", {**HTTP, "options": {"endpoint": "rules", "may_rewrite": True}})
    world.script(say.opinion("rewrite", what="names", texts=["Help.", "Hi, I am [NAME]."]), provider="guard:rules")
    world.script(say.completion("Hello."))
    caller = await world.call(say.chat("Hi, I am Ada.", model="faq"))
    assert caller.head["x-guardrails"] == 'pre:house;action=replace;found="names"'
    assert [step for step in world.steps if step.startswith("send")] == ["send guard:rules", "send openai"]
    (body,) = sent(world, "openai")
    assert [message["content"] for message in body["messages"]] == ["Help.", "Hi, I am [NAME]."]


async def test_guards_that_only_observe_change_nothing(guarded: Any, say: Any):
    world = guarded("pre", {**HTTP, "mode": "observe"}, {**JUDGE, "mode": "observe"})
    world.script(say.completion("Hello."), say.completion("no JSON"))
    world.script(say.opinion("block", what="rule_7"), provider="guard:rules")
    caller = await world.call(say.chat(model="faq"))
    assert caller.status == 200
    assert caller.head["x-guardrails"] == (
        'pre:house;action=block;observe;found="rule_7", pre:judge;action=error_closed;observe;found="error"'
    )


# --- who could not judge --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["down", "status", "redirect", "words", "slow", "unknown"])
@pytest.mark.parametrize("on_error", ["closed", "open"])
async def test_a_guard_that_cannot_judge_refuses_or_lets_pass_as_it_says(guarded: Any, say: Any, fault: str, on_error: str):
    options = {"endpoint": "nowhere" if fault == "unknown" else "rules"}
    world = guarded("pre", {**HTTP, "options": options, "on_error": on_error, "timeout_ms": 1})
    bad = {
        "down": GatewayError(UPSTREAM_UNREACHABLE, "no connection"),
        "status": say.refusal(500),
        "redirect": say.refusal(302),
        "words": say.opinion("maybe"),
        "slow": asyncio.Event(),
    }
    if fault in bad:
        world.script(bad[fault], provider="guard:rules")
    world.script(say.completion("Hello."))
    if on_error == "open":
        caller = await world.call(say.chat(model="faq"))
        assert caller.head["x-guardrails"] == 'pre:house;action=error_open;found="error"'
        assert world.row.outcome == "ok"
        return
    error = await world.fail("guard_unavailable", say.chat(model="faq"))
    assert (error.status, error.param) == (503, "pre:house")
    assert b"error_closed" in error.headers
    assert world.row.verdicts == ['pre:house;action=error_closed;found="error"']


async def test_all_guards_together_have_a_budget(guarded: Any, say: Any):
    world = guarded("pre", {**HTTP, "on_error": "open"}, {**HTTP, "name": "second", "on_error": "open"}, budget_ms=5)
    world.script(asyncio.Event(), asyncio.Event(), provider="guard:rules")
    world.script(say.completion("Hello."))
    caller = await world.call(say.chat(model="faq"))
    assert caller.head["x-guardrails"] == (
        'pre:house;action=error_open;found="error", pre:second;action=error_open;found="error"'
    )


async def test_a_service_that_keeps_failing_is_left_alone(guarded: Any, say: Any):
    world = guarded("pre", {**HTTP, "on_error": "open"})
    world.script(say.refusal(500), say.refusal(500), provider="guard:rules")
    world.script(*[say.completion("Hello.") for _ in range(3)])
    for _ in range(3):
        await world.call(say.chat(model="faq"))
    assert len(sent(world, "guard:rules")) == 2


# --- coming out -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["allow", "block"])
async def test_a_stream_is_held_to_its_end_for_who_judges_the_whole(guarded: Any, say: Any, action: str):
    world = guarded("post", HTTP)
    world.script(say.stream(say.delta("One "), say.delta("two."), say.delta(finish="stop"), say.usage(10, 4), say.DONE))
    world.script(say.opinion(action, what="tone"), provider="guard:rules")
    caller = world.caller()
    if action == "block":
        error = await world.fail("blocked", say.chat(model="faq", stream=True), caller)
        assert (error.param, caller.pieces) == ("post:house", [])
        assert (world.row.output_tokens, world.row.usage_source) == (4, "upstream")
    else:
        await world.call(say.chat(model="faq", stream=True), caller)
        assert caller.frames[-1] == "[DONE]"
    (question,) = sent(world, "guard:rules")
    assert (question["stage"], question["texts"], question["roles"]) == ("post", ["One two."], ["assistant"])


async def test_a_judge_has_a_model_asked_again_and_rows_of_its_own(guarded: Any, say: Any):
    world = guarded("post", {**JUDGE, "on_fail": "reask"})
    world.script(
        say.completion("You fool."), say.completion('{"score": 0.9}'), say.completion("Dear you."), say.completion('{"score": 0}')
    )  # fmt: skip
    caller = await world.call(say.chat(model="faq"))
    assert caller.json["choices"][0]["message"]["content"] == "Dear you."
    rows = [(row.door, row.attempt, row.outcome, row.model) for row in world.ledger.rows]
    assert rows == [
        ("guard", 1, "ok", "small"), ("chat", 1, "blocked", "gpt-4o-mini"),
        ("guard", 1, "ok", "small"), ("chat", 2, "ok", "gpt-4o-mini"),
    ]  # fmt: skip
    mine = [row for row in world.ledger.rows if row.door == "chat"]
    judged = [row for row in world.ledger.rows if row.door == "guard"]
    assert len({row.call_id for row in world.ledger.rows}) == 3
    assert {row.request_id for row in judged} == {mine[0].request_id}
    assert {row.application_id for row in judged} == {"app-1"}
    assert all(row.usage_source == "upstream" for row in judged)
    assert float(caller.head["x-cost-usd"]) == pytest.approx(sum(row.cost_nano for row in mine) / 1e9)
    questions = [body for body in sent(world, "openai") if body["model"] == "small"]
    assert [message["role"] for message in questions[0]["messages"]] == ["system", "user"]
    assert questions[0]["temperature"] == 0


async def test_a_judge_is_not_judged(world: Any, say: Any):
    world.allow(guardrails=say.validators("pre", JUDGE))
    world.script(say.completion("Hello."), say.completion('{"score": 0}'))
    caller = await world.call(say.chat("Hi"))
    assert caller.status == 200
    assert sorted(row.door for row in world.ledger.rows) == ["chat", "guard"]


async def test_a_judge_that_is_refused_by_its_provider_could_not_judge(guarded: Any, say: Any):
    world = guarded("post", JUDGE)
    world.script(say.completion("Hello."), say.refusal(400))
    await world.fail("guard_unavailable", say.chat(model="faq"))
    assert [(row.door, row.outcome) for row in world.ledger.rows] == [
        ("guard", "upstream_rejected"), ("chat", "guard_unavailable"),
    ]  # fmt: skip


# --- moderation and embeddings --------------------------------------------------------------------------------------------


async def ask(world: Any, body: Any) -> Any:
    """One call, where the provider has OpenAI's other endpoints too."""
    (target,) = world.targets
    provider = Provider(world.translator, world.transport, OpenAIForwarder(), target)
    services = msgspec.structs.replace(world.services, providers={"openai": provider})
    services.routes.passthrough = "openai"
    caller = world.caller()
    await serve(world.inbound(body), services, caller, world.dialect)
    return caller


def answer(body: Any) -> Exchange:
    return Exchange(200, b"application/json", [msgspec.json.encode(body)])


def vectors(*given: list[float]) -> Exchange:
    data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(given)]
    return answer({"object": "list", "data": data, "usage": {"prompt_tokens": 3, "total_tokens": 3}})


async def test_moderation_is_asked_of_a_provider(guarded: Any, say: Any):
    world = guarded("post", {"type": "moderation", "options": {"threshold": 0.4}, "message": "No."})
    flagged = {"results": [{"categories": {"violence": False}, "category_scores": {"violence": 0.5}}]}
    world.script(say.completion("Fight!"), answer(flagged))
    caller = await ask(world, say.chat(model="faq"))
    assert caller.json["choices"][0]["message"]["content"] == "No."
    assert caller.head["x-guardrails"] == 'post:moderation;action=block;found="violence"'
    assert world.transport.requests[1][1].path == "/moderations"
    assert sent(world, "openai")[1] == {"input": ["Fight!"]}
    assert [(row.door, row.outcome) for row in world.ledger.rows] == [("guard", "ok"), ("chat", "blocked")]


async def test_a_topic_asks_for_its_examples_once(guarded: Any, say: Any):
    options = {"model": "embed", "denied": ["guns"], "threshold": 0.9}
    world = guarded("post", {"type": "topic", "options": options})
    world.script(say.completion("Cats."), vectors([1.0, 0.0]), vectors([0.0, 1.0]))
    await ask(world, say.chat(model="faq"))
    world.script(say.completion("Guns."), vectors([1.0, 0.1]))
    with pytest.raises(GatewayError) as caught:
        await ask(world, say.chat(model="faq"))
    assert caught.value.param == "post:topic"
    inputs = [body["input"] for body in sent(world, "openai") if body["model"] == "embed"]
    assert inputs == [["guns"], ["Cats."], ["Guns."]]
    judged = [row for row in world.ledger.rows if row.door == "guard"]
    assert [row.input_tokens for row in judged] == [3, 3, 3]


@pytest.mark.parametrize("bad", [vectors([1.0], [2.0]), answer({"data": "x"}), vectors([])])
async def test_vectors_that_cannot_be_compared_are_no_verdict(guarded: Any, say: Any, bad: Exchange):
    world = guarded("post", {"type": "topic", "options": {"model": "embed", "denied": ["guns"]}, "on_error": "open"})
    bad.pieces = [bad.pieces[0]] if bad.pieces else []
    world.script(say.completion("Cats."), vectors([1.0, 0.0]), bad)
    caller = await ask(world, say.chat(model="faq"))
    assert caller.head["x-guardrails"] == 'post:topic;action=error_open;found="error"'


async def test_a_provider_without_moderations_could_not_judge(guarded: Any, say: Any):
    world = guarded("post", {"type": "moderation"})
    world.script(say.completion("Hello."))
    await world.fail("guard_unavailable", say.chat(model="faq"))


# --- all doors, and variants ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("path", sorted(GENERATING))
async def test_no_door_that_generates_text_skips_the_guards(world: Any, say: Any, path: str, streamed: bool):
    world.allow(guardrails=say.guardrails(pre=["acme"], post=["initech"]))
    world.publish("faq", ("system", "Help."))
    for text, param in (("acme", "pre:prohibited_terms"), ("Hi", "post:prohibited_terms")):
        if streamed:
            world.script(say.stream(say.delta("by initech "), say.delta(finish="stop"), say.DONE))
        else:
            world.script(say.completion("by initech"))
        body = {**GENERATING[path](text), "stream": streamed}
        caller = world.caller()
        inbound = msgspec.structs.replace(world.inbound(body), door=doors.name_of("POST", path))
        await doors.answer("POST", path, inbound, world.services, caller)
        world.transport.scripts.clear()
        assert caller.status == 400, (path, caller.body)
        assert param in caller.body.decode()
        assert "initech" not in caller.body.decode().replace("'initech'", "")
        assert world.ledger.rows[-1].guard == param
        assert world.ledger.rows[-1].outcome == "blocked"


def test_every_door_that_generates_text_is_known_here():
    named = {path for path in GENERATING if path.encode() in doors.HOT_ROUTES}
    assert named | {"/v1/embeddings"} == {path.decode() for path in doors.HOT_ROUTES}


async def test_a_variant_has_guards_of_its_own(world: Any, say: Any):
    world.publish("faq", ("system", "Help."), guardrails=say.guardrails(post=["acme"]))
    arms = [
        VariantSpec("strict", 1, 5000, guardrails=say.guardrails(post=["globex"])),
        VariantSpec("control", 1, 5000),
    ]
    world.releases.apply(world.catalog.split("app-1", "faq", arms))
    for variant, text, refused in [
        ("strict", "globex", True), ("strict", "acme", False), ("control", "acme", True), ("control", "globex", False),
    ]:  # fmt: skip
        world.script(say.completion(text))
        if refused:
            await world.fail("blocked", say.chat(model="faq"), x_prompt_variant=variant)
        else:
            assert (await world.call(say.chat(model="faq"), x_prompt_variant=variant)).status == 200
    assert [(row.variant, row.outcome) for row in world.ledger.rows] == [
        ("strict", "blocked"), ("strict", "ok"), ("control", "blocked"), ("control", "ok"),
    ]  # fmt: skip


# --- tokens -------------------------------------------------------------------------------------------------------------

TOKENS = {"type": "tokens", "options": {"max_tokens": 8, "model": "gpt-4o"}}
"""The world counts words."""


async def test_too_many_tokens_are_not_sent(guarded: Any, say: Any):
    world = guarded("pre", TOKENS)
    error = await world.fail("blocked", say.chat("one two three four five six seven eight", model="faq"))
    assert error.param == "pre:tokens"
    assert world.transport.requests == []
    assert world.tokens.asked == [("gpt-4o", ["Help.", "one two three four five six seven eight"])]
    world.script(say.completion("Hello."))
    assert (await world.call(say.chat("one two three four five six seven", model="faq"))).status == 200


async def test_few_bytes_need_no_counting(guarded: Any, say: Any):
    world = guarded("pre", TOKENS)
    world.script(say.completion("Hello."))
    assert (await world.call(say.chat("Hi", model="faq"))).status == 200
    assert world.tokens.asked == []


async def test_tokens_of_a_whole_answer(guarded: Any, say: Any):
    world = guarded("post", TOKENS)
    world.script(
        say.completion("one two three four five six seven eight"),
        say.completion("one two three four five six seven eight nine"),
    )
    assert (await world.call(say.chat(model="faq"))).status == 200
    assert (await world.fail("blocked", say.chat(model="faq"))).param == "post:tokens"


@pytest.mark.parametrize("mode", ["enforce", "observe"])
async def test_a_stream_is_ended_at_the_first_word_too_many_and_not_held_back(guarded: Any, say: Any, mode: str):
    world = guarded("post", {**TOKENS, "mode": mode, "options": {"max_tokens": 2, "model": "gpt-4o"}})
    gate = asyncio.Event()
    deltas = [
        say.delta("one "),
        say.delta("two "),
        gate,
        say.delta("three "),
        say.delta("four "),
        say.delta(finish="stop"),
        say.DONE,
    ]
    world.script(say.stream(*deltas))
    caller = world.caller()
    answering = world.call if mode == "observe" else lambda *given: world.fail("blocked", *given)
    running = asyncio.ensure_future(answering(say.chat(model="faq", stream=True), caller))
    while b"two " not in b"".join(caller.pieces):
        await asyncio.sleep(0)
    gate.set()
    ended = await running
    body = b"".join(caller.pieces)
    assert (b"three " in body, b"four " in body) == ((True, True) if mode == "observe" else (False, False))
    assert world.row.verdicts == [
        "post:tokens;action=block" + (";observe" if mode == "observe" else "") + ';found="too_many_tokens"'
    ]
    if mode == "enforce":
        assert ended.param == "post:tokens"


# --- masks by place -------------------------------------------------------------------------------------------------------

MASKING = {"type": "http", "name": "names", "options": {"endpoint": "rules"}, "on_fail": "mask"}


def place(text: int, start: int, end: int, label: str = "person") -> dict[str, Any]:
    return {"text": text, "start": start, "end": end, "label": label}


@pytest.mark.parametrize("streamed", [False, True])
async def test_what_a_service_finds_is_masked_and_put_back(guarded: Any, say: Any, streamed: bool):
    world = guarded("pre", {"type": "pii", "on_fail": "mask"}, MASKING)
    world.script(
        say.opinion("mask", spans=[place(1, 5, 8), place(1, 12, 25, "contact"), place(0, 0, 4)]), provider="guard:rules"
    )
    answer = "Hello <PERSON_2> at <CONTACT_1>, <EMAIL_1>, <PERSON_9>"
    whole = say.completion(answer)
    world.script(say.stream(*[say.delta(char) for char in answer], say.delta(finish="stop"), say.DONE) if streamed else whole)
    caller = await world.call(say.chat("I am Ada at a@mail.example, b.", model="faq", stream=streamed))
    (question,) = sent(world, "guard:rules")
    assert question["texts"] == ["Help.", "I am Ada at <EMAIL_1>, b."]
    assert [message["content"] for message in sent(world, "openai")[0]["messages"]] == [
        "<PERSON_1>.",
        "I am <PERSON_2> at <CONTACT_1>",
    ]
    pieces = (
        [chunk["choices"][0]["delta"].get("content", "") for chunk in caller.chunks if chunk["choices"]] if streamed else []
    )
    said = "".join(pieces) if streamed else caller.json["choices"][0]["message"]["content"]
    assert said == "Hello Ada at a@mail.example, b., a@mail.example, <PERSON_9>"
    assert 'pre:names;action=mask;found="person*2 contact"' in caller.head["x-guardrails"]


@pytest.mark.parametrize(("on_fail", "written"), [("redact", "I am [PERSON]."), ("replace", "I am #.")])
async def test_what_a_service_finds_is_written_over_for_good(guarded: Any, say: Any, on_fail: str, written: str):
    world = guarded("pre", {**MASKING, "on_fail": on_fail, **({"replacement": "#"} if on_fail == "replace" else {})})
    world.script(say.opinion("mask", spans=[place(1, 5, 8)]), provider="guard:rules")
    world.script(say.completion("Hi [PERSON]."))
    caller = await world.call(say.chat("I am Ada.", model="faq"))
    assert caller.json["choices"][0]["message"]["content"] == "Hi [PERSON]."
    assert sent(world, "openai")[0]["messages"][1]["content"] == written


async def test_who_masks_is_asked_before_who_rewrites(guarded: Any, say: Any):
    world = guarded("pre", {**HTTP, "options": {"endpoint": "rules", "may_rewrite": True}}, MASKING)
    world.script(
        say.opinion("mask", spans=[place(1, 5, 8)]),
        say.opinion("rewrite", what="tone", texts=["Help.", "This is <PERSON_1>."]),
        provider="guard:rules",
    )
    world.script(say.completion("Hi <PERSON_1>."))
    caller = await world.call(say.chat("I am Ada.", model="faq"))
    assert sent(world, "guard:rules")[1]["texts"] == ["Help.", "I am <PERSON_1>."]
    assert sent(world, "openai")[0]["messages"][1]["content"] == "This is <PERSON_1>."
    assert caller.json["choices"][0]["message"]["content"] == "Hi Ada."


@pytest.mark.parametrize("on_error", ["closed", "open"])
@pytest.mark.parametrize(
    "said",
    [
        {"action": "block", "what": "person"},
        {"action": "mask"},
        {"action": "mask", "spans": [place(1, 5, 99)]},
        {"action": "mask", "spans": [place(1, 5, 8), place(1, 6, 9)]},
    ],
)
async def test_a_service_that_does_not_say_where_could_not_judge(guarded: Any, say: Any, on_error: str, said: dict[str, Any]):
    world = guarded("pre", {**MASKING, "on_error": on_error})
    world.script(say.opinion(**said), provider="guard:rules")
    if on_error == "closed":
        assert (await world.fail("guard_unavailable", say.chat("I am Ada.", model="faq"))).param == "pre:names"
        assert sent(world, "openai") == []
        return
    world.script(say.completion("Hi."))
    assert (await world.call(say.chat("I am Ada.", model="faq"))).status == 200
    assert sent(world, "openai")[0]["messages"][1]["content"] == "I am Ada."


async def test_a_place_is_a_finding_where_a_guard_blocks(guarded: Any, say: Any):
    world = guarded("pre", {**MASKING, "on_fail": "block"})
    world.script(say.opinion("mask", spans=[place(1, 5, 8)]), provider="guard:rules")
    world.script(say.completion("Hi."))
    assert "found person" in (await world.fail("blocked", say.chat("I am Ada.", model="faq"))).detail
