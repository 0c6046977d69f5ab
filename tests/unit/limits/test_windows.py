"""Windows of the calendar, against Python's own."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.limits import Window
from gateway.limits.windows import LENGTHS_MS, end_of, number_of

moments = st.datetimes(datetime(1970, 1, 1), datetime(2399, 12, 31), timezones=st.just(UTC))


@settings(max_examples=100)
@given(moments)
def test_a_month_is_the_month_of_the_calendar(moment: datetime) -> None:
    number = number_of("month", int(moment.timestamp()) * 1000)
    assert divmod(number, 12) == (moment.year, moment.month - 1)
    year, month = divmod(number + 1, 12)
    assert end_of("month", number) == int(datetime(year, month + 1, 1, tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize("window", LENGTHS_MS)
def test_other_windows_are_multiples_of_their_length(window: Window) -> None:
    now = 1_760_000_123_456
    number = number_of(window, now)
    assert end_of(window, number) - LENGTHS_MS[window] <= now < end_of(window, number)


def test_no_window_never_ends() -> None:
    assert (number_of("none", 5), end_of("none", 0)) == (0, 0)
