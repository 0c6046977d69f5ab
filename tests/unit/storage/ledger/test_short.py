"""The policy ``account-only``: a full spool goes on in short form, in room that was kept for it."""

import errno
import os
from pathlib import Path

import pytest

from gateway.core.errors import GatewayError
from gateway.storage.ledger.folder import dead_folders
from gateway.storage.ledger.frames import OVERHEAD
from gateway.storage.ledger.records import PAIR, encode
from gateway.storage.ledger.recovery import DeadSpool
from gateway.storage.ledger.short import short_ending, short_intent
from gateway.storage.ledger.spool import SpoolLimits
from gateway.storage.ledger.writer import as_row

SEGMENT = 32 << 10
SMALL = SpoolLimits(max_bytes=5 * SEGMENT, segment_bytes=SEGMENT)
BOTH = SpoolLimits(max_bytes=5 * SEGMENT, segment_bytes=SEGMENT, reserve_bytes=4 * SEGMENT)
LABELS = {"user": "u" * 200, "session": "s" * 200, "tags": ("t" * 200,)}


def fill(spool, intent_of, final_of, start: int = 0) -> int:
    """Calls until one is refused; how many were answered."""
    for number in range(start, start + 100_000):
        try:
            spool.intend(intent_of(number, **LABELS))
        except GatewayError as error:
            assert error.kind.name == "ledger_full"
            return number - start
        spool.append(*final_of(number, **LABELS, error="e", guard="pre:pii", verdicts=("v",)))
    raise AssertionError("never full")


def test_a_full_spool_goes_on_in_short_form_until_the_reserve_is_full_too(make_spool, intent_of, final_of, row_of):
    plain = fill(make_spool(SMALL), intent_of, final_of)
    spool = make_spool(BOTH)
    served = fill(spool, intent_of, final_of)
    assert spool.accounts_only
    assert spool.refused == 1
    assert spool.shortened > 2 * plain
    assert abs(served - spool.shortened - plain) <= 2
    rows = spool.take(served)
    assert len(rows) == served
    assert spool.pending == 0
    full, short = as_row(rows[0]), as_row(rows[-1])
    assert (full.user, full.error, full.guard) == ("u" * 200, "e", "pre:pii")
    kept = row_of(served - 1)
    for name in short.__struct_fields__:
        if name in {
            "request_id",
            "requested_model",
            "user",
            "session",
            "tags",
            "content_hash",
            "finish_reason",
            "guard",
            "error",
        }:
            assert not getattr(short, name), name
        elif name != "verdicts":
            assert getattr(short, name) == getattr(kept, name), name


def test_no_more_disk_is_used_than_both_bounds_allow(make_spool, intent_of, final_of):
    spool = make_spool(BOTH)
    fill(spool, intent_of, final_of)
    assert len(list(spool._folder.path.glob("*.segment"))) == 9


def test_when_rows_are_shipped_the_reserve_is_filled_before_rows_are_whole_again(make_spool, intent_of, final_of):
    spool = make_spool(BOTH)
    fill(spool, intent_of, final_of)
    while spool.take(1000):
        pass
    spool.release()
    for _ in range(10):
        spool.tend()
    assert (spool.accounts_only, spool._kept_back) == (False, 4)
    before = spool.shortened
    assert fill(spool, intent_of, final_of, 50_000) > 50
    assert spool.shortened > before
    assert as_row(spool.take(1)[0]).user == "u" * 200


def test_calls_under_way_end_in_the_form_they_began_in(make_spool, intent_of, final_of):
    spool = make_spool(BOTH)
    spool.intend(intent_of(7, **LABELS))
    fill(spool, intent_of, final_of, 100)
    spool.append(*final_of(7, **LABELS, error="e"))
    last = None
    while rows := spool.take(1000):
        last = as_row(rows[-1])
    assert (last.user, last.error) == ("u" * 200, "e")


def test_rows_without_an_intent_find_room_in_the_reserve(make_spool, intent_of, final_of):
    spool = make_spool(BOTH)
    count = 0
    while not spool.dropped_refusals:
        spool.append(*final_of(count, attempt=0, **LABELS))
        count += 1
        assert count < 100_000
    assert spool.shortened > 100
    assert len(spool.take(count)) == count - 1


def test_a_full_disk_is_outlived_by_what_was_allocated_at_the_start(make_spool, intent_of, final_of, monkeypatch):
    spool = make_spool(BOTH)

    def full(descriptor, offset, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    served = fill(spool, intent_of, final_of)
    assert spool.shortened > 200
    assert "No space" in spool.disk_error
    assert len(spool.take(served)) == served


def test_a_disk_without_room_for_the_reserve_does_not_keep_from_serving(make_spool, intent_of, final_of, monkeypatch):
    real, left = os.posix_fallocate, [2]

    def nearly_full(descriptor, offset, size):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor, offset, size)

    monkeypatch.setattr(os, "posix_fallocate", nearly_full)
    spool = make_spool(BOTH)
    assert (spool._kept_back, spool.accounts_only) == (1, False)
    assert "No space" in spool.disk_error
    left[0] = 1000
    for _ in range(5):
        spool.tend()
    assert (spool._kept_back, spool.disk_error) == (4, None)


def test_what_a_dead_worker_left_in_the_reserve_is_recovered(make_spool, intent_of, final_of, tmp_path: Path):
    spool = make_spool(BOTH)
    served = fill(spool, intent_of, final_of)
    with pytest.raises(GatewayError):
        spool.intend(intent_of(99_999))
    spool._folder.release()
    (folder,) = dead_folders(tmp_path)
    dead = DeadSpool(folder)
    rows = []
    while part := dead.take(1000):
        rows += part
    assert len(rows) == served
    assert not dead.unreadable
    dead.release()


def test_a_row_in_short_form_has_about_two_hundred_bytes(intent_of, final_of):
    intent, ending = final_of(1, **LABELS, error="e" * 300, verdicts=("v" * 100,))
    short = encode(short_intent(intent)), encode(short_ending(ending))
    whole = encode(intent), encode(ending)
    assert sum(map(len, short)) < 350
    assert sum(map(len, whole)) > 3 * sum(map(len, short))
    assert len(PAIR + b"".join(short)) + OVERHEAD < 360
    plain, _ = final_of(1, prompt=None)
    assert len(encode(short_intent(plain))) < 180
