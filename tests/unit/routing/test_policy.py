"""The order in which targets are tried: placement over tier over strategy."""

import pytest

from gateway.core.upstream import Target
from gateway.routing.policy import Candidate, Condition, Policy, arrange, draw, quickest


def candidate(name: str, tier: int = 0, *, local: bool = False) -> Candidate:
    return Candidate(Target(name, "m", "http://x", ""), tier=tier, local=local)


CLOUD, LOCAL = candidate("cloud"), candidate("local", 1, local=True)
SPARE, NEAR = candidate("spare", 1), candidate("near", local=True)
ALL = (CLOUD, LOCAL, SPARE, NEAR)
PRICES = {"cloud": 5, "spare": 1, "near": 3}


def names(policy: Policy) -> list[list[str]]:
    groups = arrange(ALL, policy, lambda target: PRICES.get(target.provider))
    return [[candidate.target.provider for candidate in group] for group in groups]


@pytest.mark.parametrize(
    ("policy", "order"),
    [
        (Policy(), [["cloud", "near"], ["local", "spare"]]),
        (Policy(placement="local_only"), [["near"], ["local"]]),
        (Policy(placement="prefer_local"), [["near"], ["local"], ["cloud"], ["spare"]]),
        (Policy(placement="prefer_cloud"), [["cloud"], ["spare"], ["near"], ["local"]]),
        (Policy("cheapest"), [["near", "cloud"], ["spare", "local"]]),
    ],
)
def test_placement_goes_before_tier_and_tier_before_price(policy: Policy, order: list[list[str]]) -> None:
    assert names(policy) == order


def test_draws_follow_weights_and_what_has_none_comes_last() -> None:
    members = [("a", 0), ("b", 1), ("c", 3)]

    def first(point: float) -> list[str]:
        return [name for name, _ in draw(members, lambda member: member[1], lambda: point)]

    assert first(0.0) == ["b", "c", "a"]
    assert first(0.24) == ["b", "c", "a"]
    assert first(0.26) == ["c", "b", "a"]
    assert first(0.999) == ["c", "b", "a"]


def test_the_quicker_of_two_drawn_comes_first_then_the_rest_by_cost() -> None:
    costs = {"a": 3.0, "b": 1.0, "c": 2.0, "d": 9.0}
    draws = iter([0.0, 0.99])  # a, and d of the others
    assert quickest(list(costs), costs.__getitem__, lambda: next(draws)) == ["a", "b", "c", "d"]
    draws = iter([0.99, 0.0])  # d and a
    assert quickest(list(costs), costs.__getitem__, lambda: next(draws)) == ["a", "b", "c", "d"]
    draws = iter([0.5, 0.5])  # c, and b of the others
    assert quickest(list(costs), costs.__getitem__, lambda: next(draws)) == ["b", "c", "a", "d"]
    assert quickest(["x"], lambda _: 1.0, lambda: 0.0) == ["x"]


@pytest.mark.parametrize(
    ("condition", "tags", "tokens", "holds"),
    [
        (Condition(), [], 0, True),
        (Condition(tags=frozenset({"batch"})), ["x", "batch"], 5, True),
        (Condition(tags=frozenset({"batch", "eu"})), ["batch"], 5, False),
        (Condition(min_tokens=10), [], 9, False),
        (Condition(min_tokens=10, max_tokens=20), [], 10, True),
        (Condition(min_tokens=10, max_tokens=20), [], 20, True),
        (Condition(min_tokens=10, max_tokens=20), [], 21, False),
    ],
)
def test_conditions_must_all_hold(condition: Condition, tags: list[str], tokens: int, holds: bool) -> None:
    assert condition.holds(tags, tokens) is holds
