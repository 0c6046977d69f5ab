"""Prices against the stored ledger: which models had none, and new prices for old calls, batch by batch, with a way back."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from gateway.core.errors import CONFLICT, NOT_FOUND, GatewayError
from gateway.core.ids import uuid7_floor, uuid7_ms
from gateway.limits.spans import spans_of
from gateway.pricing.rerate import Billed, Change, rerated
from gateway.pricing.table import PriceTable
from gateway.storage.postgres.pool import Connection, Pool, Record, connected
from gateway.storage.postgres.sums import touch
from gateway.storage.postgres.writing import struct
from gateway.storage.sql.statements import load

BATCH = 200
"""Calls of one transaction: some 2 ms of arithmetic on the event loop, and locks that are held for about 10 ms."""
BATCHES = 50
"""Of one step: a request of about a second, whose answer says where to go on."""
UNPRICED_MODELS = 200
"""Listed at most: more is a caller who makes names up."""

_COLUMNS = Billed.__struct_fields__
_SQL = load("prices.sql")
_PAGE = _SQL["page"].format(columns=", ".join(_COLUMNS))
_NOWHERE = "00000000-0000-0000-0000-000000000000"


class Scope(Struct, frozen=True):
    """Which calls to price anew: of a time (milliseconds since the epoch, the end excluded), and of one model if it is named."""

    since_ms: int
    until_ms: int
    model: str | None = None

    def bounds(self) -> tuple[str, str]:
        """The call ids of that time."""
        return uuid7_floor(self.since_ms), uuid7_floor(self.until_ms)


class UnpricedModel(Struct, frozen=True):
    """A model that was called and had no price."""

    provider: str
    model: str
    billed: str
    """What there was no price for: ``tokens``, ``seconds``, ``characters``, or ``pictures SIZE QUALITY`` as calls asked for them."""
    calls: int
    first: str
    """Id of the first such call; it begins with its time."""
    last: str


class ModelChange(Struct):
    """What a step changes for one model, in nano-dollars. Calls that had no cost count as zero before."""

    provider: str
    model: str
    calls: int = 0
    newly_priced: int = 0
    """Calls that had no cost before."""
    before_nano: int = 0
    after_nano: int = 0


class Step(Struct, frozen=True):
    """What one step did, or would do in a dry run."""

    run: str | None
    """The run's id; None in a dry run, and while nothing has changed."""
    price_version: str
    looked_at: int
    changed: int
    models: list[ModelChange]
    next_cursor: str | None
    """Where the next step begins; None at the end."""


class Undone(Struct, frozen=True):
    """What one step of taking back a run did."""

    run: str
    looked_at: int
    restored: int
    """The others were changed again since, and stay."""
    next_cursor: str | None


class Run(Struct, frozen=True):
    """A run that priced calls anew."""

    id: str
    at: datetime
    actor: str
    price_version: str
    low: str
    """Call ids, this one included."""
    high: str
    """This one not."""
    model: str | None
    undone_at: datetime | None
    calls: int | None = None
    """How many calls it changed."""


