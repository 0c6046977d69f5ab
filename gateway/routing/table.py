"""Routes: model names or patterns to plans. First match wins, in the order of ``config/providers.toml``."""

import re
from collections.abc import Callable, Sequence

from msgspec import Struct, structs

from gateway.core.errors import UNKNOWN_MODEL, GatewayError
from gateway.core.upstream import Target
from gateway.routing.health import Account, Health, Rules
from gateway.routing.policy import PLAIN, Candidate, Condition, Policy, Random, arrange, draw, quickest

MAX_ATTEMPTS = 8
"""Of one call: eight providers that fail one after the other are not a matter of choosing better."""
_REMEMBERED = 4096
"""Distinct model names whose match is remembered; names come from callers, so the memory is bounded."""
_WATCHED = 1024
"""Distinct targets with a state of their own; the models that a wildcard lets in beyond that share one per provider."""


class Route(Struct, frozen=True):
    """One line of the table. ``*`` in a pattern stands for any text; a target without a model keeps the asked name."""

    patterns: tuple[str, ...]
    targets: tuple[Target | Candidate, ...]
    policy: Policy = PLAIN


class Stop(Struct, frozen=True, gc=False):
    """One target of a plan, with everything that an attempt there needs."""

    targets: tuple[Target, ...]
    """The same target once per key of its account."""
    health: Health
    account: Account
    weight: int

    @property
    def target(self) -> Target:
        """With the first key."""
        return self.targets[0]


class Plan(Struct, frozen=True, gc=False):
    """Where a call may go. The plan of a plain route is made once per model name and shared by all its calls."""

    stops: tuple[Stop, ...]
    """In the order of trying. Never empty."""
    attempts: int
    policy: Policy
    groups: tuple[tuple[Stop, ...], ...] = ()
    """What is drawn from for each call; empty when nothing is."""
    when: Condition | None = None
    otherwise: "Plan | None" = None
    """For calls that do not meet ``when``."""

    @property
    def targets(self) -> tuple[Target, ...]:
        """In the order of trying."""
        return tuple(stop.target for stop in self.stops)

    def drawn(self, now: float, random: Random) -> "Plan":
        """The plan with its order settled for one call."""
        if not self.groups:
            return self
        stops: list[Stop] = []
        for group in self.groups:
            if self.policy.strategy == "weighted":
                stops += draw(group, lambda stop: stop.weight, random)
            else:
                stops += quickest(group, lambda stop: stop.health.cost(now), random)
        return structs.replace(self, stops=tuple(stops))


def _no_price(target: Target) -> int | None:
    del target
    return None


class RouteTable:
    """Compiled routes, and what is known of the health of their targets. ``price`` gives a target's cost for ``cheapest``."""

    def __init__(
        self, routes: Sequence[Route], rules: Rules | None = None, price: Callable[[Target], int | None] = _no_price
    ) -> None:
        self._routes = [(_compile(route.patterns), tuple(map(_candidate, route.targets)), route.policy) for route in routes]
        self._rules = rules or Rules()
        self._price = price
        self._known: dict[str, Plan] = {}
        self.accounts: dict[str, Account] = {}
        """By provider."""
        self.health: dict[tuple[str, str], Health] = {}
        """By provider and upstream model; ``*`` where there were too many."""
        for _, candidates, _ in self._routes:
            for candidate in candidates:
                provider = candidate.target.provider
                if provider not in self.accounts:
                    self.accounts[provider] = Account(provider, len(_keys(candidate)), self._rules)
        self.names = sorted({p for route in routes for p in route.patterns if "*" not in p})
        """Names that can be listed: routes without a wildcard."""

    def lists(self, model: str) -> bool:
        """Whether a route names this model itself, not by a wildcard."""
        return model in self.names

    def plan(self, model: str) -> Plan:
        """Where a model name leads. Raises ``unknown_model``."""
        found = self._known.get(model)
        if found is not None:
            return found
        plan = self._plan(model, 0)
        if plan is None:
            raise unknown_model(model)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[model] = plan
        return plan

    def direct(self, candidate: Candidate, purpose: str) -> Plan:
        """The plan of a call that goes to one account whatever its model. Without a model its health is that of its ``purpose``."""
        target = candidate.target
        if target.provider not in self.accounts:
            self.accounts[target.provider] = Account(target.provider, len(_keys(candidate)), self._rules)
        health = self._health_of(structs.replace(target, model=target.model or purpose))
        return Plan((self._stop(candidate, health),), 1, PLAIN)

    def _plan(self, model: str, after: int) -> Plan | None:
        for number in range(after, len(self._routes)):
            pattern, candidates, policy = self._routes[number]
            if pattern.fullmatch(model) is None:
                continue
            groups = tuple(
                tuple([self._stop(candidate, self._health_of(candidate.target)) for candidate in group])
                for group in arrange([_with_model(c, model) for c in candidates], policy, self._price)
            )
            stops = tuple(stop for group in groups for stop in group)
            drawn = policy.strategy in {"weighted", "least_latency"} and any(len(group) > 1 for group in groups)
            return Plan(
                stops=stops,
                attempts=min(policy.attempts or len(stops), MAX_ATTEMPTS),
                policy=policy,
                groups=groups if drawn else (),
                when=policy.when,
                otherwise=self._plan(model, number + 1) if policy.when is not None else None,
            )
        return None

    def _stop(self, candidate: Candidate, health: Health) -> Stop:
        target = candidate.target
        keyed = tuple([structs.replace(target, api_key=key) for key in _keys(candidate)])
        return Stop(keyed, health, self.accounts[target.provider], candidate.weight)

    def _health_of(self, target: Target) -> Health:
        place = (target.provider, target.model)
        health = self.health.get(place)
        if health is None:
            if len(self.health) >= _WATCHED:
                place = (target.provider, "*")
                if place in self.health:
                    return self.health[place]
            health = self.health[place] = Health("/".join(place), self._rules)
        return health


def unknown_model(model: str) -> GatewayError:
    """No route is for this model, or none whose conditions the call meets."""
    return GatewayError(UNKNOWN_MODEL, f"no route serves the model {model[:100]!r}", param="model")


def _candidate(listed: Target | Candidate) -> Candidate:
    return listed if isinstance(listed, Candidate) else Candidate(listed)


def _with_model(candidate: Candidate, model: str) -> Candidate:
    target = candidate.target
    return candidate if target.model else structs.replace(candidate, target=structs.replace(target, model=model))


def _keys(candidate: Candidate) -> tuple[str, ...]:
    own = candidate.target.api_key
    return tuple(dict.fromkeys((own, *candidate.keys) if own else candidate.keys)) or ("",)


def _compile(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(".*".join(re.escape(piece) for piece in p.split("*")) for p in patterns), re.DOTALL)
