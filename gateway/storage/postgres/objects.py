"""Ownership of providers' objects in Postgres."""

from collections.abc import Collection

from gateway.storage.postgres.pool import Pool, connected
from gateway.storage.sql.statements import load

_SQL = load("objects.sql")


class PostgresObjects:
    """The :class:`gateway.core.objects.UpstreamObjects` of Postgres: one statement per question."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim(self, application_id: str, provider: str, object_ids: Collection[str]) -> None:
        """The first owner stays."""
        async with connected(self._pool) as connection:
            await connection.execute(_SQL["claim"], application_id, provider, list(object_ids))

    async def provider_of(self, application_id: str, object_id: str) -> str | None:
        """Of the object that was claimed last, should two providers use the same id."""
        async with connected(self._pool) as connection:
            return await connection.fetchval(_SQL["provider_of"], application_id, object_id)

    async def owned(self, application_id: str, provider: str, object_ids: Collection[str]) -> frozenset[str]:
        """Those that are the application's."""
        async with connected(self._pool) as connection:
            rows = await connection.fetch(_SQL["owned"], application_id, provider, list(object_ids))
        return frozenset(row["object_id"] for row in rows)

    async def has_any(self, application_id: str, provider: str) -> bool:
        """Whether there is one."""
        async with connected(self._pool) as connection:
            return bool(await connection.fetchval(_SQL["has_any"], application_id, provider))

    async def forget(self, application_id: str, provider: str, object_id: str) -> None:
        """Drop it, if it is the application's."""
        async with connected(self._pool) as connection:
            await connection.execute(_SQL["forget"], application_id, provider, object_id)
