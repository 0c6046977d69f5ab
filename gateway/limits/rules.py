"""Which counters a call touches, what it is expected to need of each, and what it came to."""

from msgspec import Struct

from gateway.core.limits import EACH, LimitRule, Spent

DEFAULT_OUTPUT = 1024
"""Tokens of an answer that are reserved when the caller sets no bound: most answers are shorter, and what is too much is given back
when the call ends. A smaller figure would let more calls start near the end of a budget than it can pay for."""


class Labels(Struct, frozen=True, gc=False):
    """What rules match of a call."""

    keys: tuple[str, ...]
    """The key's public id, after those of the keys that it took the place of: what counted for them goes on with it."""
    model: str
    user: str | None = None
    tags: tuple[str, ...] = ()


class Estimate(Struct, frozen=True, gc=False):
    """What a call is expected to use. What is known goes before what is guessed: see :func:`need`."""

    input_tokens: int = 0
    output_tokens: int = 0
    input_cost: int = 0
    """Nano-dollars for the input alone; 0 where there is no price."""
    cost: int = 0
    """Nano-dollars for input and output."""


class Match(Struct, frozen=True, gc=False):
    """A rule that a call falls under, and the counter that it means for this call."""

    rule: LimitRule
    counter: str


def matches(rules: tuple[LimitRule, ...], labels: Labels) -> list[Match]:
    """The counters of a call; a rule for each tag has one per tag of the call."""
    return [
        Match(rule, counter_of(rule, value))
        for rule in rules
        for value in _values(rule, labels)
        if rule.match in {EACH, value} or rule.scope == "application"
    ]


def counter_of(rule: LimitRule, value: str) -> str:
    """The name of a rule's counter for one value of its scope."""
    return f"{rule.id}:{value}"


def _values(rule: LimitRule, labels: Labels) -> tuple[str, ...]:
    scope = rule.scope
    if scope == "application":
        return ("",)
    if scope == "key":
        # Each key by itself is all of a line of successors together; a rule for one key counts it and who came after it.
        return labels.keys[:1] if rule.match == EACH else labels.keys
    if scope == "tag":
        return tuple(dict.fromkeys(labels.tags))
    if scope == "user":
        return () if labels.user is None else (labels.user,)
    return (labels.model,)


def need(rule: LimitRule, estimate: Estimate) -> int:
    """What is to be reserved. The input is sure; the output is a guess, and never more than what the whole limit leaves for it.

    So a call whose guess alone exceeds a limit goes when all of it is free, and one whose input exceeds it never does.
    """
    metric, amount = rule.metric, rule.amount
    if metric in {"requests", "concurrency"}:
        return 1
    if metric == "input_tokens":
        return estimate.input_tokens
    if metric == "output_tokens":
        sure, guess = 0, estimate.output_tokens
    elif metric == "tokens":
        sure, guess = estimate.input_tokens, estimate.output_tokens
    else:
        sure, guess = estimate.input_cost, estimate.cost - estimate.input_cost
    return sure + max(min(guess, amount - sure), 0)


def truth(rule: LimitRule, spent: Spent) -> int:
    """What is to be settled; a call under way has ended, and a request stays one."""
    metric = rule.metric
    if metric == "requests":
        return 1
    if metric == "concurrency":
        return 0
    if metric == "input_tokens":
        return spent.input_tokens
    if metric == "output_tokens":
        return spent.output_tokens
    return spent.input_tokens + spent.output_tokens if metric == "tokens" else spent.cost_nano
