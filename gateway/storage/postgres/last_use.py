"""The day of each key's last use, as the ledger's writer comes by it: one statement per key and day, not a write per call.

Keys of callers, and stored keys of provider accounts.
"""

# pyright: reportUnknownMemberType=false

from collections.abc import Sequence
from datetime import date, timedelta

import asyncpg

from gateway.core.ids import uuid7_ms
from gateway.core.ledger import LedgerRow
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

    async def tell(self, connection: asyncpg.Connection, rows: Sequence[LedgerRow]) -> None:
        """Move the days of the keys that these calls were made by, and of those that they went out with.

        Raises what asyncpg raises, and ``OverflowError`` for no day.
        """
        await self._keys.tell(connection, [(row.key_id, row.call_id) for row in rows if row.key_id is not None])
        out = [(row.credential_id, row.call_id) for row in rows if row.credential_id is not None]
        await self._credentials.tell(connection, out)


class _Days:
    """Of one kind of key; ``statement`` moves days."""

    def __init__(self, statement: str) -> None:
        self._statement = statement
        self._told: dict[str, int] = {}

    async def tell(self, connection: asyncpg.Connection, used: list[tuple[str, str]]) -> None:
        """``used``: (key, call) of each use."""
        newest: dict[str, int] = {}
        for key, call_id in used:
            day = uuid7_ms(call_id) // _DAY_MS
            if day > newest.get(key, self._told.get(key, -1)):
                newest[key] = day
        if not newest:
            return
        keys = sorted(newest)  # two writers that lock several rows do it in one order
        await connection.execute(self._statement, keys, [_EPOCH + timedelta(days=newest[key]) for key in keys])
        if len(self._told) >= MAX_TOLD:
            self._told.clear()
        self._told |= newest
