"""The arithmetic of limits: never more than the limit, all or nothing, the truth in the end, and nothing below zero."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.limits import Ask, LimitRule, Settlement, Spent
from gateway.core.ports import Lease
from gateway.limits.counters import Counters
from gateway.limits.leases import Empty, NeedLease, Permits, Taken
from gateway.limits.rules import Estimate, need, truth

NAMES = ("a", "b", "c")
LIFETIME = 10_000
MONTH_LATER = 32 * 86_400_000

calls = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(NAMES), st.integers(0, 12), min_size=1),  # what it needs of which counter
        st.integers(0, 15),  # what it comes to
        st.sampled_from([0, 1, 500, 9_999, 10_000, 20_000]),  # milliseconds until the next call
        st.sampled_from(["settle", "settle twice", "die", "later"]),
    ),
    max_size=40,
)


def used(counters: Counters, now: int, limit: int = 30) -> dict[str, int]:
    states = counters.look(now, [Ask(name, "month", limit, 0) for name in NAMES])
    return {name: state.used for name, state in zip(NAMES, states, strict=True)}


@settings(max_examples=100)
@given(st.integers(0, 30), calls)
def test_any_history_of_calls_keeps_every_promise(limit: int, history: list[tuple[dict[str, int], int, int, str]]) -> None:
    counters, now = Counters(), 0
    settled = dict.fromkeys(NAMES, 0)
    alive: list[tuple[int, dict[str, int]]] = []
    waiting: list[Callable[[], None]] = []
    for number, (needs, real, pause, end) in enumerate(history):
        before = used(counters, now, limit)
        reserved = counters.reserve(now, f"call-{number}", LIFETIME, [Ask(n, "month", limit, x) for n, x in needs.items()])
        assert reserved.granted == all(before[name] + amount <= limit for name, amount in needs.items())
        if not reserved.granted:
            assert used(counters, now, limit) == before
        else:
            entry = (now + LIFETIME, needs)
            alive.append(entry)

            def tell(again: bool, entry=entry, needs=needs, real=real, number=number, window=reserved.states[0].window) -> None:  # type: ignore[no-untyped-def]
                told = [Settlement(name, window, f"call-{number}", amount, real) for name, amount in needs.items()]
                counters.settle(told, again=again)
                if entry in alive:
                    alive.remove(entry)
                for name in needs:
                    settled[name] += real

            if end.startswith("settle"):
                tell(False)
                if end == "settle twice":
                    again = [
                        Settlement(name, reserved.states[0].window, f"call-{number}", x, real) for name, x in needs.items()
                    ]
                    counters.settle(again, again=True)
            elif end == "later":
                waiting.append(lambda tell=tell: tell(False))
        now += pause
        if len(waiting) > 2:
            waiting.pop(0)()
        alive = [entry for entry in alive if entry[0] > now]
        held = {name: sum(needs.get(name, 0) for _, needs in alive) for name in NAMES}
        assert used(counters, now, limit) == {name: settled[name] + held[name] for name in NAMES}
    for tell_late in waiting:
        tell_late()
    # The dead are forgotten, and what is left is the truth.
    assert used(counters, now + LIFETIME, limit) == settled
    assert used(counters, now + MONTH_LATER, limit) == dict.fromkeys(NAMES, 0)


@settings(max_examples=100)
@given(st.integers(0, 100), st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), max_size=60))
def test_where_the_truth_is_within_the_estimate_a_limit_is_never_passed(limit: int, plan: list[tuple[int, int]]) -> None:
    counters = Counters()
    for number, (estimate, part) in enumerate(plan):
        reserved = counters.reserve(0, str(number), LIFETIME, [Ask("c", "month", limit, estimate)])
        if reserved.granted and number % 3:
            counters.settle([Settlement("c", reserved.states[0].window, str(number), estimate, min(part, estimate))])
        (state,) = counters.look(0, [Ask("c", "month", limit, 0)])
        assert 0 <= state.used <= limit


@settings(max_examples=100)
@given(st.integers(1, 5), st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=60))
def test_calls_at_one_time_are_never_more_than_allowed_nor_fewer_than_none(limit: int, steps: list[tuple[bool, int]]) -> None:
    counters = Counters()
    inside: set[str] = set()
    for enters, number in steps:
        name = str(number)
        if enters and name not in inside:
            if counters.reserve(0, name, LIFETIME, [Ask("c", "none", limit, 1)]).granted:
                inside.add(name)
        else:
            counters.settle([Settlement("c", 0, name, 1, 0)])
            inside.discard(name)
        (state,) = counters.look(0, [Ask("c", "none", limit, 0)])
        assert state.used == len(inside) <= limit


rules = st.builds(
    LimitRule,
    id=st.just("i"),
    name=st.just("n"),
    scope=st.just("user"),
    metric=st.sampled_from(["requests", "input_tokens", "output_tokens", "tokens", "cost_nano", "concurrency"]),
    amount=st.integers(0, 1000),
    window=st.just("day"),
)
amounts = st.integers(0, 2000)


@settings(max_examples=100)
@given(rules, amounts, amounts, amounts, amounts)
def test_a_guess_never_keeps_a_call_out_that_would_fit(rule: LimitRule, read: int, made: int, paid: int, more: int) -> None:
    wanted = need(rule, Estimate(read, made, paid, paid + more))
    sure = need(rule, Estimate(read, 0, paid, paid))
    assert sure <= wanted <= max(sure, rule.amount)
    assert truth(rule, Spent(read, made, paid)) >= 0


@settings(max_examples=100)
@given(
    st.integers(10, 500),
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(-20, 20), st.sampled_from([0.0, 0.01, 1.0, 40.0])),
        max_size=120,
    ),
)
def test_leased_amounts_stay_within_the_limit_but_for_what_estimates_missed(
    limit: int, plan: list[tuple[int, int, int, float]]
) -> None:
    store, workers, now = Counters(), [Permits(limit) for _ in range(4)], 0.0
    spent: dict[int, int] = {}
    missed: dict[int, int] = {}
    for number, estimate, error, pause in plan:
        now += pause
        permits, window = workers[number], int(now // 60)

        def lease(want: int, least: int = 1, now: float = now) -> Lease:
            granted, remaining, ms = store.lease(int(now * 1000), "c", "minute", limit, want, least)
            return Lease(granted, remaining, now + ms / 1000)

        for _ in range(8):
            taken = permits.take(now, estimate)
            if not isinstance(taken, NeedLease):
                break
            permits.absorb(lease(taken.want, taken.least), now)
        if isinstance(taken, Empty):
            continue
        if isinstance(taken, Taken):
            real = max(estimate + error, 0)
            permits.give(estimate - real, permits.ends)
            spent[window] = spent.get(window, 0) + real
            missed[window] = missed.get(window, 0) + max(real - estimate, 0)
            if taken.refill:
                permits.absorb(lease(taken.refill), now)
    assert all(amount <= limit + missed[window] for window, amount in spent.items())
