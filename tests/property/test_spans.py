"""Stretches of time and the sums that answer for them: nothing twice, nothing left out, nothing read that is summed up."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.spending import Span
from gateway.limits.spans import HOUR_MS, SETTLED_MS, cover, end_of_span, spans_of, wanting
from gateway.limits.windows import DAY_MS

START = 20_000 * DAY_MS
MOMENTS = st.integers(START, START + 4 * DAY_MS) | st.integers(0, 96).map(lambda hour: START + hour * HOUR_MS)
SUMMED = st.frozensets(
    st.one_of(
        st.integers(0, 96).map(lambda hour: Span("hour", START + hour * HOUR_MS)),
        st.integers(0, 3).map(lambda day: Span("day", START + day * DAY_MS)),
    )
)


@given(MOMENTS, MOMENTS, SUMMED)
def test_every_moment_is_answered_for_once(since: int, until: int, summed: frozenset[Span]) -> None:
    covered = cover(since, until, summed)
    assert summed.issuperset(covered.sums)
    stretches = sorted([*covered.rows, *[(span.start_ms, end_of_span(span)) for span in covered.sums]])
    at = since
    for low, high in stretches:
        assert low == at
        assert low < high
        at = high
    assert at == max(since, until)


@given(MOMENTS, MOMENTS, SUMMED)
def test_no_row_is_read_of_what_is_summed_up(since: int, until: int, summed: frozenset[Span]) -> None:
    covered = cover(since, until, summed)
    for low, high in covered.rows:
        assert low // DAY_MS == (high - 1) // DAY_MS, "one partition of the ledger"
        assert not [span for span in summed if low <= span.start_ms and end_of_span(span) <= high]
    days = {span.start_ms for span in covered.sums if span.grain == "day"}
    assert not [span for span in covered.sums if span.grain == "hour" and span.start_ms // DAY_MS * DAY_MS in days]


@given(MOMENTS, st.integers(START, START + 5 * DAY_MS))
def test_after_all_that_is_wanted_little_is_left_to_read(since: int, now: int) -> None:
    summed: set[Span] = set()
    hours = 0
    for span in wanting(since, now, summed):
        assert end_of_span(span) + SETTLED_MS <= now
        if span.grain == "day":
            assert {Span("hour", span.start_ms + i * HOUR_MS) for i in range(24)} <= summed, "a day is made of its hours"
        hours += span.grain == "hour"
        summed.add(span)
    assert wanting(since, now, summed) == []
    left = sum(high - low for low, high in cover(since, now, summed).rows)
    assert left < 2 * HOUR_MS + SETTLED_MS
    assert len(cover(since, now, summed).sums) <= 5 + 2 * 23


@given(st.lists(MOMENTS))
def test_a_moment_lies_in_its_hour_and_its_day(moments: list[int]) -> None:
    spans = spans_of(moments)
    assert len(spans) == len(set(spans))
    for moment in moments:
        assert sum(span.start_ms <= moment < end_of_span(span) for span in spans) == 2
