"""Day partitions of the ledger, made ahead of time."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from datetime import UTC, datetime, timedelta

import asyncpg

from gateway.core.ids import uuid7_floor
from gateway.storage.sql.statements import load

DAYS_AHEAD = 7
"""How long partitions last when nobody can make new ones; after that rows go to the default partition, and move later."""

_ADD = load("calls.sql")["add_partition"]
_DAY = timedelta(days=1)


def day_partition(day: datetime) -> tuple[str, str, str]:
    """Name, lowest call id and first call id beyond, of the partition for a day (UTC midnight)."""
    return f"calls_{day:%Y%m%d}", uuid7_floor(_ms(day)), uuid7_floor(_ms(day + _DAY))


async def add_partitions(connection: asyncpg.Connection, now_ms: int, days: int = DAYS_AHEAD) -> list[str]:
    """Make the missing partitions from today to ``days`` ahead, each in its own transaction; the names of those made.

    Any number of workers may do this at once. Raises what asyncpg raises.
    """
    today = datetime.fromtimestamp(now_ms / 1000, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    made: list[str] = []
    for ahead in range(days + 1):
        name, low, high = day_partition(today + ahead * _DAY)
        if await connection.fetchval(_ADD, name, low, high):
            made.append(name)
    return made


def _ms(day: datetime) -> int:
    return int(day.timestamp()) * 1000
