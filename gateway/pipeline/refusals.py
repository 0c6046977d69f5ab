"""What a caller is told when a limit rule refuses its call: whose limit, which rule, how much, and when it makes sense to come back."""

from collections.abc import Sequence

from gateway.core.errors import BUDGET_EXHAUSTED, RATE_LIMITED, STORE_UNAVAILABLE, GatewayError
from gateway.core.limits import LimitRule
from gateway.limits.leases import Standing
from gateway.limits.rules import Match
from gateway.pipeline.permits import Permit

LONGEST_RETRY_AFTER = 119.0
"""Seconds: SDKs sleep for what they are told, so it stays below two minutes; when the window really ends is in the message."""
CONCURRENCY_RETRY_AFTER = 1.0
"""Seconds: a place gets free when a call ends, and nobody knows when; a second is that of a short answer."""
_NANO = 1_000_000_000
_UNITS = {
    "requests": "requests",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "tokens": "tokens",
    "concurrency": "calls at one time",
}
_TOKENS = frozenset({"tokens", "input_tokens", "output_tokens"})


def over_limit(match: Match, left: float, needed: int, standings: Sequence[tuple[LimitRule, Standing]]) -> GatewayError:
    """``rate_limited``, or ``budget_exhausted`` for a budget. ``left``: seconds until the window ends."""
    rule = match.rule
    never = needed > rule.amount
    wait = CONCURRENCY_RETRY_AFTER if rule.metric == "concurrency" else left
    if never:
        then = f"This call needs {_amount(rule, needed)}, which the limit never allows."
    elif rule.metric == "concurrency":
        then = "Try again when one of them has ended."
    else:
        then = f"It resets in {wait:.0f} s."
    kind = BUDGET_EXHAUSTED if rule.is_budget else RATE_LIMITED
    what = "Budget exhausted" if rule.is_budget else "Rate limit reached"
    error = GatewayError(
        kind,
        f"{what} for {_whose(match)}: the limit {rule.name!r} allows {said(rule)}. {then}",
        retry_after=None if never else min(max(wait, 0.001), LONGEST_RETRY_AFTER),
        target=rule.scope,
    )
    head = permit_of(None, standings).head() + f"x-ratelimit-rule: {rule.name}\r\n"
    if never and kind.retryable:
        head += "x-should-retry: false\r\n"
    error.headers = head.encode()
    return error


def store_away(match: Match) -> GatewayError:
    """``store_unavailable`` of a rule that does not let calls through uncounted."""
    return GatewayError(
        STORE_UNAVAILABLE,
        f"The limit {match.rule.name!r} of {_whose(match)} cannot be checked now, and lets no call through unchecked.",
        retry_after=1.0,
        target=match.rule.scope,
    )


def permit_of(standing: Standing | None, standings: Sequence[tuple[LimitRule, Standing]]) -> Permit:
    """The numbers of the answer's headers: of all limits of requests and of tokens the tightest, shadows aside."""
    enforced = [(rule.metric, each) for rule, each in standings if not rule.shadow]
    requests = [each for metric, each in enforced if metric == "requests"]
    if standing is not None:
        requests.append(standing)
    tokens = [each for metric, each in enforced if metric in _TOKENS]
    return Permit(_tightest(requests), _tightest(tokens))


def said(rule: LimitRule) -> str:
    """A rule's amount in words: ``100 requests per minute``, ``$5 per month``."""
    amount = _amount(rule, rule.amount)
    return amount if rule.window == "none" else f"{amount} per {rule.window}"


def _amount(rule: LimitRule, amount: int) -> str:
    if rule.metric == "cost_nano":
        return f"${amount / _NANO:.9f}".rstrip("0").rstrip(".")
    return f"{amount} {_UNITS[rule.metric]}"


def _whose(match: Match) -> str:
    rule = match.rule
    if rule.scope == "application":
        return "this application"
    value = match.counter.partition(":")[2]
    return f"this API key ({value})" if rule.scope == "key" else f"the {rule.scope} {value[:100]!r}"


def _tightest(standings: Sequence[Standing]) -> Standing | None:
    """The one with the least left: it is what refuses first."""
    return min(standings, key=lambda each: each.remaining, default=None)
