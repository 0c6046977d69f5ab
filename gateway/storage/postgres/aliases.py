"""Publishing: moving the names that the data plane follows, and the record of every move."""

from gateway.core.errors import CONFLICT, MALFORMED, NOT_FOUND, GatewayError
from gateway.core.references import PRODUCTION, RESERVED_ALIASES, parse_alias
from gateway.storage.postgres.applications import find_application, writable_application
from gateway.storage.postgres.pool import Record, connected
from gateway.storage.postgres.rows import Action, Alias, AliasMove, Application, Page, Prompt, Written
from gateway.storage.postgres.versions import find_prompt, find_version, writable_prompt
from gateway.storage.postgres.writing import Store, Write, before, clamp, page, struct
from gateway.storage.sql.statements import load

_SQL = load("aliases.sql")
_MARK_PUBLISHED = load("prompts.sql")["mark_published"]


class Aliases(Store):
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
        async with self._write(actor) as write:
            move = await self._open(write, application, prompt, alias, expected_version)
            target = await find_version(write.connection, move.prompt, version)
            await write.connection.execute(_MARK_PUBLISHED, target.id, write.now, actor)
            return await move.to("publish", target.id, version, message)

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
        async with self._write(actor) as write:
            move = await self._open(write, application, prompt, alias, expected_version)
            target = await find_version(write.connection, move.prompt, version)
            if target.published_at is None:
                raise GatewayError(CONFLICT, f"{target.slug}:{version} is not published", param="version")
            return await move.to("set", target.id, version, message)

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
        async with self._write(actor) as write:
            move = await self._open(write, application, prompt, alias, expected_version)
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
        async with self._write(actor) as write:
            move = await self._open(write, application, prompt, alias, expected_version)
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

    async def _open(self, write: Write, application: str, prompt: str, alias: str, expected: int | None) -> "_Move":
        if parse_alias(alias, "alias") in RESERVED_ALIASES:
            raise GatewayError(MALFORMED, f"alias {alias!r} is reserved and follows the versions by itself", param="alias")
        owner = await writable_application(write.connection, application)
        found = await writable_prompt(write.connection, owner, prompt)
        current = await write.connection.fetchrow(_SQL["alias"], found.id, alias)
        last = await write.connection.fetchrow(_SQL["last_move"], found.id, alias)
        move = _Move(write, self._ids(), owner, found, alias, current, last)
        if expected is not None and expected != (move.version or 0):
            now = f"points at version {move.version}" if current else "does not exist"
            raise GatewayError(CONFLICT, f"{found.slug}@{alias} {now}, not as expected ({expected})", param="expected_version")
        return move


class _Move:
    """One move of one alias. History is an undo stack kept as a linked list: each entry knows where a rollback leads."""

    def __init__(
        self,
        write: Write,
        new: str,
        owner: Application,
        prompt: Prompt,
        alias: str,
        current: Record | None,
        last: Record | None,
    ) -> None:
        self.prompt = prompt
        self.version: int | None = current["version"] if current else None
        """The number it points at now."""
        self._write = write
        self._new = new
        self._owner = owner
        self._alias = alias
        self._current = str(current["version_id"]) if current else None
        self._last = last

    async def to(self, action: Action, version_id: str, version: int, message: str) -> Written[AliasMove]:
        if self._current == version_id:
            return self._write.outcome(self._entry(action, version, message), created=False)
        return await self._store(action, version_id, version, self._undo(version_id), message)

    async def away(self, message: str) -> Written[AliasMove]:
        if self._current is None or self._last is None:
            raise self._missing()
        await self._write.connection.execute(_SQL["delete_alias"], self.prompt.id, self._alias)
        return await self._store("delete", None, None, str(self._last["id"]), message)

    async def back(self, message: str) -> Written[AliasMove]:
        last = self._last
        if self._current is None or last is None:
            raise self._missing()
        if last["undo"] is None:
            name = f"{self.prompt.slug}@{self._alias}"
            raise GatewayError(CONFLICT, f"{name} has never pointed at anything before version {self.version}", param="alias")
        undo = None if last["undo_undo"] is None else str(last["undo_undo"])
        return await self._store("rollback", str(last["undo_version_id"]), last["undo_version"], undo, message)

    def _undo(self, version_id: str) -> str | None:
        """The newest entry that had another target. A deletion has none: what stood before it counts."""
        last = self._last
        if last is None:
            return None
        if last["to_version_id"] is None:
            entry, target, undo = last["undo"], last["undo_version_id"], last["undo_undo"]
        else:
            entry, target, undo = last["id"], last["to_version_id"], last["undo"]
        chosen = undo if str(target) == version_id else entry
        return None if chosen is None else str(chosen)

    async def _store(
        self, action: Action, version_id: str | None, version: int | None, undo: str | None, message: str
    ) -> Written[AliasMove]:
        write = self._write
        generation = write.next_generation
        if version_id is not None:
            await write.connection.execute(
                _SQL["point"], self.prompt.id, self._alias, version_id, generation, write.actor, write.now
            )
        await write.connection.execute(
            _SQL["record_move"],
            self._new,
            self.prompt.id,
            self._alias,
            action,
            self._current,
            version_id,
            undo,
            generation,
            write.actor,
            message,
            write.now,
        )
        write.moved("prompt", self._owner.id, [self.prompt.slug])
        name = f"{self._owner.slug}/{self.prompt.slug}@{self._alias}"
        write.audit(f"alias.{action}", name, self._owner.id, from_version=self.version, to_version=version, message=message)
        return write.outcome(self._entry(action, version, message))

    def _entry(self, action: Action, version: int | None, message: str) -> AliasMove:
        write = self._write
        generation = write.outcome(None).generation
        return AliasMove(
            self.prompt.slug, self._alias, action, self.version, version, generation, write.actor, message, write.now
        )

    def _missing(self) -> GatewayError:
        return GatewayError(NOT_FOUND, f"{self.prompt.slug} has no alias {self._alias!r}", param="alias")
