"""Sums of the ledger stay true whatever comes late: each is held against the rows that it stands for."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from gateway.core.ids import uuid7
from gateway.core.ledger import LedgerRow, State
from gateway.core.limits import LimitRule
from gateway.core.spending import Question, Span, Total
from gateway.limits.spans import HOUR_MS, KEPT_MS, LATE_MS, SETTLED_MS, end_of_span, spans_of
from gateway.limits.windows import DAY_MS
from gateway.pricing.table import load_prices
from gateway.storage.postgres import sums
from gateway.storage.postgres.calls import PostgresCallWriter
from gateway.storage.postgres.pool import Pool, open_pool
from gateway.storage.postgres.prices import Prices, Scope
from gateway.storage.postgres.registry import Registry
from gateway.storage.postgres.spending import PostgresSpending
from gateway.storage.postgres.sums import Sums, touch
from tests.conftest import until

DAY = 20_614 * DAY_MS
"""A day in the middle of a month."""
PRICES = b"""
version = "new"
[[price]]
provider = "openai"
models = ["m"]
input = "1"
output = "2"
"""


class Ledger:
    """One application with a limit of users per month, made the evening before; the clock stands where it is put."""

    def __init__(self, url: str, pool: Pool) -> None:
        self.now = DAY + 2 * HOUR_MS
        self.made = 0
        self.pool = pool
        self.url = url
        self.spending = PostgresSpending(pool)
        self.sums = Sums(url, lambda: self.now)
        self.writer = PostgresCallWriter(url, now_ms=lambda: self.now)
        self.registry = Registry(pool, self.new_id, lambda: datetime.now(UTC))
        self.app = ""

    def new_id(self, at_ms: int = DAY - HOUR_MS) -> str:
        self.made += 1
        return uuid7(at_ms, self.made)

    async def settle(self) -> None:
        self.app = (await self.registry.create_application("shop", actor="a")).value.id
        rule = LimitRule(id="", name="users", scope="user", metric="tokens", amount=5, window="month")
        await self.registry.put_limit("shop", rule, actor="a")

    def row(self, at_ms: int, **changes: Any) -> LedgerRow:
        values: dict[str, Any] = dict.fromkeys(LedgerRow.__struct_fields__)
        values |= {
            "call_id": self.new_id(at_ms),
            "attempt": 1,
            "state": int(State.FINAL),
            "application_id": self.app,
            "request_id": "r",
            "door": "chat",
            "stream": False,
            "provider": "openai",
            "model": "m",
            "outcome": "ok",
            "status": 200,
            "latency_us": 1000,
            "attempts": 1,
            "tags": (),
            "user": "ann",
            "input_tokens": 10,
            "output_tokens": 5,
            "cost_nano": 100,
            "usage_source": "provider",
            "cost_status": "exact",
        }
        return LedgerRow(**(values | changes))

    async def true(self, low: int = DAY, high: int = DAY + DAY_MS) -> frozenset[Span]:
        """What is said to be true, every bit of which is."""
        spans = await self.spending.summed(low, high)
        for span in spans:
            question = Question("user", "*", span.start_ms)
            rows = await self.spending.totals(self.app, question, span.start_ms, end_of_span(span))
            assert await self.spending.sums(self.app, question, [span]) == rows, span
        return spans


@pytest.fixture
async def ledger(fresh_database: str) -> AsyncIterator[Ledger]:
    pool = await open_pool(fresh_database)
    ledger = Ledger(fresh_database, pool)
    await ledger.settle()
    yield ledger
    await ledger.writer.close()
    await pool.close()


FIRST, SECOND = Span("hour", DAY), Span("hour", DAY + HOUR_MS)


async def test_an_hour_is_summed_up_when_it_has_settled(ledger: Ledger) -> None:
    await ledger.writer.write([ledger.row(DAY), ledger.row(DAY + HOUR_MS - 1, user="bob"), ledger.row(DAY + HOUR_MS)])
    ledger.now = DAY + HOUR_MS + SETTLED_MS - 1
    await ledger.sums.round()
    assert await ledger.true() == frozenset()
    ledger.now += 1
    await ledger.sums.round()
    assert await ledger.true() == {FIRST}
    made = ledger.sums.made
    await ledger.sums.round()
    assert ledger.sums.made == made, "nothing is left to do"


async def test_a_late_row_tells_its_hour_and_its_day(ledger: Ledger) -> None:
    ledger.now = DAY + DAY_MS + HOUR_MS
    await ledger.writer.write([ledger.row(DAY + hour * HOUR_MS) for hour in range(24)])
    await ledger.sums.round()
    whole = await ledger.true()
    assert len(whole) == 25
    await ledger.writer.write([ledger.row(DAY), ledger.row(ledger.now)])
    assert await ledger.true() == whole - {FIRST, Span("day", DAY)}
    await ledger.sums.round()
    assert await ledger.true() == whole
    # What is in time has told nothing.
    assert await ledger.pool.fetchval("select count(*) from call_spans where start_ms >= $1", DAY + DAY_MS) == 0


async def test_a_row_that_advances_is_a_late_row(ledger: Ledger) -> None:
    interrupted = ledger.row(DAY, state=int(State.INTERRUPTED), output_tokens=None)
    await ledger.writer.write([interrupted])
    ledger.now = DAY + 2 * HOUR_MS
    await ledger.sums.round()
    assert FIRST in await ledger.true()
    await ledger.writer.write([ledger.row(DAY, call_id=interrupted.call_id)])
    assert FIRST not in await ledger.true()
    await ledger.sums.round()
    assert FIRST in await ledger.true()


async def test_sums_follow_new_prices_and_their_undoing(ledger: Ledger) -> None:
    await ledger.writer.write([ledger.row(DAY), ledger.row(DAY + HOUR_MS, model="other")])
    ledger.now = DAY + 3 * HOUR_MS
    await ledger.sums.round()
    assert {FIRST, SECOND} <= await ledger.true()
    prices = Prices(ledger.pool, ledger.new_id, lambda: datetime.now(UTC))
    step = await prices.rerate(load_prices(PRICES), Scope(DAY, DAY + DAY_MS), "a", run=None, after=None, dry_run=False)
    assert step.changed == 1
    assert await ledger.true() & {FIRST, SECOND} == {SECOND}
    await ledger.sums.round()
    assert {FIRST, SECOND} <= await ledger.true()
    question = Question("user", "*", DAY)
    assert await ledger.spending.sums(ledger.app, question, [FIRST]) == [Total("ann", 1, 10, 5, 20_000)]
    assert step.run is not None
    assert (await prices.undo(step.run, after=None)).restored == 1
    await ledger.sums.round()
    assert {FIRST, SECOND} <= await ledger.true()
    assert await ledger.spending.sums(ledger.app, question, [FIRST]) == [Total("ann", 1, 10, 5, 100)]


async def test_a_row_that_commits_while_its_hour_is_summed_up_is_not_lost(ledger: Ledger) -> None:
    """A writer has its row in and has told so, but has not committed when the sums are made."""
    await ledger.writer.write([ledger.row(DAY)])
    ledger.now = DAY + 2 * HOUR_MS
    connection = await asyncpg.connect(ledger.url)
    transaction = connection.transaction()
    await transaction.start()
    late = ledger.row(DAY)
    await connection.execute(
        "insert into calls (call_id, attempt, state, application_id, request_id, door, stream, outcome, status, latency_us,"
        " attempts, \"user\", tags) values ($1, 1, 2, $2, 'r', 'chat', false, 'ok', 200, 1, 1, 'ann', '{}')",
        late.call_id,
        ledger.app,
    )
    # The sums are made beside the open transaction, which then commits: they are known to be out of date.
    await ledger.sums.round()
    assert FIRST in await ledger.true()
    await touch(connection, spans_of([DAY]))
    await transaction.commit()
    await connection.close()
    assert FIRST not in await ledger.true()
    await ledger.sums.round()
    assert FIRST in await ledger.true()


async def test_sums_that_were_overtaken_while_they_were_made_do_not_count(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row commits after the version was read and before the sums are closed."""
    await ledger.writer.write([ledger.row(DAY)])
    ledger.now = DAY + 2 * HOUR_MS
    summing = sums._sum_hour

    async def overtaken(*arguments: Any) -> None:
        await summing(*arguments)
        await ledger.writer.write([ledger.row(DAY)])

    monkeypatch.setattr(sums, "_sum_hour", overtaken)
    await ledger.sums.round()
    assert FIRST not in await ledger.true()
    monkeypatch.setattr(sums, "_sum_hour", summing)
    await ledger.sums.round()
    assert FIRST in await ledger.true()


