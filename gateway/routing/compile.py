"""Settings -> routes: what ``config/providers.toml`` says, with the accounts' addresses, keys and time limits filled in."""

from collections.abc import Collection

from gateway.core.upstream import Target, Timeouts
from gateway.routing.breaker import BreakerRules
from gateway.routing.health import Rules
from gateway.routing.policy import Candidate, Condition, Policy
from gateway.routing.table import Route
from gateway.settings import Provider, Resilience, RouteTarget, Settings, effective_routes
from gateway.settings import Route as RouteSettings

LONGEST_WAIT = 4
"""Times the first wait of a breaker: see :class:`gateway.routing.breaker.BreakerRules`."""


def compile_routes(settings: Settings, stored: Collection[str] = ()) -> list[Route]:
    """Every route, those that nobody wrote included. ``stored``: who has a key in the database."""
    return [compile_route(route, settings) for route in effective_routes(settings, stored)]


def compile_route(route: RouteSettings, settings: Settings) -> Route:
    """One route; its targets are among the providers."""
    return Route(route.models, tuple([_candidate(target, settings) for target in route.targets]), _policy(route))


def compile_rules(resilience: Resilience) -> Rules:
    """What holds for every target and account."""
    wait = resilience.breaker_wait_ms / 1000
    return Rules(
        breaker=BreakerRules(
            enabled=resilience.breaker,
            failures=resilience.breaker_failures,
            error_rate=resilience.breaker_error_percent / 100,
            min_calls=resilience.breaker_min_calls,
            window=resilience.breaker_window_ms / 1000,
            wait=wait,
            longest_wait=wait * LONGEST_WAIT,
        ),
        concurrency=resilience.max_concurrency,
        retry_ratio=resilience.retry_percent / 100,
        retries_per_second=resilience.retries_per_second,
        hedge_ratio=resilience.hedge_percent / 100,
    )


def target_names(settings: Settings) -> list[str]:
    """``provider/model`` of every target, ``*`` where the asked name is kept: what metrics are labelled with.

    Each provider has a ``*``: a key in the database, or an application's route, may lead to what no route of the file names.
    """
    named = [f"{t.provider}/{t.model or '*'}" for route in effective_routes(settings) for t in route.targets]
    return list(dict.fromkeys([*named, *(f"{provider}/*" for provider in settings.providers)]))


def account_of(name: str, provider: Provider) -> Candidate:
    """A provider without a model: where calls go that no route names."""
    return _candidate(RouteTarget(name), Settings(providers={name: provider}))


def _candidate(target: RouteTarget, settings: Settings) -> Candidate:
    provider = settings.providers[target.provider]
    return Candidate(
        Target(target.provider, target.model, provider.base_url, provider.api_key, _timeouts(target, provider)),
        provider.api_keys or (),
        target.weight,
        target.tier,
        target.local,
    )


def _timeouts(target: RouteTarget, provider: Provider) -> Timeouts:
    first_token = target.first_token_ms or provider.first_token_ms
    return Timeouts(
        (target.connect_ms or provider.connect_ms) / 1000,
        (target.first_byte_ms or provider.first_byte_ms) / 1000,
        (target.idle_ms or provider.idle_ms) / 1000,
        (target.total_ms or provider.total_ms) / 1000,
        None if first_token is None else first_token / 1000,
    )


def _policy(route: RouteSettings) -> Policy:
    conditional = route.tags or route.min_input_tokens is not None or route.max_input_tokens is not None
    after = route.hedge_after_ms
    return Policy(
        strategy=route.strategy,
        placement=route.placement,
        when=Condition(frozenset(route.tags or ()), route.min_input_tokens or 0, route.max_input_tokens)
        if conditional
        else None,
        attempts=route.attempts,
        hedge_after=after / 1000 if isinstance(after, int) else after,
        queue_seconds=route.queue_ms / 1000,
    )
