"""Separators and calendars."""

from gateway.guards.pii.digits import digits_of, is_date, is_day


def test_separators_are_dropped():
    assert digits_of("+49 (0)30/12-34.5\u00a06") == "49030123456"


def test_days_of_months():
    assert is_day(2, 29)
    assert not is_day(2, 30)
    assert not is_day(13, 1)
    assert not is_day(4, 31)
    assert not is_day(4, 0)


def test_leap_years():
    assert is_date(2000, 2, 29)
    assert is_date(2024, 2, 29)
    assert not is_date(1900, 2, 29)
    assert not is_date(2023, 2, 29)
