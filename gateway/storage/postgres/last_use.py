"""The day of each key's last use, as the ledger's writer comes by it: one statement per key and day, not a write per call."""

# pyright: reportUnknownMemberType=false

from collections.abc import Iterable
from datetime import date, timedelta

import asyncpg

from gateway.core.ids import uuid7_ms
from gateway.core.ledger import LedgerRow
from gateway.storage.sql.statements import load

MAX_TOLD = 20_000
"""Keys whose day is remembered, as many as a worker keeps in memory; forgetting costs one more statement."""
_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1)
_USED = load("keys.sql")["used"]


class LastUse:
    """What one writer has told the registry."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}

    async def tell(self, connection: asyncpg.Connection, rows: Iterable[LedgerRow]) -> None:
        """Move the days of the keys that these calls were made by. Raises what asyncpg raises, and ``OverflowError`` for no day."""
        newest: dict[str, int] = {}
        for row in rows:
            key = row.key_id
            if key is not None:
                day = uuid7_ms(row.call_id) // _DAY_MS
                if day > newest.get(key, self._told.get(key, -1)):
                    newest[key] = day
        if not newest:
            return
        keys = sorted(newest)  # two writers that lock several rows do it in one order
        await connection.execute(_USED, keys, [_EPOCH + timedelta(days=newest[key]) for key in keys])
        if len(self._told) >= MAX_TOLD:
            self._told.clear()
        self._told |= newest
