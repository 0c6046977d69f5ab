"""Where the shipper brings rows to: a port, so that the ledger knows nothing of databases."""

from collections.abc import Sequence
from typing import Protocol

from gateway.core.ledger import Ending, Intent, LedgerRow, row_of

Final = tuple[Intent, Ending]
"""What a final row is made of, as it is spooled."""
Row = LedgerRow | Final
"""A row, or what it is made of: the many that a worker ships are never made ones."""


def as_row(row: Row) -> LedgerRow:
    """The row itself."""
    return row_of(*row) if isinstance(row, tuple) else row


class RowsRefusedError(Exception):
    """The store is well, and refuses these rows for what is in them; trying again cannot help."""


class CallWriter(Protocol):
    """One connection's worth of writing. Any exception but :class:`RowsRefusedError` means: not now, try again.

    Twins: Postgres (``storage.postgres.calls``) and memory (``storage.memory.ledger``).
    """

    async def prepare(self, now_ms: int) -> None:
        """Make the coming days' partitions and drop expired ones; ``now_ms`` is the wall clock. Called at start and every hour."""
        ...

    async def write(self, rows: Sequence[Row]) -> None:
        """Commit all rows or none, each at most once by (call_id, attempt); a row already there only advances in state.

        Raises :class:`RowsRefusedError` when any row is to blame.
        """
        ...

    async def bury(self, row: LedgerRow, reason: str) -> None:
        """Keep a row that was refused on its own, as a dead letter."""
        ...

    async def close(self) -> None:
        """Close the connection. Never raises."""
        ...
