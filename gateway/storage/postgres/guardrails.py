"""The guardrails of applications."""

import msgspec

from gateway.core.documents import Guardrails
from gateway.storage.postgres.applications import find_application, writable_application
from gateway.storage.postgres.pool import Connection, connected
from gateway.storage.postgres.rows import Written
from gateway.storage.postgres.writing import Store
from gateway.storage.sql.statements import load

_SQL = load("applications.sql")


class ApplicationGuardrails(Store):
    """The part of the registry that is about what judges every call of an application."""

    async def get_guardrails(self, application: str) -> Guardrails:
        """Those of an application by slug or id; the default ones judge nothing. Raises ``not_found``."""
        async with connected(self._pool) as connection:
            return await _stored(connection, (await find_application(connection, application)).id)

    async def set_guardrails(self, application: str, guardrails: Guardrails, *, actor: str) -> Written[Guardrails]:
        """Put ``guardrails`` in the place of what was there. The documents of the application's keys carry them, so the keys move."""
        async with self._write(actor) as write:
            owner = await writable_application(write.connection, application)
            if await _stored(write.connection, owner.id) == guardrails:
                return write.outcome(guardrails, created=False)
            stored = None if guardrails == Guardrails() else msgspec.to_builtins(guardrails)
            await write.connection.execute(_SQL["set_guardrails"], owner.id, stored, write.now)
            digests = await write.connection.fetch(_SQL["live_digests"], owner.id)
            write.moved("application", owner.id, [owner.slug])
            write.moved("key", owner.id, [row["digest"] for row in digests])
            write.audit("application.guardrails", owner.slug, owner.id, guards=_named(guardrails))
            return write.outcome(guardrails)


async def _stored(connection: Connection, application_id: str) -> Guardrails:
    found = await connection.fetchval(_SQL["guardrails"], application_id)
    return Guardrails() if found is None else msgspec.convert(found, Guardrails)


def _named(guardrails: Guardrails) -> list[str]:
    """Which guards there are, for the audit: names and numbers, no terms."""
    sections = (("pre", guardrails.pre_validation), ("post", guardrails.post_validation))
    return [
        f"{stage}:{name}"
        for stage, section in sections
        for name in (
            *(["prohibited_terms"] if section.prohibited_terms else []),
            *(["required_elements"] if section.required_elements else []),
            *(validator.name or validator.type for validator in section.validators),
        )
    ]
