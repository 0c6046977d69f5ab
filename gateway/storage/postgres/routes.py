"""The routes of applications, as their authors wrote them; whether they fit the providers is judged before they come here."""

from typing import Any, cast

from gateway.storage.postgres.applications import find_application, keys_moved, writable_application
from gateway.storage.postgres.pool import Connection, connected
from gateway.storage.postgres.rows import Written
from gateway.storage.postgres.writing import Store
from gateway.storage.sql.statements import load

_SQL = load("applications.sql")

Routes = list[dict[str, Any]]


class ApplicationRoutes(Store):
    """The part of the registry that is about where an application's calls go."""

    async def get_routes(self, application: str) -> Routes:
        """Those of an application by slug or id; none: the installation's alone hold. Raises ``not_found``."""
        async with connected(self._pool) as connection:
            return await _stored(connection, (await find_application(connection, application)).id)

    async def set_routes(self, application: str, routes: Routes, *, actor: str) -> Written[Routes]:
        """Put ``routes`` in the place of what was there. The documents of the application's keys carry them, so the keys move."""
        async with self._write(actor) as write:
            owner = await writable_application(write.connection, application)
            if await _stored(write.connection, owner.id) == routes:
                return write.outcome(routes, created=False)
            await write.connection.execute(_SQL["set_routes"], owner.id, routes or None, write.now)
            await keys_moved(write, owner)
            models = [name for route in routes for name in cast("list[str]", route["models"])]
            write.audit("application.routes", owner.slug, owner.id, models=models)
            return write.outcome(routes)


async def _stored(connection: Connection, application_id: str) -> Routes:
    return await connection.fetchval(_SQL["routes"], application_id) or []
