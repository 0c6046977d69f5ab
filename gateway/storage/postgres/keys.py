"""Single API keys: reading and changing one, and rotation. :mod:`gateway.storage.postgres.applications` makes and revokes them."""

from datetime import timedelta

from msgspec import UNSET, structs

from gateway.core.errors import CONFLICT, GatewayError
from gateway.storage.postgres.applications import find_application, find_key, writable_application
from gateway.storage.postgres.pool import connected
from gateway.storage.postgres.rows import Key, KeyPatch, Written
from gateway.storage.postgres.writing import Store, Write
from gateway.storage.sql.statements import load

_SQL = load("keys.sql")
_SILENT = frozenset(("name",))
"""What serving does not know of."""


class Keys(Store):
    """The part of the registry that is about keys as they live on. ``key`` is an id or a public id."""

    async def get_key(self, application: str, key: str) -> Key:
        """One key, revoked or not. Raises ``not_found``."""
        async with connected(self._pool) as connection:
            owner = await find_application(connection, application)
            return (await find_key(connection, owner, key))[0]

    async def update_key(self, application: str, key: str, patch: KeyPatch, *, actor: str) -> Written[Key]:
        """Change what ``patch`` names; a new lifetime begins now. Raises ``conflict`` for a revoked key."""
        async with self._write(actor) as write:
            owner = await writable_application(write.connection, application)
            old, digest = await find_key(write.connection, owner, key)
            _check_open(old)
            given = {name: value for name, value in structs.asdict(patch).items() if value is not UNSET}
            if "expires_in_seconds" in given:
                lifetime = given.pop("expires_in_seconds")
                given |= {"lifetime_seconds": lifetime, "expires_at": _after(write, lifetime)}
            new = structs.replace(old, **given)
            fields = [name for name in new.__struct_fields__ if getattr(new, name) != getattr(old, name)]
            if not fields:
                return write.outcome(old, created=False)
            await write.connection.execute(
                _SQL["update_key"],
                new.id,
                new.name,
                new.requests_per_minute,
                new.expires_at,
                new.lifetime_seconds,
                new.scopes,
                new.prompts,
                new.models,
            )
            if not _SILENT.issuperset(fields):
                write.moved("key", owner.id, [digest])
            write.audit("key.update", f"{owner.slug}/{new.public_id}", owner.id, fields=fields)
            return write.outcome(new)

    async def rotate_key(
        self,
        application: str,
        key: str,
        *,
        digest: str,
        pepper: str | None = None,
        public_id: str,
        grace_s: int = 0,
        actor: str,
    ) -> Written[Key]:
        """A new key with the name, rights, limits and lifetime of ``key``, which ends now, or after ``grace_s`` seconds.

        Raises ``conflict`` for a revoked key.
        """
        async with self._write(actor) as write:
            owner = await writable_application(write.connection, application)
            old, old_digest = await find_key(write.connection, owner, key)
            _check_open(old)
            new = self._ids()
            made = (old.id, new, public_id, bytes.fromhex(digest), write.now, pepper)
            await write.connection.execute(_SQL["insert_successor"], *made)
            end = write.now + timedelta(seconds=grace_s)
            await write.connection.execute(_SQL["replace_key"], old.id, end, grace_s > 0, new)
            write.moved("key", owner.id, [digest, old_digest])
            write.audit("key.rotate", f"{owner.slug}/{old.public_id}", owner.id, successor=public_id, grace_s=grace_s)
            return write.outcome((await find_key(write.connection, owner, public_id))[0])

    async def keys_by_pepper(self) -> dict[str | None, int]:
        """How many keys open something, by the mark of the pepper in their digest; None: no pepper."""
        async with connected(self._pool) as connection:
            return {row["pepper"]: row["keys"] for row in await connection.fetch(_SQL["count_by_pepper"])}


def _check_open(key: Key) -> None:
    if key.revoked_at is not None:
        raise GatewayError(CONFLICT, f"key {key.public_id} is revoked, for good; create another", param="key")


def _after(write: Write, lifetime_s: int | None) -> object:
    return None if lifetime_s is None else write.now + timedelta(seconds=lifetime_s)
