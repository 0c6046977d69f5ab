"""Local permits: few round trips, never above the limit, bounded when the store is away."""

import pytest

from gateway.core.ports import Lease
from gateway.limits.leases import RETRY, SMALLEST, WINDOW, Empty, NeedLease, Permits, Taken, reset_text


def test_a_new_key_needs_a_lease_first_and_asks_for_little():
    assert Permits(6000).take(0.0) == NeedLease(SMALLEST)
    assert Permits(60).take(0.0) == NeedLease(1)
    assert Permits(1).take(0.0) == NeedLease(1)


def test_granted_permits_are_spent_without_asking():
    permits = Permits(6000)
    permits.absorb(Lease(8, 5992, 60.0), 0.0)
    assert [permits.take(0.1) for _ in range(4)] == [Taken()] * 4


def test_a_refill_is_asked_for_once_and_before_running_dry():
    permits = Permits(6000)
    permits.absorb(Lease(8, 5992, 60.0), 0.0)
    answers = [permits.take(0.1) for _ in range(8)]
    asked = [i for i, answer in enumerate(answers) if answer != Taken()]
    assert asked == [4]
    permits.absorb(Lease(8, 5984, 60.0), 0.2)
    assert permits.standing(0.2).remaining == 8 + 5984


def test_running_dry_makes_a_request_wait():
    permits = Permits(6000)
    permits.absorb(Lease(1, 5999, 60.0), 0.0)
    assert isinstance(permits.take(0.1), Taken)
    assert isinstance(permits.take(0.1), NeedLease)


def test_bundles_follow_the_rate_up_to_a_tenth_of_the_limit():
    permits = Permits(60_000)
    permits.absorb(Lease(2000, 58_000, 60.0), 0.0)
    for i in range(1000):
        permits.take(i / 1000)
    # 1,000 requests in the last second, half of which count at the first look: 125 in 250 ms.
    answer = permits.take(1.0)
    assert isinstance(answer, Taken)
    assert 115 <= answer.refill <= 135
    small = Permits(100)
    small.absorb(Lease(50, 50, 60.0), 0.0)
    refills = [answer.refill for i in range(50) if isinstance(answer := small.take(i / 10_000), Taken)]
    assert max(refills) <= 10


def test_near_the_end_of_the_window_bundles_shrink_to_half_of_what_is_left():
    permits = Permits(6000)
    permits.absorb(Lease(1, 6, 60.0), 0.0)
    assert permits.take(0.1) == Taken(3)
    permits.absorb(Lease(1, 1, 60.0), 0.2)
    assert permits.take(0.3) == Taken(1)


def test_an_empty_window_refuses_until_it_ends_without_asking_again():
    permits = Permits(10)
    permits.absorb(Lease(0, 0, 60.0), 0.0)
    assert permits.take(20.0) == Empty(40.0)
    assert permits.take(60.0) == NeedLease(1)


def test_the_last_permits_are_spent_without_asking_for_more():
    permits = Permits(10)
    permits.absorb(Lease(2, 0, 60.0), 0.0)
    assert permits.take(1.0) == Taken()
    assert permits.take(1.0) == Taken()
    assert permits.take(1.0) == Empty(59.0)


def test_unused_permits_die_with_their_window():
    permits = Permits(100)
    permits.absorb(Lease(5, 95, 60.0), 0.0)
    assert isinstance(permits.take(60.0), NeedLease)
    permits.absorb(Lease(1, 99, 120.0), 60.0)
    assert isinstance(permits.take(60.1), Taken)
    assert isinstance(permits.take(60.1), NeedLease)


def test_a_grant_for_another_window_is_void():
    permits = Permits(100)
    permits.absorb(Lease(5, 95, 60.0), 61.0)
    assert isinstance(permits.take(61.0), NeedLease)
    permits.absorb(Lease(1, 99, 120.0), 61.0)
    permits.absorb(Lease(5, 90, 60.0 + 1.0), 60.5)
    assert isinstance(permits.take(61.0), Taken)
    assert isinstance(permits.take(61.0), NeedLease)


def test_a_jittering_window_end_is_read_as_the_earlier_one():
    permits = Permits(100)
    permits.absorb(Lease(5, 95, 60.0), 0.0)
    permits.absorb(Lease(5, 90, 60.004), 1.0)
    assert permits.standing(1.0).reset == 59.0


