"""One worker's ledger from opening to draining, and what the next worker inherits."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.core.ports import Ledger
from gateway.storage.ledger.spool import SpoolLimits
from gateway.storage.ledger.worker import WorkerLedger
from gateway.storage.memory.ledger import MemoryCallWriter, MemoryLedger
from tests.conftest import until

SMALL = SpoolLimits(max_bytes=8 << 20, segment_bytes=1 << 20)


class Away(MemoryCallWriter):
    async def write(self, rows):
        raise ConnectionError("away")


async def test_calls_are_written_down_and_shipped(tmp_path: Path, intent_of, final_of, row_of):
    store = MemoryCallWriter()
    worker = await WorkerLedger.open(tmp_path, 0, store, limits=SMALL)
    worker.ledger.intend(intent_of(1))
    assert worker.counters().open_calls == 1
    worker.ledger.append(*final_of(1))
    assert worker.counters().pending == 1
    await until(lambda: store.rows)
    await worker.drain(5)
    assert list(store.rows.values()) == [row_of(1)]
    assert list(tmp_path.iterdir()) == []
    counters = worker.counters()
    assert (counters.rows_shipped, counters.spool_bytes, counters.lag_s, counters.spool_alarm) == (1, 0, 0, False)
    assert "kill -9" in worker.durability
    assert not worker.waits_for_disk


async def test_draining_ships_what_just_came(tmp_path: Path, intent_of, final_of):
    store = MemoryCallWriter()
    worker = await WorkerLedger.open(tmp_path, 0, store, limits=SMALL)
    for number in range(300):
        worker.ledger.intend(intent_of(number))
        worker.ledger.append(*final_of(number))
    await worker.drain(5)
    assert len(store.rows) == 300
    assert list(tmp_path.iterdir()) == []


async def test_what_cannot_be_shipped_in_time_is_left_to_the_next_worker(tmp_path: Path, intent_of, final_of, row_of):
    first = await WorkerLedger.open(tmp_path, 0, Away(), limits=SMALL)
    first.ledger.intend(intent_of(1))
    first.ledger.append(*final_of(1))
    await first.drain(0.05)
    counters = first.counters()
    assert counters.failures > 0
    assert counters.last_error is not None
    assert "away" in counters.last_error
    (left,) = tmp_path.iterdir()
    assert left.is_dir()
    store = MemoryCallWriter()
    second = await WorkerLedger.open(tmp_path, 1, store, limits=SMALL)
    await until(lambda: store.rows)
    await second.drain(5)
    assert list(store.rows.values()) == [row_of(1)]
    assert second.counters().rows_recovered == 1
    assert list(tmp_path.iterdir()) == []


async def test_the_spool_of_a_living_worker_is_left_alone(tmp_path: Path, intent_of, final_of, row_of):
    own, store = MemoryCallWriter(), MemoryCallWriter()
    first = await WorkerLedger.open(tmp_path, 0, own, limits=SMALL)
    first.ledger.intend(intent_of(1))
    second = await WorkerLedger.open(tmp_path, 1, store, limits=SMALL)
    for call in (2, 3):  # in the first round it looks for spools without a worker, and ships them before the second begins
        second.ledger.intend(intent_of(call))
        second.ledger.append(*final_of(call))
        await until(lambda call=call: row_of(call) in store.rows.values())
    await second.drain(5)
    assert len(store.rows) == 2
    await first.drain(5)
    assert not own.rows


async def test_records_are_on_the_disk_when_that_is_asked_for(tmp_path: Path, intent_of, final_of, monkeypatch):
    worker = await WorkerLedger.open(
        tmp_path, 0, MemoryCallWriter(), limits=SpoolLimits(max_bytes=1 << 20, segment_bytes=64 << 10, fsync="group")
    )
    rounds = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: (rounds.append(descriptor), real(descriptor)))
    worker.ledger.intend(intent_of(1))
    await asyncio.gather(*(worker.synced() for _ in range(50)))
    assert len(rounds) == 1
    worker.ledger.append(*final_of(1))
    await worker.synced()
    assert len(rounds) == 2
    assert worker.waits_for_disk
    assert "power loss" in worker.durability
    await worker.drain(5)


async def test_a_caller_that_leaves_does_not_take_the_others_wait_along(tmp_path: Path):
    limits = SpoolLimits(max_bytes=1 << 20, segment_bytes=64 << 10, fsync="group")
    worker = await WorkerLedger.open(tmp_path, 0, MemoryCallWriter(), limits=limits)
    leaving, staying = asyncio.create_task(worker.synced()), asyncio.create_task(worker.synced())
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    assert leaving.cancelled()
    await worker.drain(5)


CHILD = """
import itertools, sys
from pathlib import Path
from gateway.core.ids import uuid7
from gateway.core.ledger import UNBILLED, Ending, Intent
from gateway.storage.ledger.folder import make_folder
from gateway.storage.ledger.spool import Spool, SpoolLimits

spool = Spool(make_folder(Path(sys.argv[1]), 0), SpoolLimits(max_bytes=64 << 20, segment_bytes=1 << 20))
out = sys.stdout.buffer
for number in itertools.count():
    call = uuid7(1_700_000_000_000 + number, number)
    intent = Intent(call, 1, "app", "key", call, "chat", False, None, "echo", "m", None, None, (), None, number)
    spool.intend(intent)
    out.write(b"i %d\\n" % number)
    out.flush()
    if number % 10:
        counts = (number, *[0] * 12, None, 0)
        spool.append(intent, Ending("ok", 200, "stop", "upstream", 5, None, None, 1, None, None, [], counts, UNBILLED))
        out.write(b"f %d\\n" % number)
        out.flush()
"""


@pytest.mark.parametrize("kill_after", [1, 100, 4000])
async def test_kill_9_loses_no_acknowledged_record(tmp_path: Path, kill_after: int):
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    acknowledged = [child.stdout.readline() for _ in range(kill_after)]
    child.send_signal(signal.SIGKILL)
    acknowledged += child.stdout.readlines()
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    assert len(acknowledged) >= kill_after
    # The last line may itself be cut; only whole ones were acknowledged.
    whole = [line.split() for line in acknowledged if line.endswith(b"\n")]
    intended = {int(number) for kind, number in whole if kind == b"i"}
    finished = {int(number) for kind, number in whole if kind == b"f"}

    store = MemoryCallWriter()
    worker = await WorkerLedger.open(tmp_path, 0, store, limits=SMALL)
    await until(lambda: len(list(tmp_path.glob("spool-*"))) == 1)
    await worker.drain(10)
    found = {row.input_tokens: row.outcome for row in store.rows.values()}
    assert {number for number, outcome in found.items() if outcome == "ok"} >= finished
    assert set(found) >= intended
    # Beside the acknowledged ones there is at most the one record that was being acknowledged.
    assert len(found) <= len(intended) + 1
    assert sum(outcome == "ok" for outcome in found.values()) <= len(finished) + 1


def test_the_memory_twin_keeps_what_it_is_given(intent_of, final_of, row_of):
    ledger: Ledger = MemoryLedger()
    assert isinstance(ledger, MemoryLedger)
    ledger.intend(intent_of(1))
    ledger.append(*final_of(1))
    assert ledger.intents == [intent_of(1)]
    assert ledger.rows == [row_of(1)]
