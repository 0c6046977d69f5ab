"""The day of each key's last use, as the ledger's writer comes by it: one statement per key and day, not a write per call."""

# pyright: reportUnknownMemberType=false

from collections.abc import Sequence
from datetime import date, timedelta

import asyncpg

from gateway.core.ids import uuid7_ms
from gateway.storage.ledger.writer import Row
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

    async def tell(self, connection: asyncpg.Connection, rows: Sequence[Row]) -> None:
        """Move the days of the keys that these calls were made by.

        Raises what asyncpg raises, and ``OverflowError`` or ``ValueError`` for a call id that has no day.
        """
        heads = [row[0] if isinstance(row, tuple) else row for row in rows]
        ids = [head.call_id for head in heads]
        # But for the batches around midnight all calls are of one day, and it is the keys that are few.
        first, last = uuid7_ms(min(ids)) // _DAY_MS, uuid7_ms(max(ids)) // _DAY_MS
        if first == last:
            days = dict.fromkeys([head.key_id for head in heads], last)
        else:
            days: dict[str | None, int] = {}
            for head in heads:
                days[head.key_id] = max(days.get(head.key_id, -1), uuid7_ms(head.call_id) // _DAY_MS)
        told = self._told
        newest = {key: day for key, day in days.items() if key is not None and day > told.get(key, -1)}
        if not newest:
            return
        keys = sorted(newest)  # two writers that lock several rows do it in one order
        await connection.execute(_USED, keys, [_EPOCH + timedelta(days=newest[key]) for key in keys])
        if len(self._told) >= MAX_TOLD:
            self._told.clear()
        self._told |= newest
