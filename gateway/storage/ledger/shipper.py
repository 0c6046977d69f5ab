"""The shipper: brings final rows from spools to the store, in batches, at least once; the store makes that exactly once."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from gateway.core.ids import uuid7_ms
from gateway.core.ledger import LedgerRow
from gateway.storage.ledger.recovery import DeadSpool
from gateway.storage.ledger.spool import Spool
from gateway.storage.ledger.writer import CallWriter, Row, RowsRefusedError, as_row

BATCH = 2000
"""Rows per commit, at most. A commit costs 350 us whatever is in it, a row 2.5 us: more rows would make no difference."""
SLICE = 200
"""Rows taken before the event loop gets its turn: 0.4 ms where they have to be decoded."""
TICK_S = 0.2
"""How long rows wait for others to share their commit."""
BUSY_TICK_S = 0.5
"""The same while calls pour in: at 1,000 a second that makes a row a fifth cheaper, and it is still seen within a second."""
BUSY_ROWS = 100
"""What a commit has when calls pour in: 500 a second."""
BACKOFF_S = (0.1, 5.0)
"""First and longest pause after a failure, doubling in between; each with jitter, so that workers do not come in step."""
PREPARE_EVERY_S = 3600.0
"""Partitions are made days ahead, so an hour is often enough."""
ADOPT_EVERY_S = 5.0
"""How soon a neighbour's death is noticed: a folder listing and a try at each lock, some 50 us."""


