"""Any number of workers, any delays: the sum of what they admit in a window never exceeds the limit."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.ports import Lease
from gateway.limits.leases import WINDOW, Empty, NeedLease, Permits, Taken


class Store:
    """Fixed windows on one clock, as the shared counter keeps them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used: Counter[int] = Counter()

    def lease(self, want: int, now: float) -> Lease:
        window = int(now // WINDOW)
        granted = min(want, self.limit - self.used[window])
        self.used[window] += granted
        return Lease(granted, self.limit - self.used[window], (window + 1) * WINDOW)


steps = st.lists(
    st.tuples(
        st.integers(0, 3),  # which worker
        st.sampled_from([0.0, 0.001, 0.01, 0.3, 2.0, 25.0]),  # time since the step before
        st.sampled_from([0.0, 0.002, 0.5, 30.0]),  # how long a background answer takes
    ),
    max_size=300,
)


@settings(max_examples=200)
@given(st.integers(1, 60), steps)
def test_workers_together_never_admit_above_the_limit(limit: int, plan: list[tuple[int, float, float]]):
    store = Store(limit)
    workers = [Permits(limit) for _ in range(4)]
    answers: list[tuple[float, int, Lease]] = []
    admitted: Counter[int] = Counter()
    now = 0.0
    for worker, pause, delay in plan:
        now += pause
        for answer in sorted((a for a in answers if a[0] <= now), key=lambda a: a[0]):
            answers.remove(answer)
            workers[answer[1]].absorb(answer[2], now)
        permits = workers[worker]
        outcome = permits.take(now)
        if isinstance(outcome, NeedLease):
            permits.absorb(store.lease(outcome.want, now), now)
            outcome = permits.take(now)
        if isinstance(outcome, Taken):
            admitted[int(now // WINDOW)] += 1
            if outcome.refill:
                answers.append((now + delay, worker, store.lease(outcome.refill, now)))
        elif isinstance(outcome, Empty):
            assert 0 < outcome.retry_after <= WINDOW
    assert all(count <= limit for count in admitted.values())


@given(st.integers(10, 5000), st.integers(1, 4))
def test_steady_callers_get_nearly_the_whole_limit(limit: int, workers: int):
    """Nothing but the last bundles is lost: with steady traffic above the limit, nine tenths of it are admitted."""
    store = Store(limit)
    held = [Permits(limit) for _ in range(workers)]
    admitted = 0
    offered = limit * 2
    for i in range(offered):
        now = i * WINDOW / offered
        permits = held[i % workers]
        outcome = permits.take(now)
        if isinstance(outcome, NeedLease):
            permits.absorb(store.lease(outcome.want, now), now)
            outcome = permits.take(now)
        if isinstance(outcome, Taken):
            admitted += 1
            if outcome.refill:
                permits.absorb(store.lease(outcome.refill, now), now)
    assert 0.9 * limit <= admitted <= limit


@given(st.integers(1, 50), st.lists(st.sampled_from([0.0, 0.01, 1.0, 10.0]), max_size=200))
def test_without_a_store_each_worker_stays_within_the_limit_per_window(limit: int, pauses: list[float]):
    permits = Permits(limit)
    taken: list[float] = []
    now = 0.0
    for pause in pauses:
        now += pause
        outcome = permits.take(now)
        if isinstance(outcome, NeedLease):
            permits.absorb(None, now)
            outcome = permits.take(now)
        if isinstance(outcome, Taken):
            taken.append(now)
            if outcome.refill:
                permits.absorb(None, now)
        assert permits.degraded
    for start in taken:
        # A window begins with a permit, so no more than two of them overlap any minute.
        assert sum(start <= at < start + WINDOW for at in taken) <= 2 * limit
