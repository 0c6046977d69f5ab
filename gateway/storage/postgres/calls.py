"""The ledger in Postgres: the shipper's writer, and the admin API's reader."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct

from gateway.core.ids import uuid7_floor
from gateway.core.ledger import LedgerRow
from gateway.core.spending import Span
from gateway.storage.ledger.writer import Row, RowsRefusedError
from gateway.storage.postgres import copying
from gateway.storage.postgres.last_use import LastUse
from gateway.storage.postgres.partitions import add_partitions, drop_partitions
from gateway.storage.postgres.pool import Pool, Record, connected
from gateway.storage.postgres.sums import Lateness, touch
from gateway.storage.sql.statements import load

COLUMNS = LedgerRow.__struct_fields__
_SQL = load("calls.sql")
_MERGE = _SQL["merge"].format(assignments=", ".join(f'"{column}" = excluded."{column}"' for column in COLUMNS))

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 15
"""A batch takes 20 ms; a database that needs this long is better tried again later."""
LOCK_TIMEOUT_S = 5
"""A migration may hold the ledger for a moment; longer, and the spool had better wait than the connection."""
SLICE = 200
"""Rows encoded before the event loop gets its turn: 0.4 ms, 100 KB."""
PIECE = 384 << 10
"""Bytes sent at once, at least, if there are as many: a piece costs 100 us, and a megabyte holds the event loop for 1 ms."""

_REFUSALS = (
    asyncpg.DataError,  # class 22, and values that asyncpg itself cannot encode
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.UntranslatableCharacterError,
    asyncpg.ProgramLimitExceededError,
    ValueError,
    TypeError,
    OverflowError,
)
_LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"
_FIRST_ID = "00000000-0000-0000-0000-000000000000"


class PostgresCallWriter:
    """A :class:`gateway.storage.ledger.writer.CallWriter` with one connection, made when needed and again after any failure."""

    def __init__(
        self,
        database_url: str,
        retention_days: int | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """``retention_days``: how many days before today keep their rows; None keeps all. ``now_ms``: the wall clock."""
        self._now_ms = now_ms
        self._url = database_url
        self._retention_days = retention_days
        self._connection: asyncpg.Connection | None = None
        self._last_use = LastUse()

    async def prepare(self, now_ms: int) -> None:
        """See the port. Raises what asyncpg raises."""
        connection = await self._connected()
        try:
            await add_partitions(connection, now_ms)
            if self._retention_days is not None:
                await drop_partitions(connection, now_ms, self._retention_days)
        except BaseException:
            self._drop()
            raise

    async def write(self, rows: Sequence[Row]) -> None:
        """See the port. One COPY straight into ``calls``; rows already there (a replay) send the batch the long way round."""
        connection = await self._connected()
        try:
            late = Lateness(self._now_ms()).spans([(row[0] if isinstance(row, tuple) else row).call_id for row in rows])
            lines = [part async for part in _in_slices(rows)]
            try:
                await _copy_and_tell(connection, lines, late)
            except asyncpg.UniqueViolationError:
                async with connection.transaction():
                    await connection.execute(_SQL["incoming"])
                    await _copy(connection, "incoming", lines)
                    await connection.execute(_MERGE)
                    await touch(connection, late)
        except asyncpg.CheckViolationError:
            # The only check is a partition's range: it was attached under our feet, and the next try finds it.
            self._drop()
            raise
        except _REFUSALS as error:
            raise RowsRefusedError(str(error)) from error
        except BaseException:
            self._drop()
            raise
        try:
            await self._last_use.tell(connection, rows)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, OverflowError, ValueError):
            # The rows are in, and are not to be written again for that; the next batch tells it.
            self._drop()

    async def bury(self, row: LedgerRow, reason: str) -> None:
        """See the port. Raises what asyncpg raises."""
        connection = await self._connected()
        record = msgspec.json.encode(dict(zip(COLUMNS, msgspec.structs.astuple(row), strict=True))).decode()
        try:
            await connection.execute(
                _SQL["bury"], row.call_id.replace("\0", "�"), row.attempt, record, reason.replace("\0", "�")
            )
        except BaseException:
            self._drop()
            raise

    async def close(self) -> None:
        """Close the connection if there is one."""
        self._drop()

    async def _connected(self) -> asyncpg.Connection:
        connection = self._connection
        if connection is None or connection.is_closed():
            connection = self._connection = await asyncpg.connect(
                self._url,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=STATEMENT_TIMEOUT_S,
                server_settings={
                    "application_name": "promptgate-ledger",
                    "statement_timeout": f"{STATEMENT_TIMEOUT_S}s",
                    "lock_timeout": f"{LOCK_TIMEOUT_S}s",
                },
            )
        return connection

    def _drop(self) -> None:
        """Whatever state the connection is in, nobody will see it again."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


