"""The ledger's twins in memory: for tests, and for running without a disk or a database."""

from collections.abc import Sequence

import msgspec

from gateway.core.ledger import Ending, Intent, LedgerRow, row_of
from gateway.storage.ledger.writer import Row, RowsRefusedError, as_row


class MemoryLedger:
    """A :class:`gateway.core.ports.Ledger` that keeps everything in lists."""

    def __init__(self) -> None:
        self.intents: list[Intent] = []
        self.rows: list[LedgerRow] = []

    def intend(self, intent: Intent) -> None:
        """Keep it."""
        self.intents.append(intent)

    def append(self, intent: Intent, ending: Ending) -> None:
        """Keep the row."""
        self.rows.append(row_of(intent, ending))


class MemoryCallWriter:
    """A :class:`gateway.storage.ledger.writer.CallWriter` over a dictionary, as strict about texts as Postgres."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], LedgerRow] = {}
        self.buried: list[tuple[LedgerRow, str]] = []

    async def prepare(self, now_ms: int) -> None:
        """Nothing to make."""

    async def write(self, rows: Sequence[Row]) -> None:
        """See the port."""
        made = [as_row(row) for row in rows]
        for row in made:
            if any("\0" in value for value in msgspec.structs.astuple(row) if isinstance(value, str)):
                raise RowsRefusedError("a text contains NUL")
        for row in made:
            known = self.rows.get((row.call_id, row.attempt))
            if known is None or known.state < row.state:
                self.rows[row.call_id, row.attempt] = row

    async def bury(self, row: LedgerRow, reason: str) -> None:
        """See the port."""
        self.buried.append((row, reason))

    async def close(self) -> None:
        """Nothing to close."""
