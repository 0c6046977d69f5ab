"""The ledger as one worker holds it: its spool, its shipper, and the spools it inherits."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from gateway.core.ledger import LedgerRow
from gateway.core.ports import Ledger
from gateway.storage.ledger.durability import DURABILITY, GroupSync
from gateway.storage.ledger.folder import dead_folders, make_folder
from gateway.storage.ledger.recovery import DeadSpool, Price
from gateway.storage.ledger.shipper import Shipper
from gateway.storage.ledger.spool import Spool, SpoolLimits
from gateway.storage.ledger.writer import CallWriter

DEAD_LETTERS = "dead-letter.jsonl"


class LedgerCounters(Struct, frozen=True):
    """One reading, for metrics and health."""

    rows_shipped: int
    rows_recovered: int
    """Shipped from spools of dead workers."""
    batches: int
    failures: int
    """Tries that the store did not take."""
    dead_letters: int
    refused: int
    """Calls refused because the spool was full."""
    dropped_refusals: int
    """Rows of refused calls that found no room at all."""
    shortened: int
    """Rows written in short form because the spool was full."""
    accounts_only: bool
    """Whether rows are written so now."""
    mended: int
    """Records whose texts had to be cut or escaped to be stored."""
    pending: int
    """Final rows that the shipper has not picked up yet."""
    open_calls: int
    lag_s: float
    spool_bytes: int
    """Waiting to be committed, adopted spools included."""
    spool_alarm: bool
    last_error: str | None


class WorkerLedger:
    """Made by :meth:`open`, given back by :meth:`drain`. The store may be away at any time, at the start too."""

    def __init__(
        self,
        root: Path,
        spool: Spool,
        writer: CallWriter,
        price: Price | None,
        recovered: Callable[[list[LedgerRow]], None] | None,
    ) -> None:
        self._root = root
        self._spool = spool
        self._writer = writer
        self._price = price
        self._sync = GroupSync(spool)
        self._shipper = Shipper(spool, writer, self._adopt, root / DEAD_LETTERS, recovered=recovered)
        self._task = asyncio.create_task(self._shipper.run())

    @classmethod
    async def open(
        cls,
        root: Path,
        slot: int,
        writer: CallWriter,
        *,
        limits: SpoolLimits | None = None,
        price: Price | None = None,
        recovered: Callable[[list[LedgerRow]], None] | None = None,
    ) -> "WorkerLedger":
        """Make a spool under ``root`` (one directory for all workers of a host) and start shipping.

        To be called in the process that serves, after any fork: a child would share the lock. Dead workers' spools found there
        are adopted in the background; ``price`` values the input of their interrupted calls, ``recovered`` is told their rows once
        they are committed.
        The writer is closed by :meth:`drain`. Raises ``OSError`` when the disk has no room.
        """
        limits = limits or SpoolLimits()
        spool = await asyncio.to_thread(lambda: Spool(make_folder(root, slot), limits))
        return cls(root, spool, writer, price, recovered)

    @property
    def ledger(self) -> Ledger:
        """What the pipeline writes to."""
        return self._spool

    @property
    def durability(self) -> str:
        """What an append survives, in words for the health output."""
        return DURABILITY[self._spool.limits.fsync]

    @property
    def waits_for_disk(self) -> bool:
        """Whether :meth:`synced` is to be awaited before an answer ends."""
        return self._spool.limits.fsync == "group"

    async def synced(self) -> None:
        """Return when everything appended so far is on the disk. Raises ``OSError``."""
        await self._sync.synced()

    def counters(self) -> LedgerCounters:
        """The state of now."""
        spool, shipper = self._spool, self._shipper
        return LedgerCounters(
            rows_shipped=shipper.rows_shipped,
            rows_recovered=shipper.rows_recovered,
            batches=shipper.batches,
            failures=shipper.failures,
            dead_letters=shipper.dead_letters,
            refused=spool.refused,
            dropped_refusals=spool.dropped_refusals,
            shortened=spool.shortened,
            accounts_only=spool.accounts_only,
            mended=spool.mended,
            pending=spool.pending,
            open_calls=spool.open_calls,
            lag_s=shipper.lag_s,
            spool_bytes=spool.bytes + spool.adopted_bytes,
            spool_alarm=spool.alarm,
            last_error=shipper.last_error or spool.disk_error,
        )

    async def drain(self, deadline_s: float) -> None:
        """Ship what is left, for at most ``deadline_s`` seconds, and stop. To be called after the last call has ended.

        Rows that could not be shipped stay on the disk for the next worker that starts.
        """
        self._shipper.stop()
        await asyncio.wait([self._task], timeout=deadline_s)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._writer.close()
        await asyncio.to_thread(self._spool.close)

    def _adopt(self) -> Iterator[DeadSpool]:
        for folder in dead_folders(self._root):
            yield DeadSpool(folder, self._price)
