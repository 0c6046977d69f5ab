"""From validators to rules: what is named in errors, what order rules come in, and how two configurations become one plan."""

from typing import Any

import pytest
from msgspec import Struct

from gateway.core.conversation import Message
from gateway.core.documents import Guardrails, PostValidation, PreValidation, Validator
from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.verdicts import ALLOW, Block, Note
from gateway.guards.catalogue import GuardType, known
from gateway.guards.detector import Finding
from gateway.guards.plan import BUDGET_MS, NO_GUARDS, combined, compile_guards
from gateway.guards.rules import Remote
from gateway.guards.shipped import CATALOGUE


class Scored(Struct, frozen=True, forbid_unknown_fields=True):
    threshold: float = 0.5


class Shape(Struct, frozen=True, forbid_unknown_fields=True):
    schema: dict[str, Any]


class Ask(Remote, frozen=True):
    threshold: float


class Whole:
    """Finds every text whose length, in hundreds, reaches a threshold."""

    longest: int | None = None
    before = 0

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def find(self, text: str) -> list[Finding]:
        return [Finding(0, len(text), "long")] if len(text) / 100 >= self.threshold else []

    def hold(self, text: str) -> int:
        return len(text)


TYPES = {
    **CATALOGUE,
    **known(
        (
            GuardType("scored", Scored, lambda options, param: Whole(options.threshold), "", "", rank=2),
            GuardType("remote", Scored, lambda options, param: Ask(options.threshold), "", ""),
            GuardType("json", Shape, lambda options, param: Whole(len(options.schema)), "", "", directions=frozenset({"out"})),
        )
    ),
}


def regex(pattern: str = "x", **fields: Any) -> Validator:
    return Validator("regex", options={"pattern": pattern}, **fields)


def pre(*validators: Validator, **fields: Any) -> Guardrails:
    return Guardrails(pre_validation=PreValidation(validators=list(validators), **fields))


def post(*validators: Validator, **fields: Any) -> Guardrails:
    return Guardrails(post_validation=PostValidation(validators=list(validators), **fields))


def conversation(*texts: str) -> tuple[Message, ...]:
    return tuple(Message("user", text, b'{"role":"user","content":"%b"}' % text.encode(), b"{}") for text in texts)


@pytest.mark.parametrize(
    ("rails", "param", "words"),
    [
        (pre(Validator("nope")), "pre_validation.validators[0].type", "remote, required"),
        (pre(regex(), Validator("json")), "pre_validation.validators[1].type", "cannot judge what goes in"),
        (post(regex("(")), "post_validation.validators[0].options.pattern", "is no regular expression"),
        (post(regex("a*")), "post_validation.validators[0].options.pattern", "empty text"),
        (post(regex("(?=a)a")), "post_validation.validators[0].options.pattern", "look-around"),
        (post(regex("a{1001}")), "post_validation.validators[0].options.pattern", "repetition size"),
        (post(regex("a" * 3000)), "post_validation.validators[0].options.pattern", "at most 2000"),
        (
            post(Validator("regex", options={"patterns": ["a", "["]})),
            "post_validation.validators[0].options.patterns[1]",
            "unterminated",
        ),
        (post(Validator("regex")), "post_validation.validators[0].options.pattern", "either pattern or patterns"),
        (post(Validator("regex", options={"pattern": 1})), "post_validation.validators[0].options.pattern", "Expected `str`"),
        (post(Validator("regex", options={"patern": "x"})), "post_validation.validators[0].options", "unknown field `patern`"),
        (post(Validator("terms", options={"terms": ["a", " "]})), "post_validation.validators[0].options.terms[1]", "blank"),
        (post(Validator("required")), "post_validation.validators[0].options", "`elements`"),
        (post(regex(on_fail="mask")), "post_validation.validators[0].on_fail", "redact"),
        (pre(regex(on_fail="reask")), "pre_validation.validators[0].on_fail", "nothing was asked"),
        (post(regex(on_fail="fallback")), "post_validation.validators[0].fallback", "required"),
        (post(regex(fallback="a@b")), "post_validation.validators[0].fallback", "not block"),
        (post(regex(replacement="x")), "post_validation.validators[0].replacement", "not block"),
        (post(regex(on_fail="redact", message="x")), "post_validation.validators[0].message", "redact"),
        (pre(regex(stage="whole")), "pre_validation.validators[0].stage", "text and tools"),
        (post(regex("a+", stage="stream")), "post_validation.validators[0].stage", "no bound"),
        (post(regex(".{999}" * 5 + "x", stage="stream")), "post_validation.validators[0].stage", "4996 characters"),
        (post(regex(name="x" * 81)), "post_validation.validators[0].name", "printable"),
        (post(regex(name="a\nb")), "post_validation.validators[0].name", "printable"),
        (pre(Validator("remote", on_fail="redact")), "pre_validation.validators[0].on_fail", "yes or no"),
        (post(Validator("remote", stage="stream")), "post_validation.validators[0].stage", "whole texts"),
        (
            pre(Validator("tokens", stage="tools", options={"max_tokens": 1})),
            "pre_validation.validators[0].stage",
            "whole texts",
        ),
        (
            pre(Validator("required", options={"elements": ["a"]}, on_fail="mask")),
            "pre_validation.validators[0].on_fail",
            "all messages together",
        ),
    ],
)
def test_what_is_wrong_is_named(rails: Guardrails, param: str, words: str) -> None:
    with pytest.raises(GatewayError) as failure:
        compile_guards(rails, TYPES)
    assert failure.value.kind is MALFORMED
    assert failure.value.param == f"guardrails.{param}"
    assert failure.value.detail.startswith(f"guardrails.{param}")
    assert words in failure.value.detail


