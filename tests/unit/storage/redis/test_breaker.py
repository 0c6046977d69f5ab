"""When Redis is asked and when not."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.storage.redis.breaker import FIRST_WAIT_S, LONGEST_WAIT_S, THRESHOLD, Breaker


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(THRESHOLD):
        assert breaker.allows(now)
        breaker.failed(now)
    return breaker


def test_three_failures_in_a_row_open_it() -> None:
    breaker = Breaker()
    for outcome in "ffsff":
        assert breaker.allows(0)
        breaker.succeeded() if outcome == "s" else breaker.failed(0)
    assert not breaker.is_open
    breaker.failed(0)
    assert breaker.is_open
    assert not breaker.allows(0.499)


def test_one_probe_is_let_through_and_its_success_closes() -> None:
    breaker = opened()
    assert breaker.allows(0.5)
    assert not breaker.allows(0.5), "only one probe at a time"
    breaker.succeeded()
    assert not breaker.is_open
    assert all(breaker.allows(0.5) for _ in range(5))
    breaker.failed(0.5)
    assert not breaker.is_open, "it starts counting anew"


def test_failed_probes_double_the_wait_up_to_five_seconds() -> None:
    breaker, now, waits = opened(), 0.0, []
    for _ in range(6):
        start = now
        while not breaker.allows(now):
            now += 0.125
        waits.append(now - start)
        breaker.failed(now)
    assert waits == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_success_resets_the_wait() -> None:
    breaker = opened()
    assert breaker.allows(0.5)
    breaker.failed(0.5)
    assert breaker.allows(1.5)
    breaker.succeeded()
    for _ in range(THRESHOLD):
        breaker.failed(10)
    assert not breaker.allows(10.4)
    assert breaker.allows(10.5)


def test_late_outcomes_of_calls_made_before_it_opened_count_for_nothing() -> None:
    breaker = opened()
    breaker.succeeded()
    breaker.failed(0.4)
    assert breaker.is_open
    assert breaker.allows(0.5), "the wait was not prolonged"


def test_a_probe_that_never_reports_does_not_shut_it_for_ever() -> None:
    breaker = opened()
    assert breaker.allows(0.5)
    assert not breaker.allows(0.9)
    assert breaker.allows(1.0)


@given(st.lists(st.tuples(st.sampled_from(["ask", "good", "bad"]), st.floats(0, 3)), max_size=200))
def test_it_never_stays_shut_longer_than_the_longest_wait(steps: list[tuple[str, float]]) -> None:
    breaker, now, refused_since = Breaker(), 0.0, None
    for step, passed in steps:
        now += passed
        if step == "good":
            breaker.succeeded()
        elif step == "bad":
            breaker.failed(now)
        elif breaker.allows(now):
            refused_since = None
        else:
            refused_since = now if refused_since is None else refused_since
            assert now - refused_since < LONGEST_WAIT_S
            assert breaker.is_open
    assert breaker.allows(now + LONGEST_WAIT_S)
    assert FIRST_WAIT_S < LONGEST_WAIT_S
