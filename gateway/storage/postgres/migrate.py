"""Bringing a database to the schema this program was built for: numbered SQL files, run by Alembic. Forward only.

Several processes may start at once: one migrates, the others wait for it and find nothing left to do.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from alembic import command, op
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from gateway.storage.postgres.revisions import CONNECT_TIMEOUT_S

_HOME = Path(__file__).parent / "migrations"
_LOCK = 0x70726F6D70740001
"""The advisory lock of migrations: "prompt" in ASCII, then a number. Any constant does, if nobody else uses it."""


async def migrate(database_url: str) -> list[str]:
    """Apply what is pending, all in one transaction; the revisions applied. Raises what asyncpg and SQLAlchemy raise."""
    async with _connect(database_url) as connection:
        await connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        revisions = await connection.run_sync(_pending)
        if revisions:
            await connection.run_sync(_upgrade)
        return revisions


def run_file(name: str) -> None:
    """For revisions: run a file of many statements from ``migrations/sql``, inside Alembic's transaction."""
    statements = (_HOME / "sql" / name).read_text(encoding="utf-8")
    adapted = op.get_bind().connection.dbapi_connection
    assert adapted is not None

    async def run(raw: asyncpg.Connection) -> None:
        # asyncpg takes many statements in one go only in this raw form; SQLAlchemy prepares each.
        await raw.execute(statements)

    adapted.run_async(run)


@asynccontextmanager
async def _connect(database_url: str) -> AsyncGenerator[AsyncConnection]:
    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(database_url, timeout=CONNECT_TIMEOUT_S)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_HOME).replace("%", "%%"))
    return config


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _pending(connection: Connection) -> list[str]:
    script = ScriptDirectory.from_config(_config())
    current = set(MigrationContext.configure(connection).get_current_heads())
    missing: list[str] = []
    for revision in script.walk_revisions():
        if revision.revision in current:
            break
        missing.append(revision.revision)
    return missing[::-1]