async def _copy_and_tell(connection: asyncpg.Connection, lines: list[bytes], late: Sequence[Span]) -> None:
    """Rows that are not late need no transaction around their COPY."""
    if not late:
        await _copy(connection, "calls", lines)
        return
    async with connection.transaction():
        await _copy(connection, "calls", lines)
        await touch(connection, late)


async def _in_slices(rows: Sequence[Row]) -> AsyncIterator[bytes]:
    for start in range(0, len(rows), SLICE):
        yield copying.csv_of(rows[start : start + SLICE])
        await asyncio.sleep(0)


async def _copy(connection: asyncpg.Connection, table: str, lines: list[bytes]) -> None:
    await connection.copy_to_table(
        table,
        source=_in_pieces(lines),
        columns=copying.COLUMNS,
        format="csv",
        null=copying.NULL,
        quote=copying.QUOTE,
        escape=copying.ESCAPE,
    )


async def _in_pieces(lines: list[bytes]) -> AsyncIterator[bytes]:
    piece: list[bytes] = []
    size = 0
    for part in lines:
        piece.append(part)
        size += len(part)
        if size >= PIECE:
            yield b"".join(piece)
            piece, size = [], 0
    if piece:
        yield b"".join(piece)


class CallFilter(Struct, frozen=True):
    """Which calls to list; None means any. Times are milliseconds since the epoch, of the calls' start."""

    application_id: str | None = None
    prompt: str | None = None
    outcome: str | None = None
    trace_id: str | None = None
    """32 hex digits."""
    since_ms: int | None = None
    until_ms: int | None = None
    """Exclusive."""
    before: tuple[str, int] | None = None
    """(call id, attempt) of the last row of the page before: the key that the listing goes on from."""


class CallReader:
    """Reading the ledger. Raises ``store_unavailable``, and ``malformed`` for an id that is none."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def list(self, wanted: CallFilter, limit: int) -> list[LedgerRow]:
        """At most ``limit`` rows, newest first."""
        statement, arguments = page(wanted, limit)
        async with connected(self._pool) as connection:
            return [_row(record) for record in await connection.fetch(statement, *arguments)]

    async def get(self, call_id: str) -> "list[LedgerRow]":
        """The attempts of one call, in order; empty for an unknown one."""
        async with connected(self._pool) as connection:
            return [_row(record) for record in await connection.fetch(_SQL["get"], call_id)]


def page(wanted: CallFilter, limit: int) -> tuple[str, tuple[object, ...]]:
    """The statement that answers a filter, and its arguments."""
    low = _FIRST_ID if wanted.since_ms is None else uuid7_floor(wanted.since_ms)
    high, attempt = (_LAST_ID, 0) if wanted.until_ms is None else (uuid7_floor(wanted.until_ms), 0)
    if wanted.before is not None:
        high, attempt = min((high, attempt), (wanted.before[0].lower(), wanted.before[1]))
    arguments = (low, high, attempt, limit, wanted.outcome, wanted.prompt)
    if wanted.trace_id is not None:
        return _SQL["page_of_trace"], (*arguments, wanted.application_id, wanted.trace_id)
    if wanted.application_id is None:
        return _SQL["page"], arguments
    name = "page_of_application" if wanted.prompt is None else "page_of_prompt"
    return _SQL[name], (*arguments, wanted.application_id)


def _row(record: Record) -> LedgerRow:
    return msgspec.convert([_plain(record[column]) for column in COLUMNS], LedgerRow)


def _plain(value: object) -> object:
    return str(value) if isinstance(value, UUID) else value