class Shipper:
    """Run :meth:`run` as one task per worker; :meth:`stop` makes it return once the worker's own spool is empty."""

    def __init__(
        self,
        spool: Spool,
        writer: CallWriter,
        adopt: Callable[[], Iterable[DeadSpool]],
        dead_letters: Path,
        clock: Callable[[], float] = time.time,
        recovered: Callable[[list[LedgerRow]], None] | None = None,
    ) -> None:
        """``adopt`` finds spools without an owner. ``dead_letters`` is the file of last resort. ``clock``: wall seconds.

        ``recovered`` is told the rows of such spools when they are committed.
        """
        self.rows_shipped = 0
        self.rows_recovered = 0
        self.batches = 0
        self.failures = 0
        self.dead_letters = 0
        self.last_error: str | None = None
        """Why the last try failed; None after a success."""
        self._spool = spool
        self._writer = writer
        self._adopt = adopt
        self._file = dead_letters
        self._clock = clock
        self._recovered = recovered
        self._dead: list[DeadSpool] = []
        self._oldest_ms: float | None = None
        self._stopping = False
        self._prepare_at = self._adopt_at = 0.0
        self._wake = asyncio.Event()
        spool.notify_at, spool.notify = BATCH, self._wake.set

    @property
    def lag_s(self) -> float:
        """Age of the oldest final row that waits for a commit under way; 0 when none does."""
        return 0.0 if self._oldest_ms is None else max(0.0, self._clock() - self._oldest_ms / 1000)

    def stop(self) -> None:
        """Ship what the own spool holds, then return from :meth:`run`."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Ship until stopped. The dead spools that are left are given back."""
        pauses = _pauses()
        try:
            while True:
                self._wake.clear()
                try:
                    shipped = self.rows_shipped
                    more = await self._round()
                except Exception as error:  # noqa: BLE001 - a full disk, a defect: whatever it is, shipping goes on
                    self._failed(error)
                    await asyncio.sleep(next(pauses))
                    continue
                pauses = _pauses()
                if self._stopping and not self._spool.pending:
                    return
                if not more:
                    await self._pause(TICK_S if self.rows_shipped - shipped < BUSY_ROWS else BUSY_TICK_S)
        finally:
            for dead in self._dead:
                dead.abandon()

    async def _round(self) -> bool:
        """One batch of each spool; whether more are waiting."""
        if time.monotonic() >= self._prepare_at:
            self._prepare_at = time.monotonic() + (PREPARE_EVERY_S if await self._prepare() else ADOPT_EVERY_S)
        if time.monotonic() >= self._adopt_at and not self._stopping:
            self._adopt_at = time.monotonic() + ADOPT_EVERY_S
            self._dead += self._adopt()
        self._spool.adopted_bytes = sum(dead.bytes for dead in self._dead)
        self._spool.tend()
        more = await self._ship_own()
        if self._dead and not self._stopping:
            more |= await self._ship_dead(self._dead[0])
        return more

    async def _prepare(self) -> bool:
        """Failing is not urgent: rows of days without a partition land in the default one."""
        try:
            await self._writer.prepare(int(self._clock() * 1000))
        except Exception as error:  # noqa: BLE001 - the port: any exception means "not now"
            self._failed(error)
            return False
        return True

    async def _ship_own(self) -> bool:
        rows = await self._ship(self._spool)
        self.rows_shipped += rows
        return rows == BATCH

    async def _ship_dead(self, dead: DeadSpool) -> bool:
        self.rows_recovered += await self._ship(dead)
        if dead.exhausted:
            self._dead.remove(dead)
        return bool(self._dead)

    async def _ship(self, source: Spool | DeadSpool) -> int:
        """One batch: taken, committed, and only then released (promise N4)."""
        try:
            rows = await self._gather(source)
            if rows:
                self._oldest_ms = self._finished_ms(as_row(rows[0])) if source is self._spool else None
                await self._deliver(rows)
                if self._recovered is not None and source is not self._spool:
                    self._recovered([as_row(row) for row in rows])
            self._keep_unreadable(source)
        except BaseException:
            source.rewind()
            raise
        finally:
            self._oldest_ms = None
        source.release()
        return len(rows)

    async def _gather(self, source: Spool | DeadSpool) -> list[Row]:
        rows: list[Row] = []
        while len(rows) < BATCH and (part := source.take(min(SLICE, BATCH - len(rows)))):
            rows += part
            await asyncio.sleep(0)
        return rows

    async def _deliver(self, rows: Sequence[Row]) -> None:
        """Commit ``rows``, however long it takes; those that the store refuses are found by halving and buried (promise N7)."""
        if not rows:
            return
        try:
            await self._write(rows)
        except RowsRefusedError as refusal:
            if len(rows) == 1:
                await self._bury(as_row(rows[0]), str(refusal))
            else:
                middle = len(rows) // 2
                await self._deliver(rows[:middle])
                await self._deliver(rows[middle:])

    async def _write(self, rows: Sequence[Row]) -> None:
        for pause in _pauses():
            try:
                await self._writer.write(rows)
            except RowsRefusedError:
                raise
            except Exception as error:  # noqa: BLE001 - the port: any other exception means "not now"
                self._failed(error)
                await asyncio.sleep(pause)
            else:
                self.batches += 1
                self.last_error = None
                return

    async def _bury(self, row: LedgerRow, reason: str) -> None:
        try:
            await self._writer.bury(row, reason)
        except Exception as error:  # noqa: BLE001 - whatever keeps it from the table, the file takes it
            self._failed(error)
            record = dict(zip(row.__struct_fields__, msgspec.structs.astuple(row), strict=True))
            self._write_dead_letter({"reason": reason, "record": record})
        self.dead_letters += 1

    def _keep_unreadable(self, source: Spool | DeadSpool) -> None:
        for body in source.unreadable:
            self._write_dead_letter({"reason": "does not decode", "bytes": body})
            self.dead_letters += 1
        source.unreadable.clear()

    def _write_dead_letter(self, letter: dict[str, object]) -> None:
        with self._file.open("ab") as file:
            file.write(msgspec.json.encode(letter) + b"\n")

    def _finished_ms(self, row: LedgerRow) -> float:
        """Wall clock at which the row was appended, as far as it tells."""
        try:
            return uuid7_ms(row.call_id) + row.latency_us / 1000
        except ValueError:
            return self._clock() * 1000

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self.last_error = f"{type(error).__name__}: {error}"

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass


def _pauses() -> Iterator[float]:
    pause, longest = BACKOFF_S
    while True:
        yield pause * (0.5 + random.random() / 2)  # noqa: S311 - jitter
        pause = min(longest, pause * 2)
