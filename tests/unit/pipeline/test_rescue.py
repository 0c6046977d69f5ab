"""What is done in the place of a refusal: a message, another try, another prompt; and what it costs, and what the rows say."""

from typing import Any

import pytest

REGEX = {"type": "regex", "options": {"pattern": "x[0-9]{3}", "name": "code"}}


def post(say: Any, **validator: Any) -> Any:
    more = {name: validator.pop(name) for name in ("max_reasks",) if name in validator}
    return say.validators("post", {**REGEX, **validator}, **more)


# --- message ----------------------------------------------------------------------------------------------------------


async def test_a_refused_request_is_answered_in_the_words_of_its_guard(world: Any, say: Any):
    world.publish("faq", ("system", "Help."), guardrails=say.validators("pre", {**REGEX, "message": "Not here."}))
    caller = await world.call(say.chat("x123", model="faq"))
    assert caller.status == 200
    (choice,) = caller.json["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Not here.", "content_filter")
    assert caller.json["usage"]["total_tokens"] == 0
    assert caller.head["x-guardrails"] == 'pre:regex;action=block;found="code"'
    assert caller.head["x-cost-usd"] == "0.000000000"
    row = world.row
    assert (row.attempt, row.outcome, row.status, row.guard, row.finish_reason) == (
        0,
        "blocked",
        200,
        "pre:regex",
        "content_filter",
    )
    assert row.verdicts == ['pre:regex;action=block;found="code"']
    assert world.transport.requests == []


async def test_a_refused_answer_is_replaced_and_what_was_spent_is_said(world: Any, say: Any):
    world.publish("faq", ("system", "Help."), guardrails=post(say, message="Not shown."))
    world.script(say.completion("x123", usage=(10, 4)))
    caller = await world.call(say.chat(model="faq"))
    assert caller.json["choices"][0]["message"]["content"] == "Not shown."
    assert caller.json["usage"]["completion_tokens"] == 4
    row = world.row
    assert (row.outcome, row.status, row.input_tokens, row.output_tokens, row.guard) == ("blocked", 200, 10, 4, "post:regex")
    assert row.cost_nano


async def test_a_message_is_streamed_to_who_streams(world: Any, say: Any):
    world.publish("faq", ("system", "Help."), guardrails=post(say, message="Not shown."))
    world.script(say.stream(say.delta("x12"), say.delta("3 and"), say.delta(finish="stop"), say.usage(10, 5), say.DONE))
    caller = await world.call(say.chat(model="faq", stream=True, stream_options={"include_usage": True}))
    assert caller.frames[-1] == "[DONE]"
    texts = [choice["delta"].get("content") for chunk in caller.chunks for choice in chunk["choices"]]
    assert [text for text in texts if text] == ["Not shown."]
    assert [c["finish_reason"] for chunk in caller.chunks for c in chunk["choices"]][-1] == "content_filter"
    assert caller.chunks[-1]["usage"]["prompt_tokens"] > 0
    assert (world.row.outcome, world.row.status, world.row.usage_source) == ("blocked", 200, "estimated")
    assert world.transport.scripts["openai"] == []


async def test_after_the_first_byte_a_message_comes_too_late(world: Any, say: Any):
    world.publish("faq", ("system", "Help."), guardrails=post(say, message="Not shown."))
    world.script(say.stream(say.delta("Good morning to you all. "), say.delta("x123 "), say.delta(finish="stop"), say.DONE))
    caller = world.caller()
    error = await world.fail("blocked", say.chat(model="faq", stream=True), caller)
    assert error.frames is not None
    assert "x123" not in caller.body.decode()
    assert "Not shown." not in caller.body.decode()
    assert world.row.outcome == "blocked"


# --- reask ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_model_is_asked_again_and_every_attempt_is_paid(world: Any, say: Any, streamed: bool):
    world.publish("faq", ("system", "Help."), guardrails=post(say, on_fail="reask"))

    def answer(text: str) -> Any:
        if not streamed:
            return say.completion(text, usage=(1000, 100))
        return say.stream(say.delta(text), say.delta(finish="stop"), say.usage(1000, 100), say.DONE)

    world.script(answer("It is x123."), answer("It is fine."))
    caller = await world.call(
        say.chat(model="faq", stream=streamed, **({"stream_options": {"include_usage": True}} if streamed else {}))
    )
    assert "x123" not in caller.body.decode()
    assert "It is fine." in caller.body.decode()
    assert caller.head["x-attempts"] == "2"
    first, second = world.ledger.rows
    assert [(r.attempt, r.outcome, r.status, r.guard) for r in (first, second)] == [
        (1, "blocked", 400, "post:regex"), (2, "ok", 200, None),
    ]  # fmt: skip
    # A stream is cut where it is refused, so that what was made of it is an estimate.
    assert first.usage_source == ("estimated" if streamed else "upstream")
    assert first.cost_nano
    assert second.usage_source == "upstream"
    assert first.verdicts == ['post:regex;action=reask;found="code"']
    assert second.verdicts == []
    total = first.cost_nano + second.cost_nano
    if streamed:
        assert caller.chunks[-1]["usage"]["cost_usd"] == pytest.approx(total / 1e9)
    else:
        assert caller.head["x-cost-usd"] == f"0.{total:09d}"
    assert caller.head["x-guardrails"] == 'post:regex;action=reask;found="code"'
    sent = [msg for _, request in world.transport.requests for msg in [request.body]]
    assert b"It is x123." in sent[1]
    assert b"Your answer was not accepted: found code." in sent[1]
    assert world.steps.index("row 1 blocked") < world.steps.index("intent 2")


