"""Limit rules of applications, as data."""

from gateway.core.errors import CONFLICT, NOT_FOUND, GatewayError
from gateway.core.limits import MAX_RULES, LimitRule
from gateway.storage.postgres.applications import find_application, keys_moved, writable_application
from gateway.storage.postgres.pool import Connection, connected
from gateway.storage.postgres.rows import Application, Written
from gateway.storage.postgres.writing import Store, Write, struct
from gateway.storage.sql.statements import load

_SQL = load("limits.sql")


class LimitRules(Store):
    """The part of the registry that is about limits. A change moves every key of the application, since keys carry the rules."""

    async def list_limits(self, application: str) -> list[LimitRule]:
        """By name."""
        async with connected(self._pool) as connection:
            owner = await find_application(connection, application)
            return await _rules(connection, owner)

    async def put_limit(self, application: str, rule: LimitRule, *, actor: str) -> Written[LimitRule]:
        """Make a rule, or replace the one of that name. Raises ``conflict`` above :data:`MAX_RULES`.

        It keeps its id, and with it what it has counted, while it counts the same: another metric, scope or window begins anew.
        """
        async with self._write(actor) as write:
            owner = await writable_application(write.connection, application)
            known = {old.name: old for old in await _rules(write.connection, owner)}
            old = known.get(rule.name)
            if old is None and len(known) >= MAX_RULES:
                raise GatewayError(CONFLICT, f"application {owner.slug!r} has {MAX_RULES} limits, the most there may be")
            new = LimitRule(
                id=old.id if old is not None and _counts_alike(old, rule) else self._ids(),
                name=rule.name,
                scope=rule.scope,
                metric=rule.metric,
                amount=rule.amount,
                window=rule.window,
                match=rule.match,
                mode=rule.mode,
                on_store_error=rule.on_store_error,
                local_amount=rule.local_amount,
                shadow=rule.shadow,
                hard=rule.hard,
            )
            if new == old:
                return write.outcome(new, created=False)
            await write.connection.execute(
                _SQL["put_rule"],
                new.id,
                owner.id,
                new.name,
                new.scope,
                new.match,
                new.metric,
                new.window,
                new.amount,
                new.mode,
                new.on_store_error,
                new.local_amount,
                new.shadow,
                new.hard,
                write.now,
            )
            return await _moved(write, owner, "limit.set", new)

    async def delete_limit(self, application: str, name: str, *, actor: str) -> Written[LimitRule]:
        """Take a rule away; what it has counted is forgotten. Raises ``not_found``."""
        async with self._write(actor) as write:
            owner = await writable_application(write.connection, application)
            row = await write.connection.fetchrow(_SQL["rule"], owner.id, name)
            if row is None:
                raise GatewayError(NOT_FOUND, f"application {owner.slug!r} has no limit {name[:80]!r}", param="name")
            old = struct(row, LimitRule)
            await write.connection.execute(_SQL["delete_rule"], old.id)
            return await _moved(write, owner, "limit.delete", old)


def _counts_alike(old: LimitRule, new: LimitRule) -> bool:
    """Whether what one has counted means the same to the other."""
    return (old.scope, old.metric, old.window) == (new.scope, new.metric, new.window)


async def _rules(connection: Connection, owner: Application) -> list[LimitRule]:
    return [struct(row, LimitRule) for row in await connection.fetch(_SQL["rules"], owner.id)]


async def _moved(write: Write, owner: Application, action: str, rule: LimitRule) -> Written[LimitRule]:
    await keys_moved(write, owner)
    write.audit(
        action,
        f"{owner.slug}/{rule.name}",
        owner.id,
        scope=rule.scope,
        metric=rule.metric,
        amount=rule.amount,
        window=rule.window,
    )
    return write.outcome(rule)
