"""Tenants and their API keys."""

import re
from datetime import datetime, timedelta
from math import ceil

import asyncpg
from msgspec import UNSET, structs

from gateway.core.errors import CONFLICT, MALFORMED, NOT_FOUND, GatewayError
from gateway.storage.postgres.pool import Connection, connected
from gateway.storage.postgres.rows import Application, ApplicationPatch, Key, Page, Written
from gateway.storage.postgres.writing import Store, Write, by_name, clamp, is_id, page, struct
from gateway.storage.sql.statements import load

_SQL = load("applications.sql")
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Applications(Store):
    """The part of the registry that is about applications and keys."""

    async def create_application(
        self,
        slug: str,
        *,
        name: str = "",
        description: str = "",
        default_model: str | None = None,
        requests_per_minute: int | None = None,
        store_responses: bool = False,
        actor: str,
    ) -> Written[Application]:
        """A new tenant. Raises ``conflict`` when the slug is taken, ``malformed`` when it is no slug."""
        if _SLUG.fullmatch(slug) is None or is_id(slug):
            raise GatewayError(
                MALFORMED, f"slug: {slug[:80]!r} is not an application name (a-z, 0-9, - and _, at most 63)", param="slug"
            )
        async with self._write(actor) as write:
            new = self._ids()
            try:
                await write.connection.execute(
                    _SQL["insert_application"],
                    new,
                    slug,
                    name or slug,
                    description,
                    default_model,
                    requests_per_minute,
                    write.now,
                    store_responses,
                )
            except asyncpg.UniqueViolationError as error:
                raise GatewayError(CONFLICT, f"application {slug!r} exists already", param="slug") from error
            write.audit("application.create", slug, new)
            return write.outcome(await find_application(write.connection, slug))

    async def list_applications(
        self, *, after: str | None = None, limit: int = 50, include_archived: bool = False
    ) -> Page[Application]:
        """By slug."""
        limit = clamp(limit)
        async with connected(self._pool) as connection:
            rows = await connection.fetch(_SQL["applications"], after or "", include_archived, limit + 1)
        return page(rows, Application, limit, "slug")

    async def get_application(self, application: str) -> Application:
        """By slug or id, archived or not. Raises ``not_found``."""
        async with connected(self._pool) as connection:
            return await find_application(connection, application)

    async def update_application(self, application: str, patch: ApplicationPatch, *, actor: str) -> Written[Application]:
        """Change what ``patch`` names. Keys carry the default model and the limit, so they move too."""
        async with self._write(actor) as write:
            old = await writable_application(write.connection, application)
            given = {name: value for name, value in structs.asdict(patch).items() if value is not UNSET}
            return await _store_application(write, old, structs.replace(old, **given), "application.update")

    async def archive_application(self, application: str, *, actor: str) -> Written[Application]:
        """Stop serving it: its keys are refused from now on. Nothing is deleted; ``restore_application`` undoes it."""
        async with self._write(actor) as write:
            old = await find_application(write.connection, application)
            new = structs.replace(old, archived_at=old.archived_at or write.now)
            return await _store_application(write, old, new, "application.archive")

    async def restore_application(self, application: str, *, actor: str) -> Written[Application]:
        """Undo :meth:`archive_application`."""
        async with self._write(actor) as write:
            old = await find_application(write.connection, application)
            return await _store_application(write, old, structs.replace(old, archived_at=None), "application.restore")

    async def create_key(  # noqa: PLR0913 - what a key is, by name
        self,
        application: str,
        *,
        digest: str,
        pepper: str | None = None,
        public_id: str,
        name: str = "",
        requests_per_minute: int | None = None,
        expires_at: datetime | None = None,
        scopes: list[str] | None = None,
        prompts: list[str] | None = None,
        models: list[str] | None = None,
        actor: str,
    ) -> Written[Key]:
        """Let a key in. ``digest`` of its text is 64 hex digits, ``pepper`` says with which one; the text itself never comes here."""
        async with self._write(actor) as write:
            owner = await writable_application(write.connection, application)
            lifetime = None if expires_at is None else max(1, ceil((expires_at - write.now).total_seconds()))
            key = structs.replace(
                self._plain_key(write, owner, public_id, name),
                requests_per_minute=requests_per_minute,
                expires_at=expires_at,
                lifetime_seconds=lifetime,
                scopes=scopes,
                prompts=prompts,
                models=models,
            )
            await _insert_key(write, key, digest, pepper)
            write.moved("key", owner.id, [digest])
            write.audit("key.create", f"{owner.slug}/{public_id}", owner.id, name=name)
            return write.outcome(key)

    async def list_keys(self, application: str, *, include_revoked: bool = False) -> list[Key]:
        """In order of creation."""
        async with connected(self._pool) as connection:
            owner = await find_application(connection, application)
            return [struct(row, Key) for row in await connection.fetch(_SQL["keys"], owner.id, include_revoked)]

    async def revoke_key(self, application: str, key: str, *, actor: str) -> Written[Key]:
        """End a key now, for good. ``key`` is its id or its public id. Raises ``not_found``."""
        async with self._write(actor) as write:
            owner = await find_application(write.connection, application)
            old, digest = await find_key(write.connection, owner, key)
            if old.revoked_at is not None:
                return write.outcome(old, created=False)
            await write.connection.execute(_SQL["revoke_key"], old.id, write.now)
            write.moved("key", owner.id, [digest])
            write.audit("key.revoke", f"{owner.slug}/{old.public_id}", owner.id)
            return write.outcome(structs.replace(old, revoked_at=write.now))

    async def regenerate_key(
        self,
        application: str,
        *,
        digest: str,
        pepper: str | None = None,
        public_id: str,
        name: str = "",
        grace_s: int = 0,
        actor: str,
    ) -> Written[Key]:
        """A new key, without restrictions, in place of all others, which end now, or after ``grace_s`` seconds."""
        async with self._write(actor) as write:
            owner = await writable_application(write.connection, application)
            end = write.now + timedelta(seconds=grace_s)
            ended = await write.connection.fetch(_SQL["end_keys"], owner.id, end, grace_s > 0)
            key = self._plain_key(write, owner, public_id, name)
            await _insert_key(write, key, digest, pepper)
            write.moved("key", owner.id, [digest, *(row["digest"] for row in ended)])
            write.audit("key.regenerate", f"{owner.slug}/{public_id}", owner.id, ended=len(ended), grace_s=grace_s)
            return write.outcome(key)

    def _plain_key(self, write: Write, owner: Application, public_id: str, name: str) -> Key:
        """A new key from which nothing is withheld."""
        return Key(self._ids(), owner.id, public_id, name, None, write.now, None, None)


