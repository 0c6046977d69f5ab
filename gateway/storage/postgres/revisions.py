"""Which revisions of the schema a database lacks, asked without Alembic: importing that costs every worker half a second to start."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from pathlib import Path

import asyncpg

_FOLDER = Path(__file__).parent / "migrations" / "versions"
CONNECT_TIMEOUT_S = 10
"""Longer than for serving: a server that is just starting may be waited for."""


def known() -> list[str]:
    """All revisions of this program, oldest first: the names of their files, which begin with a number."""
    return sorted(path.stem for path in _FOLDER.glob("[0-9]*.py"))


async def pending(database_url: str) -> list[str]:
    """The revisions that the database still lacks, oldest first. Raises what asyncpg raises."""
    connection = await asyncpg.connect(database_url, timeout=CONNECT_TIMEOUT_S)
    try:
        if await connection.fetchval("select to_regclass('alembic_version')") is None:
            return known()
        applied: str = await connection.fetchval("select max(version_num) from alembic_version") or ""
    finally:
        await connection.close()
    return [revision for revision in known() if revision > applied]
