"""The day of each key's last use, as the ledger's writer comes by it: one statement per key and day, not a write per call.

Keys of callers, and stored keys of provider accounts.
"""

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


class LastUse:
    """What one writer has told the registry."""

    def __init__(self) -> None:
        self._keys = _Days(load("keys.sql")["used"])
        self._credentials = _Days(load("credentials.sql")["used"])

    async def tell(self, connection: asyncpg.Connection, rows: Sequence[Row]) -> None:
        """Move the days of the keys that these calls were made by, and of those that they went out with.

        Raises what asyncpg raises, and ``OverflowError`` or ``ValueError`` for no day.
        """
        heads = [row[0] if isinstance(row, tuple) else row for row in rows]
        ids = [head.call_id for head in heads]
        await self._keys.tell(connection, [head.key_id for head in heads], ids)
        await self._credentials.tell(connection, [head.credential_id for head in heads], ids)


class _Days:
    """Of one kind of key; ``statement`` moves days."""

    def __init__(self, statement: str) -> None:
        self._statement = statement
        self._told: dict[str, int] = {}

    async def tell(self, connection: asyncpg.Connection, keys_used: list[str | None], ids: list[str]) -> None:
        """The keys and the ids of the same calls, at least one; None: without such a key."""
        # But for the batches around midnight all calls are of one day, and it is the keys that are few.
        first, last = uuid7_ms(min(ids)) // _DAY_MS, uuid7_ms(max(ids)) // _DAY_MS
        days: dict[str | None, int] = {}
        if first == last:
            days = dict.fromkeys(keys_used, last)
        else:
            for key, call_id in zip(keys_used, ids, strict=True):
                days[key] = max(days.get(key, -1), uuid7_ms(call_id) // _DAY_MS)
        told = self._told
        newest = {key: day for key, day in days.items() if key is not None and day > told.get(key, -1)}
        if not newest:
            return
        keys = sorted(newest)  # two writers that lock several rows do it in one order
        await connection.execute(self._statement, keys, [_EPOCH + timedelta(days=newest[key]) for key in keys])
        if len(self._told) >= MAX_TOLD:
            self._told.clear()
        self._told |= newest