async def test_one_process_sums_up_at_a_time(ledger: Ledger) -> None:
    ledger.now = DAY + 5 * HOUR_MS
    connection = await asyncpg.connect(ledger.url)
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(hashtextextended('call_sums', 0))")
        assert await ledger.sums.round() == 0
    await connection.close()
    assert await ledger.sums.round() == 5


async def test_what_another_process_has_summed_up_meanwhile_is_left_alone(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ledger.writer.write([ledger.row(DAY)])
    other, summing, summed = Sums(ledger.url, lambda: ledger.now), sums._sum_hour, 0

    async def counted(*arguments: Any) -> None:
        nonlocal summed
        summed += 1
        await summing(*arguments)

    monkeypatch.setattr(sums, "_sum_hour", counted)
    wanting = sums.wanting

    def looked(*arguments: Any) -> list[Span]:
        # Both have looked before either begins: what this one finds is of before the other's round.
        return wanting(arguments[0], arguments[1], set())

    await other.round()
    hours = summed
    monkeypatch.setattr(sums, "wanting", looked)
    await ledger.sums.round()
    assert (summed, hours) == (hours, 2)
    assert FIRST in await ledger.true()


async def test_sums_go_when_nobody_needs_them_and_when_their_calls_go(ledger: Ledger) -> None:
    await ledger.writer.write([ledger.row(DAY)])
    ledger.now = DAY + 2 * HOUR_MS
    await ledger.sums.round()
    assert FIRST in await ledger.true()
    brief = Sums(ledger.url, lambda: DAY + 2 * DAY_MS, retention_days=1)
    await brief.round()
    assert await ledger.spending.summed(0, DAY + DAY_MS) == frozenset()
    assert await ledger.pool.fetchval("select count(*) from call_sums") == 0
    await ledger.sums.round()
    assert FIRST in await ledger.true()
    ledger.now = DAY + KEPT_MS + HOUR_MS
    await ledger.sums.round()
    assert await ledger.pool.fetchval("select count(*) from call_sums where start_ms < $1", DAY + DAY_MS) == 0


async def test_nothing_is_summed_up_for_nobody(ledger: Ledger) -> None:
    await ledger.registry.delete_limit("shop", "users", actor="a")
    rule = LimitRule(id="", name="brief", scope="user", metric="tokens", amount=5, window="hour")
    await ledger.registry.put_limit("shop", rule, actor="a")
    ledger.now = DAY + 5 * HOUR_MS
    assert await ledger.sums.round() == 0
    assert LATE_MS < SETTLED_MS


async def test_rounds_go_on_after_a_failure(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "EVERY_S", 0.001)
    await ledger.writer.write([ledger.row(DAY)])
    task = Sums("postgresql://127.0.0.1:1/nowhere", lambda: ledger.now)
    running = asyncio.ensure_future(task.run())
    await until(lambda: task.failures > 1)
    assert task.made == 0
    task._url = ledger.url
    await until(lambda: task.made)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert FIRST in await ledger.true()
