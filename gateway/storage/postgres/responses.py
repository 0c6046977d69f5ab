"""Kept responses in Postgres."""

from datetime import UTC, datetime

from gateway.core.stored import StoredResponse
from gateway.storage.postgres.pool import Pool, Record, connected
from gateway.storage.sql.statements import load

_SQL = load("responses.sql")
BITE = 1000
"""Rows per sweep: some tens of milliseconds of work."""


class PostgresResponses:
    """The :class:`gateway.core.stored.ResponseStore` of Postgres: one statement per question."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def put(self, application_id: str, response: StoredResponse, *, now_ms: int, expires_ms: int) -> bool:
        """Keep a response; False when the id is taken."""
        async with connected(self._pool) as connection:
            written = await connection.fetchval(
                _SQL["put"],
                application_id,
                response.response_id,
                response.previous_id,
                _time(now_ms),
                _time(expires_ms),
                response.input,
                response.body,
            )
        return written is not None

    async def get(self, application_id: str, response_id: str, *, now_ms: int) -> StoredResponse | None:
        """One response."""
        async with connected(self._pool) as connection:
            row = await connection.fetchrow(_SQL["get"], application_id, response_id, _time(now_ms))
        return None if row is None else _stored(row)

    async def chain(
        self, application_id: str, response_id: str, *, now_ms: int, most: int, most_bytes: int
    ) -> list[StoredResponse]:
        """A response and those it continues, oldest first."""
        async with connected(self._pool) as connection:
            rows = await connection.fetch(_SQL["chain"], application_id, response_id, _time(now_ms), most, most_bytes)
        return [_stored(row) for row in rows]

    async def delete(self, application_id: str, response_id: str, *, now_ms: int) -> bool:
        """Forget a response; False when there is none."""
        async with connected(self._pool) as connection:
            gone = await connection.fetchval(_SQL["delete"], application_id, response_id, _time(now_ms))
        return gone is not None

    async def sweep(self, *, now_ms: int) -> int:
        """Remove up to :data:`BITE` responses that are past their end."""
        async with connected(self._pool) as connection:
            done: str = await connection.execute(_SQL["sweep"], _time(now_ms), BITE)
        return int(done.rpartition(" ")[2])


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _stored(row: Record) -> StoredResponse:
    return StoredResponse(row["response_id"], row["previous_id"], row["input"], row["body"])
