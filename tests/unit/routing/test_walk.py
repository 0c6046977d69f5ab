"""One call's way through its plan: what it passes over, what it repeats, where it ends."""

from gateway.core.errors import UPSTREAM_ERROR, GatewayError
from gateway.core.upstream import Target
from gateway.routing.breaker import BreakerRules
from gateway.routing.failures import judge
from gateway.routing.health import Rules
from gateway.routing.policy import Candidate, Policy
from gateway.routing.table import Plan, Route, RouteTable
from gateway.routing.walk import Walk

A, B = Target("a", "m", "http://a", "ka"), Target("b", "m", "http://b", "kb")
FAILED = judge(GatewayError(UPSTREAM_ERROR, "no"))


def plan(*targets: Target | Candidate, attempts: int | None = None, **rules: object) -> Plan:
    made = Rules(breaker=BreakerRules(failures=1), **rules)  # type: ignore[arg-type]
    return RouteTable([Route(("*",), targets or (A, B), Policy(attempts=attempts))], made).plan("m")


def providers(walk: Walk, now: float = 0) -> list[str]:
    """Everybody that is asked in one round, each failing at once."""
    found: list[str] = []
    while (place := walk.next(now)) is not None:
        found.append(place[0].target.provider)
        place[0].health.leave()
    return found


def test_each_target_once_and_no_second_round_unless_allowed() -> None:
    walk = Walk(plan())
    assert providers(walk) == ["a", "b"]
    assert walk.again(lambda: 1.0) is None


def test_more_attempts_start_over_after_a_growing_pause() -> None:
    walk = Walk(plan(attempts=5))
    assert providers(walk) == ["a", "b"]
    assert walk.again(lambda: 1.0) == 0.1
    assert providers(walk) == ["a", "b"]
    assert walk.again(lambda: 1.0) == 0.2
    assert providers(walk) == ["a"]
    assert walk.again(lambda: 1.0) is None
    assert walk.made == 5


def test_fewer_attempts_than_targets_end_early() -> None:
    assert providers(Walk(plan(attempts=1))) == ["a"]


def test_an_open_or_full_target_is_passed_over_and_costs_no_attempt() -> None:
    route = plan(concurrency=1)
    route.stops[0].health.failed(FAILED, 0)
    assert providers(Walk(route)) == ["b"]
    held = route.stops[1].health.enter(0)
    assert held
    walk = Walk(route)
    assert providers(walk) == []
    assert walk.again(lambda: 0.0) is None
    assert (route.stops[0].health.rejected, route.stops[1].health.rejected) == (2, 1)
    assert [stop.health.in_flight for stop in route.stops] == [0, 1]


def test_resting_keys_come_after_everybody_else() -> None:
    route = plan()
    route.stops[0].account.keys.limited(0, 0, 10)
    assert providers(Walk(route), 5) == ["b", "a"]
    assert providers(Walk(route), 11) == ["a", "b"]
    alone = plan(A)
    alone.stops[0].account.keys.limited(0, 0, 10)
    assert providers(Walk(alone), 5) == ["a"]


def test_without_a_key_that_lives_a_target_is_not_asked() -> None:
    route = plan(Candidate(A, keys=("k2",)), B)
    for key in (0, 1):
        route.stops[0].account.keys.refused(key, 0)
    assert providers(Walk(route), 1) == ["b"]


def test_repeating_at_the_same_provider_takes_from_its_budget() -> None:
    route = plan(A, attempts=3, retry_ratio=0.0, retries_per_second=0.0)
    walk = Walk(route)
    assert providers(walk) == ["a"]
    assert walk.again(lambda: 0.0) == 0.0
    assert providers(walk) == []
    assert walk.again(lambda: 0.0) is None
    assert (route.stops[0].health.in_flight, route.stops[0].account.retries.refused) == (0, 1)


def test_going_to_another_provider_does_not() -> None:
    route = plan(retry_ratio=0.0, retries_per_second=0.0)
    assert providers(Walk(route)) == ["a", "b"]
    assert (route.stops[0].account.retried, route.stops[1].account.retried) == (0, 1)


def test_a_place_that_was_waited_for_is_an_attempt() -> None:
    route = plan(attempts=1)
    walk = Walk(route)
    assert walk.came_to((route.stops[1], 0)) == (route.stops[1], 0)
    assert walk.next(0) is None
