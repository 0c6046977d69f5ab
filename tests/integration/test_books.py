"""The check that no row is lost is itself checked: a removed, a doubled and an invented row are each reported."""

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from loadtests import books

_SENT = {f"{n:016x}": 200 for n in range(20)} | {f"{20:016x}": 503, f"{21:016x}": 0}
"""Twenty answers, one refusal at the door, and one call that was cut off."""


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


@pytest.fixture
def ledger(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database with one row for each of the twenty answers."""
    monkeypatch.setattr(books, "PATIENCE", 0.2)
    name = f"books_{uuid.uuid4().hex}"
    asyncio.run(_execute(postgres_url, f"CREATE DATABASE {name}"))
    url = postgres_url.replace("/postgres?", f"/{name}?")
    asyncio.run(_execute(url, 'CREATE TABLE calls ("user" text, status int, state int)'))
    rows = ", ".join(f"('run-{call}', 200, 2)" for call, status in _SENT.items() if status == 200)
    asyncio.run(_execute(url, f"INSERT INTO calls VALUES {rows}, ('other-1', 200, 2)"))
    yield url
    asyncio.run(_execute(postgres_url, f"DROP DATABASE {name}"))


@pytest.fixture
def ids(tmp_path: Path) -> Path:
    file = tmp_path / "ids"
    file.write_text("".join(f"{call} {status} 1\n" for call, status in _SENT.items()))
    return file


def test_equal_books_balance(ledger: str, ids: Path) -> None:
    each = books.compare_ids(ledger, "run", ids)
    assert (each.answers, each.rows, each.wrong, each.unanswered) == (20, 20, 0, 0)
    assert books.compare_totals(ledger, "run", {"200": 20, "503": 1}).wrong == 0


def test_a_removed_row_is_missing(ledger: str, ids: Path) -> None:
    asyncio.run(_execute(ledger, f"DELETE FROM calls WHERE \"user\" = 'run-{3:016x}'"))
    assert books.compare_ids(ledger, "run", ids).missing == 1
    assert books.compare_totals(ledger, "run", {"200": 20}).missing == 1


def test_a_doubled_row_is_reported(ledger: str, ids: Path) -> None:
    asyncio.run(_execute(ledger, f"INSERT INTO calls VALUES ('run-{3:016x}', 200, 2)"))
    assert books.compare_ids(ledger, "run", ids).doubled == 1
    assert books.compare_totals(ledger, "run", {"200": 20}).ghosts == 1


def test_a_ghost_is_reported(ledger: str, ids: Path) -> None:
    asyncio.run(_execute(ledger, f"INSERT INTO calls VALUES ('run-{99:016x}', 200, 2)"))
    assert books.compare_ids(ledger, "run", ids).ghosts == 1


def test_a_call_that_was_cut_may_have_a_row(ledger: str, ids: Path) -> None:
    asyncio.run(_execute(ledger, f"INSERT INTO calls VALUES ('run-{21:016x}', 499, 1)"))
    found = books.compare_ids(ledger, "run", ids)
    assert (found.wrong, found.unanswered) == (0, 1)
    assert found.by_status["interrupted"] == 1


def test_an_altered_status_is_reported(ledger: str) -> None:
    asyncio.run(_execute(ledger, f"UPDATE calls SET status = 500 WHERE \"user\" = 'run-{3:016x}'"))
    found = books.compare_totals(ledger, "run", {"200": 20})
    assert (found.missing, found.ghosts) == (1, 1)