def test_a_disabled_section_is_compiled_and_dropped() -> None:
    assert compile_guards(pre(regex(), enabled=False)) is NO_GUARDS
    with pytest.raises(GatewayError):
        compile_guards(pre(regex("("), enabled=False))
    with pytest.raises(GatewayError) as failure:
        combined(pre(regex("(")), None)
    assert failure.value.param == "application.guardrails.pre_validation.validators[0].options.pattern"


def test_cheap_guards_come_first_and_stages_are_told_apart() -> None:
    plan = compile_guards(
        post(
            Validator("scored", name="dear"),
            regex(name="usual"),
            Validator("terms", name="cheap", options={"terms": ["x"]}),
            regex("x+", name="unbounded"),
            regex(name="later", stage="whole"),
            regex(name="tool", stage="tools"),
            regex(name="watched", mode="observe"),
            regex(name="annotated", on_fail="annotate"),
            Validator("remote", name="other", mode="observe"),
        ),
        TYPES,
    )
    assert plan.post is not None
    assert plan.post.texts is not None
    names = [
        [rule.guard for rule in rules] for rules in (plan.post.texts.stream, plan.post.texts.whole, plan.post.texts.watching)
    ]
    assert names == [["cheap", "usual"], ["unbounded", "later", "dear"], ["watched", "annotated"]]
    assert [rule.guard for rule in plan.post.tools] == ["tool"]
    assert [rule.guard for rule in plan.post.remote] == ["other"]
    assert plan.needs_chat
    assert plan.post.busy


@pytest.mark.parametrize(
    ("rails", "needed"),
    [
        (pre(regex()), False),
        (pre(regex(on_fail="mask")), True),
        (pre(regex(on_fail="mask", mode="observe")), False),
        (pre(regex(stage="tools")), True),
        (post(regex()), False),
        (post(regex(on_fail="redact")), True),
        (post(regex(stage="tools")), True),
        (pre(Validator("remote", stage="tools")), True),
        (post(Validator("remote", stage="tools")), True),
        (post(Validator("remote")), False),
        (post(regex("x+", on_fail="replace")), True),
        (post(prohibited_terms=["x"]), False),
    ],
)
def test_the_chat_form_is_needed_where_something_is_rewritten_or_tools_are_judged(rails: Guardrails, needed: bool) -> None:
    assert compile_guards(rails, TYPES).needs_chat is needed


