"""From a guardrail configuration to the two filters."""

import pytest

from gateway.core.conversation import Message
from gateway.core.documents import Guardrails, PostValidation, PreValidation, Validator
from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.verdicts import ALLOW, Block
from gateway.guards.plan import NO_GUARDS, compile_guards


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
