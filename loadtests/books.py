"""Two books laid side by side: what the load generator was answered, and what Postgres holds. They share the user, a call's number."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
import asyncpg

PATIENCE = 30.0
"""Seconds that rows may take to land: far beyond the promised 2 s, so that a late row is not mistaken for a lost one."""


@dataclass(frozen=True)
class Balance:
    """What the comparison found."""

    answers: int
    rows: int
    missing: int
    """Answers without a row."""
    doubled: int
    """Calls with more than one row."""
    unanswered: int
    """Rows of calls whose answer did not arrive whole: allowed only for calls that were cut off."""
    ghosts: int
    """Rows of calls that were never sent."""
    lag_seconds: float
    """From the end of the load until the last row was there."""
    by_status: Mapping[str, int]

    @property
    def wrong(self) -> int:
        return self.missing + self.doubled + self.ghosts


async def _fetch(database_url: str, query: str, prefix: str) -> list[tuple[Any, ...]]:
    connection: Any = await asyncpg.connect(database_url)
    try:
        return [tuple(row) for row in await connection.fetch(query, f"{prefix}-%")]
    finally:
        await connection.close()


_BY_STATUS = 'SELECT status::text, count(*) FROM calls WHERE "user" LIKE $1 GROUP BY status'
_EACH = 'SELECT "user", status, state FROM calls WHERE "user" LIKE $1'
_REFUSED = "503"
"""Refused at the door under overload: no call was made, so there may be no row."""


def compare_totals(database_url: str, prefix: str, answers: Mapping[str, int]) -> Balance:
    """By status, over all runs with ``prefix``: quick, and enough while nothing was cut off."""
    began = time.monotonic()
    rows: Counter[str] = Counter()
    while True:
        previous, rows = rows, Counter(dict(asyncio.run(_fetch(database_url, _BY_STATUS, prefix))))
        expected = Counter({status: n for status, n in answers.items() if status != _REFUSED or rows[_REFUSED]})
        waited = time.monotonic() - began
        if rows == expected or waited > PATIENCE or (rows == previous and waited > PATIENCE / 3):
            break
        time.sleep(0.25)
    missing, extra = expected - rows, rows - expected
    return Balance(expected.total(), rows.total(), missing.total(), 0, 0, extra.total(), waited, dict(rows))


def compare_ids(database_url: str, prefix: str, ids: Path) -> Balance:
    """Call by call: for runs in which a worker was killed, so that some calls went out and nobody knows how they ended."""
    sent: dict[str, int] = {}
    for line in ids.read_text().splitlines():
        number, status, _ = line.split()
        sent[f"{prefix}-{number}"] = int(status)
    answered = {call for call, status in sent.items() if status and str(status) != _REFUSED}
    began = time.monotonic()
    rows: list[tuple[Any, ...]] = []
    while True:
        previous, rows = len(rows), asyncio.run(_fetch(database_url, _EACH, prefix))
        complete = answered <= {call for call, _, _ in rows}
        waited = time.monotonic() - began
        if (complete and len(rows) == previous) or waited > PATIENCE:
            break
        time.sleep(0.5)
    per_call = Counter(call for call, _, _ in rows)
    statuses = Counter(str(status) for _, status, _ in rows)
    statuses["interrupted"] = sum(1 for _, _, state in rows if state == 1)
    return Balance(
        answers=len(answered),
        rows=len(rows),
        missing=len(answered - per_call.keys()),
        doubled=sum(1 for n in per_call.values() if n > 1),
        unanswered=len(per_call.keys() & {call for call, status in sent.items() if not status}),
        ghosts=len(per_call.keys() - sent.keys()),
        lag_seconds=time.monotonic() - began,
        by_status=dict(statuses),
    )
