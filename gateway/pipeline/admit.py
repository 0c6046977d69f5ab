"""Caller -> Permit: a reservation against the limits of the key and the rules of its application."""

import math
from collections.abc import Coroutine, Sequence

from msgspec import Struct

from gateway.core.errors import GatewayError
from gateway.core.events import Usage
from gateway.core.journal import Journal
from gateway.core.limits import LimitRule, Spent
from gateway.core.requests import Caller, ChatRequest
from gateway.limits.rules import Estimate, Labels, Match, matches, need, truth
from gateway.pipeline.estimates import estimated, estimated_pieces
from gateway.pipeline.limits import Limits, Taken
from gateway.pipeline.permits import Permit
from gateway.pipeline.refusals import permit_of
from gateway.pipeline.resolve import Recipe
from gateway.pipeline.services import Services

STEPS = (512, 128, 32)
"""Tokens by which a running stream's reservation grows: one round trip in some ten seconds of text, and less near the end, so that
at most 31 tokens of a limit stay unused for being too few."""
_NOTHING = Estimate()


def admit_alone(caller: Caller, services: Services) -> Coroutine[None, None, Permit]:
    """Count one request of the key's minute, for what is no call by itself; to be awaited. Raises ``rate_limited``."""
    return services.permits.take(caller)


def admit_now(caller: Caller, services: Services) -> Permit | None:
    """As :func:`admit` where nothing but the key's minute limits the call and a permit is at hand; None: it has to be awaited."""
    return None if caller.limits else services.permits.take_now(caller)


def admit(
    caller: Caller, request: ChatRequest, recipe: Recipe | None, journal: Journal, services: Services
) -> Coroutine[None, None, Permit]:
    """Reserve what the call is expected to use; to be awaited. ``recipe`` None: nobody is asked for an answer of this call.

    Raises ``rate_limited`` and ``budget_exhausted``, saying whose limit and when it resets; ``store_unavailable``.
    """
    if caller.limits:
        return _by_rules(caller, request, recipe, journal, services)
    return services.permits.take(caller)


def admit_forwarded(
    caller: Caller, request: ChatRequest, pieces: Usage, journal: Journal, services: Services
) -> Coroutine[None, None, Permit]:
    """As :func:`admit` for a call that passes through: its input is estimated, its output counts when it is known.

    ``pieces``: what it asks for that is billed by the piece.
    """
    if caller.limits:
        return _by_rules(caller, request, Recipe(None, request.model, {}), journal, services, pieces)
    return services.permits.take(caller)


async def _by_rules(
    caller: Caller,
    request: ChatRequest,
    recipe: Recipe | None,
    journal: Journal,
    services: Services,
    pieces: Usage | None = None,
) -> Permit:
    limits, application_id, reservation = services.limits, caller.application_id, journal.inbound.call_id
    found, expected = expectation(caller, request, recipe, journal, services, pieces)
    permit = await services.permits.take(caller)
    window = services.permits.window(caller)
    try:
        shadowed: list[str] = []
        taken, standings = await limits.reserve(application_id, reservation, found, expected, shadowed)
    except BaseException:
        services.permits.give_back(caller, window)
        raise
    allowance = None
    if request.stream and pieces is None:
        allowance = _allowance(limits, application_id, reservation, found, expected, taken)
    journal.holding = limits.hold(application_id, reservation, taken)
    journal.route, journal.shadowed = request.model if recipe is None else recipe.model, tuple(shadowed)
    shown = permit_of(permit.standing, standings)
    return Permit(shown.standing, shown.tokens, allowance)


def expectation(
    caller: Caller,
    request: ChatRequest,
    recipe: Recipe | None,
    journal: Journal,
    services: Services,
    pieces: Usage | None = None,
) -> tuple[list[Match], Estimate]:
    """The counters of a call, and what it is expected to need of them. Raises ``unknown_model`` where its price matters.

    ``pieces`` are those of a call that passes through; None for all others.
    """
    model = request.model if recipe is None else recipe.model
    found = matches(caller.limits, Labels((*caller.ancestors, caller.public_id), model, request.user, request.tags))
    if recipe is None:
        return found, _NOTHING
    priced = any(match.rule.metric == "cost_nano" for match in found)
    if pieces is None:
        return found, estimated(recipe, request, journal, services, priced=priced)
    try:
        return found, estimated_pieces(recipe, request, pieces, journal, services, priced=priced)
    except GatewayError:
        # No route has this model: whether anybody takes the call is decided later.
        return found, estimated_pieces(recipe, request, pieces, journal, services, priced=False)


class _Hard(Struct):
    match: Match
    unit: float
    """What one token of output takes of the limit."""
    covered: float
    """Tokens of output that are reserved."""
    aside: int = 0
    """What of the reservation earlier answers of the call have used."""


class StreamAllowance:
    """What the rules that end streams leave for one: what is reserved, and more from the store when that is used up."""

    __slots__ = ("_application_id", "_asked", "_hard", "_limits", "_reservation", "_taken")

    def __init__(
        self, limits: Limits, application_id: str, reservation: str, taken: list[Taken], hard: Sequence[_Hard]
    ) -> None:
        self._limits = limits
        self._application_id = application_id
        self._reservation = reservation
        self._taken = taken
        self._hard = hard
        self._asked = 0

    @property
    def covered(self) -> float:
        """Tokens of output that are reserved of all of them."""
        return min([hard.covered for hard in self._hard])

    def set_aside(self, spent: Spent) -> None:
        """Earlier answers of the call have used so much of what is reserved: those that guards refused, and hedges that lost."""
        for hard in self._hard:
            used = truth(hard.match.rule, spent)
            hard.covered -= (used - hard.aside) / hard.unit
            hard.aside = used

    async def passed(self, output_tokens: int) -> LimitRule | None:
        """The rule that has nothing left for an answer that has come this far; None: it may go on."""
        for hard in self._hard:
            missing = output_tokens - hard.covered
            # What is there already has to be paid for at once; if it cannot be, nothing less will do.
            if missing > 0 and not await self._grow(hard, STEPS if missing <= STEPS[0] else (math.ceil(missing),)):
                return hard.match.rule
            while hard.covered < output_tokens:
                if not await self._grow(hard, STEPS):
                    return hard.match.rule
        return None

    async def _grow(self, hard: _Hard, steps: Sequence[int]) -> bool:
        for step in steps:
            self._asked += 1
            name, amount = f"{self._reservation}+{self._asked}", math.ceil(step * hard.unit)
            if await self._limits.extend(self._application_id, name, hard.match, amount, self._taken):
                hard.covered += step
                return True
        return False


def _allowance(
    limits: Limits,
    application_id: str,
    reservation: str,
    found: Sequence[Match],
    expected: Estimate,
    taken: list[Taken],
) -> StreamAllowance | None:
    hard: list[_Hard] = []
    for match in found:
        rule = match.rule
        if not rule.hard or rule.shadow or rule.metric not in {"output_tokens", "tokens", "cost_nano"}:
            continue
        unit, sure = 1.0, expected.input_tokens if rule.metric == "tokens" else 0
        if rule.metric == "cost_nano":
            sure = expected.input_cost
            unit = (expected.cost - sure) / expected.output_tokens if expected.output_tokens else 0.0
        if unit > 0:
            hard.append(_Hard(match, unit, (need(rule, expected) - sure) / unit))
    return StreamAllowance(limits, application_id, reservation, taken, hard) if hard else None
