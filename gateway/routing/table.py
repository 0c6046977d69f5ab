"""Routes: model names or patterns to plans. First match wins, in the order of ``config/providers.toml``."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import re2
from msgspec import Struct, structs

from gateway.core.credentials import AccountKey
from gateway.core.errors import NOT_CONFIGURED, UNKNOWN_MODEL, GatewayError
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
    patient: bool = False
    """Whether an answer is waited for until the call's own time is up: no hedge, and no deadline for the first token."""

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
    """Compiled routes, and what is known of the health of their targets. ``price`` gives a target's cost for ``cheapest``.

    A table over a ``base`` is an application's: its routes, and the accounts that it has keys of its own for. All else, keys and health
    alike, is the base's: a provider that fails one application fails the others too, an account that is refused does not.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        rules: Rules | None = None,
        price: Callable[[Target], int | None] = _no_price,
        *,
        keys: Mapping[str, tuple[AccountKey, ...]] | None = None,
        base: "RouteTable | None" = None,
    ) -> None:
        self._rules = rules or Rules()
        self._price = price
        self._base = base
        self._stored: dict[str, tuple[AccountKey, ...]] = {}
        self._known: dict[str, Plan] = {}
        self.accounts: dict[str, Account] = {}
        """By provider."""
        self.health: dict[tuple[str, str], Health] = {}
        """By provider and upstream model; ``*`` where there were too many."""
        self.passthrough: str | None = None
        """The provider of forwarded calls that no model routes; None: there is none."""
        self.names: list[str] = []
        """Names that can be listed: routes without a wildcard."""
        self.replace(routes, keys or {})

    def over(self, routes: Sequence[Route], keys: Mapping[str, tuple[AccountKey, ...]]) -> "RouteTable":
        """A table over this one."""
        return RouteTable(routes, self._rules, self._price, keys=keys, base=self)

    def replace(self, routes: Sequence[Route], keys: Mapping[str, tuple[AccountKey, ...]]) -> None:
        """Other routes, and other keys that go before those of the candidates, by provider. Calls under way end as they began.

        A provider without any key in ``keys`` is not asked at all.
        """
        self._routes = [(_compile(route.patterns), tuple(map(_candidate, route.targets)), route.policy) for route in routes]
        former = self.accounts
        moved = {name for name in {*self._stored, *keys} if self._stored.get(name) != keys.get(name)}
        self.accounts = {name: account for name, account in former.items() if name not in moved}
        self._stored = dict(keys)
        self._known = {}
        for _, candidates, _ in self._routes:
            for candidate in candidates:
                self.account_for(candidate, former)
        self.names = sorted({p for route in routes for p in route.patterns if "*" not in p})

    def met(self, provider: str, model: str) -> list[Health]:
        """What is known of a target; of all the provider's that were met, where ``model`` is empty."""
        if self._base is not None and provider not in self._stored:
            return self._base.met(provider, model)
        return [health for (owner, name), health in self.health.items() if owner == provider and model in {"", name}]

    def has_stored(self, provider: str) -> bool:
        """Whether calls go out with keys from the database."""
        return provider in self._stored or (self._base is not None and self._base.has_stored(provider))

    def lists(self, model: str) -> bool:
        """Whether a route names this model itself, not by a wildcard."""
        return model in self.names

    def plan(self, model: str) -> Plan:
        """Where a model name leads. Raises ``unknown_model``, and ``not_configured`` for a route none of whose targets can be asked."""
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
        """The plan of a call that goes to one account whatever its model. Without a model its health is that of its ``purpose``.

        Raises ``not_configured`` where the account has no key that opens.
        """
        target = candidate.target
        if not self.keys_for(candidate):
            raise _no_way(target.model or target.provider)
        health = self.health_for(structs.replace(target, model=target.model or purpose))
        return Plan((self._stop(candidate, health),), 1, PLAIN)

    def _plan(self, model: str, after: int) -> Plan | None:
        for number in range(after, len(self._routes)):
            pattern, candidates, policy = self._routes[number]
            if pattern.fullmatch(model) is None:
                continue
            usable = [_with_model(candidate, model) for candidate in candidates if self.keys_for(candidate)]
            groups = tuple(
                tuple([self._stop(candidate, self.health_for(candidate.target)) for candidate in group])
                for group in arrange(usable, policy, self._price)
            )
            stops = tuple(stop for group in groups for stop in group)
            if not stops:
                raise _no_way(model)
            drawn = policy.strategy in {"weighted", "least_latency"} and any(len(group) > 1 for group in groups)
            return Plan(
                stops=stops,
                attempts=min(policy.attempts or len(stops), MAX_ATTEMPTS),
                policy=policy,
                groups=groups if drawn else (),
                when=policy.when,
                otherwise=self._plan(model, number + 1) if policy.when is not None else None,
                patient=policy.hedge_after is None and all(stop.target.timeouts.first_token is None for stop in stops),
            )
        return None

    def _stop(self, candidate: Candidate, health: Health) -> Stop:
        target = candidate.target
        keyed = tuple(
            [structs.replace(target, api_key=key.secret, credential=key.credential) for key in self.keys_for(candidate)]
        )
        return Stop(keyed, health, self.account_for(candidate, self.accounts), candidate.weight)

    def keys_for(self, candidate: Candidate) -> tuple[AccountKey, ...]:
        """Those stored for this table, else for its base, else the candidate's own."""
        provider = candidate.target.provider
        if provider in self._stored:
            return self._stored[provider]
        return _keys(candidate) if self._base is None else self._base.keys_for(candidate)

    def account_for(self, candidate: Candidate, former: Mapping[str, Account]) -> Account:
        """The account that a candidate's calls go out on. ``former``: what one that has other keys now was; its counts go on."""
        provider = candidate.target.provider
        if self._base is not None and provider not in self._stored:
            return self._base.account_for(candidate, self._base.accounts)
        account = self.accounts.get(provider)
        if account is None:
            keys = self.keys_for(candidate)
            account = self.accounts[provider] = Account(provider, len(keys), self._rules)
            account.secrets = tuple([key.secret for key in keys])
            before = former.get(provider)
            if before is not None:
                account.retries, account.hedges = before.retries, before.hedges
                account.retried, account.rotated, account.hedged = before.retried, before.rotated, before.hedged
        return account

    def health_for(self, target: Target) -> Health:
        """What is known of a target: by this table's own calls, where they go out with its own keys."""
        if self._base is not None and target.provider not in self._stored:
            return self._base.health_for(target)
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


def _no_way(model: str) -> GatewayError:
    return GatewayError(
        NOT_CONFIGURED,
        f"the route of {model[:100]!r} leads to nobody who can be asked: its provider is gone, or has no key that opens",
        param="model",
    )


def _candidate(listed: Target | Candidate) -> Candidate:
    return listed if isinstance(listed, Candidate) else Candidate(listed)


def _with_model(candidate: Candidate, model: str) -> Candidate:
    target = candidate.target
    return candidate if target.model else structs.replace(candidate, target=structs.replace(target, model=model))


def _keys(candidate: Candidate) -> tuple[AccountKey, ...]:
    own = candidate.target.api_key
    texts = tuple(dict.fromkeys((own, *candidate.keys) if own else candidate.keys)) or ("",)
    return tuple([AccountKey(text) for text in texts])


@lru_cache(_REMEMBERED)
def _compile(patterns: tuple[str, ...]) -> Any:
    """Linear in the name's length, however many ``*``: applications write patterns, and callers names.

    Remembered, because the tables of all applications repeat the installation's.
    """
    return re2.compile(f"(?s:{'|'.join(['.*'.join([re2.escape(piece) for piece in p.split('*')]) for p in patterns])})")
