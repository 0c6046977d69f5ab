"""Keys of provider accounts, sealed before they come here. Nothing in this file has ever seen a secret."""

from collections.abc import Callable

import asyncpg
from msgspec import Struct

from gateway.core.credentials import INSTALLATION, CredentialError, SealedCredential
from gateway.core.errors import CONFLICT, NOT_FOUND, GatewayError
from gateway.storage.postgres.applications import find_application, keys_moved, writable_application
from gateway.storage.postgres.pool import Connection, connected
from gateway.storage.postgres.rows import Application, Credential, Written
from gateway.storage.postgres.writing import Store, Write, is_id, struct
from gateway.storage.sql.statements import load

MAX_CREDENTIALS = 32
"""Of one owner: they travel with each of its API keys, some 400 bytes apiece."""

_SQL = load("credentials.sql")

Seal = Callable[[str, str], SealedCredential]
"""Seals the secret for an id and an owner's id: both are bound into it, and known here only."""


class Rewrapped(Struct, frozen=True):
    """What became of a change of the installation's key."""

    key_id: str | None
    """The key that all of them are wrapped with now, but for ``failed``."""
    rewrapped: int
    unchanged: int
    failed: list[str]
    """Ids of those that do not open: the key they are wrapped with is gone."""


class Credentials(Store):
    """The part of the registry that is about keys of provider accounts. ``application`` None: the installation's."""

    async def list_credentials(self, application: str | None, *, everybody: bool = False) -> list[Credential]:
        """In order of application, provider and age."""
        async with connected(self._pool) as connection:
            owner = None if application is None else (await find_application(connection, application)).id
            rows = await connection.fetch(_SQL["credentials"], owner, everybody)
        return [struct(row, Credential) for row in rows]

    async def create_credential(
        self, application: str | None, provider: str, name: str, hint: str, seal: Seal, *, actor: str
    ) -> Written[Credential]:
        """A new one. Raises ``conflict`` for a taken name and above :data:`MAX_CREDENTIALS`."""
        async with self._write(actor) as write:
            connection = write.connection
            owner = None if application is None else await writable_application(connection, application)
            owner_id = None if owner is None else owner.id
            if await connection.fetchval(_SQL["count"], owner_id) >= MAX_CREDENTIALS:
                raise GatewayError(CONFLICT, f"there are {MAX_CREDENTIALS} credentials, the most that one owner may have")
            new = self._ids()
            sealed = seal(new, owner_id or INSTALLATION)
            parts = (hint, sealed.key_id, sealed.wrapped_key, sealed.ciphertext)
            try:
                await connection.execute(_SQL["insert"], new, owner_id, provider, name, *parts, actor, write.now)
            except asyncpg.UniqueViolationError as error:
                raise GatewayError(
                    CONFLICT, f"{provider} has a credential {name!r} already; replace it, or give another name", param="name"
                ) from error
            return await _moved(write, owner, "credential.create", await _find(connection, new))

    async def replace_credential(
        self, credential: str, hint: str, seal: Callable[[Credential], SealedCredential], *, actor: str
    ) -> Written[Credential]:
        """Another secret in its place. Raises ``not_found``."""
        async with self._write(actor) as write:
            old = await _find(write.connection, credential)
            owner = await _owner(write.connection, old)
            sealed = seal(old)
            parts = (hint, sealed.key_id, sealed.wrapped_key, sealed.ciphertext)
            await write.connection.execute(_SQL["replace"], old.id, *parts, write.now)
            return await _moved(write, owner, "credential.replace", await _find(write.connection, old.id))

    async def delete_credential(self, credential: str, *, actor: str) -> Written[Credential]:
        """Take it away. Raises ``not_found``."""
        async with self._write(actor) as write:
            old = await _find(write.connection, credential)
            owner = await _owner(write.connection, old)
            await write.connection.execute(_SQL["delete"], old.id)
            return await _moved(write, owner, "credential.delete", old)

    async def rewrap_credentials(
        self, rewrap: Callable[[SealedCredential], SealedCredential], key_id: str | None, *, actor: str
    ) -> Written[Rewrapped]:
        """Wrap every data key with the key that seals now; one that does not open stays as it is. Secrets are not touched."""
        async with self._write(actor) as write:
            connection = write.connection
            rows = [struct(row, Credential) for row in await connection.fetch(_SQL["credentials"], None, True)]
            failed: list[str] = []
            changed: list[Credential] = []
            for row in rows:
                try:
                    new = rewrap(row.sealed)
                except CredentialError:
                    failed.append(row.id)
                    continue
                if new.key_id != row.key_id:
                    await connection.execute(_SQL["rewrap"], row.id, new.key_id, new.wrapped_key)
                    changed.append(row)
            for application in sorted({row.application or "" for row in changed}):
                owner = await find_application(connection, application) if application else None
                await _note(write, owner)
            outcome = Rewrapped(key_id, len(changed), len(rows) - len(changed) - len(failed), failed)
            if changed:
                write.audit("credential.rotate-key", key_id or "", INSTALLATION, rewrapped=len(changed), failed=failed)
            return write.outcome(outcome, created=bool(changed))


async def _find(connection: Connection, credential: str) -> Credential:
    row = await connection.fetchrow(_SQL["credential"], credential) if is_id(credential) else None
    if row is None:
        raise GatewayError(NOT_FOUND, f"there is no credential {credential[:80]!r}", param="id")
    return struct(row, Credential)


async def _owner(connection: Connection, credential: Credential) -> Application | None:
    return None if credential.application is None else await find_application(connection, credential.application)


async def _note(write: Write, owner: Application | None) -> None:
    """The documents of an application's API keys carry its credentials; the installation's are read by themselves."""
    if owner is None:
        write.moved("application", INSTALLATION, ["credentials"])
    else:
        await keys_moved(write, owner)


async def _moved(write: Write, owner: Application | None, action: str, credential: Credential) -> Written[Credential]:
    await _note(write, owner)
    place = f"{owner.slug if owner else 'installation'}/{credential.provider}/{credential.name}"
    write.audit(action, place, owner.id if owner else INSTALLATION, credential=credential.id)
    return write.outcome(credential)