async def test_asking_again_is_bounded_and_the_refusal_stands(world: Any, say: Any):
    world.publish("faq", ("system", "Help."), guardrails=post(say, on_fail="reask", max_reasks=2))
    world.script(*[say.completion(f"x{n}{n}{n}") for n in (1, 2, 3)])
    error = await world.fail("blocked", say.chat(model="faq"))
    assert error.param == "post:regex"
    assert [(row.attempt, row.outcome) for row in world.ledger.rows] == [(1, "blocked"), (2, "blocked"), (3, "blocked")]
    assert b"x-guardrails: post:regex;action=reask" in error.headers


async def test_several_choices_are_not_asked_again(world: Any, say: Any):
    world.publish("faq", ("system", "Help."), guardrails=post(say, on_fail="reask", message="No."))
    world.script(say.completion("x123"))
    caller = await world.call(say.chat(model="faq", n=2))
    assert caller.json["choices"][0]["message"]["content"] == "No."
    assert len(world.ledger.rows) == 1


# --- fallback ---------------------------------------------------------------------------------------------------------


async def test_another_prompt_answers_under_its_own_name(world: Any, say: Any):
    guards = say.validators("pre", {**REGEX, "on_fail": "fallback", "fallback": "safe"})
    world.publish("faq", ("system", "Help."), guardrails=guards)
    world.publish("safe", ("system", "Be careful."))
    world.script(say.completion("Careful."))
    caller = await world.call(say.chat("x123", model="faq"))
    assert caller.json["choices"][0]["message"]["content"] == "Careful."
    assert (caller.head["x-prompt"], caller.head["x-fallback"]) == ("safe@production:1", "safe")
    assert (world.row.prompt, world.row.outcome, world.row.requested_model) == ("safe", "ok", "faq")
    assert world.row.verdicts == ['pre:regex;action=fallback;found="code"']
    assert b"Be careful." in world.transport.requests[0][1].body


async def test_a_refused_answer_falls_back_once(world: Any, say: Any):
    guards = post(say, on_fail="fallback", fallback="faq")
    world.publish("faq", ("system", "Help."), guardrails=guards)
    world.script(say.completion("x123"), say.completion("x456"))
    error = await world.fail("blocked", say.chat(model="faq"))
    assert error.param == "post:regex"
    assert [(row.attempt, row.outcome) for row in world.ledger.rows] == [(1, "blocked"), (2, "blocked")]


async def test_the_guards_of_the_other_prompt_apply(world: Any, say: Any):
    world.publish(
        "faq", ("system", "H."), guardrails=say.validators("pre", {**REGEX, "on_fail": "fallback", "fallback": "safe@v"})
    )
    world.publish("safe", ("system", "S."), guardrails=say.validators("pre", {**REGEX, "message": "Really not."}), alias="v")
    caller = await world.call(say.chat("x123", model="faq"))
    assert caller.json["choices"][0]["message"]["content"] == "Really not."
    assert (world.row.prompt, world.row.alias, world.row.outcome) == ("safe", "v", "blocked")


@pytest.mark.parametrize("fallback", ["nobody", "a b c", "needy"])
async def test_a_fallback_that_cannot_answer_leaves_the_refusal(world: Any, say: Any, fallback: str):
    world.publish(
        "faq", ("system", "H."), guardrails=say.validators("pre", {**REGEX, "on_fail": "fallback", "fallback": fallback})
    )
    world.publish("needy", ("system", "{{ name }}"))
    error = await world.fail("blocked", say.chat("x123", model="faq"))
    assert "fallback" in (error.cause or "")
    assert (world.row.prompt, world.row.guard) == ("faq", "pre:regex")


# --- of an application, and with kept answers ---------------------------------------------------------------------------


async def test_the_guards_of_an_application_judge_plain_models_and_prompts_alike(world: Any, say: Any):
    world.allow(guardrails=say.guardrails(pre=["acme"], post=["initech"]))
    world.publish("faq", ("system", "Help."), guardrails=say.guardrails(pre=["globex"]))
    for text, model in [("acme", "gpt-4o-mini"), ("acme", "faq"), ("globex", "faq")]:
        error = await world.fail("blocked", say.chat(text, model=model))
        assert error.param == "pre:prohibited_terms"
    for model in ("gpt-4o-mini", "faq"):
        world.script(say.completion("by initech"))
        assert (await world.fail("blocked", say.chat(model=model))).param == "post:prohibited_terms"
    world.script(say.completion("globex"))
    assert (await world.call(say.chat("globex"))).status == 200
    world.allow()
    world.script(say.completion("acme"))
    assert (await world.call(say.chat("acme"))).status == 200


async def test_a_refused_answer_that_is_shared_is_asked_for_again_by_each(world: Any, say: Any):
    cache = {"ttl_seconds": 60, "coalesce": True}
    from gateway.core.documents import AnswerCache

    world.publish("faq", ("system", "Help."), guardrails=post(say, on_fail="reask"), cache=AnswerCache(**cache))
    world.script(say.completion("x123"), say.completion("Fine."))
    caller = await world.call(say.chat(model="faq"))
    assert caller.json["choices"][0]["message"]["content"] == "Fine."
    assert [row.outcome for row in world.ledger.rows] == ["blocked", "ok"]
    assert caller.head["x-attempts"] == "2"
