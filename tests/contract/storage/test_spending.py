"""What every Spending says of the same calls: the memory twin and Postgres pass the same assertions."""

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import structs

from gateway.core.errors import GatewayError
from gateway.core.ids import uuid7
from gateway.core.ledger import LedgerRow, State
from gateway.core.limits import LARGEST_AMOUNT, LimitRule, Spent
from gateway.core.ports import Spending
from gateway.core.spending import Charge, Question, Span, Total
from gateway.limits.seeds import added
from gateway.limits.spans import HOUR_MS, end_of_span, spans_of
from gateway.limits.windows import DAY_MS
from gateway.storage.memory.ledger import MemoryCallWriter
from gateway.storage.memory.spending import MemorySpending
from gateway.storage.postgres.calls import PostgresCallWriter
from gateway.storage.postgres.pool import Pool, open_pool
from gateway.storage.postgres.registry import Registry
from gateway.storage.postgres.spending import PostgresSpending, asked, asked_of_sums
from gateway.storage.postgres.sums import Sums

NOW = time.time_ns() // 1_000_000
TODAY = NOW // DAY_MS * DAY_MS
STRANGER = "01900000-0000-7000-8000-0000000000aa"
SUMMED_DAY = 20_614 * DAY_MS
"""In the middle of a month, whenever this runs."""


def new_id(at_ms: int) -> str:
    return uuid7(at_ms, random.getrandbits(76))


class Books:
    """A ledger with a registry beside it, and what asks them."""

    def __init__(self, spending: Spending, write: Callable[[list[LedgerRow]], Awaitable[None]], app: str, key: tuple[str, str]):
        self.spending = spending
        self.database = ""
        self.registry: Registry | None = None
        self.write = write
        self.app = app
        self.key_id, self.public_id = key

    def row(self, at_ms: int = TODAY, call_id: str | None = None, **changes: Any) -> LedgerRow:
        values: dict[str, Any] = dict.fromkeys(LedgerRow.__struct_fields__)
        values |= {
            "call_id": call_id or new_id(at_ms),
            "attempt": 1,
            "state": int(State.FINAL),
            "application_id": self.app,
            "key_id": self.key_id,
            "request_id": "r",
            "door": "chat",
            "stream": False,
            "outcome": "ok",
            "status": 200,
            "latency_us": 1_000_000,
            "attempts": 1,
            "tags": (),
            "input_tokens": 10,
            "output_tokens": 5,
            "cost_nano": 100,
        }
        return LedgerRow(**(values | changes))

    async def sum_up(self) -> frozenset[Span]:
        """Have a day summed up; what is, then."""
        if isinstance(self.spending, MemorySpending):
            self.spending.spans = set(spans_of(range(SUMMED_DAY, SUMMED_DAY + DAY_MS, HOUR_MS)))
        else:
            assert await Sums(self.database, lambda: SUMMED_DAY + DAY_MS + HOUR_MS).round() == 25
        return await self.spending.summed(SUMMED_DAY, SUMMED_DAY + DAY_MS)

    async def rotate(self) -> str:
        """A key in the place of the application's; its id."""
        if self.registry is None:
            assert isinstance(self.spending, MemorySpending)
            self.spending.keys["new"] = (self.public_id, "successor")
            return "new"
        new = await self.registry.rotate_key("shop", self.public_id, digest="cd" * 32, public_id="successor", actor="a")
        return new.value.id

    async def totals(self, scope: str = "application", match: str = "*", low: int = TODAY, **more: Any) -> list[Total]:
        question = Question(scope, match, low, **more)  # type: ignore[arg-type]
        return await self.spending.totals(self.app, question, low, TODAY + DAY_MS)


RULE = LimitRule(id="", name="budget", scope="tag", metric="cost_nano", amount=5, window="month", match="a", hard=True)


@pytest.fixture
async def pool(fresh_database: str) -> AsyncIterator[Pool]:
    pool = await open_pool(fresh_database)
    yield pool
    await pool.close()


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> str | None:
    return None if request.param == "memory" else request.getfixturevalue("fresh_database")


@pytest.fixture
async def books(database: str | None) -> AsyncIterator[Books]:
    if database is None:
        ledger = MemoryCallWriter()
        spending = MemorySpending(ledger.rows.values)
        spending.limits["app"], spending.keys["key"] = [RULE], ("public",)
        yield Books(spending, ledger.write, "app", ("key", "public"))
        return
    pool = await open_pool(database)
    registry = Registry(pool, lambda: new_id(SUMMED_DAY), lambda: datetime.now(UTC))
    made = await registry.create_application("shop", actor="a")
    key = await registry.create_key("shop", actor="a", digest="ab" * 32, public_id="public")
    await registry.put_limit("shop", RULE, actor="a")
    writer = PostgresCallWriter(database)
    await writer.prepare(NOW)
    books = Books(PostgresSpending(pool), writer.write, made.value.id, (key.value.id, "public"))
    books.database, books.registry = database, registry
    yield books
    await writer.close()
    await pool.close()


