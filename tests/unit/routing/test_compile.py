"""What providers.toml says becomes candidates and rules."""

from gateway.core.upstream import Timeouts
from gateway.routing.compile import compile_routes, compile_rules, target_names
from gateway.routing.health import Rules
from gateway.routing.policy import PLAIN, Candidate, Condition, Policy
from gateway.settings import Provider, Resilience, Route, RouteTarget, Settings

A = Provider("openai", "http://a/v1", "k1", ("k2", "k3"), first_byte_ms=7000, first_token_ms=3000)


def test_targets_take_their_providers_address_keys_and_times_unless_they_have_their_own() -> None:
    route = Route(
        ("*",),
        (RouteTarget("a"), RouteTarget("a", "m", 3, 2, local=True, connect_ms=10, first_byte_ms=20, idle_ms=30, total_ms=40)),
    )
    first, second = compile_routes(Settings(providers={"a": A}, routes=(route,)))[0].targets
    assert isinstance(first, Candidate)
    assert isinstance(second, Candidate)
    assert (first.target.base_url, first.target.api_key, first.keys) == ("http://a/v1", "k1", ("k2", "k3"))
    assert first.target.timeouts == Timeouts(2.0, 7.0, 30.0, 600.0, 3.0)
    assert second.target.timeouts == Timeouts(0.01, 0.02, 0.03, 0.04, 3.0)
    assert (second.target.model, second.weight, second.tier, second.local) == ("m", 3, 2, True)


def test_a_plain_route_has_the_plain_policy_and_the_one_that_nobody_wrote_is_there() -> None:
    routes = compile_routes(Settings(providers={"a": A}, routes=(Route(("x",), (RouteTarget("a"),)),)))
    assert [(route.patterns, route.policy) for route in routes] == [(("x",), PLAIN), (("*",), PLAIN)]
    assert target_names(Settings(providers={"a": A}, routes=(Route(("x",), (RouteTarget("a", "m"),)),))) == ["a/m", "a/*"]


def test_policies_are_taken_over() -> None:
    route = Route(
        ("*",), (RouteTarget("a"),), "cheapest", "prefer_local", ("t",), 5, 9, attempts=3, hedge_after_ms=250, queue_ms=0
    )
    policy = compile_routes(Settings(providers={"a": A}, routes=(route,)))[0].policy
    assert policy == Policy("cheapest", "prefer_local", Condition(frozenset({"t"}), 5, 9), 3, 0.25, 0.0)
    by_p95 = Route(("*",), (RouteTarget("a"),), hedge_after_ms="p95", max_input_tokens=4)
    policy = compile_routes(Settings(providers={"a": A}, routes=(by_p95,)))[0].policy
    assert (policy.hedge_after, policy.when) == ("p95", Condition(max_tokens=4))


def test_the_defaults_of_settings_and_rules_agree() -> None:
    assert compile_rules(Resilience()) == Rules()
