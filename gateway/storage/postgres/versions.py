"""Versions: the immutable content of prompts."""

import hashlib
from collections.abc import Sequence

import asyncpg
from msgspec import Raw

from gateway.core.documents import VersionContent, canonical
from gateway.core.errors import CONFLICT, MALFORMED, NOT_FOUND, UNKNOWN_PROMPT, GatewayError
from gateway.core.references import DRAFT, LATEST, PRODUCTION, Reference, parse_version
from gateway.storage.postgres.applications import find_application, writable_application
from gateway.storage.postgres.pool import Connection, connected
from gateway.storage.postgres.rows import Application, Page, Prompt, Version, Written
from gateway.storage.postgres.writing import Store, Write, before, by_name, clamp, page, struct
from gateway.storage.sql.statements import load

_SQL = load("prompts.sql")


class Versions(Store):
    """The part of the registry that is about versions."""

    async def create_version(
        self,
        application: str,
        prompt: str,
        content: VersionContent,
        *,
        base_version: int | None = None,
        message: str = "",
        semver: str | None = None,
        actor: str,
    ) -> Written[Version]:
        """A new version on top of the newest one.

        Content equal to the newest version's gives that one back with ``created=False`` (so that a retry is harmless), unless
        a new ``semver`` is asked for. Raises ``conflict`` when the newest version is not ``base_version``.
        """
        async with self._write(actor) as write:
            owner = await writable_application(write.connection, application)
            found = await writable_prompt(write.connection, owner, prompt)
            newest = await find_version(write.connection, found, found.latest_version)
            if newest.content_hash == content_hash(content) and semver in {None, newest.semver}:
                return write.outcome(newest, created=False)
            if base_version is not None and base_version != newest.number:
                raise GatewayError(
                    CONFLICT,
                    f"{found.slug} has moved on: its newest version is {newest.number}, not {base_version}",
                    param="base_version",
                )
            return await self._add(write, owner, found, content, newest, message, semver)

    async def list_versions(self, application: str, prompt: str, *, after: str | None = None, limit: int = 50) -> Page[Version]:
        """Newest first, without content."""
        limit = clamp(limit)
        async with connected(self._pool) as connection:
            found = await find_prompt(connection, await find_application(connection, application), prompt)
            rows = await connection.fetch(_SQL["versions"], found.id, before(after), limit + 1)
        return page(rows, Version, limit, "number")

    async def get_version(self, application: str, reference: Reference) -> Version:
        """Any reference form, ``latest`` and ``draft`` included, published or not.

        Raises ``not_found`` naming the selector; ``conflict`` when a hash prefix fits several contents, or an alias is split.
        """
        async with connected(self._pool) as connection:
            found = await find_prompt(connection, await find_application(connection, application), reference.slug)
            number = await _number(connection, found, reference)
            if number is None:
                raise GatewayError(NOT_FOUND, f"{found.slug} has no {reference.selector}", param="version")
            return await find_version(connection, found, number)

    async def revert(self, application: str, prompt: str, version: int, *, message: str = "", actor: str) -> Written[Version]:
        """A new version with the content of an old one; the old one's semver stays its own."""
        async with self._write(actor) as write:
            owner = await writable_application(write.connection, application)
            found = await writable_prompt(write.connection, owner, prompt)
            old = await find_version(write.connection, found, version)
            newest = await find_version(write.connection, found, found.latest_version)
            if newest.content_hash == old.content_hash:
                return write.outcome(newest, created=False)
            assert old.content is not None
            return await self._add(write, owner, found, old.content, newest, message or f"Revert to version {version}", None)

    async def _add(
        self,
        write: Write,
        owner: Application,
        prompt: Prompt,
        content: VersionContent,
        newest: Version,
        message: str,
        semver: str | None,
    ) -> Written[Version]:
        number = await add_version(write, self._ids(), prompt.id, content, parents=[newest.id], message=message, semver=semver)
        write.audit("version.create", f"{owner.slug}/{prompt.slug}:{number}", owner.id, message=message)
        return write.outcome(await find_version(write.connection, prompt, number))


def content_hash(content: VersionContent) -> str:
    """What identifies a content: 64 hex digits."""
    return hashlib.sha256(canonical(content)).hexdigest()


async def add_version(
    write: Write,
    new: str,
    prompt_id: str,
    content: VersionContent,
    *,
    parents: Sequence[str],
    message: str,
    semver: str | None,
) -> int:
    """Store a version under the prompt's next number, which it returns. Raises ``conflict`` when the semver is taken."""
    if semver is not None and parse_version("x", semver, "semver").semver is None:
        raise GatewayError(MALFORMED, f"semver: {semver!r} is a plain number; give three, as in 1.2.0", param="semver")
    content_bytes = canonical(content)
    number: int = await write.connection.fetchval(_SQL["next_number"], prompt_id, write.now)
    try:
        await write.connection.execute(
            _SQL["insert_version"],
            new,
            prompt_id,
            number,
            semver,
            Raw(content_bytes),
            hashlib.sha256(content_bytes).hexdigest(),
            parents,
            message,
            write.actor,
            write.now,
        )
    except asyncpg.UniqueViolationError as error:
        raise GatewayError(CONFLICT, f"semver {semver} is taken by another version", param="semver") from error
    return number


async def find_prompt(connection: Connection, owner: Application, prompt: str) -> Prompt:
    """By slug or id. Raises ``unknown_prompt``."""
    row = await connection.fetchrow(_SQL["prompt"], owner.id, *by_name(prompt))
    if row is None:
        raise GatewayError(UNKNOWN_PROMPT, f"application {owner.slug!r} has no prompt {prompt[:80]!r}", param="prompt")
    return struct(row, Prompt)


async def writable_prompt(connection: Connection, owner: Application, prompt: str) -> Prompt:
    """As :func:`find_prompt`; an archived one is a ``conflict``."""
    found = await find_prompt(connection, owner, prompt)
    if found.archived_at is not None:
        raise GatewayError(CONFLICT, f"prompt {found.slug!r} is archived", param="prompt")
    return found


async def find_version(connection: Connection, prompt: Prompt, number: int) -> Version:
    """With its content. Raises ``not_found``."""
    row = await connection.fetchrow(_SQL["version"], prompt.id, number)
    if row is None:
        raise GatewayError(NOT_FOUND, f"{prompt.slug} has no version {number}", param="version")
    return struct(row, Version)


async def _number(connection: Connection, prompt: Prompt, reference: Reference) -> int | None:
    if reference.version is not None:
        return reference.version
    if reference.semver is not None:
        return await connection.fetchval(_SQL["number_by_semver"], prompt.id, reference.semver)
    if reference.digest is not None:
        rows = await connection.fetch(_SQL["numbers_by_hash"], prompt.id, reference.digest)
        if len(rows) > 1:
            raise GatewayError(CONFLICT, f"{prompt.slug}#{reference.digest} fits several contents", param="version")
        return rows[0]["number"] if rows else None
    if reference.alias == DRAFT:
        return prompt.latest_version
    if reference.alias == LATEST:
        return await connection.fetchval(_SQL["number_published"], prompt.id)
    alias = reference.alias or PRODUCTION
    if variants := prompt.splits.get(alias):
        among = ", ".join(f"{name}: {number}" for name, number in variants.items())
        raise GatewayError(CONFLICT, f"{prompt.slug}@{alias} is split ({among}); name one version", param="version")
    return await connection.fetchval(_SQL["number_by_alias"], prompt.id, alias)
