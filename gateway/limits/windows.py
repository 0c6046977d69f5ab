"""Calendar windows in UTC: which one a moment lies in, and when it ends. ``calendar.lua`` says the same to Redis."""

from gateway.core.limits import Window

DAY_MS = 86_400_000
LENGTHS_MS = {"second": 1000, "minute": 60_000, "hour": 3_600_000, "day": DAY_MS}
LONGEST_S = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86_400.0, "month": 31 * 86_400.0, "none": 0.0}
"""Seconds that a window lasts at most."""

_EPOCH = 719_468
"""Days from 0000-03-01 to 1970-01-01. Years that begin in March have their leap day at the end, and 400 of them (an era) have
146,097 days: Howard Hinnant, "chrono-compatible low-level date algorithms"."""
_ERA = 146_097


def number_of(window: Window, now_ms: int) -> int:
    """The number of the window that a moment (milliseconds since the epoch) lies in; months count from the year 0."""
    if window == "none":
        return 0
    length = LENGTHS_MS.get(window)
    return _month_of(now_ms // DAY_MS) if length is None else now_ms // length


def end_of(window: Window, number: int) -> int:
    """When a window ends, in milliseconds since the epoch; 0 for ``none``, which does not."""
    if window == "none":
        return 0
    length = LENGTHS_MS.get(window)
    return _first_day_of(number + 1) * DAY_MS if length is None else (number + 1) * length


def _month_of(day: int) -> int:
    era, day_of_era = divmod(day + _EPOCH, _ERA)
    year = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    return (era * 400 + year) * 12 + (5 * day_of_year + 2) // 153 + 2


def _first_day_of(month: int) -> int:
    years, since_march = divmod(month - 2, 12)
    era, year = divmod(years, 400)
    return era * _ERA + year * 365 + year // 4 - year // 100 + (153 * since_march + 2) // 5 - _EPOCH
