"""Prompts: named things inside an application. Their content lives in versions."""

from collections.abc import Sequence

import asyncpg
from msgspec import UNSET, structs

from gateway.core.documents import VersionContent
from gateway.core.errors import CONFLICT, MALFORMED, GatewayError
from gateway.core.references import is_slug
from gateway.storage.postgres.applications import find_application, writable_application
from gateway.storage.postgres.pool import connected
from gateway.storage.postgres.rows import Page, Prompt, PromptPatch, Written
from gateway.storage.postgres.versions import add_version, find_prompt, writable_prompt
from gateway.storage.postgres.writing import Store, Write, clamp, is_id, page
from gateway.storage.sql.statements import load

_SQL = load("prompts.sql")


class Prompts(Store):
    """The part of the registry that is about prompts."""

    async def create_prompt(  # noqa: PLR0913 - every one is a column
        self,
        application: str,
        slug: str,
        content: VersionContent,
        *,
        description: str = "",
        tags: Sequence[str] = (),
        message: str = "",
        semver: str | None = None,
        actor: str,
    ) -> Written[Prompt]:
        """A new prompt with its version 1, not yet published. Raises ``conflict`` when the slug is taken."""
        if not is_slug(slug) or is_id(slug):
            raise GatewayError(MALFORMED, f"slug: {slug[:80]!r} is not a prompt name", param="slug")
        async with self._write(actor) as write:
            owner = await writable_application(write.connection, application)
            new = self._ids()
            try:
                await write.connection.execute(
                    _SQL["insert_prompt"], new, owner.id, slug, description, _tidy(tags), actor, write.now
                )
            except asyncpg.UniqueViolationError as error:
                raise GatewayError(CONFLICT, f"prompt {slug!r} exists already", param="slug") from error
            await add_version(write, self._ids(), new, content, parents=[], message=message, semver=semver)
            write.audit("prompt.create", f"{owner.slug}/{slug}", owner.id)
            return write.outcome(await find_prompt(write.connection, owner, slug))

    async def list_prompts(  # noqa: PLR0913 - every one is a filter
        self,
        application: str,
        *,
        after: str | None = None,
        limit: int = 50,
        name: str | None = None,
        tag: str | None = None,
        text: str | None = None,
        folder: str | None = None,
        include_archived: bool = False,
    ) -> Page[Prompt]:
        """By slug. ``name``: part of the slug; ``text``: in slug, description or newest content; ``folder``: with all below."""
        limit = clamp(limit)
        async with connected(self._pool) as connection:
            owner = await find_application(connection, application)
            rows = await connection.fetch(
                _SQL["prompts"],
                owner.id,
                after or "",
                include_archived,
                _containing(name),
                tag,
                _containing(text),
                folder,
                limit + 1,
            )
        return page(rows, Prompt, limit, "slug")

    async def get_prompt(self, application: str, prompt: str) -> Prompt:
        """By slug or id, archived or not. Raises ``unknown_prompt``."""
        async with connected(self._pool) as connection:
            return await find_prompt(connection, await find_application(connection, application), prompt)

    async def update_prompt(self, application: str, prompt: str, patch: PromptPatch, *, actor: str) -> Written[Prompt]:
        """Change what ``patch`` names. An inactive prompt is not served."""
        async with self._write(actor) as write:
            owner = await writable_application(write.connection, application)
            old = await writable_prompt(write.connection, owner, prompt)
            given = {name: value for name, value in structs.asdict(patch).items() if value is not UNSET}
            new = structs.replace(old, **given)
            return await _store_prompt(write, owner.slug, old, structs.replace(new, tags=_tidy(new.tags)), "prompt.update")

    async def archive_prompt(self, application: str, prompt: str, *, actor: str) -> Written[Prompt]:
        """Stop serving and listing it. Nothing is deleted; :meth:`restore_prompt` is the way back."""
        async with self._write(actor) as write:
            owner = await writable_application(write.connection, application)
            old = await find_prompt(write.connection, owner, prompt)
            new = structs.replace(old, archived_at=old.archived_at or write.now)
            return await _store_prompt(write, owner.slug, old, new, "prompt.archive")

    async def restore_prompt(self, application: str, prompt: str, *, actor: str) -> Written[Prompt]:
        """Undo :meth:`archive_prompt`."""
        async with self._write(actor) as write:
            owner = await writable_application(write.connection, application)
            old = await find_prompt(write.connection, owner, prompt)
            return await _store_prompt(write, owner.slug, old, structs.replace(old, archived_at=None), "prompt.restore")


async def _store_prompt(write: Write, application: str, old: Prompt, new: Prompt, action: str) -> Written[Prompt]:
    if new == old:
        return write.outcome(old, created=False)
    new = structs.replace(new, updated_at=write.now)
    await write.connection.execute(
        _SQL["update_prompt"], new.id, new.description, new.tags, new.is_active, new.archived_at, write.now
    )
    if (new.is_active, new.archived_at) != (old.is_active, old.archived_at):
        write.moved("prompt", new.application_id, [new.slug])
    fields = [name for name in new.__struct_fields__ if getattr(new, name) != getattr(old, name) and name != "updated_at"]
    write.audit(action, f"{application}/{new.slug}", new.application_id, fields=fields)
    return write.outcome(new)


def _tidy(tags: Sequence[str]) -> list[str]:
    return sorted(set(tags))


def _containing(text: str | None) -> str | None:
    """A LIKE pattern for any text that holds this one."""
    if text is None:
        return None
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
