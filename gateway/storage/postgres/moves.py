"""One move of one alias: what is the same for publishing, splitting, going back and taking away."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from msgspec import Struct

from gateway.core.errors import CONFLICT, MALFORMED, NOT_FOUND, GatewayError
from gateway.core.references import RESERVED_ALIASES, parse_alias
from gateway.storage.postgres.applications import writable_application
from gateway.storage.postgres.pool import Connection, Record
from gateway.storage.postgres.rows import Action, AliasMove, Application, Prompt, Split, Version, Written
from gateway.storage.postgres.versions import writable_prompt
from gateway.storage.postgres.writing import Store, Write, struct
from gateway.storage.sql.statements import load

_SQL = load("aliases.sql")
_SPLIT = load("splits.sql")["split"]
_MARK_PUBLISHED = load("prompts.sql")["mark_published"]


class Place(Struct, frozen=True):
    """Where an alias points: a version, or a split; neither is nowhere."""

    version_id: str | None = None
    version: int | None = None
    split: Split | None = None

    @property
    def id(self) -> str | None:
        """Of the version or split."""
        return self.version_id if self.split is None else self.split.id

    def __str__(self) -> str:
        return "is not there" if self.id is None else f"points at version {self.version}" if self.version else "is split"


class Move:
    """An alias about to be moved. History is an undo stack kept as a linked list: each entry knows where a rollback leads."""

    def __init__(
        self, write: Write, new: str, owner: Application, prompt: Prompt, alias: str, now: Place, last: Record | None
    ) -> None:
        self.owner = owner
        self.prompt = prompt
        self.now = now
        """Where it points before the move."""
        self.name = f"{prompt.slug}@{alias}"
        self.write = write
        """What it is part of."""
        self._new = new
        self._alias = alias
        self._last = last

    def expect(self, version: int | None, split: str | None) -> None:
        """A compare-and-set: raises ``conflict`` unless the alias points at this version (0: does not exist) and this split."""
        if version is not None and (self.now.id is not None or version != 0) and version != self.now.version:
            raise self._surprise("expected_version", version)
        if split is not None and (self.now.split is None or self.now.split.id != split):
            raise self._surprise("expected_split", split)

    async def to(self, action: Action, place: Place, message: str) -> Written[AliasMove]:
        """Point it at ``place``; nothing is written if it points there already."""
        if self.now.id == place.id:
            return self.write.outcome(self._entry(action, place, message), created=False)
        return await self._store(action, place, self._undo(place), message)

    async def away(self, message: str) -> Written[AliasMove]:
        """Remove it. Raises ``not_found``."""
        if self.now.id is None or self._last is None:
            raise self.missing()
        await self.write.connection.execute(_SQL["delete_alias"], self.prompt.id, self._alias)
        return await self._store("delete", Place(), str(self._last["id"]), message)

    async def back(self, message: str) -> Written[AliasMove]:
        """Point it at what it pointed at before. Raises ``conflict`` when there is nothing, ``not_found``."""
        last = self._last
        if self.now.id is None or last is None:
            raise self.missing()
        if last["undo"] is None:
            before = "it was split" if self.now.split else f"version {self.now.version}"
            raise GatewayError(CONFLICT, f"{self.name} has never pointed at anything before {before}", param="alias")
        undo = None if last["undo_undo"] is None else str(last["undo_undo"])
        place = await place_of(
            self.write.connection, self.prompt, last["undo_version_id"], last["undo_version"], last["undo_split_id"]
        )
        return await self._store("rollback", place, undo, message)

    def missing(self) -> GatewayError:
        """There is no such alias."""
        return GatewayError(NOT_FOUND, f"{self.prompt.slug} has no alias {self._alias!r}", param="alias")

    async def publish(self, version: Version) -> None:
        """Make a version of this prompt servable, if it is not."""
        await self.write.connection.execute(_MARK_PUBLISHED, version.id, self.write.now, self.write.actor)

    def _surprise(self, param: str, expected: object) -> GatewayError:
        now = "does not exist" if self.now.id is None else self.now
        return GatewayError(CONFLICT, f"{self.name} {now}, not as expected ({expected})", param=param)

    def _undo(self, place: Place) -> str | None:
        """The newest entry that had another target. A deletion has none: what stood before it counts."""
        last = self._last
        if last is None:
            return None
        entry, target, undo = last["id"], last["to_version_id"] or last["to_split_id"], last["undo"]
        if target is None:
            entry, target, undo = last["undo"], last["undo_version_id"] or last["undo_split_id"], last["undo_undo"]
        chosen = undo if str(target) == place.id else entry
        return None if chosen is None else str(chosen)

    async def _store(self, action: Action, place: Place, undo: str | None, message: str) -> Written[AliasMove]:
        write, now = self.write, self.now
        ids = (place.version_id, place.split.id if place.split else None)
        generation = write.next_generation
        if place.id is not None:
            await write.connection.execute(_SQL["point"], self.prompt.id, self._alias, *ids, generation, write.actor, write.now)
        await write.connection.execute(
            _SQL["record_move"],
            self._new,
            self.prompt.id,
            self._alias,
            action,
            now.version_id,
            now.split.id if now.split else None,
            *ids,
            undo,
            generation,
            write.actor,
            message,
            write.now,
        )
        write.moved("prompt", self.owner.id, [self.prompt.slug])
        name = f"{self.owner.slug}/{self.name}"
        splits = {
            key: [f"{v.name}={v.version}:{v.weight}" for v in split.variants]
            for key, split in (("from_split", now.split), ("to_split", place.split))
            if split is not None
        }
        write.audit(
            f"alias.{action}",
            name,
            self.owner.id,
            from_version=now.version,
            to_version=place.version,
            message=message,
            **splits,
        )
        return write.outcome(self._entry(action, place, message))

    def _entry(self, action: Action, place: Place, message: str) -> AliasMove:
        write, now = self.write, self.now
        generation = write.outcome(None).generation
        return AliasMove(
            self.prompt.slug,
            self._alias,
            action,
            now.version,
            place.version,
            generation,
            write.actor,
            message,
            write.now,
            now.split,
            place.split,
        )


class Moves(Store):
    """What the parts of the registry that move aliases stand on."""

    @asynccontextmanager
    async def _move(
        self, actor: str, application: str, prompt: str, alias: str, version: int | None = None, split: str | None = None
    ) -> AsyncGenerator[Move]:
        """One move and its write. Raises ``malformed`` for the alias, and as :meth:`Move.expect` for ``version`` and ``split``."""
        async with self._write(actor) as write:
            if parse_alias(alias, "alias") in RESERVED_ALIASES:
                raise GatewayError(MALFORMED, f"alias {alias!r} is reserved and follows the versions by itself", param="alias")
            owner = await writable_application(write.connection, application)
            found = await writable_prompt(write.connection, owner, prompt)
            current = await write.connection.fetchrow(_SQL["alias"], found.id, alias)
            last = await write.connection.fetchrow(_SQL["last_move"], found.id, alias)
            now = Place()
            if current is not None:
                now = await place_of(write.connection, found, current["version_id"], current["version"], current["split_id"])
            move = Move(write, self._ids(), owner, found, alias, now, last)
            move.expect(version, split)
            yield move


async def place_of(connection: Connection, prompt: Prompt, version_id: object, version: int | None, split_id: object) -> Place:
    """The place that stored ids mean."""
    if split_id is not None:
        return Place(split=await find_split(connection, prompt, str(split_id)))
    return Place(str(version_id), version)


async def find_split(connection: Connection, prompt: Prompt, split_id: str) -> Split:
    """One split of the prompt. Raises ``not_found``."""
    row = await connection.fetchrow(_SPLIT, prompt.id, split_id)
    if row is None:
        raise GatewayError(NOT_FOUND, f"{prompt.slug} has no split {split_id[:80]}", param="split")
    return struct(row, Split)
