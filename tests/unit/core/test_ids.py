import uuid

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.ids import RANDOM_BITS, IdSequence, uuid7, uuid7_floor, uuid7_ms

MS = st.integers(0, 2**48 - 1)
BITS = st.integers(0, 2**RANDOM_BITS - 1)


@given(MS, BITS)
def test_it_is_a_uuid_of_version_seven(ms: int, bits: int) -> None:
    text = uuid7(ms, bits)
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert uuid7_ms(text) == ms


@given(MS, BITS, MS, BITS)
def test_it_sorts_by_time(a_ms: int, a: int, b_ms: int, b: int) -> None:
    if a_ms < b_ms:
        assert uuid7(a_ms, a) < uuid7(b_ms, b)


@given(MS, BITS)
def test_the_floor_is_below_everything_of_its_millisecond(ms: int, bits: int) -> None:
    assert uuid7_floor(ms) <= uuid7(ms, bits)


@given(BITS, BITS)
def test_all_random_bits_count(a: int, b: int) -> None:
    used = 2**74 - 1
    assert (uuid7(1, a) == uuid7(1, b)) == ((a & used) == (b & used))


@given(st.lists(MS, min_size=1, max_size=40), BITS)
def test_a_sequence_makes_uuids_of_their_time_and_counts_within_a_millisecond(times: list[int], bits: int) -> None:
    ids = IdSequence(lambda _: bits)
    made = [ids.next(ms) for ms in sorted(times)]
    assert [uuid7_ms(text) for text in made] == sorted(times)
    assert made == sorted(made)
    assert {(uuid.UUID(text).version, uuid.UUID(text).variant) for text in made} == {(7, uuid.RFC_4122)}
    assert made[0] == str(uuid.UUID(made[0])) == uuid7(min(times), bits & ~(0xFF << 62))


def test_a_sequence_repeats_no_id_whatever_the_clock_does() -> None:
    drawn = iter(range(10))
    ids = IdSequence(lambda _: next(drawn))
    assert len({ids.next(1_760_000_000_000 - i % 3 * 70_000) for i in range(1000)}) == 1000
