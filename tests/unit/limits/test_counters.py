"""What the contract suite and the properties leave: bounds of the memory."""

import pytest

from gateway.core.limits import Ask, Settlement
from gateway.limits import counters as module
from gateway.limits.counters import Counters


def test_counters_are_held_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_COUNTERS", 2)
    counters = Counters()
    for name in "abc":
        counters.reserve(0, "call", 1000, [Ask(name, "month", 5, 1)])
    assert [state.used for state in counters.look(0, [Ask(name, "month", 5, 0) for name in "abc"])] == [0, 1, 1]


def test_a_clock_that_steps_back_does_not_hand_out_a_window_twice() -> None:
    counters = Counters()
    counters.reserve(60_000, "one", 1000, [Ask("c", "minute", 1, 1, firm=True)])
    refused = counters.reserve(59_999, "two", 1000, [Ask("c", "minute", 1, 1, firm=True)])
    assert not refused.granted
    assert refused.states[0].left_ms == 60_001


def test_what_is_not_held_cannot_be_renewed() -> None:
    counters = Counters()
    counters.renew(0, 1000, [Settlement("c", 0, "call", 1, 0)])
    assert counters.look(0, [Ask("c", "none", 1, 1)])[0].fits