async def test_calls_are_summed_up_by_the_values_of_a_scope(books: Books) -> None:
    await books.write(
        [
            books.row(user="ann", tags=("a", "b", "a"), route="fast"),
            books.row(user="ann", tags=("b",), requested_model="slow", cost_nano=None),
            books.row(user=None, key_id=None, input_tokens=None, output_tokens=None),
            books.row(user="bob", application_id=STRANGER),
            books.row(TODAY - 1, user="ann"),
        ]
    )
    assert await books.totals() == [Total("", 3, 20, 10, 200)]
    assert await books.totals("key") == [Total("public", 2, 20, 10, 100)]
    assert await books.totals("user") == [Total("ann", 2, 20, 10, 100)]
    assert await books.totals("tag") == [Total("b", 2, 20, 10, 100), Total("a", 1, 10, 5, 100)]
    assert await books.totals("model") == [Total("fast", 1, 10, 5, 100), Total("slow", 1, 10, 5)]
    assert await books.totals("tag", "a") == [Total("a", 1, 10, 5, 100)]
    assert await books.totals("user", "nobody") == []
    assert await books.totals(low=TODAY - 10) == [Total("", 4, 30, 15, 300)]


async def test_a_key_counts_with_those_whose_place_it_took(books: Books) -> None:
    successor, call = await books.rotate(), new_id(TODAY)
    await books.write([books.row(), books.row(call_id=call, key_id=successor)])
    assert await books.totals("key", "public") == [Total("public", 2, 20, 10, 200)]
    assert await books.totals("key", "successor") == [Total("successor", 1, 10, 5, 100)]
    assert await books.totals("key") == [Total("public", 2, 20, 10, 200), Total("successor", 1, 10, 5, 100)]
    (charge,) = await books.spending.charges([call])
    assert charge.keys == ("public", "successor")


async def test_a_call_is_one_request_whatever_its_attempts(books: Books) -> None:
    call, nobody_asked = new_id(TODAY), dict.fromkeys(("input_tokens", "output_tokens", "cost_nano"))
    await books.write(
        [
            books.row(call_id=call, attempt=1, **nobody_asked),
            books.row(call_id=call, attempt=2),
            books.row(attempt=0, shadowed=(), **nobody_asked),
            books.row(attempt=0, shadowed=None, outcome="rate_limited", status=429, **nobody_asked),
        ]
    )
    assert await books.totals() == [Total("", 2, 10, 5, 100)]


async def test_calls_are_told_apart_by_their_start_or_by_their_end(books: Books) -> None:
    await books.write([books.row(TODAY + start, latency_us=5_000) for start in (0, 4, 5, 6, 10)])
    before = {"before_ms": TODAY + 10}
    assert [total.requests for total in await books.totals(**before)] == [4]
    assert [total.requests for total in await books.totals(by_end=True, **before)] == [2]
    (left_out,) = [books.row(TODAY)]
    await books.write([left_out])
    assert [total.requests for total in await books.totals(**before)] == [5]
    assert [total.requests for total in await books.totals(without=(left_out.call_id, new_id(TODAY)), **before)] == [4]
    assert await books.totals(before_ms=TODAY) == await books.totals(by_end=True, before_ms=TODAY) == []


async def test_what_calls_came_to_is_the_sum_of_their_attempts(books: Books) -> None:
    one, other = new_id(TODAY), new_id(TODAY)
    await books.write(
        [
            books.row(call_id=one, attempt=1, user="ann", tags=("x", "y"), route="fast"),
            books.row(call_id=one, attempt=2, user="ann", tags=("x", "y"), route="fast", output_tokens=None),
            books.row(call_id=other, key_id=None, requested_model="slow", cost_nano=None),
            books.row(),
        ]
    )
    charges = {charge.call_id: charge for charge in await books.spending.charges([one, other, new_id(NOW)])}
    assert charges == {
        one: Charge(one, books.app, ("public",), "fast", "ann", ("x", "y"), Spent(20, 5, 200)),
        other: Charge(other, books.app, (), "slow", None, (), Spent(10, 5, 0)),
    }


async def test_the_rules_are_those_of_now(books: Books) -> None:
    (rule,) = await books.spending.rules(books.app)
    assert structs.replace(rule, id="") == RULE
    assert await books.spending.rules("no-application") == []


