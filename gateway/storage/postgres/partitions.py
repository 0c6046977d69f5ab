"""Day partitions of the ledger: made ahead of time, dropped when their time is over."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from datetime import UTC, datetime, timedelta

import asyncpg

from gateway.core.ids import uuid7_floor
from gateway.storage.sql.statements import load

DAYS_AHEAD = 7
"""How long partitions last when nobody can make new ones; after that rows go to the default partition, and move later."""

LOCK_WAIT = "500ms"
"""Dropping a partition needs the whole ledger for a moment, and who waits for a lock holds up everybody behind: rather try again
in an hour."""

_SQL = load("calls.sql")
_DAY = timedelta(days=1)


def day_partition(day: datetime) -> tuple[str, str, str]:
    """Name, lowest call id and first call id beyond, of the partition for a day (UTC midnight)."""
    return f"calls_{day:%Y%m%d}", uuid7_floor(_ms(day)), uuid7_floor(_ms(day + _DAY))


async def add_partitions(connection: asyncpg.Connection, now_ms: int, days: int = DAYS_AHEAD) -> list[str]:
    """Make the missing partitions from today to ``days`` ahead, each in its own transaction; the names of those made.

    Any number of workers may do this at once. Raises what asyncpg raises.
    """
    today = _midnight(now_ms)
    made: list[str] = []
    for ahead in range(days + 1):
        name, low, high = day_partition(today + ahead * _DAY)
        if await connection.fetchval(_SQL["add_partition"], name, low, high):
            made.append(name)
    return made


async def drop_partitions(connection: asyncpg.Connection, now_ms: int, days: int) -> list[str]:
    """Drop the partitions of days that are more than ``days`` before today, each in its own transaction; the names of those dropped.

    Rows of such days that lie in the default partition go too. Any number of workers may do this at once. Raises what asyncpg
    raises, ``LockNotAvailableError`` when the ledger was in use for longer than :data:`LOCK_WAIT`; what is dropped by then stays so.
    """
    name, first_kept, _ = day_partition(_midnight(now_ms) - days * _DAY)
    expired = [row["relname"] for row in await connection.fetch(_SQL["expired"], name)]
    for partition in expired:
        async with connection.transaction():
            await connection.execute(f"set local lock_timeout = '{LOCK_WAIT}'")
            await connection.execute(f'drop table if exists "{partition}"')
    await connection.execute(_SQL["expire_strays"], first_kept)
    return expired


def _midnight(now_ms: int) -> datetime:
    return datetime.fromtimestamp(now_ms / 1000, UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _ms(day: datetime) -> int:
    return int(day.timestamp()) * 1000
