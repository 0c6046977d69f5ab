"""Sums of the ledger by hours and days, kept true: made when a span is over, and again when a row lands late or is changed.

A span has a version, which rises in the transaction of each such row. It is read before the rows are, and the sums count only while
it is the same: whatever commits in between is either among the rows that were read, or has raised the version.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import logging
import random
from collections.abc import Callable, Iterable

import asyncpg
from msgspec import Struct

from gateway.core.ids import uuid7_floor, uuid7_ms
from gateway.core.limits import Scope
from gateway.core.spending import Span
from gateway.limits.seeds import began_ms
from gateway.limits.spans import HOUR_MS, KEPT_MS, LATE_MS, end_of_span, spans_of, wanting
from gateway.limits.windows import DAY_MS
from gateway.storage.postgres.pool import Connection
from gateway.storage.sql.statements import load

EVERY_S = 60.0
"""Between two looks for hours that are over: a round that finds none asks three short questions."""
AT_ONCE = 50
"""Spans of a round; the next one follows at once. Another process may take over in between."""
CONNECT_TIMEOUT_S = 5
TIMEOUT_S = 120.0
"""For one hour of one scope; five million calls take ten seconds, and nobody waits for it."""

SOURCES: dict[Scope, tuple[str, str]] = {
    "application": ("''", ""),
    "key": ("n.name", "join api_keys k on k.id = c.key_id cross join lateral unnest(k.ancestors || k.public_id) as n (name)"),
    "tag": ("t.tag", "cross join lateral (select distinct unnest(c.tags)) as t (tag)"),
    "user": ('c."user"', ""),
    "model": ("coalesce(c.route, c.requested_model)", ""),
}
"""By scope: the value that calls are summed up by, and what it is joined from."""

_SQL = load("sums.sql")
_log = logging.getLogger("gateway.limits")


class _Wanted(Struct, frozen=True):
    """What sums are for."""

    since_ms: int
    by_scope: dict[Scope, list[str]]
    """The applications."""


class Sums:
    """One process's part in keeping them. ``now_ms`` is the wall clock; ``retention_days`` that of the ledger, None keeps all."""

    def __init__(self, database_url: str, now_ms: Callable[[], int], retention_days: int | None = None) -> None:
        self._url = database_url
        self._now_ms = now_ms
        self._retention_days = retention_days
        self.made = 0
        """Hours and days that this process has summed up."""
        self.failures = 0
        """Rounds that did not come to their end; the next one goes on."""

    async def run(self) -> None:
        """For ever: sum up what is over. Cancel to end."""
        more = False
        while True:
            await asyncio.sleep(1.0 if more else EVERY_S * random.uniform(0.5, 1.5))  # noqa: S311 - so that workers do not come in step
            more = False
            try:
                more = await self.round() == AT_ONCE
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                self.failures += 1
                _log.warning("the ledger cannot be summed up", extra={"cause": repr(error)})

    async def round(self) -> int:
        """Sum up the newest spans that want it; how many were. Raises what asyncpg raises."""
        connection = await asyncpg.connect(self._url, timeout=CONNECT_TIMEOUT_S, command_timeout=TIMEOUT_S)
        try:
            return await self._round(connection)
        finally:
            connection.terminate()

    async def _round(self, connection: asyncpg.Connection) -> int:
        now_ms = self._now_ms()
        kept_ms = self._kept_since(now_ms)
        async with connection.transaction():
            # In this order: without its mark a sum is not asked.
            await connection.execute(_SQL["forget_spans"], kept_ms)
            await connection.execute(_SQL["forget_sums"], kept_ms)
        wanted = await _wanted(connection, now_ms)
        if wanted is None:
            return 0
        since_ms = max(wanted.since_ms, kept_ms)
        rows = await connection.fetch(_SQL["summed"], since_ms, now_ms)
        summed = {Span(row["grain"], row["start_ms"]) for row in rows}
        done = 0
        for span in wanting(since_ms, now_ms, summed)[:AT_ONCE]:
            if not await self._sum_up(connection, span, wanted):
                break
            done += 1
        self.made += done
        return done

    async def _sum_up(self, connection: asyncpg.Connection, span: Span, wanted: _Wanted) -> bool:
        """False: another process is at it. Sums that turn out to be late already are made again in the next round."""
        await connection.execute(_SQL["known"], span.grain, span.start_ms)
        async with connection.transaction(isolation="read_committed"):
            if not await connection.fetchval(_SQL["turn"]):
                return False
            version = await connection.fetchval(_SQL["version"], span.grain, span.start_ms)
            if version is None:
                return True
            await connection.execute(_SQL["clear"], span.grain, span.start_ms)
            if span.grain == "hour":
                await _sum_hour(connection, span, wanted.by_scope)
            elif (await connection.fetchval(_SQL["hours_of_day"], span.start_ms, end_of_span(span))) == DAY_MS // HOUR_MS:
                await connection.execute(_SQL["sum_day"], span.start_ms, end_of_span(span))
            else:
                return True
            await connection.execute(_SQL["close"], span.grain, span.start_ms, version)
        return True

    def _kept_since(self, now_ms: int) -> int:
        kept = now_ms - KEPT_MS
        if self._retention_days is None:
            return kept
        return max(kept, (now_ms // DAY_MS - self._retention_days) * DAY_MS)


async def touch(connection: asyncpg.Connection | Connection, spans: Iterable[Span]) -> None:
    """Tell in a transaction that rows of these spans were added or changed in it. Raises what asyncpg raises."""
    told = list(spans)
    if told:
        await connection.execute(_SQL["touch"], [span.grain for span in told], [span.start_ms for span in told])


class Lateness:
    """Which rows are late: of hours that may have been summed up. Two comparisons of texts for a row, as ids begin with their time."""

    def __init__(self, now_ms: int) -> None:
        self._before = uuid7_floor((now_ms - LATE_MS) // HOUR_MS * HOUR_MS)
        self._after = uuid7_floor(now_ms - KEPT_MS)

    def spans(self, call_ids: Iterable[str]) -> list[Span]:
        """What the rows of these calls are to tell."""
        return spans_of({uuid7_ms(call_id) for call_id in call_ids if self._after <= call_id < self._before})


async def _wanted(connection: asyncpg.Connection, now_ms: int) -> _Wanted | None:
    rows = await connection.fetch(_SQL["rules"])
    if not rows:
        return None
    by_scope: dict[Scope, list[str]] = {}
    for row in rows:
        by_scope.setdefault(row["scope"], []).append(str(row["application_id"]))
    return _Wanted(min([began_ms(row["oldest"], row["period"], now_ms) for row in rows]), by_scope)


async def _sum_hour(connection: asyncpg.Connection, hour: Span, by_scope: dict[Scope, list[str]]) -> None:
    low, high = uuid7_floor(hour.start_ms), uuid7_floor(end_of_span(hour))
    for scope, applications in sorted(by_scope.items()):
        value, source = SOURCES[scope]
        statement = _SQL["sum_hour"].format(value=value, source=source)
        await connection.execute(statement, scope, hour.start_ms, low, high, applications)
