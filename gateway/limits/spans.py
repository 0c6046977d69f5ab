"""Hours and days of the ledger that are summed up in advance: which ones there are, and how a stretch of time is covered by them.

A busy application's month is too many rows to add up while calls wait. So hours that are over are summed up once, days from
their hours, and only what no sum covers is read row by row: the part of an hour in which a rule was made, and the last hour or two.
"""

from collections.abc import Collection, Iterable

from msgspec import Struct

from gateway.core.spending import Grain, Span
from gateway.limits.windows import DAY_MS

HOUR_MS = 3_600_000
LENGTHS_MS: dict[Grain, int] = {"hour": HOUR_MS, "day": DAY_MS}

LATE_MS = 10 * 60_000
"""So long after its end an hour is taken for complete by who writes rows: a later row tells its hour. As long as a call may take by
default, so few are late."""
SETTLED_MS = 2 * LATE_MS
"""So long after its end an hour is summed up. What lies between the two must be longer than a commit takes and clocks differ: a row
that did not tell its hour is there by then."""
KEPT_MS = 32 * DAY_MS
"""How long sums are kept: the longest window, and a day."""


class Cover(Struct, frozen=True):
    """How a stretch of time is answered for."""

    sums: tuple[Span, ...]
    """By these sums, and"""
    rows: tuple[tuple[int, int], ...]
    """by the calls of these stretches: from, up to; in milliseconds since the epoch."""


def cover(since_ms: int, until_ms: int, summed: Collection[Span]) -> Cover:
    """The fewest sums that answer for [``since_ms``, ``until_ms``), and the stretches between them, none over the end of a day."""
    sums: list[Span] = []
    rows: list[tuple[int, int]] = []
    at = since_ms
    while at < until_ms:
        whole = next(
            (span for span in (Span("day", at), Span("hour", at)) if end_of_span(span) <= until_ms and span in summed), None
        )
        if whole is not None:
            sums.append(whole)
            at = end_of_span(whole)
            continue
        end = min((at // HOUR_MS + 1) * HOUR_MS, until_ms)
        if rows and rows[-1][1] == at and at % DAY_MS:
            rows[-1] = (rows[-1][0], end)
        else:
            rows.append((at, end))
        at = end
    return Cover(tuple(sums), tuple(rows))


def end_of_span(span: Span) -> int:
    """When an hour or a day is over, in milliseconds since the epoch."""
    return span.start_ms + LENGTHS_MS[span.grain]


def spans_of(starts_ms: Iterable[int]) -> list[Span]:
    """The hours and days that these moments lie in, in one order whoever asks."""
    hours = {start // HOUR_MS * HOUR_MS for start in starts_ms}
    days = {hour // DAY_MS * DAY_MS for hour in hours}
    return [Span("day", day) for day in sorted(days)] + [Span("hour", hour) for hour in sorted(hours)]


def wanting(since_ms: int, now_ms: int, summed: Collection[Span]) -> list[Span]:
    """What is to be summed up at ``now_ms`` for questions from ``since_ms`` on: the newest hours first, a day after its last hour."""
    first = -(-since_ms // HOUR_MS) * HOUR_MS
    last = (now_ms - SETTLED_MS) // HOUR_MS * HOUR_MS
    wanted: list[Span] = []
    for start in range(last - HOUR_MS, first - 1, -HOUR_MS):
        hour = Span("hour", start)
        if hour not in summed:
            wanted.append(hour)
        day = Span("day", start)
        if start % DAY_MS == 0 and end_of_span(day) <= last and day not in summed:
            wanted.append(day)
    return wanted
