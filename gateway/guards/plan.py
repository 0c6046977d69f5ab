"""A version's guardrail configuration, compiled once: two filter shapes, one for what goes in and one for what comes out."""

from collections.abc import Iterable

from msgspec import Struct

from gateway.core.conversation import Conversation
from gateway.core.documents import Guardrails, PostValidation, PreValidation
from gateway.core.verdicts import ALLOW, Verdict
from gateway.guards.judge import judge
from gateway.guards.required import RequiredSet
from gateway.guards.tails import Tails
from gateway.guards.terms import TermSet
from gateway.guards.window import OutputScan

_BETWEEN = "\0"
"""Joins messages for one scan: no term may contain it, so nothing matches across messages."""


class InputGuard(Struct, frozen=True):
    """Judges a rendered conversation, every message of it, before any upstream call."""

    terms: TermSet | None
    required: RequiredSet | None

    def check(self, conversation: Conversation) -> Verdict:
        """One pass over all texts. Each required element must occur in one of the messages."""
        return judge(_BETWEEN.join([message.text for message in conversation]), self.terms, self.required)


class OutputGuard(Struct, frozen=True):
    """Makes the judge of one answer."""

    terms: TermSet | None
    tails: Tails | None
    required: RequiredSet | None

    def scan(self) -> OutputScan:
        """For a stream: feed it as events come."""
        return OutputScan(self.terms, self.tails, self.required)

    def check(self, texts: Iterable[tuple[int, str]]) -> Verdict:
        """For a whole answer, as (choice, text) pairs: the verdict on the first choice that is blocked."""
        for choice, text in texts:
            verdict = judge(text, self.terms, self.required, choice)
            if verdict is not ALLOW:
                return verdict
        return ALLOW


class GuardPlan(Struct, frozen=True):
    """What to run at each stage; None where there is nothing to run, so that the path can skip it."""

    pre: InputGuard | None = None
    post: OutputGuard | None = None


NO_GUARDS = GuardPlan()


def compile_guards(guardrails: Guardrails) -> GuardPlan:
    """Compile a guardrail configuration. Raises ``malformed`` naming the term or list at fault."""
    pre = _sets(guardrails.pre_validation, "guardrails.pre_validation")
    post = _sets(guardrails.post_validation, "guardrails.post_validation")
    if pre is None and post is None:
        return NO_GUARDS
    return GuardPlan(
        pre=InputGuard(*pre) if pre is not None else None,
        post=OutputGuard(post[0], Tails(post[0]) if post[0] is not None else None, post[1]) if post is not None else None,
    )


def _sets(stage: PreValidation | PostValidation, param: str) -> tuple[TermSet | None, RequiredSet | None] | None:
    # A disabled stage is compiled too, so that switching it on cannot fail.
    terms = TermSet(stage.prohibited_terms, f"{param}.prohibited_terms") if stage.prohibited_terms else None
    required = RequiredSet(stage.required_elements, f"{param}.required_elements") if stage.required_elements else None
    if not stage.enabled or (terms is None and required is None):
        return None
    return terms, required
