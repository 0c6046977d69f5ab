"""Publishing: moving the names that the data plane follows, and the record of every move."""

from gateway.core.errors import CONFLICT, GatewayError
from gateway.core.references import PRODUCTION
from gateway.storage.postgres.applications import find_application
from gateway.storage.postgres.moves import Moves, Place
from gateway.storage.postgres.pool import connected
from gateway.storage.postgres.rows import Alias, AliasMove, Page, Written
from gateway.storage.postgres.versions import find_prompt, find_version
from gateway.storage.postgres.writing import before, clamp, page, struct
from gateway.storage.sql.statements import load

_SQL = load("aliases.sql")


class Aliases(Moves):
    """The part of the registry that is about aliases.

    ``expected_version`` makes any move a compare-and-set: the version that the alias must point at now, 0 for "it must not
    exist yet"; otherwise ``conflict``.
    """

    async def publish(
        self,
        application: str,
        prompt: str,
        version: int,
        *,
        alias: str = PRODUCTION,
        expected_version: int | None = None,
        message: str = "",
        actor: str,
    ) -> Written[AliasMove]:
        """Make a version servable and point ``alias`` at it."""
        async with self._move(actor, application, prompt, alias, expected_version) as move:
            target = await find_version(move.write.connection, move.prompt, version)
            await move.publish(target)
            return await move.to("publish", Place(target.id, version), message)

    async def set_alias(
        self,
        application: str,
        prompt: str,
        alias: str,
        version: int,
        *,
        expected_version: int | None = None,
        message: str = "",
        actor: str,
    ) -> Written[AliasMove]:
        """Point ``alias`` at a version that is published already; one that is not is a ``conflict``."""
        async with self._move(actor, application, prompt, alias, expected_version) as move:
            target = await find_version(move.write.connection, move.prompt, version)
            if target.published_at is None:
                raise GatewayError(CONFLICT, f"{target.slug}:{version} is not published", param="version")
            return await move.to("set", Place(target.id, version), message)

    async def delete_alias(
        self,
        application: str,
        prompt: str,
        alias: str,
        *,
        expected_version: int | None = None,
        message: str = "",
        actor: str,
    ) -> Written[AliasMove]:
        """Take a name away; its history stays. Raises ``not_found``."""
        async with self._move(actor, application, prompt, alias, expected_version) as move:
            return await move.away(message)

    async def rollback(
        self,
        application: str,
        prompt: str,
        *,
        alias: str = PRODUCTION,
        expected_version: int | None = None,
        message: str = "",
        actor: str,
    ) -> Written[AliasMove]:
        """Point ``alias`` back at what it pointed at before; again, and it goes one further back.

        Raises ``conflict`` when there is nothing before, ``not_found`` when there is no such alias.
        """
        async with self._move(actor, application, prompt, alias, expected_version) as move:
            return await move.back(message)

    async def list_aliases(self, application: str, prompt: str) -> list[Alias]:
        """By name."""
        async with connected(self._pool) as connection:
            found = await find_prompt(connection, await find_application(connection, application), prompt)
            return [struct(row, Alias) for row in await connection.fetch(_SQL["aliases"], found.id)]

    async def alias_history(
        self, application: str, prompt: str, alias: str | None = None, *, after: str | None = None, limit: int = 50
    ) -> Page[AliasMove]:
        """Newest first; all aliases of the prompt without ``alias``."""
        limit = clamp(limit)
        async with connected(self._pool) as connection:
            found = await find_prompt(connection, await find_application(connection, application), prompt)
            rows = await connection.fetch(_SQL["moves"], found.id, alias, before(after), limit + 1)
        return page(rows, AliasMove, limit, "generation")
