"""The spool: order, room, rotation, and its promises under a full disk."""

import errno
import os
from pathlib import Path

import pytest
from msgspec.structs import astuple

from gateway.core.errors import LEDGER_FULL, GatewayError
from gateway.core.events import Usage
from gateway.storage.ledger.records import FINAL_EXTRA
from gateway.storage.ledger.segment import Segment
from gateway.storage.ledger.spool import Spool, SpoolLimits
from gateway.storage.ledger.writer import as_row


def call(spool: Spool, intent_of, final_of, number: int) -> None:
    spool.intend(intent_of(number))
    spool.append(*final_of(number))


def ids(finals) -> list[str]:
    return [intent.request_id for intent, _ in finals]


def fill(spool: Spool, intent_of, final_of) -> int:
    """Serve calls until one is refused; how many were served."""
    served = 0
    with pytest.raises(GatewayError) as refusal:
        while served < 10_000:
            spool.intend(intent_of(served))
            spool.append(*final_of(served))
            served += 1
    assert refusal.value.kind is LEDGER_FULL
    assert refusal.value.retry_after
    assert refusal.value.target == "gateway"
    return served


def test_rows_come_back_as_they_were_in_order(make_spool, intent_of, final_of):
    spool = make_spool()
    for number in range(5):
        call(spool, intent_of, final_of, number)
    assert spool.pending == 5
    assert spool.take(3) == [final_of(number) for number in range(3)]
    assert spool.take(3) == [final_of(3), final_of(4)]
    assert spool.take(3) == []


def test_intents_are_not_handed_out(make_spool, intent_of, final_of):
    spool = make_spool()
    spool.intend(intent_of(1))
    assert (spool.take(10), spool.open_calls) == ([], 1)
    spool.append(*final_of(1))
    assert (ids(spool.take(10)), spool.open_calls) == (["request-1"], 0)


def test_rewinding_hands_out_again_what_was_not_released(make_spool, intent_of, final_of):
    spool = make_spool()
    for number in range(4):
        call(spool, intent_of, final_of, number)
    spool.take(1)
    spool.release()
    spool.take(2)
    spool.rewind()
    assert spool.pending == 3
    assert ids(spool.take(9)) == ["request-1", "request-2", "request-3"]


def test_rows_in_memory_and_in_segments_are_one_sequence(make_spool, intent_of, final_of):
    spool, served, found = make_spool(SpoolLimits(max_bytes=1 << 20, segment_bytes=32 << 10)), 0, []
    for lap in range(40):
        for _ in range(lap % 7 * 5):
            served += 1
            call(spool, intent_of, final_of, served)
        found += ids(spool.take(lap % 11 * 3))
        if lap % 3 == 0:
            spool.release()
    found += ids(spool.take(1000))
    assert found == [f"request-{number + 1}" for number in range(served)]


def test_rotation_keeps_order_and_release_removes_files(make_spool, intent_of, final_of):
    spool = make_spool(SpoolLimits(max_bytes=1 << 20, segment_bytes=32 << 10))
    for number in range(200):
        call(spool, intent_of, final_of, number)
    assert len(spool._held) > 3
    assert ids(spool.take(1000)) == [f"request-{number}" for number in range(200)]
    before = spool.bytes
    spool.release()
    assert before > 100_000
    assert spool.bytes == 0
    assert len(spool._held) == 1
    # One may have been allocated and not fetched yet; whether, depends on how far into its segment the last row lies.
    assert len(list(spool._folder.path.glob("*.segment"))) == 1 + len(spool._spares) + (spool._coming is not None)


def test_a_full_spool_refuses_calls_and_takes_them_again_when_shipped(make_spool, intent_of, final_of):
    spool = make_spool()
    served = fill(spool, intent_of, final_of)
    assert served > 50
    assert spool.refused == 1
    assert spool.alarm
    assert len(list(spool._folder.path.glob("*.segment"))) * (32 << 10) <= 160 << 10
    assert len(spool.take(1000)) == served
    spool.release()
    assert not spool.alarm
    assert fill(spool, intent_of, final_of) > 50


