"""What holds for every history: no more than the budget, breakers that recover, places that are counted, orders that lose nobody."""

import random

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.upstream import Target
from gateway.routing.breaker import Breaker, BreakerRules
from gateway.routing.budget import Budget, backoff
from gateway.routing.failures import Next, Verdict
from gateway.routing.health import Health, Rules
from gateway.routing.keys import KeyRing
from gateway.routing.latency import Latency
from gateway.routing.limiter import FLOOR, Limiter
from gateway.routing.policy import Candidate, Policy, arrange, draw, quickest
from gateway.routing.table import Route, RouteTable
from gateway.routing.walk import Walk

steps = st.floats(0, 3)


@given(st.lists(st.tuples(st.sampled_from(["allow", "good", "bad", "leave", "hear"]), steps), max_size=200))
def test_a_breaker_is_never_open_for_longer_than_its_longest_wait_and_always_heals(history: list[tuple[str, float]]) -> None:
    rules = BreakerRules(failures=3, patience=5)
    breaker, now = Breaker(rules), 0.0
    for what, passed in history:
        now += passed
        match what:
            case "allow":
                breaker.allows(now)
            case "good":
                breaker.succeeded(now)
            case "bad":
                breaker.failed(now)
            case "hear":
                breaker.hear(2.0, now)
            case _:
                breaker.abandoned()
        assert breaker.reopens_in(now) <= max(rules.longest_wait, rules.patience) + 1e-9
        assert (breaker.state(now) == "closed") is breaker.is_closed
    now += max(rules.longest_wait, rules.patience) + 1e-6
    for _ in range(rules.probes):
        assert breaker.allows(now)
        breaker.succeeded(now)
    assert breaker.is_closed


@given(st.lists(st.booleans(), min_size=1, max_size=300), st.floats(0, 0.5), st.floats(0, 5))
def test_repetitions_never_exceed_what_was_saved_earned_and_given_per_second(
    history: list[bool], ratio: float, per_second: float
) -> None:
    budget = Budget(ratio, per_second)
    saved, calls, spent, now = budget.tokens, 0, 0, 0.0
    for is_call in history:
        now += 0.01
        if is_call:
            budget.earn()
            calls += 1
        else:
            spent += budget.spend(now)
        assert spent <= saved + calls * ratio + now * per_second + 1e-6


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_pause_is_bounded(number: int, draw_: float) -> None:
    assert 0 <= backoff(number, lambda: draw_) < 2.0


@given(st.lists(st.tuples(st.sampled_from(["good", "bad"]), steps, st.integers(0, 600)), max_size=300), st.integers(1, 512))
def test_the_limit_stays_between_floor_and_ceiling(history: list[tuple[str, float, int]], ceiling: int) -> None:
    limiter, now = Limiter(ceiling), 0.0
    for what, passed, in_flight in history:
        now += passed
        if what == "good":
            limiter.succeeded(in_flight)
        else:
            limiter.overloaded(now)
        assert min(FLOOR, ceiling) <= limiter.limit <= ceiling


@given(st.lists(st.sampled_from(["enter", "leave", "wait", "overload"]), max_size=200))
def test_places_are_neither_lost_nor_made(history: list[str]) -> None:
    health = Health("a/b", Rules(concurrency=5))
    overload = Verdict(Next.TARGET, overloaded=True)
    held, granted, now = 0, 0, 0.0

    def grant() -> bool:
        nonlocal granted
        granted += 1
        return True

    for what in history:
        now += 0.5
        if what == "enter":
            held += health.enter(now)
        elif what == "wait":
            health.waiters.append(grant)
        elif what == "overload":
            health.failed(overload, now)
        elif held + granted:
            if held:
                held -= 1
            else:
                granted -= 1
            health.leave()
        assert health.in_flight == held + granted <= 5