def test_without_the_store_the_limit_holds_per_worker():
    permits = Permits(3)
    assert isinstance(permits.take(0.0), NeedLease)
    permits.absorb(None, 0.0)
    assert permits.degraded
    assert [isinstance(permits.take(0.1), Taken) for _ in range(3)] == [True] * 3
    assert permits.take(0.1) == Empty(WINDOW - 0.1)


def test_an_outage_in_mid_window_counts_what_was_spent_before():
    permits = Permits(10)
    permits.absorb(Lease(4, 6, 60.0), 0.0)
    for _ in range(4):
        permits.take(1.0)
    permits.absorb(None, 2.0)
    assert permits.standing(2.0).remaining == 6


def test_a_worker_without_its_store_asks_again_every_second_and_recovers():
    permits = Permits(100)
    permits.absorb(None, 0.0)
    assert permits.take(0.5) == Taken()
    answer = permits.take(RETRY)
    assert isinstance(answer, Taken)
    assert answer.refill > 0
    assert permits.take(RETRY) == Taken()
    permits.absorb(None, RETRY + 0.1)
    assert permits.degraded
    permits.absorb(Lease(5, 20, 60.0), 2.5)
    assert not permits.degraded
    assert permits.standing(2.5).remaining == 25


def test_a_degraded_and_exhausted_worker_still_asks_again():
    permits = Permits(1)
    permits.absorb(None, 0.0)
    assert isinstance(permits.take(0.1), Taken)
    assert isinstance(permits.take(0.2), Empty)
    assert isinstance(permits.take(RETRY), NeedLease)


def test_what_a_call_cannot_use_is_left_for_others():
    permits = Permits(100)
    assert permits.take(0.0, 80) == NeedLease(80, 80)
    permits.absorb(Lease(0, 50, 60.0), 0.0)
    assert permits.take(0.0, 80) == Empty(60.0)
    asked = permits.take(0.0, 50)
    assert isinstance(asked, NeedLease)
    assert asked.least == 50


def test_what_is_owed_is_asked_for_too():
    permits = Permits(100)
    permits.absorb(Lease(10, 90, 60.0), 0.0)
    permits.give(-25, 60.0)
    asked = permits.take(0.0, 5)
    assert isinstance(asked, NeedLease)
    assert (asked.want, asked.least) == (20, 20)


def test_a_higher_limit_keeps_what_is_held_and_asks_again():
    permits = Permits(10)
    permits.absorb(Lease(10, 0, 60.0), 0.0)
    for _ in range(9):
        permits.take(0.0)
    permits.change(20, None)
    assert isinstance(permits.take(0.0), Taken)
    assert isinstance(permits.take(0.0), NeedLease)
    assert (permits.limit, permits.local) == (20, 20)


def test_a_lower_limit_keeps_only_what_is_owed():
    permits = Permits(100)
    permits.absorb(Lease(50, 50, 60.0), 0.0)
    permits.change(10, 3)
    assert (permits.limit, permits.local) == (10, 3)
    permits.give(-4, 60.0)
    asked = permits.take(0.0)
    assert isinstance(asked, NeedLease)
    assert asked.least == 5
    permits.absorb(Lease(0, 0, 60.0), 0.0)
    assert permits.take(0.0) == Empty(60.0)


def test_a_changed_local_amount_holds_while_the_store_is_away():
    permits = Permits(100)
    permits.absorb(None, 0.0)
    for _ in range(5):
        assert permits.take(0.1) == Taken()
    permits.change(100, 6)
    assert permits.take(0.1) == Taken()
    assert isinstance(permits.take(0.1), Empty)


def test_the_standing_of_an_unused_key_is_its_limit():
    standing = Permits(7).standing(5.0)
    assert (standing.limit, standing.remaining, standing.reset) == (7, 7, 0.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0ms"),
        (-1.0, "0ms"),
        (0.35, "350ms"),
        (0.9996, "1s"),
        (12.5, "12.5s"),
        (59.9996, "1m0s"),
        (60.0, "1m0s"),
        (61.25, "1m1.25s"),
        (7.001, "7.001s"),
        (600.0, "10m0s"),
    ],
)
def test_durations_are_written_as_openai_does(seconds: float, text: str):
    assert reset_text(seconds) == text
