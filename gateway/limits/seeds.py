"""What the ledger is asked for where the store has lost its counters, and what its answers make of them. Pure.

A counter of a long window is the sum of its calls since the window began, or since the rule was made if that was later. Calls
whose truth reached the store after the first seed are the store's to count, so the last seed counts those that ended before it.
What is counted at the door and never settled (requests, leased permits) is told apart by when a call started.
"""

from collections.abc import Iterable, Sequence

from gateway.core.ids import uuid7_ms
from gateway.core.limits import LARGEST_AMOUNT, LONG_WINDOWS, LimitRule, Seed, Spent, Window
from gateway.core.spending import Charge, Question, Total
from gateway.limits.rules import Labels, counter_of, matches, truth
from gateway.limits.windows import end_of, number_of

MAX_VALUES = 100_000
"""Values of one rule (users, tags) that are seeded, those with the most calls first: 20 MB of Redis. The others begin at nothing."""


def questions(
    rules: Sequence[LimitRule], now_ms: int, before_ms: int | None, early: Sequence[str] = ()
) -> dict[Question, list[LimitRule]]:
    """What is to be asked at ``now_ms`` for rules with long windows, and for which rules. ``before_ms``: see :class:`Question`.

    ``early``: calls that started before that, and were counted at the door since.
    """
    wanted: dict[Question, list[LimitRule]] = {}
    for rule in rules:
        if rule.window not in LONG_WINDOWS or rule.metric == "concurrency":
            continue
        since = began_ms(rule.id, rule.window, now_ms)
        by_end = before_ms is not None and rule.metric != "requests" and rule.mode == "exact"
        without = () if by_end else tuple(early)
        wanted.setdefault(Question(rule.scope, rule.match, since, by_end, before_ms, without), []).append(rule)
    return wanted


def began_ms(rule_id: str, window: Window, now_ms: int) -> int:
    """When the present window of a rule began: not before the rule was made, which its id says (a UUIDv7), if it is one."""
    begins = end_of(window, number_of(window, now_ms) - 1)
    try:
        return max(begins, uuid7_ms(rule_id))
    except ValueError:
        return begins


def added(parts: Iterable[Sequence[Total]]) -> list[Total]:
    """Sums over several parts, by value; of more than :data:`MAX_VALUES` those with the most calls."""
    sums: dict[str, Total] = {}
    for part in parts:
        for one in part:
            was = sums.get(one.value)
            sums[one.value] = one if was is None else _plus(was, one)
    if len(sums) <= MAX_VALUES:
        return list(sums.values())
    return sorted(sums.values(), key=lambda total: -total.requests)[:MAX_VALUES]


def seeds(rules: Sequence[LimitRule], totals: Sequence[Total], now_ms: int) -> list[Seed]:
    """What the sums make of the counters of rules that asked for them."""
    return [
        Seed(
            counter_of(rule, total.value), rule.window, number_of(rule.window, now_ms), min(_used(rule, total), LARGEST_AMOUNT)
        )
        for rule in rules
        for total in totals
    ]


def charged(rules: Sequence[LimitRule], charge: Charge) -> list[Seed]:
    """What a call that nobody settled adds to counters. Requests and leased permits were counted at the door."""
    started = uuid7_ms(charge.call_id)
    labels = Labels(charge.keys, charge.model or "", charge.user, charge.tags)
    return [
        Seed(match.counter, match.rule.window, number_of(match.rule.window, started), used)
        for match in matches(tuple(rules), labels)
        if match.rule.mode == "exact" and match.rule.metric != "requests" and (used := truth(match.rule, charge.spent))
    ]


def _used(rule: LimitRule, total: Total) -> int:
    if rule.metric == "requests":
        return total.requests
    return truth(rule, Spent(total.input_tokens, total.output_tokens, total.cost_nano))


def _plus(one: Total, other: Total) -> Total:
    return Total(
        one.value,
        one.requests + other.requests,
        one.input_tokens + other.input_tokens,
        one.output_tokens + other.output_tokens,
        one.cost_nano + other.cost_nano,
    )
