"""Keys, budget, limiter, latency and the verdict on failures."""

import pytest

from gateway.core.errors import (
    DEADLINE,
    KINDS,
    UPSTREAM_AUTH,
    UPSTREAM_ERROR,
    UPSTREAM_RATE_LIMITED,
    UPSTREAM_REJECTED,
    UPSTREAM_TIMEOUT,
    GatewayError,
    Kind,
)
from gateway.routing.budget import Budget, backoff
from gateway.routing.failures import Next, judge
from gateway.routing.health import Account, Health, Rules
from gateway.routing.keys import KeyRing
from gateway.routing.latency import HALF_LIFE, Latency
from gateway.routing.limiter import FLOOR, Limiter


def failure(kind: Kind, answered: int | None = None) -> GatewayError:
    error = GatewayError(kind, "no")
    error.answered = answered
    return error


def test_keys_take_turns() -> None:
    ring = KeyRing(3)
    assert [ring.pick(0) for _ in range(4)] == [0, 1, 2, 0]


def test_a_refused_key_is_out_longer_each_time_until_it_is_taken_again() -> None:
    ring = KeyRing(2)
    ring.refused(0, 0)
    assert [ring.pick(1), ring.pick(1), ring.dead(1), ring.back_in(1)] == [1, 1, 1, 0]
    assert ring.pick(5) in {0, 1}
    outs: list[float] = []
    now = 100.0
    ring.refused(1, 0)
    for _ in range(8):
        ring.refused(0, now)
        outs.append(next(s for s in range(1000) if ring.pick(now + s, (1,)) == 0))
        now += 1000
    assert outs == [10, 20, 40, 80, 160, 300, 300, 300]
    ring.accepted(0)
    ring.refused(0, now)
    assert ring.pick(now + 5, (1,)) == 0


def test_when_every_key_is_refused_there_is_none() -> None:
    ring = KeyRing(2)
    ring.refused(0, 0)
    ring.refused(1, 2)
    assert ring.pick(3) is None
    assert (ring.dead(3), ring.back_in(3), ring.is_good(3)) == (2, 2, False)
    assert ring.pick(5) == 0


def test_a_cooling_key_is_used_only_if_no_other_lives_the_first_to_be_back_first() -> None:
    ring = KeyRing(3)
    ring.limited(0, 0, 30)
    assert [ring.pick(0), ring.pick(0), ring.pick(0)] == [1, 2, 1]
    ring.limited(1, 0, 500)
    ring.limited(2, 0, None)
    assert ring.pick(0) == 2
    assert not ring.is_good(0.5)
    assert ring.is_good(1.5)
    assert ring.pick(0, (2,)) is None
    assert ring.pick(121, (0, 2)) == 1


def test_a_lone_key_is_never_out_but_known_to_be_bad() -> None:
    ring = KeyRing(1)
    ring.refused(0, 0)
    assert (ring.pick(0), ring.pick(0, (0,)), ring.is_good(0), ring.dead(0)) == (0, None, False, 1)
    ring.accepted(0)
    assert ring.is_good(0)


def test_a_budget_gives_what_calls_earned_and_some_per_second() -> None:
    budget = Budget(0.5, 0.0)
    assert budget.spend(0)  # what was saved up before anything happened
    assert not budget.spend(0)
    budget.earn()
    assert not budget.spend(1000)
    budget.earn()
    assert budget.spend(1000)
    slow = Budget(0.0, 2.0)
    while slow.spend(0):
        pass
    assert not slow.spend(0.4)
    assert slow.spend(0.6)
    assert slow.refused == 2
    assert not Budget(0.0, 0.0).spend(0)


def test_pauses_grow_and_are_jittered_in_full() -> None:
    assert [backoff(n, lambda: 1.0) for n in (1, 2, 3, 5, 6, 100)] == [0.1, 0.2, 0.4, 1.6, 2.0, 2.0]
    assert backoff(3, lambda: 0.0) == 0.0


