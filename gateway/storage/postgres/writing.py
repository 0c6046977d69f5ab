"""One write of the registry: one transaction that changes rows, tells what moved, and adds a link to the audit chain."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import hashlib
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Literal, TypeVar
from uuid import UUID

import msgspec

from gateway.core.documents import Change
from gateway.core.errors import MALFORMED, GatewayError
from gateway.storage.postgres.pool import Connection, Pool, Record, connected
from gateway.storage.postgres.rows import Page, Written
from gateway.storage.sql.statements import load

T = TypeVar("T")

Detail = dict[str, str | int | bool | list[str] | None]
"""What an audit entry says beside who, what and when."""

MAX_PAGE = 1000
"""Items of one listing: more would hold a connection for tens of milliseconds."""

GENESIS = hashlib.sha256(b"promptgate").digest()
"""What the first audit entry follows; the migration puts it into the head."""

_SQL = load("records.sql")
_ENCODER = msgspec.json.Encoder(order="deterministic")


def link(previous: bytes, *fields: object) -> bytes:
    """The hash of an audit entry: SHA-256 over the previous entry's hash and this one's fields as canonical JSON."""
    return hashlib.sha256(previous + _ENCODER.encode(fields)).digest()


class Write:
    """An open write. Changes and the audit entry are noted here and stored when the block ends without an exception."""

    def __init__(self, connection: Connection, now: datetime, actor: str, head: Record) -> None:
        self.connection = connection
        self.now = now
        self.actor = actor
        self._served: int = head["value"]
        self._seq: int = head["audit_seq"] + 1
        self._hash: bytes = head["audit_hash"]
        self._changes: list[Change] = []
        self._entry: tuple[str, str, str, Detail] | None = None

    @property
    def next_generation(self) -> int:
        """What the generation becomes if this write moves something that is served."""
        return self._served + 1

    def moved(self, kind: Literal["prompt", "key", "application"], application_id: str, names: Iterable[str]) -> None:
        """Note that served content moved."""
        self._changes += [Change(self.next_generation, kind, application_id, name) for name in names]

    def audit(self, action: str, what: str, application_id: str, **detail: str | int | bool | list[str] | None) -> None:
        """Say what this write is, once."""
        self._entry = (action, what, application_id, detail)

    def outcome(self, value: T, *, created: bool = True) -> Written[T]:
        """The answer, after everything has been noted."""
        generation = self.next_generation if self._changes else self._served
        return Written(value, generation, self._changes, created)

    async def store(self) -> None:
        """Write down what was noted; nothing if nothing was."""
        if self._entry is None:
            return
        action, what, application_id, detail = self._entry
        digest = link(self._hash, self._seq, self.now.isoformat(), self.actor, action, what, application_id, detail)
        await self.connection.execute(
            _SQL["commit_write"],
            self.next_generation if self._changes else self._served,
            self.now,
            [change.kind for change in self._changes],
            [change.application_id for change in self._changes],
            [change.name for change in self._changes],
            self._seq,
            self.actor,
            action,
            what,
            application_id,
            detail,
            self._hash,
            digest,
        )


LIVE_S = 3.0
"""How long a worker's report is believed: three of its polls, which are a second apart unless the settings say otherwise."""


class Store:
    """What every part of the registry stands on."""

    def __init__(self, pool: Pool, ids: Callable[[], str], clock: Callable[[], datetime], live_s: float = LIVE_S) -> None:
        self._pool = pool
        self._live_s = live_s
        self._ids = ids
        self._clock = clock

    @asynccontextmanager
    async def _write(self, actor: str) -> AsyncGenerator[Write]:
        async with connected(self._pool) as connection, connection.transaction():
            head = await connection.fetchrow(_SQL["begin_write"])
            assert head is not None
            write = Write(connection, self._clock(), actor, head)
            yield write
            await write.store()


def by_name(text: str) -> tuple[str, UUID | None]:
    """A slug-or-id argument as the two parameters that statements compare with."""
    return text, UUID(text) if is_id(text) else None


def is_id(text: str) -> bool:
    """Whether ``text`` has the canonical form of a UUID."""
    if len(text) != 36:
        return False
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def struct(row: Record, kind: type[T]) -> T:
    """A row as the struct whose fields are named like its columns."""
    return msgspec.convert({name: _plain(value) for name, value in row.items()}, kind)


def page(rows: Sequence[Record], kind: type[T], limit: int, key: str) -> Page[T]:
    """The first ``limit`` of ``rows``, which were fetched one longer; ``key`` is the column that the listing is ordered by."""
    more = len(rows) > limit
    return Page([struct(row, kind) for row in rows[:limit]], str(rows[limit - 1][key]) if more else None)


def clamp(limit: int) -> int:
    """A page size within bounds."""
    return max(1, min(limit, MAX_PAGE))


def before(after: str | None) -> int:
    """The ``after`` of a listing that counts down, as a bound."""
    if after is None:
        return 2**31 - 1
    if not (after.isascii() and after.isdecimal() and len(after) < 10):
        raise GatewayError(MALFORMED, f"after: {after[:40]!r} is not a position in this listing", param="after")
    return int(after)


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
