"""The shipper against a store that fails in every way."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from gateway.storage.ledger import shipper as shippers
from gateway.storage.ledger.folder import take
from gateway.storage.ledger.recovery import DeadSpool
from gateway.storage.ledger.shipper import Shipper
from gateway.storage.ledger.spool import SpoolLimits
from gateway.storage.memory.ledger import MemoryCallWriter

LARGE = SpoolLimits(max_bytes=8 << 20, segment_bytes=256 << 10)


class Store(MemoryCallWriter):
    """Fails the next ``failures`` writes, before or after they took effect."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = 0
        self.after_commit = False
        self.down = False
        self.sizes: list[int] = []
        self.prepared: list[int] = []
        self.no_table = False

    async def prepare(self, now_ms):
        self.prepared.append(now_ms)
        if self.down:
            raise ConnectionError("down")

    async def write(self, rows):
        self.sizes.append(len(rows))
        await asyncio.sleep(0)
        if self.down:
            raise ConnectionError("down")
        if self.failures:
            self.failures -= 1
            if self.after_commit:
                await super().write(rows)
            raise ConnectionResetError("cut")
        await super().write(rows)

    async def bury(self, row, reason):
        if self.no_table:
            raise ConnectionError("no dead letters here")
        await super().bury(row, reason)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(shippers, "BACKOFF_S", (0.001, 0.002))
    monkeypatch.setattr(shippers, "TICK_S", 0.005)
    monkeypatch.setattr(shippers, "BUSY_TICK_S", 0.005)


def serve(spool, final_of, numbers, **changes) -> None:
    for number in numbers:
        intent, ending = final_of(number, **changes)
        spool.intend(intent)
        spool.append(intent, ending)


async def run_until_shipped(shipper: Shipper) -> None:
    shipper.stop()
    async with asyncio.timeout(20):
        await shipper.run()


def make_shipper(spool, store, tmp_path: Path, dead=()) -> Shipper:
    waiting = list(dead)

    def adopt():
        found = list(waiting)
        waiting.clear()
        return found

    return Shipper(spool, store, adopt, tmp_path / "dead-letter.jsonl", clock=lambda: 1_700_000_010.0)


async def test_everything_lands_in_batches(make_spool, final_of, tmp_path):
    spool, store = make_spool(LARGE), Store()
    serve(spool, final_of, range(2500))
    shipper = make_shipper(spool, store, tmp_path)
    await run_until_shipped(shipper)
    assert store.sizes == [2000, 500]
    assert sorted(row.request_id for row in store.rows.values()) == sorted(f"request-{n}" for n in range(2500))
    assert (shipper.rows_shipped, shipper.batches, shipper.failures, spool.bytes) == (2500, 2, 0, 0)
    assert store.prepared == [1_700_000_010_000]


async def test_rows_are_shipped_as_they_come_without_being_stopped(make_spool, final_of, tmp_path):
    spool, store = make_spool(LARGE), Store()
    shipper = make_shipper(spool, store, tmp_path)
    task = asyncio.create_task(shipper.run())
    async with asyncio.timeout(10):
        for number in range(3):
            serve(spool, final_of, [number])
            while len(store.rows) <= number:
                await asyncio.sleep(0.001)
        serve(spool, final_of, range(10, 1200))
        while len(store.rows) < 1193:
            await asyncio.sleep(0.001)
    shipper.stop()
    await task


async def test_rows_wait_longer_for_each_other_while_calls_pour_in(make_spool, final_of, tmp_path, monkeypatch):
    monkeypatch.setattr(shippers, "BUSY_TICK_S", 0.007)
    spool, store = make_spool(LARGE), Store()
    shipper = make_shipper(spool, store, tmp_path)
    pauses: list[float] = []

    async def pause(seconds):
        pauses.append(seconds)
        if len(pauses) == 1:
            serve(spool, final_of, range(shippers.BUSY_ROWS))
        elif len(pauses) == 2:
            serve(spool, final_of, range(1000, 1000 + shippers.BUSY_ROWS - 1))
        else:
            shipper.stop()

    shipper._pause = pause
    async with asyncio.timeout(20):
        await shipper.run()
    assert pauses == [0.005, 0.007, 0.005]


