"""Admission under load: short turns open the door, long turns close it, and it never closes wholly."""

import pytest

from gateway.limits.admission import ALWAYS, CEILING, FLOOR, START, STEP, Admission


def busy_door() -> Admission:
    """A door with as many in flight as are always let in, so that the quota decides."""
    door = Admission(cap=1_000_000)
    for _ in range(ALWAYS):
        assert door.offer()
    door.turn_ended(0.0)
    door._quota = float(START)
    return door


def use(door: Admission, requests: int) -> int:
    """Offer so many requests in one turn and end them at once; returns how many got in."""
    admitted = sum(door.offer() for _ in range(requests))
    for _ in range(admitted):
        door.done()
    return admitted


def test_a_turn_admits_its_quota_and_the_next_turn_starts_anew():
    door = busy_door()
    assert use(door, START + 5) == START
    assert not door.offer()
    door.turn_ended(0.001)
    assert door.offer()


def test_the_cap_on_requests_in_flight_holds_until_one_ends():
    door = Admission(cap=2)
    assert [door.offer() for _ in range(3)] == [True, True, False]
    assert door.in_flight == 2
    door.done()
    assert door.offer()


def test_long_turns_close_the_door_down_to_the_floor():
    door = Admission(cap=10_000)
    quotas: list[int] = []
    for _ in range(20):
        door.turn_ended(0.050)
        quotas.append(door.quota)
    assert quotas[0] < START
    assert quotas == sorted(quotas, reverse=True)
    assert quotas[-1] == FLOOR


def test_short_turns_open_it_step_by_step_up_to_the_ceiling():
    door = Admission(cap=10_000)
    use(door, START)
    door.turn_ended(0.001)
    assert door.quota == START + STEP
    for _ in range(1000):
        use(door, CEILING)
        door.turn_ended(0.001)
    assert door.quota == CEILING


def test_a_quiet_door_opens_for_the_next_burst():
    door = Admission(cap=10_000)
    for _ in range(1000):
        use(door, 1)
        door.turn_ended(0.0001)
    assert door.quota == CEILING


def test_few_in_flight_are_let_in_whatever_the_turns_say():
    door = Admission(cap=10_000)
    for _ in range(50):
        door.turn_ended(1.0)
    assert door.quota == FLOOR
    assert all(door.offer() for _ in range(ALWAYS))
    assert not door.offer()


@pytest.mark.parametrize("overload", [0.5, 2.0, 10.0])
def test_turns_stay_near_the_target_whatever_the_load(overload: float):
    """A loop that needs 1 ms per request and 0.05 ms per refusal, offered ``overload`` times what it can serve."""
    door = busy_door()
    service, refusal = 0.001, 0.00005
    durations: list[float] = []
    served = 0
    backlog = 0.0
    elapsed = 0.0
    while elapsed < 20.0:
        arrivals = int(backlog)
        backlog -= arrivals
        admitted = use(door, arrivals)
        busy = admitted * service + (arrivals - admitted) * refusal
        door.turn_ended(busy)
        step = max(busy, 0.001)
        durations.append(busy)
        served += admitted
        elapsed += step
        backlog += step * overload / service
    settled = sorted(durations[len(durations) // 2 :])
    assert settled[int(len(settled) * 0.99)] <= 2 * door.target
    # What is left after refusing is spent on serving.
    possible = min(overload, 1.0 - min(overload, 10) * refusal / service)
    assert served >= 0.7 * possible * elapsed / service