async def test_sums_say_what_their_calls_say(books: Books) -> None:
    day, first = Span("day", SUMMED_DAY), Span("hour", SUMMED_DAY)
    await books.write([books.row(SUMMED_DAY + i * HOUR_MS, user=f"u{i % 3}", tags=("a",), route="m") for i in range(24)])
    await books.write([books.row(SUMMED_DAY + 5, user="u1", tags=("a", "c"), cost_nano=None)])
    assert await books.sum_up() == {day, *spans_of(range(SUMMED_DAY, SUMMED_DAY + DAY_MS, HOUR_MS))}
    spending = books.spending
    assert await spending.summed(SUMMED_DAY + HOUR_MS, SUMMED_DAY + 2 * HOUR_MS) == {Span("hour", SUMMED_DAY + HOUR_MS)}
    assert await spending.summed(SUMMED_DAY + DAY_MS, SUMMED_DAY + 2 * DAY_MS) == frozenset()
    for chosen in ([day], [first, Span("hour", SUMMED_DAY + HOUR_MS)]):
        for match in ("*", "a", "b"):
            question = Question("tag", match, SUMMED_DAY)
            found = await spending.sums(books.app, question, chosen)
            parts = [await spending.totals(books.app, question, span.start_ms, end_of_span(span)) for span in chosen]
            assert sorted(found, key=lambda total: total.value) == sorted(added(parts), key=lambda total: total.value)
            assert len(found) == {"*": 2, "a": 1, "b": 0}[match]
    assert await spending.sums(STRANGER, Question("tag", "*", SUMMED_DAY), [day]) == []


async def test_sums_stay_within_what_counters_can_say(pool: Pool, fresh_database: str) -> None:
    writer = PostgresCallWriter(fresh_database)
    books = Books(PostgresSpending(pool), writer.write, STRANGER, (STRANGER, ""))
    await writer.write([books.row(cost_nano=2**62) for _ in range(4)])
    await writer.close()
    assert [total.cost_nano for total in await books.totals()] == [LARGEST_AMOUNT]


async def test_every_question_is_answered_from_the_index_of_the_applications_calls_in_one_partition(
    pool: Pool, fresh_database: str
) -> None:
    writer = PostgresCallWriter(fresh_database)
    await writer.prepare(NOW)
    owners = [new_id(NOW) for _ in range(20)]
    crowd = Books(PostgresSpending(pool), writer.write, owners[0], (STRANGER, ""))
    for day in range(3):
        start = TODAY + day * DAY_MS
        await writer.write([crowd.row(start + i, application_id=owners[i % 20], user=f"u{i % 7}") for i in range(3000)])
    await writer.close()
    async with pool.acquire() as connection:
        await connection.execute("analyze calls")
        for scope in ("application", "key", "tag", "user", "model"):
            for by_end in (False, True):
                question = Question(scope, "*", TODAY, by_end, NOW + 9 * DAY_MS)
                statement, arguments = asked(owners[3], question, TODAY + DAY_MS, TODAY + 2 * DAY_MS)
                plan = "\n".join(row[0] for row in await connection.fetch(f"explain {statement}", *arguments))
                day = f"calls_{datetime.fromtimestamp(TODAY / 1000 + 86_400, UTC):%Y%m%d}"
                assert f"{day}_application_id_call_id_idx" in plan, plan
                assert "Seq Scan on calls" not in plan, plan
                assert plan.count("calls_2") == plan.count(day), plan
                assert "calls_default" not in plan, plan


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_sums_are_found_by_their_key(pool: Pool, mode: str) -> None:
    async with pool.acquire() as connection:
        await connection.execute("""
            insert into call_sums
            select ('00000000-0000-7000-8000-' || lpad(a::text, 12, '0'))::uuid, 'user', 'hour', h * 3600000::bigint, 'u' || u, 1, 1, 1, 1
            from generate_series(1, 20) a, generate_series(1, 100) h, generate_series(1, 20) u
        """)
        await connection.execute("analyze call_sums")
        await connection.execute(f"set plan_cache_mode = {mode}")
        hours = [Span("hour", h * HOUR_MS) for h in range(10)]
        for match in ("*", "u7"):
            statement, arguments = asked_of_sums("00000000-0000-7000-8000-000000000003", Question("user", match, 0), hours)
            plan = "\n".join(row[0] for row in await connection.fetch(f"explain {statement}", *arguments))
            assert "call_sums_pkey" in plan, plan
            assert "Seq Scan on call_sums" not in plan, plan


async def test_a_ledger_that_cannot_be_asked_says_so(fresh_database: str) -> None:
    pool = await open_pool(fresh_database)
    await pool.close()
    spending = PostgresSpending(pool)
    for question in (spending.rules(STRANGER), spending.charges([STRANGER]), spending.summed(0, 1)):
        with pytest.raises(GatewayError) as caught:
            await question
        assert caught.value.kind.name == "store_unavailable"
