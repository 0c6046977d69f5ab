"""Records in memory: what was written comes back, what was not is noticed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.storage.ledger.frames import (
    FINAL,
    INTENT,
    OVERHEAD,
    TornRecordError,
    final_frame,
    frame_at,
    header_at,
    intent_frame,
)


def memory_with(*bodies: bytes) -> tuple[bytearray, int]:
    written = b"".join([final_frame(body) for body in bodies])
    return bytearray(written.ljust(4096, b"\0")), len(written)


def test_records_come_back_in_order():
    memory, end = memory_with(b"first", b"second")
    first = frame_at(bytes(memory), 0, len(memory))
    assert first is not None
    assert (first.kind, first.body) == (FINAL, b"first")
    second = frame_at(bytes(memory), first.end, len(memory))
    assert second is not None
    assert (second.body, second.end) == (b"second", end)
    assert frame_at(bytes(memory), end, len(memory)) is None


def test_the_kind_is_part_of_the_record():
    memory = bytearray(intent_frame(b"body").ljust(64, b"\0"))
    frame = frame_at(bytes(memory), 0, 64)
    assert frame is not None
    assert frame.kind == INTENT
    assert header_at(memory, 0) == (INTENT, OVERHEAD, frame.end)


def test_the_fast_reader_agrees_with_the_checking_one():
    memory, end = memory_with(b"a", b"bb" * 50, b"")
    offset = 0
    while (header := header_at(memory, offset)) is not None:
        frame = frame_at(bytes(memory), offset, len(memory))
        assert frame is not None
        assert (frame.kind, frame.body, frame.end) == (header[0], bytes(memory[header[1] : header[2]]), header[2])
        offset = header[2]
    assert offset == end


@given(body=st.binary(min_size=1, max_size=40), position=st.integers(0, 48), flip=st.integers(1, 255))
def test_a_changed_byte_is_never_taken_for_the_record(body: bytes, position: int, flip: int):
    memory, end = memory_with(body)
    memory[position % end] ^= flip
    try:
        frame = frame_at(bytes(memory), 0, len(memory))
    except TornRecordError:
        return
    assert frame is None


@pytest.mark.parametrize("size", range(OVERHEAD + 4))
def test_a_record_cut_short_is_torn_or_absent(size: int):
    memory, _ = memory_with(b"body")
    if size < OVERHEAD:
        assert frame_at(bytes(memory[:size]), 0, size) is None
    else:
        with pytest.raises(TornRecordError):
            frame_at(bytes(memory[:size]), 0, size)
    # A header that never reached the disk: there is no record yet.
    assert frame_at(bytes(OVERHEAD) + b"body", 0, OVERHEAD + 4) is None
