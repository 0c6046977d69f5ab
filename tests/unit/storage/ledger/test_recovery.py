"""What is found in the spools of dead workers."""

import os
from pathlib import Path

import pytest
from msgspec.structs import astuple

from gateway.core.ledger import State
from gateway.storage.ledger.folder import make_folder, take
from gateway.storage.ledger.records import encode
from gateway.storage.ledger.recovery import DeadSpool, interrupted
from gateway.storage.ledger.segment import segment_paths
from gateway.storage.ledger.spool import SpoolLimits


def die(spool) -> Path:
    """Let go of the lock as the kernel does; the files stay as they are."""
    spool._folder.release()
    return spool._folder.path


def adopt(path: Path, price=None) -> DeadSpool:
    folder = take(path)
    assert folder is not None
    return DeadSpool(folder, price)


def outcomes(rows) -> list[tuple[str, str]]:
    return [(row.request_id, row.outcome) for row in rows]


def test_finals_come_as_they_were_and_open_calls_as_interrupted(make_spool, intent_of, final_of, row_of):
    spool = make_spool()
    spool.intend(intent_of(1))
    spool.intend(intent_of(2))
    spool.append(*final_of(2))
    spool.append(*final_of(3, attempt=0, outcome="rate_limited"))
    dead = adopt(die(spool))
    rows = dead.take(10)
    assert rows[:2] == [row_of(2), row_of(3, attempt=0, outcome="rate_limited")]
    assert rows[2] == interrupted(intent_of(1))
    assert len(rows) == 3
    assert dead.exhausted
    assert not dead.damaged


def test_an_interrupted_row_bills_its_input_by_estimate(intent_of):
    intent = intent_of(5)
    row = interrupted(intent)
    assert (row.state, row.outcome, row.status) == (State.INTERRUPTED, "interrupted", 499)
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (105, None, "estimated")
    assert (row.cost_nano, row.cost_status) == (None, "estimated")
    for name in (
        "call_id",
        "attempt",
        "application_id",
        "key_id",
        "provider",
        "model",
        "user",
        "tags",
    ):
        assert getattr(row, name) == getattr(intent, name)
    assert (row.prompt_id, row.prompt, row.version, row.alias, row.variant, row.content_hash, row.generation) == astuple(
        intent.prompt
    )
    priced = interrupted(intent, lambda intent: (intent.estimated_input_tokens * 7, "2026-01-01"))
    assert (priced.cost_nano, priced.cost_status, priced.price_version) == (735, "estimated", "2026-01-01")
    assert interrupted(intent, lambda _: None).cost_status == "unpriced"


def test_what_was_shipped_is_not_shipped_again(make_spool, intent_of, final_of):
    spool = make_spool()
    for number in range(4):
        spool.intend(intent_of(number))
        spool.append(*final_of(number))
    spool.take(2)
    spool.release()
    assert outcomes(adopt(die(spool)).take(10)) == [("request-2", "ok"), ("request-3", "ok")]


def test_a_call_over_many_segments_is_found_once(make_spool, intent_of, final_of):
    spool = make_spool()
    spool.intend(intent_of(0))
    for number in range(1, 70):
        spool.intend(intent_of(number))
        spool.append(*final_of(number))
    spool.take(1000)
    spool.release()
    assert outcomes(adopt(die(spool)).take(1000)) == [("request-0", "interrupted")]


def test_rows_come_in_slices_and_the_folder_goes_only_at_the_end(make_spool, intent_of, final_of, tmp_path: Path):
    spool = make_spool()
    for number in range(5):
        spool.intend(intent_of(number))
        spool.append(*final_of(number))
    dead = adopt(die(spool))
    assert dead.bytes > 0
    assert len(dead.take(3)) == 3
    dead.release()
    assert not dead.exhausted
    assert spool._folder.path.exists()
    dead.rewind()
    assert len(dead.take(5)) == 5
    assert not dead.exhausted
    assert dead.take(5) == []
    assert dead.exhausted
    dead.release()
    assert list(tmp_path.iterdir()) == []
    assert dead.bytes == 0