def test_terms_alone_keep_their_quick_path_and_others_share_one_with_rules() -> None:
    alone = compile_guards(post(prohibited_terms=["bad"], required_elements=["ok"])).post
    assert alone is not None
    assert alone.quick
    shared = compile_guards(post(regex(), prohibited_terms=["bad"], required_elements=["ok"])).post
    assert shared is not None
    assert not shared.quick
    for text in ("ok", "bad ok", "fine", "bad"):
        assert shared.check([(0, text)]) == alone.check([(0, text)])
    assert shared.check([(0, "x ok")]) == Block("regex", "found match", 0)


def test_only_guards_that_ask_others_leave_nothing_to_do_here() -> None:
    plan = compile_guards(
        Guardrails(PreValidation(validators=[Validator("remote")]), PostValidation(validators=[Validator("remote")])), TYPES
    )
    assert plan.pre is not None
    assert plan.post is not None
    assert plan.pre.check(conversation("x")) is ALLOW
    assert not plan.post.busy
    assert [rule.remote for rule in (*plan.pre.remote, *plan.post.remote)] == [Ask(0.5), Ask(0.5)]


def test_a_sections_threshold_is_that_of_guards_that_have_one() -> None:
    plan = compile_guards(
        pre(Validator("scored"), Validator("scored", options={"threshold": 0.9}), regex(), threshold=0.2), TYPES
    )
    assert plan.pre is not None
    assert [getattr(rule.detector, "threshold", None) for rule in plan.pre.rules] == [None, 0.2, 0.9]


def test_a_format_schema_is_a_json_validator() -> None:
    plan = compile_guards(post(format_schema={"type": "object"}), TYPES)
    assert plan.post is not None
    assert plan.post.texts is not None
    assert [rule.guard for rule in plan.post.texts.whole] == ["json"]
    with pytest.raises(GatewayError) as failure:
        compile_guards(post(format_schema={"type": "object"}), known((CATALOGUE["regex"],)))
    assert failure.value.param == "guardrails.post_validation.format_schema.type"


def test_two_configurations_are_one_plan_and_neither_switches_the_other_off() -> None:
    application = Guardrails(
        PreValidation(
            validators=[regex("app", name="app")], prohibited_terms=["alpha"], required_elements=["please"], budget_ms=100
        ),
        PostValidation(prohibited_terms=["gamma"]),
        max_reasks=2,
    )
    version = Guardrails(
        PreValidation(
            enabled=True, validators=[regex("ver", name="ver")], prohibited_terms=["beta"], required_elements=["now"]
        ),
        PostValidation(prohibited_terms=["delta"]),
    )
    plan = combined(application, version)
    assert plan.max_reasks == 2
    assert plan.pre is not None
    assert plan.pre.budget_ms == 100
    guards = {
        "please now": None,
        "please now app": "app",
        "please now ver": "ver",
        "please now alpha": "prohibited_terms",
        "please now Beta": "prohibited_terms",
        "now": "required_elements",
        "please": "required_elements",
    }
    for text, guard in guards.items():
        verdict = plan.pre.check(conversation(*text.split()))
        assert (verdict.guard if isinstance(verdict, Block) else None) == guard, text
    assert plan.post is not None
    for text in ("Gamma", "DELTA"):
        verdict = plan.post.check([(0, text)])
        assert verdict == Block("prohibited_terms", f"the text contains the prohibited term {text.lower()!r}", 0)
    off = Guardrails(PreValidation(enabled=False), PostValidation(enabled=False))
    assert combined(application, off).pre is not None
    assert combined(off, version).post is not None
    assert combined(None, version) == compile_guards(version) or combined(None, version).pre is not None
    assert combined(None, None) is NO_GUARDS
    only = combined(pre(regex()), None).pre
    assert only is not None
    assert only.budget_ms == BUDGET_MS


def test_joint_guards_look_at_all_messages_and_watchers_change_nothing() -> None:
    plan = compile_guards(
        pre(
            Validator("required", options={"elements": ["please"]}),
            Validator("regex", options={"pattern": "^Hi", "negate": True, "name": "greeting"}, mode="observe"),
        )
    )
    assert plan.pre is not None
    notes: list[Note] = []
    assert plan.pre.check(conversation("Hello", "please"), notes=notes) is ALLOW
    assert notes == [Note("pre", "regex", "block", "observe", {"greeting": 1})]
    assert plan.pre.check(conversation("Hi", "no")) == Block("required", "found missing")


