"""A compiled plan in words, for whoever asks what would be judged."""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from gateway.guards.media import MEDIA
from gateway.guards.plan import GuardPlan, InputGuard, OutputGuard
from gateway.guards.rules import PROHIBITED, REQUIRED, RemoteRule, Rule

Step = Literal["in", "in_tools", "in_others", "stream", "whole", "watching", "tools", "others"]


class Told(Struct, frozen=True, omit_defaults=True):
    """One guard, in its place."""

    step: Step
    """When it is asked: going in on texts, on tools, and outside the process; coming out as the text comes, when it is complete, only
    to be written down, on tool calls, and outside the process."""
    guard: str
    type: str
    action: str
    mode: str = "enforce"
    holds: int | None = None
    """Of ``stream``: the most characters that are held back for it."""
    tools: bool = False
    """Of guards outside the process: whether they judge tools instead of texts."""


def told(plan: GuardPlan) -> tuple[Told, ...]:
    """Every guard of a plan, in the order in which they are asked."""
    return (*_going_in(plan), *_coming_out(plan))


def held_back(plan: GuardPlan) -> int | Literal["end"]:
    """The most characters of a stream that wait to be decided; ``end``: all of it waits for its end."""
    post = plan.post
    if post is None:
        return 0
    if post.holds or post.tools or (post.texts is not None and post.texts.whole):
        return "end"
    return max([entry.holds or 0 for entry in _coming_out(plan)], default=0)


def _going_in(plan: GuardPlan) -> list[Told]:
    pre = plan.pre
    if pre is None:
        return []
    return [
        *_listed(pre, "in", "in"),
        *_rules(pre.rules, "in", plan),
        *_rules(pre.tools, "in_tools", plan),
        *_others(sorted(pre.remote, key=_asked_first), "in_others"),
    ]


def _coming_out(plan: GuardPlan) -> list[Told]:
    post = plan.post
    if post is None:
        return []
    out = _listed(post, "stream", "whole")
    if post.texts is not None:
        out += _rules(post.texts.stream, "stream", plan)
        out += _rules(post.texts.whole, "whole", plan)
        out += _rules(post.texts.watching, "watching", plan)
    return [*out, *_rules(post.tools, "tools", plan), *_others(post.remote, "others")]


def _listed(guard: InputGuard | OutputGuard, terms: Step, required: Step) -> list[Told]:
    """Those that are no validators: the two that have a list of their own, where the quick scan does them, and ``on_media``."""
    found: list[Told] = []
    if guard.terms is not None:
        longest = max(map(len, guard.terms.folded)) if terms == "stream" else None
        found.append(Told(terms, PROHIBITED, PROHIBITED, "block", holds=longest))
    if guard.required is not None:
        found.append(Told(required, REQUIRED, REQUIRED, "block"))
    if not guard.media:
        found.append(Told(terms, MEDIA, MEDIA, "block"))
    return found


def _rules(rules: Iterable[Rule], step: Step, plan: GuardPlan) -> list[Told]:
    return [
        Told(
            step,
            rule.guard,
            plan.types.get(rule.guard, rule.guard),
            rule.action,
            rule.mode,
            rule.detector.longest if step == "stream" else None,
        )
        for rule in rules
    ]


def _others(rules: Iterable[RemoteRule], step: Step) -> list[Told]:
    return [
        Told(step, rule.guard, rule.validator.type, rule.validator.on_fail, rule.validator.mode, tools=rule.calls)
        for rule in rules
    ]


def _asked_first(rule: RemoteRule) -> bool:
    return not rule.first