@pytest.mark.parametrize("after_commit", [False, True])
async def test_a_store_that_fails_gets_the_same_rows_again(make_spool, final_of, tmp_path, after_commit):
    spool, store = make_spool(LARGE), Store()
    store.failures, store.after_commit = 4, after_commit
    serve(spool, final_of, range(10))
    shipper = make_shipper(spool, store, tmp_path)
    await run_until_shipped(shipper)
    assert len(store.rows) == 10
    assert store.sizes == [10] * 5
    assert (shipper.failures, shipper.last_error, shipper.rows_shipped) == (4, None, 10)


async def test_nothing_is_released_while_the_store_is_away(make_spool, final_of, tmp_path):
    spool, store = make_spool(LARGE), Store()
    store.down = True
    serve(spool, final_of, range(10))
    shipper = make_shipper(spool, store, tmp_path)
    task = asyncio.create_task(shipper.run())
    while shipper.failures < 3:
        await asyncio.sleep(0.001)
    assert shipper.lag_s == pytest.approx(10, abs=0.1)
    assert spool._folder.shipped() == (0, 0)
    assert spool.bytes > 0
    assert shipper.last_error == "ConnectionError: down"
    store.down = False
    while not store.rows:
        await asyncio.sleep(0.001)
    shipper.stop()
    await task
    assert len(store.rows) == 10
    assert spool.bytes == 0
    assert shipper.lag_s == 0


async def test_cancelling_leaves_the_rows_to_be_taken_again(make_spool, final_of, tmp_path):
    spool, store = make_spool(LARGE), Store()
    store.down = True
    serve(spool, final_of, range(10))
    shipper = make_shipper(spool, store, tmp_path)
    task = asyncio.create_task(shipper.run())
    while shipper.failures < 2:
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert spool.pending == 10


async def test_poisoned_rows_are_buried_alone(make_spool, final_of, tmp_path):
    spool, store = make_spool(LARGE), Store()
    poisoned = {3, 4, 500, 999}
    for number in range(1000):
        serve(spool, final_of, [number], user="a\0b" if number in poisoned else "fine")
    shipper = make_shipper(spool, store, tmp_path)
    await run_until_shipped(shipper)
    assert len(store.rows) == 996
    assert {row.request_id for row, _ in store.buried} == {f"request-{number}" for number in poisoned}
    assert {reason for _, reason in store.buried} == {"a text contains NUL"}
    assert shipper.dead_letters == 4
    assert spool.bytes == 0


async def test_the_file_takes_what_the_dead_letter_table_does_not(make_spool, final_of, row_of, tmp_path):
    spool, store = make_spool(LARGE, recent_rows=0), Store()
    store.no_table = True
    serve(spool, final_of, [1], user="a\0b")
    serve(spool, final_of, [2])
    spool.append(*final_of(3, attempt=0, status="not a number"))
    shipper = make_shipper(spool, store, tmp_path)
    await run_until_shipped(shipper)
    first, second = [msgspec.json.decode(line) for line in (tmp_path / "dead-letter.jsonl").read_bytes().splitlines()]
    assert first["reason"] == "a text contains NUL"
    assert (first["record"]["request_id"], first["record"]["user"], first["record"]["cost_nano"]) == ("request-1", "a\0b", 1234)
    assert second["reason"] == "does not decode"
    assert second["bytes"]
    assert list(store.rows) == [(row_of(2).call_id, 1)]
    assert shipper.dead_letters == 2


