"""Where the limit rules stand that a call would fall under: nothing is taken, and no counter is made."""

from msgspec import Struct

from gateway.core.errors import GatewayError
from gateway.core.journal import Journal
from gateway.core.limits import Ask, CounterState, Metric, Scope, Window
from gateway.core.requests import Caller, ChatRequest
from gateway.limits.leases import Standing
from gateway.limits.rules import Match, need
from gateway.pipeline.admit import expectation
from gateway.pipeline.refusals import over_limit, store_away
from gateway.pipeline.resolve import Recipe
from gateway.pipeline.services import Services


class RuleStanding(Struct, frozen=True, omit_defaults=True):
    """One rule that applies to the call, and how much of it is left."""

    name: str
    scope: Scope
    whose: str
    """The key's public id, the tag, the user or the model that is counted; empty for the application's own."""
    metric: Metric
    window: Window
    mode: str
    limit: int
    needs: int
    """What the call would reserve."""
    used: int | None
    """Settled, reserved and leased by all workers; None: the counters cannot be asked."""
    remaining: int | None
    """Of a leased rule this worker's own permits count as well."""
    reset_seconds: float | None
    """Until the window ends; None for ``concurrency``."""
    fits: bool | None
    """Whether the call would get what it needs."""
    shadow: bool = False
    hard: bool = False


async def standings(
    caller: Caller, request: ChatRequest, recipe: Recipe, journal: Journal, services: Services
) -> tuple[tuple[RuleStanding, ...], GatewayError | None]:
    """The rules in the order in which they are kept, and the error with which they would refuse the call.

    Raises ``unknown_model`` where the price of the call matters and no target has it.
    """
    if not caller.limits:
        return (), None
    found, expected = expectation(caller, request, recipe, journal, services)
    asks = [Ask(match.counter, match.rule.window, match.rule.amount, need(match.rule, expected)) for match in found]
    states = await services.limits.look(caller.application_id, asks) if asks else []
    told: list[RuleStanding] = []
    over: list[tuple[float, Match, Ask]] = []
    unasked: Match | None = None
    for index, (match, ask) in enumerate(zip(found, asks, strict=True)):
        state = None if states is None else states[index]
        one = _told(match, ask, state, services.limits.held(match))
        told.append(one)
        if match.rule.shadow:
            continue
        if one.fits is False:
            over.append((one.reset_seconds or 0.0, match, ask))
        elif one.fits is None and match.rule.on_store_error == "closed":
            unasked = unasked or match
    if over:
        left, match, ask = max(over, key=lambda each: each[0])
        return tuple(told), over_limit(match, left, ask.need, [])
    return tuple(told), None if unasked is None else store_away(unasked)


def _told(match: Match, ask: Ask, state: CounterState | None, held: Standing | None) -> RuleStanding:
    rule = match.rule
    used = remaining = fits = None
    if state is not None:
        used, remaining, fits = state.used, max(rule.amount - state.used, 0), state.fits
    reset = None if state is None or rule.window == "none" else round(state.left_ms / 1000, 3)
    if held is not None:
        remaining = max(held.remaining, remaining or 0)
        fits = fits or ask.need <= remaining
    return RuleStanding(
        rule.name,
        rule.scope,
        match.counter.partition(":")[2],
        rule.metric,
        rule.window,
        rule.mode,
        rule.amount,
        ask.need,
        used,
        remaining,
        reset,
        fits,
        rule.shadow,
        rule.hard,
    )