@given(st.integers(2, 5), st.lists(st.tuples(st.sampled_from(["refused", "limited", "accepted"]), st.integers(0, 4), steps)))
def test_a_refused_key_is_never_picked_and_a_living_one_always_is(size: int, history: list[tuple[str, int, float]]) -> None:
    ring, now = KeyRing(size), 0.0
    for what, key, passed in history:
        now += passed
        key %= size
        if what == "refused":
            ring.refused(key, now)
        elif what == "limited":
            ring.limited(key, now, 2.0)
        else:
            ring.accepted(key)
        picked = ring.pick(now)
        assert (picked is None) is (ring.dead(now) == size)
        if what == "refused":
            assert picked != key
        if ring.is_good(now):
            assert picked is not None


@given(st.lists(st.floats(0.01, 5.0), min_size=1, max_size=200))
def test_the_mean_stays_among_what_was_seen(samples: list[float]) -> None:
    latency = Latency()
    for sample in samples:
        latency.saw(sample, 0)
    assert min(samples) - 1e-9 <= latency.mean(0) <= max(samples) + 1e-9


def test_the_percentile_is_found() -> None:
    source, latency = random.Random(1), Latency()
    above = 0
    for number in range(20_000):
        sample = source.lognormvariate(0, 0.5)
        if number >= 2_000:
            above += sample > latency.p95
        latency.saw(sample, 0)
    assert 0.04 < above / 18_000 < 0.06


candidates = st.lists(
    st.builds(
        lambda name, tier, weight, local: Candidate(Target(name, "m", "http://x", ""), weight=weight, tier=tier, local=local),
        st.sampled_from("abcde"),
        st.integers(0, 2),
        st.integers(0, 3),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)
placements = st.sampled_from(["any", "prefer_local", "prefer_cloud", "local_only"])


@given(candidates, placements, st.sampled_from(["ordered", "cheapest"]))
def test_an_arrangement_loses_nobody_but_clouds_that_are_forbidden(
    listed: list[Candidate], placement: str, strategy: str
) -> None:
    policy = Policy(strategy, placement)  # type: ignore[arg-type]
    arranged = [candidate for group in arrange(listed, policy, lambda _: None) for candidate in group]
    wanted = [c for c in listed if c.local or placement != "local_only"]
    assert sorted(map(id, arranged)) == sorted(map(id, wanted))
    for group in arrange(listed, policy, lambda _: None):
        assert len({c.tier for c in group}) == 1
        assert len({c.local for c in group}) == 1 or placement == "any"


@given(st.lists(st.integers(0, 5), max_size=8), st.randoms(use_true_random=False))
def test_every_draw_is_a_permutation(weights: list[int], source: random.Random) -> None:
    members = list(enumerate(weights))
    for drawn in (
        draw(members, lambda member: member[1], source.random),
        quickest(members, lambda member: float(member[1]), source.random),
    ):
        assert sorted(drawn) == members


def test_draws_are_as_frequent_as_their_weights() -> None:
    source = random.Random(7)
    firsts = [draw([("a", 1), ("b", 3)], lambda member: member[1], source.random)[0][0] for _ in range(10_000)]
    assert 0.73 < firsts.count("b") / 10_000 < 0.77


@given(candidates, st.integers(1, 8), st.data())
def test_a_walk_ends_after_its_attempts_and_gives_every_place_back(
    listed: list[Candidate], attempts: int, data: st.DataObject
) -> None:
    table = RouteTable([Route(("*",), tuple(listed), Policy(attempts=attempts))], Rules(concurrency=2))
    plan = table.plan("m")
    failed = Verdict(Next.TARGET, failed=True)
    walk, now, made = Walk(plan), 0.0, 0
    while True:
        place = walk.next(now)
        if place is None:
            pause = walk.again(lambda: 0.5)
            if pause is None:
                break
            now += pause
            continue
        made += 1
        if data.draw(st.booleans()):
            place[0].health.failed(failed, now)
        place[0].health.leave()
    assert made == walk.made <= attempts
    assert all(health.in_flight == 0 for health in table.health.values())