async def test_without_any_place_for_dead_letters_nothing_is_released(make_spool, final_of, tmp_path):
    spool, store = make_spool(LARGE), Store()
    store.no_table = True
    serve(spool, final_of, [1], user="a\0b")
    blocked = tmp_path / "dead-letter.jsonl"
    blocked.mkdir()
    shipper = make_shipper(spool, store, tmp_path)
    task = asyncio.create_task(shipper.run())
    while shipper.failures < 6:
        await asyncio.sleep(0.001)
    assert spool._folder.shipped() == (0, 0)
    assert shipper.dead_letters == 0
    blocked.rmdir()
    while not blocked.exists():
        await asyncio.sleep(0.001)
    shipper.stop()
    await task
    assert shipper.dead_letters == 1
    assert spool.bytes == 0


async def test_a_call_id_that_is_none_does_not_stop_the_shipping(make_spool, final_of, tmp_path):
    spool, store = make_spool(LARGE), Store()
    spool.append(*final_of(1, call_id="not an id", attempt=0))
    await run_until_shipped(make_shipper(spool, store, tmp_path))
    assert list(store.rows) == [("not an id", 0)]


async def test_dead_spools_are_shipped_beside_the_own_one(make_spool, intent_of, final_of, tmp_path):
    gone, spool, store = make_spool(LARGE), make_spool(LARGE), Store()
    serve(gone, final_of, range(1500))
    gone.intend(intent_of(9000))
    gone._folder.release()
    folder = take(gone._folder.path)
    assert folder is not None
    dead = DeadSpool(folder)
    serve(spool, final_of, range(5000, 5010))
    shipper = make_shipper(spool, store, tmp_path, [dead])
    task = asyncio.create_task(shipper.run())
    async with asyncio.timeout(10):
        while gone._folder.path.exists():
            await asyncio.sleep(0.001)
    shipper.stop()
    await task
    assert len(store.rows) == 1511
    assert spool.adopted_bytes == 0
    assert store.rows[intent_of(9000).call_id, 1].outcome == "interrupted"
    assert (shipper.rows_shipped, shipper.rows_recovered) == (10, 1501)


async def test_a_late_interrupted_row_does_not_replace_a_final_one(make_spool, intent_of, final_of, row_of, tmp_path):
    spool, gone, store = make_spool(LARGE), make_spool(LARGE), Store()
    serve(spool, final_of, [1])
    await run_until_shipped(make_shipper(spool, store, tmp_path))
    gone.intend(intent_of(1))
    gone._folder.release()
    folder = take(gone._folder.path)
    assert folder is not None
    await store.write(DeadSpool(folder).take(10))
    assert store.rows[intent_of(1).call_id, 1] == row_of(1)


async def test_a_store_that_cannot_prepare_is_asked_again_and_rows_go_on(make_spool, final_of, tmp_path, monkeypatch):
    monkeypatch.setattr(shippers, "ADOPT_EVERY_S", 0.01)
    spool, store = make_spool(LARGE), Store()
    real = Store.prepare
    attempts = []

    async def failing(self, now_ms):
        attempts.append(now_ms)
        if len(attempts) < 3:
            raise ConnectionError("locked")
        await real(self, now_ms)

    monkeypatch.setattr(Store, "prepare", failing)
    shipper = make_shipper(spool, store, tmp_path)
    task = asyncio.create_task(shipper.run())
    serve(spool, final_of, [1])
    async with asyncio.timeout(10):
        while len(attempts) < 3 or not store.rows:
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    shipper.stop()
    await task
    assert len(attempts) == 3


async def test_the_event_loop_is_not_held_for_long(make_spool, final_of, tmp_path):
    """No slice of decoding takes more than SLICE rows, whatever is waiting."""
    spool, store = make_spool(LARGE), Store()
    serve(spool, final_of, range(1000))
    taken: list[int] = []
    real = spool.take
    spool.take = lambda limit: taken.append(limit) or real(limit)
    await run_until_shipped(make_shipper(spool, store, tmp_path))
    assert max(taken) <= shippers.SLICE
    assert store.sizes == [1000]