def test_two_guards_of_one_name_are_a_mistake_of_their_authors() -> None:
    with pytest.raises(ValueError, match="one name"):
        known((CATALOGUE["regex"], CATALOGUE["regex"]))


def test_every_shipped_type_refuses_options_that_it_does_not_know() -> None:
    for entry in CATALOGUE.values():
        assert entry.options.__struct_config__.forbid_unknown_fields, entry.name
        assert entry.summary
        assert entry.reference


def length(on_fail: str = "block", stage: str = "text", **options: int) -> Guardrails:
    return post(Validator("length", options=options, on_fail=on_fail, stage=stage))  # type: ignore[arg-type]


def test_an_upper_bound_ends_a_stream_and_a_lower_one_waits_for_its_end():
    upper = compile_guards(length(max_words=3)).post
    assert upper is not None
    assert upper.texts is not None
    assert (len(upper.texts.stream), len(upper.texts.whole), upper.holds) == (1, 0, False)
    both = compile_guards(length(max_words=3, min_words=1)).post
    assert both is not None
    assert both.texts is not None
    assert (len(both.texts.stream), len(both.texts.whole)) == (1, 1)
    for whole in (length("redact", max_words=3), length(stage="whole", max_words=3)):
        guard = compile_guards(whole).post
        assert guard is not None
        assert guard.texts is not None
        assert (len(guard.texts.stream), len(guard.texts.whole)) == (0, 1)


def test_what_a_model_thinks_may_be_longer_than_the_answer():
    upper = compile_guards(post(Validator("length", options={"max_words": 3}), regex())).post
    assert upper is not None
    assert upper.texts is not None
    assert [rule.guard for rule in upper.texts.stream] == ["regex", "length"]
    thinking = upper.texts.located()
    assert [rule.guard for rule in thinking.stream] == ["regex"]
    assert thinking.probe is upper.texts.probe


@pytest.mark.parametrize(
    ("rails", "said"),
    [
        (length("redact", "stream", max_words=3), "can end a stream, and not rewrite it"),
        (length("block", "stream", max_words=3, min_lines=1), "only the end of a text can tell"),
    ],
)
def test_a_length_in_a_stream_has_only_upper_bounds_and_ends_it(rails: Guardrails, said: str):
    with pytest.raises(GatewayError, match=said) as caught:
        compile_guards(rails)
    assert caught.value.param == "guardrails.post_validation.validators[0].stage"


@pytest.mark.parametrize(
    ("rails", "said"),
    [
        (pre(Validator("judge", options={"model": "m", "instruction": "x"}, on_fail="mask")), "judge only says yes or no"),
        (post(Validator("judge", options={"model": "m", "instruction": "x"}, on_fail="redact")), "judge only says yes or no"),
        (post(Validator("presidio", options={"endpoint": "x"}, on_fail="mask")), "there is redact"),
        (pre(Validator("http", options={"endpoint": "x", "may_rewrite": True}, on_fail="redact")), "choose one"),
    ],
)
def test_who_writes_over_places_must_be_able_to(rails: Guardrails, said: str):
    with pytest.raises(GatewayError, match=said) as caught:
        compile_guards(rails)
    assert str(caught.value.param).endswith("validators[0].on_fail")


def test_a_service_that_masks_is_asked_first_and_needs_the_chat_form():
    masking = compile_guards(pre(Validator("http", options={"endpoint": "x"}, on_fail="mask")))
    assert masking.needs_chat
    assert masking.pre is not None
    assert [rule.first for rule in masking.pre.remote] == [True]
    watching = compile_guards(pre(Validator("http", options={"endpoint": "x"}, on_fail="mask", mode="observe")))
    assert not watching.needs_chat
    assert watching.pre is not None
    assert [rule.first for rule in watching.pre.remote] == [False]