async def find_application(connection: Connection, application: str) -> Application:
    """By slug or id. Raises ``not_found``."""
    row = await connection.fetchrow(_SQL["application"], *by_name(application))
    if row is None:
        raise GatewayError(NOT_FOUND, f"there is no application {application[:80]!r}", param="application")
    return struct(row, Application)


async def writable_application(connection: Connection, application: str) -> Application:
    """As :func:`find_application`; an archived one is a ``conflict``."""
    found = await find_application(connection, application)
    if found.archived_at is not None:
        raise GatewayError(CONFLICT, f"application {found.slug!r} is archived", param="application")
    return found


async def find_key(connection: Connection, owner: Application, key: str) -> tuple[Key, str]:
    """By id or public id, with its digest. Raises ``not_found``."""
    row = await connection.fetchrow(_SQL["key"], owner.id, *by_name(key))
    if row is None:
        raise GatewayError(NOT_FOUND, f"application {owner.slug!r} has no key {key[:80]!r}", param="key")
    return struct(row, Key), row["digest"]


async def _insert_key(write: Write, key: Key, digest: str, pepper: str | None) -> None:
    if _DIGEST.fullmatch(digest) is None:
        raise GatewayError(MALFORMED, "digest: not 64 hex digits", param="digest")
    await write.connection.execute(
        _SQL["insert_key"],
        key.id,
        key.application_id,
        key.public_id,
        bytes.fromhex(digest),
        key.name,
        key.requests_per_minute,
        key.created_at,
        key.expires_at,
        key.lifetime_seconds,
        key.scopes,
        key.prompts,
        key.models,
        pepper,
    )


async def _store_application(write: Write, old: Application, new: Application, action: str) -> Written[Application]:
    if new == old:
        return write.outcome(old, created=False)
    new = structs.replace(new, updated_at=write.now)
    await write.connection.execute(
        _SQL["update_application"],
        new.id,
        new.name,
        new.description,
        new.default_model,
        new.requests_per_minute,
        new.archived_at,
        write.now,
        new.store_responses,
    )
    if _for_keys(new) != _for_keys(old):
        await keys_moved(write, new)
    fields = [name for name in new.__struct_fields__ if getattr(new, name) != getattr(old, name) and name != "updated_at"]
    write.audit(action, new.slug, new.id, fields=fields)
    return write.outcome(new)


async def keys_moved(write: Write, owner: Application) -> None:
    """Note that what the documents of all its keys repeat has changed."""
    digests = await write.connection.fetch(_SQL["live_digests"], owner.id)
    write.moved("application", owner.id, [owner.slug])
    write.moved("key", owner.id, [row["digest"] for row in digests])


def _for_keys(application: Application) -> tuple[object, ...]:
    """What the documents of its keys repeat."""
    return (application.default_model, application.requests_per_minute, application.archived_at, application.store_responses)
