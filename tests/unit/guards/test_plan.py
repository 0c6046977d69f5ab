"""From a guardrail configuration to the two filters."""

import pytest

from gateway.core.conversation import NEAR, Message
from gateway.core.documents import Guardrails, PostValidation, PreValidation, Validator
from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.verdicts import ALLOW, Block
from gateway.guards.plan import NO_GUARDS, compile_guards, knowing


def conversation(*texts: str) -> tuple[Message, ...]:
    return tuple(Message("user", text, b"{}") for text in texts)


def test_nothing_configured_is_nothing_to_run():
    assert compile_guards(Guardrails()) is NO_GUARDS
    assert NO_GUARDS.pre is None
    assert NO_GUARDS.post is None


def test_a_disabled_stage_does_not_run_but_is_checked():
    off = compile_guards(Guardrails(pre_validation=PreValidation(enabled=False, prohibited_terms=["x"])))
    assert off is NO_GUARDS
    with pytest.raises(GatewayError) as failure:
        compile_guards(Guardrails(post_validation=PostValidation(enabled=False, prohibited_terms=["x", ""])))
    assert failure.value.kind is MALFORMED
    assert failure.value.param == "guardrails.post_validation.prohibited_terms[1]"


def test_a_conversation_is_judged_message_by_message():
    pre = compile_guards(Guardrails(pre_validation=PreValidation(prohibited_terms=["credit card"]))).pre
    assert pre is not None
    assert pre.check(conversation("credit", "card")) is ALLOW
    assert pre.check(conversation("hi", "my Credit Card")) == Block(
        "prohibited_terms", "the text contains the prohibited term 'credit card'"
    )
    assert pre.check(conversation("credit card")) != ALLOW
    assert pre.check(()) is ALLOW


@pytest.mark.parametrize(
    ("rails", "known"),
    [
        (PreValidation(prohibited_terms=["secret", "x" * NEAR]), True),
        (PreValidation(prohibited_terms=["secret", "x" * (NEAR + 1)]), False),
        (PreValidation(prohibited_terms=["Known"]), False),
        (PreValidation(prohibited_terms=["secret"], required_elements=["name"]), False),
        (PreValidation(required_elements=["name"]), False),
        (PreValidation(enabled=False, prohibited_terms=["secret"]), False),
    ],
)
def test_what_a_prompts_calls_have_in_common_is_searched_beforehand_if_that_settles_it(rails: PreValidation, known: bool):
    plan = compile_guards(Guardrails(rails))
    knows = knowing(plan, ["what is known", "and the rest"])
    assert knows.near is known
    assert plan.near is False
    assert (knows is plan) is not known
    assert knows.pre is None or knows.pre.near is known


def test_what_is_near_a_value_is_judged_with_all_around_it():
    pre = knowing(compile_guards(Guardrails(PreValidation(prohibited_terms=["secret"]))), []).pre
    assert pre is not None
    cut = Message("system", "a topsecret plan", b"{}", near="secret plan")
    assert pre.check((cut,)) is ALLOW
    assert pre.check((cut, *conversation("a secret"))) != ALLOW
    assert pre.check((Message("system", "a secret", b"{}", near=None),)) != ALLOW
    assert pre.check((Message("system", "the same in every call", b"", ours=True, near=""), *conversation("hello"))) is ALLOW


def test_required_elements_may_stand_in_any_message():
    pre = compile_guards(Guardrails(pre_validation=PreValidation(required_elements=["ticket", "name"]))).pre
    assert pre is not None
    assert pre.check(conversation("Ticket 7", "my NAME is")) is ALLOW
    assert pre.check(conversation("Ticket 7")) == Block("required_elements", "the text lacks the required element 'name'")


def test_a_whole_answer_is_judged_by_choice():
    post = compile_guards(Guardrails(post_validation=PostValidation(prohibited_terms=["bad"], required_elements=["ok"]))).post
    assert post is not None
    assert post.check([(0, "ok"), (1, "OK then")]) is ALLOW
    assert post.check([(0, "ok"), (1, "ok, bad")]) == Block(
        "prohibited_terms", "the text contains the prohibited term 'bad'", 1
    )
    assert post.check([(0, "fine")]) == Block("required_elements", "the text lacks the required element 'ok'", 0)
    assert post.check([]) is ALLOW


def test_the_stages_are_independent():
    plan = compile_guards(Guardrails(post_validation=PostValidation(required_elements=["x"])))
    assert plan.pre is None
    assert plan.post is not None
    assert plan.post.terms is None
    assert plan.post.tails is None


@pytest.mark.parametrize(
    ("guardrails", "quick"),
    [
        (Guardrails(), True),
        (Guardrails(PreValidation(prohibited_terms=["a"]), PostValidation(required_elements=["b"])), True),
        (Guardrails(PreValidation(validators=[Validator(type="regex", options={"patterns": ["a"]})])), True),
        (Guardrails(PreValidation(validators=[Validator(type="regex", name="x", options={"patterns": ["a"]})])), False),
        (Guardrails(PreValidation(validators=[Validator(type="pii", on_fail="mask")])), False),
        (Guardrails(post_validation=PostValidation(validators=[Validator(type="regex", options={"patterns": ["a"]})])), False),
        (Guardrails(post_validation=PostValidation(validators=[Validator(type="http", options={"endpoint": "g"})])), False),
    ],
)
def test_a_plan_says_whether_quick_scans_are_all(guardrails: Guardrails, quick: bool):
    assert compile_guards(guardrails).quick is quick