def test_the_limit_falls_once_per_burst_and_climbs_with_use() -> None:
    limiter = Limiter(100)
    for _ in range(5):
        limiter.overloaded(10)
    assert limiter.limit == pytest.approx(70)
    limiter.overloaded(11)
    assert limiter.limit == pytest.approx(49)
    limiter.succeeded(3)
    assert limiter.limit == pytest.approx(49)
    limiter.succeeded(40)
    assert limiter.limit == pytest.approx(49 + 1 / 49)
    for now in range(20, 60):
        limiter.overloaded(now)
    assert limiter.limit == FLOOR
    small = Limiter(2)
    small.overloaded(0)
    assert small.limit == 2


def test_latency_is_a_fading_mean() -> None:
    latency = Latency()
    assert (latency.mean(0), latency.p95) == (0, 0)
    latency.saw(1.0, 10)
    assert (latency.mean(10), latency.p95) == (1, 1)
    latency.saw(2.0, 10)
    assert latency.mean(10) == pytest.approx(1.2)
    assert latency.mean(10 + HALF_LIFE) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("error", "then", "marks"),
    [
        (failure(UPSTREAM_AUTH, 401), Next.KEY, "dead_key"),
        (failure(UPSTREAM_AUTH, 403), Next.KEY, ""),
        (failure(UPSTREAM_REJECTED, 402), Next.KEY, "dead_key"),
        (failure(UPSTREAM_REJECTED, 400), Next.NOTHING, ""),
        (failure(UPSTREAM_REJECTED, 404), Next.NOTHING, ""),
        (failure(UPSTREAM_RATE_LIMITED, 429), Next.KEY, "limited_key overloaded"),
        (failure(UPSTREAM_ERROR, 500), Next.TARGET, "failed"),
        (failure(UPSTREAM_ERROR, 503), Next.TARGET, "failed overloaded"),
        (failure(UPSTREAM_ERROR, 529), Next.TARGET, "failed overloaded"),
        (failure(UPSTREAM_ERROR), Next.TARGET, "failed"),
        (failure(UPSTREAM_TIMEOUT), Next.TARGET, "failed overloaded"),
        (failure(DEADLINE), Next.NOTHING, ""),
    ],
)
def test_what_a_failure_means(error: GatewayError, then: Next, marks: str) -> None:
    verdict = judge(error)
    found = [name for name in ("dead_key", "limited_key", "failed", "overloaded") if getattr(verdict, name)]
    assert (verdict.next, found) == (then, marks.split())


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.origin != "upstream"], ids=lambda kind: kind.name)
def test_what_is_not_the_providers_fault_is_never_tried_again(kind: Kind) -> None:
    verdict = judge(failure(kind))
    assert (verdict.next, verdict.failed, verdict.dead_key) == (Next.NOTHING, False, False)


def test_places_are_counted_and_handed_to_who_waits_longest() -> None:
    health = Health("a/b", Rules(concurrency=2))
    assert [health.enter(0), health.enter(0), health.enter(0), health.is_full()] == [True, True, False, True]
    got: list[str] = []
    health.waiters.append(lambda: bool(got.append("gone")))
    health.waiters.append(lambda: got.append("first") is None)
    health.waiters.append(lambda: got.append("second") is None)
    health.leave()
    assert (got, health.in_flight, len(health.waiters)) == (["gone", "first"], 2, 1)
    health.leave()
    assert (got, health.in_flight) == (["gone", "first", "second"], 2)
    health.leave()
    health.leave()
    assert health.in_flight == 0


def test_an_open_breaker_takes_no_place() -> None:
    health = Health("a/b", Rules())
    bad = judge(failure(UPSTREAM_TIMEOUT))
    for _ in range(8):
        health.failed(bad, 0)
    assert (health.enter(0), health.in_flight, health.limiter.limit < 512) == (False, 0, True)
    assert health.enter(1)
    health.failed(judge(failure(UPSTREAM_REJECTED, 400)), 1)  # a caller's fault says nothing about the target
    assert health.enter(1)
    health.succeeded(0.5, 1)
    assert health.latency.mean(1) == 0.5
    assert health.cost(1) == pytest.approx(0.5 * 3)


def test_an_account_has_at_least_one_key() -> None:
    assert Account("a", 0, Rules()).keys.size == 1