def test_every_intended_call_has_room_for_its_row_however_long(make_spool, intent_of, final_of):
    spool = make_spool()
    accepted = 0
    with pytest.raises(GatewayError):
        for number in range(10_000):
            spool.intend(intent_of(number))
            accepted += 1
    assert accepted > 20
    for number in reversed(range(accepted)):
        spool.append(*final_of(number, error="e" * 50_000))
    assert spool.mended == accepted
    rows = spool.take(10_000)
    assert len(rows) == accepted
    assert spool.dropped_refusals == 0
    assert all(ending.error and ending.error.endswith("…") for _, ending in rows)


def test_rows_without_an_intent_have_room_when_calls_are_refused(make_spool, intent_of, final_of):
    spool = make_spool()
    served = fill(spool, intent_of, final_of)
    refused = final_of(9999, attempt=0, outcome="ledger_full", status=503)
    spool.append(*refused)
    assert spool.take(10_000)[-1] == refused
    for _ in range(200):
        spool.append(*refused)
    assert spool.dropped_refusals > 0
    assert 1 + served + 200 - spool.dropped_refusals == spool.pending + served + 1


def test_an_open_call_does_not_pin_its_segment(make_spool, intent_of, final_of):
    spool = make_spool()
    long = intent_of(0)
    spool.intend(long)
    for lap in range(3):
        for number in range(1, 60):
            call(spool, intent_of, final_of, 100 * lap + number)
        spool.take(1000)
        spool.release()
        assert len(spool._held) == 1
    spool.append(*final_of(0))
    assert ids(spool.take(10)) == ["request-0"]
    assert spool.open_calls == 0


def test_a_segment_stays_while_copies_of_its_open_calls_have_no_room(make_spool, intent_of, final_of):
    spool = make_spool(SpoolLimits(max_bytes=96 << 10, segment_bytes=32 << 10))
    opened = range(90_000, 90_006)
    for number in opened:
        spool.intend(intent_of(number, user="u" * 1500))
    served = fill(spool, intent_of, final_of)
    assert len(spool._held) > 1
    assert len(spool.take(1000)) == served
    spool.release()
    assert len(spool._held) > 1
    for number in opened:
        spool.append(*final_of(number))
    assert len(spool.take(1000)) == len(opened)
    spool.release()
    assert len(spool._held) == 1
    assert spool.bytes == 0


def test_copying_an_open_call_may_itself_rotate(make_spool, intent_of, final_of):
    spool = make_spool()
    spool.intend(intent_of(0, user="u" * 3000))
    number = 0
    while spool._current.number == 1 or spool._tail < (32 << 10) - 2000:
        number += 1
        call(spool, intent_of, final_of, number)
    spool.take(1000)
    spool.release()
    assert spool._current.number == 3
    spool.append(*final_of(0))
    assert ids(spool.take(10)) == ["request-0"]