def test_an_abandoned_spool_can_be_adopted_by_another(make_spool, intent_of):
    spool = make_spool()
    spool.intend(intent_of(1))
    path = die(spool)
    dead = adopt(path)
    assert take(path) is None
    dead.take(10)
    dead.abandon()
    assert len(adopt(path).take(10)) == 1


def test_cut_at_every_byte_no_record_before_the_cut_is_lost_and_none_is_invented(make_spool, intent_of, final_of, row_of):
    spool = make_spool()
    ends: list[tuple[int, str]] = []
    for number in range(4):
        spool.intend(intent_of(number))
        ends.append((spool._tail, "intent"))
        if number != 1:
            spool.append(*final_of(number))
            ends.append((spool._tail, "final"))
    (segment,) = segment_paths(spool._folder.path)[:1]
    for spare in segment_paths(spool._folder.path)[1:]:
        spare.unlink()
    size = segment.stat().st_size
    folder = adopt(die(spool))._folder
    for cut in range(ends[-1][0], -1, -1):
        finals = sum(1 for end, what in ends if end <= cut and what == "final")
        intents = sum(1 for end, what in ends if end <= cut and what == "intent")
        # A cut file, and one whose later pages never reached the disk.
        for length in (cut, size):
            os.truncate(segment, cut)
            os.truncate(segment, length)
            dead = DeadSpool(folder)
            rows = dead.take(100)
            assert [row.outcome for row in rows] == ["ok"] * finals + ["interrupted"] * (intents - finals), (cut, length)
            assert dead.exhausted
            assert not dead.damaged
            assert not dead.unreadable
            for row in rows:
                number = int(row.request_id.removeprefix("request-"))
                assert row == (row_of(number) if row.outcome == "ok" else interrupted(intent_of(number)))
    folder.remove()


def test_garbage_after_the_last_record_is_a_torn_record(make_spool, intent_of, final_of):
    spool = make_spool()
    spool.intend(intent_of(1))
    spool.append(*final_of(1))
    spool._current.memory[spool._tail : spool._tail + 40] = b"\xff" * 40
    assert outcomes(adopt(die(spool)).take(10)) == [("request-1", "ok")]


def test_a_tear_before_later_records_is_damage_and_the_folder_is_kept(make_spool, intent_of, final_of, tmp_path: Path):
    spool = make_spool(SpoolLimits(max_bytes=1 << 20, segment_bytes=32 << 10))
    for number in range(60):
        spool.intend(intent_of(number))
        spool.append(*final_of(number))
    first = spool._held[0]
    middle = 10_000
    first.memory[middle : middle + 1000] = b"\xa5" * 1000
    dead = adopt(die(spool))
    rows = dead.take(1000)
    assert 20 < len(rows) < 60
    assert dead.damaged
    dead.release()
    (kept,) = tmp_path.iterdir()
    assert kept.name.startswith("damaged-")
    assert segment_paths(kept)


def test_records_that_do_not_decode_are_set_apart(make_spool, intent_of, final_of):
    spool = make_spool()
    spool.intend(intent_of(1))
    spool.append(*final_of(1, status="not a number"))
    spool.append(*final_of(2, attempt=0))
    dead = adopt(die(spool))
    assert outcomes(dead.take(10)) == [("request-2", "ok"), ("request-1", "interrupted")]
    assert dead.unreadable == [encode(final_of(1, status="not a number"))]


@pytest.mark.parametrize("content", [b"", b"short", b"another format altogether"])
def test_files_that_are_no_segments_are_passed_over(tmp_path: Path, content: bytes):
    folder = make_folder(tmp_path, 0)
    (folder.path / "000000000001.segment").write_bytes(content)
    dead = DeadSpool(folder)
    assert dead.take(10) == []
    dead.release()
    assert list(tmp_path.iterdir()) == []