class Prices:
    """The ledger as far as it is about money. Raises ``store_unavailable``."""

    def __init__(self, pool: Pool, ids: Callable[[], str], clock: Callable[[], datetime]) -> None:
        self._pool = pool
        self._ids = ids
        self._clock = clock

    async def unpriced(self, since_ms: int, until_ms: int) -> list[UnpricedModel]:
        """Models of calls in that time that had no price when they were made."""
        async with connected(self._pool) as connection:
            rows = await connection.fetch(_SQL["unpriced"], uuid7_floor(since_ms), uuid7_floor(until_ms), UNPRICED_MODELS)
        return [struct(row, UnpricedModel) for row in rows]

    async def runs(self, limit: int) -> list[Run]:
        """The latest runs, newest first."""
        async with connected(self._pool) as connection:
            return [struct(row, Run) for row in await connection.fetch(_SQL["runs"], limit)]

    async def rerate(
        self, table: PriceTable, scope: Scope, actor: str, *, run: str | None, after: tuple[str, int] | None, dry_run: bool
    ) -> Step:
        """Price the next calls of ``scope`` anew, from ``after`` (a call id and an attempt) on.

        Safe to repeat: a call that already costs what the table says is left alone. Raises ``not_found`` for a run that is
        unknown, ``conflict`` for one that was undone or made with another table or scope.
        """
        low, high = scope.bounds()
        if run is not None:
            await self._check(run, table, scope)
        place = after or (low, -1)
        looked_at, models = 0, dict[tuple[str, str], ModelChange]()
        async with connected(self._pool) as connection:
            for _ in range(BATCHES):
                async with connection.transaction():
                    rows = await self._page(connection, max(place[0], low), high, place[1], lock=not dry_run)
                    changes = [
                        change
                        for row in rows
                        if scope.model is None or row.model == scope.model
                        if (change := rerated(row, table)) is not None
                    ]
                    if changes and not dry_run:
                        run = run or await self._begin(connection, table, scope, actor)
                        await _change(connection, run, table.version, changes)
                looked_at += len(rows)
                _tally(models, changes)
                if len(rows) < BATCH:
                    return _step(run, table, looked_at, models, None)
                place = (rows[-1].call_id, rows[-1].attempt)
        return _step(run, table, looked_at, models, place)

    async def undo(self, run: str, *, after: tuple[str, int] | None) -> Undone:
        """Give the next calls of a run back what they said before it. Safe to repeat. Raises ``not_found``."""
        place, looked_at, restored = after or (_NOWHERE, -1), 0, 0
        async with connected(self._pool) as connection:
            if await connection.fetchrow(_SQL["run"], run) is None:
                raise GatewayError(NOT_FOUND, f"run: there is no run {run!r}", param="run")
            for _ in range(BATCHES):
                async with connection.transaction():
                    rows = await connection.fetch(_SQL["undo_page"], run, place[0], place[1], BATCH)
                    if rows:
                        ids, attempts = [row["call_id"] for row in rows], [row["attempt"] for row in rows]
                        done = await connection.execute(_SQL["undo"], run, ids[0], ids[-1], ids, attempts)
                        restored += int(done.rpartition(" ")[2])
                        await touch(connection, spans_of([uuid7_ms(str(each)) for each in ids]))
                    if len(rows) < BATCH:
                        await connection.execute(_SQL["undone"], run, self._clock())
                looked_at += len(rows)
                if len(rows) < BATCH:
                    return Undone(run, looked_at, restored, None)
                place = (str(rows[-1]["call_id"]), rows[-1]["attempt"])
        return Undone(run, looked_at, restored, _cursor(place))

    async def _check(self, run: str, table: PriceTable, scope: Scope) -> None:
        async with connected(self._pool) as connection:
            row = await connection.fetchrow(_SQL["run"], run)
        if row is None:
            raise GatewayError(NOT_FOUND, f"run: there is no run {run!r}", param="run")
        begun = struct(row, Run)
        if begun.undone_at is not None:
            raise GatewayError(CONFLICT, "run: it was undone; begin another", param="run")
        if (begun.price_version, begun.model, (begun.low, begun.high)) != (table.version, scope.model, scope.bounds()):
            raise GatewayError(CONFLICT, "run: it was begun with another price table, time or model", param="run")

    async def _begin(self, connection: Connection, table: PriceTable, scope: Scope, actor: str) -> str:
        run = self._ids()
        await connection.execute(_SQL["begin"], run, self._clock(), actor, table.version, *scope.bounds(), scope.model)
        return run

    @staticmethod
    async def _page(connection: Connection, low: str, high: str, attempt: int, *, lock: bool) -> list[Billed]:
        statement = f"{_PAGE} for update" if lock else _PAGE
        return [_billed(row) for row in await connection.fetch(statement, low, high, attempt, BATCH)]


async def _change(connection: Connection, run: str, version: str, changes: Sequence[Change]) -> None:
    ids = [change.row.call_id for change in changes]
    await connection.execute(
        _SQL["change"],
        run,
        version,
        ids[0],
        ids[-1],
        ids,
        [change.row.attempt for change in changes],
        [change.cost_nano for change in changes],
        [change.status for change in changes],
    )
    await touch(connection, spans_of([uuid7_ms(call) for call in ids]))


def _tally(models: dict[tuple[str, str], ModelChange], changes: Sequence[Change]) -> None:
    for change in changes:
        row = change.row
        key = (row.provider or "", row.model or "")
        model = models.setdefault(key, ModelChange(*key))
        model.calls += 1
        model.newly_priced += row.cost_nano is None
        model.before_nano += row.cost_nano or 0
        model.after_nano += change.cost_nano


def _step(
    run: str | None,
    table: PriceTable,
    looked_at: int,
    models: dict[tuple[str, str], ModelChange],
    place: tuple[str, int] | None,
) -> Step:
    changed = sum([model.calls for model in models.values()])
    found = sorted(models.values(), key=lambda model: (model.provider, model.model))
    return Step(run, table.version, looked_at, changed, found, None if place is None else _cursor(place))


def _cursor(place: tuple[str, int]) -> str:
    return f"{place[0]}.{place[1]}"


def _billed(row: Record) -> Billed:
    return Billed(*[_plain(row[column]) for column in _COLUMNS])


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value