def test_a_full_disk_refuses_calls_and_loses_nothing(make_spool, intent_of, final_of, monkeypatch):
    spool = make_spool(SpoolLimits(max_bytes=1 << 20, segment_bytes=32 << 10))
    real = os.posix_fallocate

    def full(descriptor, offset, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    served = fill(spool, intent_of, final_of)
    assert spool.disk_error is not None
    assert "No space" in spool.disk_error
    assert not list(spool._folder.path.glob(f"{spool._numbers:012d}*"))
    monkeypatch.setattr(os, "posix_fallocate", real)
    assert len(spool.take(10_000)) == served
    spool.release()
    spool.tend()
    assert spool.disk_error is None
    call(spool, intent_of, final_of, 77_777)
    assert ids(spool.take(10)) == ["request-77777"]


def test_no_disk_at_all_is_an_error_at_the_start(make_spool, monkeypatch):
    def full(descriptor, offset, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        make_spool()


def test_adopted_spools_count_against_the_bound(make_spool, intent_of, final_of):
    spool, free = make_spool(), make_spool()
    spool.adopted_bytes = 96 << 10
    assert fill(spool, intent_of, final_of) < fill(free, intent_of, final_of)


def test_absurd_labels_are_cut_not_refused(make_spool, intent_of, final_of):
    spool = make_spool()
    label = "u" * 1_000_000
    spool.intend(intent_of(1, user=label, tags=(label,)))
    spool.append(*final_of(1, user=label, tags=(label,)))
    spool.append(*final_of(2, attempt=0, user="\ud800", counts=astuple(Usage(10**40, 1))))
    spool.intend(intent_of(3, user="\ud800"))
    long, odd = map(as_row, spool.take(10))
    assert long.user
    assert long.user.startswith("uuuu")
    assert len(long.user) < 2000
    assert (odd.user, odd.input_tokens, odd.output_tokens) == ("\\ud800", None, 1)
    assert spool.mended == 3


def test_the_reserve_covers_a_final_row_longer_than_its_intent(make_spool, intent_of, final_of):
    spool = make_spool()
    spool.intend(intent_of(1))
    final = final_of(1, error="x" * (FINAL_EXTRA - 300))
    spool.append(*final)
    assert spool.take(1) == [final]
    assert spool.mended == 0


def test_a_row_that_does_not_decode_is_set_apart(make_spool, intent_of, final_of):
    spool = make_spool(recent_rows=0)
    spool.append(*final_of(1, status="not a number"))
    call(spool, intent_of, final_of, 2)
    assert ids(spool.take(10)) == ["request-2"]
    assert len(spool.unreadable) == 1
    spool.rewind()
    assert (spool.pending, spool.unreadable) == (2, [])


def test_a_reader_is_told_when_a_batch_is_there(make_spool, intent_of, final_of):
    spool, told = make_spool(), []
    spool.notify_at, spool.notify = 3, lambda: told.append(spool.pending)
    for number in range(5):
        call(spool, intent_of, final_of, number)
    assert told == [3]


def test_closing_an_empty_spool_removes_it_and_a_full_one_leaves_it(make_spool, intent_of, final_of, tmp_path: Path):
    empty, full, busy = make_spool(), make_spool(), make_spool()
    call(empty, intent_of, final_of, 1)
    empty.take(5)
    empty.release()
    call(full, intent_of, final_of, 2)
    full.take(5)
    busy.intend(intent_of(3))
    for spool in (empty, full, busy):
        spool.close()
    assert sorted(tmp_path.iterdir()) == sorted([full._folder.path, busy._folder.path])
    busy.append(*final_of(3))
    assert ids(busy.take(1)) == ["request-3"]
    with pytest.raises(GatewayError):
        full.intend(intent_of(4))
    full.append(*final_of(4))
    assert full.dropped_refusals == 1
    busy._folder.release()


def test_sync_covers_every_segment_not_yet_synced(make_spool, intent_of, final_of, monkeypatch):
    spool = make_spool(SpoolLimits(max_bytes=1 << 20, segment_bytes=32 << 10, fsync="group"))
    synced: list[int] = []
    monkeypatch.setattr(Segment, "sync", lambda segment: synced.append(segment.number))
    for number in range(60):
        call(spool, intent_of, final_of, number)
    spool.sync()
    held = [segment.number for segment in spool._held]
    assert len(held) > 1
    assert synced == held
    synced.clear()
    spool.sync()
    assert synced == held[-1:]


def test_real_segments_sync_and_close_twice(tmp_path: Path):
    segment = Segment(tmp_path, 1, 32 << 10, durable=True)
    segment.sync()
    segment.close()
    segment.sync()
    segment.destroy()
    segment.destroy()
    assert list(tmp_path.iterdir()) == []
