"""The circuit breaker: when it opens, what it lets through, when it closes."""

import pytest

from gateway.routing.breaker import Breaker, BreakerRules

RULES = BreakerRules(failures=3, error_rate=0.5, min_calls=10, window=10, wait=1, longest_wait=4, probes=2, patience=10)


def opened(now: float = 100.0) -> Breaker:
    breaker = Breaker(RULES)
    for _ in range(3):
        breaker.failed(now)
    return breaker


def test_failures_in_a_row_open_it_and_a_success_between_starts_anew() -> None:
    breaker = Breaker(RULES)
    for _ in range(5):
        breaker.failed(0)
        breaker.failed(0)
        breaker.succeeded(0)
    assert not breaker.is_closed  # ten of fifteen: by rate, not in a row
    breaker = Breaker(BreakerRules(failures=3, min_calls=1000))
    for _ in range(5):
        breaker.failed(0)
        breaker.failed(0)
        breaker.succeeded(0)
    assert breaker.is_closed
    for _ in range(3):
        breaker.failed(0)
    assert (breaker.state(0), breaker.opened, breaker.allows(0)) == ("open", 1, False)


def test_a_rate_counts_only_from_a_minimum_of_calls() -> None:
    breaker = Breaker(RULES)
    for _ in range(2):
        breaker.succeeded(0)
        breaker.failed(0)
    for _ in range(3):
        breaker.succeeded(0)
        breaker.failed(0)
    assert not breaker.is_closed
    below = Breaker(RULES)
    for _ in range(4):
        below.succeeded(0)
        below.failed(0)
    assert below.is_closed


def test_what_was_long_ago_no_longer_counts() -> None:
    breaker = Breaker(RULES)
    for _ in range(4):
        breaker.failed(0)
        breaker.succeeded(0)
    breaker.failed(20)
    assert breaker.is_closed
    # The half window before counts, the one before that does not.
    breaker = Breaker(RULES)
    for _ in range(4):
        breaker.failed(0)
        breaker.succeeded(0)
    breaker.succeeded(6)
    breaker.failed(6)
    assert not breaker.is_closed


def test_after_the_wait_one_probe_at_a_time_passes_and_enough_of_them_close_it() -> None:
    breaker = opened(100)
    assert not breaker.allows(100.9)
    assert breaker.reopens_in(100.4) == pytest.approx(0.6)
    assert breaker.state(101) == "half_open"
    assert breaker.allows(101)
    assert not breaker.allows(101)
    assert breaker.reopens_in(101) == pytest.approx(10)
    breaker.succeeded(101)
    assert not breaker.is_closed
    assert breaker.allows(101)
    breaker.succeeded(101)
    assert breaker.is_closed
    assert breaker.reopens_in(101) == 0


def test_a_failed_probe_doubles_the_wait_up_to_its_limit() -> None:
    breaker = opened(100)
    now, waits = 101.0, list[float]()
    for _ in range(4):
        assert breaker.allows(now)
        breaker.failed(now)
        waits.append(breaker.reopens_in(now))
        now += waits[-1]
    assert waits == [2, 4, 4, 4]
    assert breaker.opened == 5


def test_calls_from_before_it_opened_change_nothing() -> None:
    breaker = opened(100)
    breaker.succeeded(100.5)
    breaker.failed(100.5)
    assert breaker.reopens_in(100.5) == pytest.approx(0.5)
    # Half open, but nobody was let through yet: still not a probe's word.
    breaker.succeeded(102)
    breaker.failed(102)
    assert breaker.allows(102)


def test_a_probe_that_tells_nothing_makes_way() -> None:
    breaker = opened(100)
    assert breaker.allows(101)
    breaker.abandoned()
    assert breaker.allows(101)
    assert not breaker.allows(105)
    assert breaker.allows(111)


def test_another_workers_word_opens_it_for_a_bounded_time() -> None:
    breaker = Breaker(RULES)
    breaker.hear(0, 10)
    assert breaker.is_closed
    breaker.hear(1000, 10)
    assert (breaker.state(10), breaker.heard, breaker.opened) == ("open", True, 0)
    assert breaker.reopens_in(10) == 4
    breaker.hear(4, 12)
    assert breaker.reopens_in(12) == 2
    assert breaker.allows(14)
    breaker.failed(14)
    assert (breaker.heard, breaker.opened, breaker.reopens_in(14)) == (False, 1, 2)


def test_a_switched_off_breaker_never_opens() -> None:
    breaker = Breaker(BreakerRules(enabled=False))
    for _ in range(100):
        breaker.failed(0)
    breaker.hear(5, 0)
    assert breaker.allows(0)
