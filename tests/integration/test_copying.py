"""What the ledger's writer sends as CSV is, column by column, what asyncpg's own binary encoding of the rows would have stored."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple, replace

from gateway.core.ids import uuid7
from gateway.core.ledger import Bill, Ending, Intent, LedgerRow, ServedPrompt, State
from gateway.storage.ledger.writer import Final, Row, RowsRefusedError, as_row
from gateway.storage.postgres import copying
from gateway.storage.postgres.calls import PostgresCallWriter

ODD = [
    *("", "null", "NULL", '"', '""', "'", "\\", "\\\\", "\\.", "\\n", '\\"', "\\u0041", "\n", "\r\n", "\r", "\t", "\b\f", "\x1b\x7f\x85"),
    *("]\n[", "],[", "[", "]", "{}", '{"a"}', "a,b", " ", "\n\\.\n", "\u2028", "é\U0001f600", "x" * 3000),
]  # fmt: skip
POISON: list[dict[str, Any]] = [
    *({"user": "\0"}, {"session": "\ud800"}, {"tags": ("a", "a\0b")}, {"shadowed": ("\ud800",)}, {"request_id": None}),
    *({"application_id": "no uuid"}, {"key_id": ""}, {"attempt": 2**15}, {"tags": None}, {"model": "a\0b"}, {"call_id": "no uuid"}),
    *({"status": 2**15}, {"status": None}, {"attempts": -(2**15) - 1}, {"latency_us": 2**63}, {"first_byte_us": -(2**63) - 1}),
    *({"upstream_us": 2**64}, {"upstream_us": 10**30}, {"error": "\0"}, {"verdicts": ["a", "\0"]}, {"outcome": None}),
]  # fmt: skip
"""What cannot be stored, all of it told by the same refusal."""

texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20) | st.sampled_from(ODD)
smalls = st.integers(0, 9) | st.sampled_from([-1, 2**15 - 1, -(2**15)])
larges = st.integers(0, 2**62) | st.sampled_from([0, -1, 2**31, 2**63 - 1, -(2**63)])
ids = st.uuids().map(str)
lists = st.lists(texts, max_size=3).map(tuple)
numbers = itertools.count(1)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


prompts = st.builds(
    ServedPrompt,
    prompt_id=ids,
    prompt=texts,
    version=smalls,
    alias=maybe(texts),
    variant=maybe(texts),
    content_hash=maybe(texts),
    generation=larges,
)
intents = st.builds(
    Intent,
    call_id=st.builds(lambda: uuid7(1_790_000_000_000, next(numbers))),
    attempt=st.integers(0, 3),
    application_id=ids,
    key_id=maybe(ids),
    request_id=texts,
    door=texts,
    stream=st.booleans(),
    requested_model=maybe(texts),
    provider=maybe(texts),
    model=maybe(texts),
    user=maybe(texts),
    session=maybe(texts),
    tags=lists,
    prompt=maybe(prompts),
    estimated_input_tokens=larges,
    route=maybe(texts),
    shadowed=maybe(lists),
)
endings = st.builds(
    Ending,
    outcome=texts,
    status=smalls,
    finish_reason=maybe(texts),
    usage_source=maybe(texts),
    latency_us=larges,
    first_byte_us=maybe(larges),
    upstream_us=maybe(larges),
    attempts=smalls,
    guard=maybe(texts),
    error=maybe(texts),
    verdicts=lists.map(list),
    counts=maybe(st.tuples(*[maybe(larges)] * 13, maybe(texts), maybe(larges))),
    bill=st.builds(Bill, cost_nano=maybe(larges), status=maybe(texts), price_version=maybe(texts)),
)


def spoiled(final: Final, changes: dict[str, Any]) -> Final:
    intent, ending = final
    mine = set(changes) <= set(Intent.__struct_fields__)
    return (replace(intent, **changes), ending) if mine else (intent, replace(ending, **changes))


def interrupted(final: Final) -> LedgerRow:
    row = as_row(final)
    row.state, row.verdicts = State.INTERRUPTED, None
    return row


finals = st.tuples(intents, endings)
rows = finals | finals | finals.map(as_row) | finals.map(interrupted)
batches = st.lists(rows, min_size=1, max_size=4)
poison = st.builds(spoiled, finals, st.sampled_from(POISON))
poisoned = st.tuples(batches, poison | poison.map(as_row), batches).map(lambda parts: [*parts[0], parts[1], *parts[2]])


class Tables:
    """``calls``, and ``former`` for what the former way of writing makes of the same rows."""

    def __init__(self, url: str) -> None:
        self.writer = PostgresCallWriter(url)
        self.url = url

    async def open(self) -> None:
        self.connection = await asyncpg.connect(self.url)
        await self.connection.execute("create table former (like calls)")

    async def close(self) -> None:
        await self.writer.close()
        await self.connection.close()

    async def written(self, batch: list[Row]) -> list[str] | None:
        """The rows as text, or None when they were refused."""
        try:
            await self.writer.write(batch)
        except RowsRefusedError:
            assert await self.emptied("calls") == []
            return None
        return await self.emptied("calls")

    async def formerly_written(self, batch: list[Row]) -> list[str] | None:
        try:
            await self.connection.copy_records_to_table(
                "former", records=[astuple(as_row(row)) for row in batch], columns=LedgerRow.__struct_fields__
            )
        except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError, TypeError, OverflowError):
            return None
        return await self.emptied("former")

    async def emptied(self, table: str) -> list[str]:
        found = await self.connection.fetch(
            f"with gone as (delete from {table} returning *) select gone::text as row from gone"
        )
        return sorted(record["row"] for record in found)


@pytest.fixture
def tables(fresh_database: str) -> Iterator[tuple[asyncio.Runner, Tables]]:
    with asyncio.Runner() as runner:
        tables = Tables(fresh_database)
        runner.run(tables.open())
        yield runner, tables
        runner.run(tables.close())


quickly = settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@quickly
@given(batch=batches)
def test_the_columns_hold_what_they_held_before(tables: tuple[asyncio.Runner, Tables], batch: list[Row]):
    runner, both = tables
    stored = runner.run(both.written(batch))
    assert stored is not None
    assert stored == runner.run(both.formerly_written(batch))


@quickly
@given(batch=poisoned)
def test_what_was_refused_before_is_refused_whole(tables: tuple[asyncio.Runner, Tables], batch: list[Row]):
    runner, both = tables
    assert runner.run(both.written(batch)) is None
    assert runner.run(both.formerly_written(batch)) is None


def test_every_odd_text_is_stored_as_it_is_in_every_column(tables: tuple[asyncio.Runner, Tables]):
    runner, both = tables
    app = uuid7(1, 2)
    batch: list[Row] = []
    for number, odd in enumerate(ODD):
        prompt = ServedPrompt(uuid7(1, 1), odd, 1, odd, odd, odd, 1)
        call_id = uuid7(2, number)
        intent = Intent(call_id, 1, app, None, odd, odd, True, odd, odd, odd, odd, odd, (odd, odd), prompt, 1, odd, (odd,))
        ending = Ending(odd, 200, odd, odd, 1, None, None, 1, odd, odd, [odd], (*[1] * 13, odd, 1), Bill(1, odd, odd))
        plain = Intent(call_id, 0, app, None, "r", "d", False, *[None] * 5, (), None, 1)
        batch += [(intent, ending), (plain, ending)]
    stored = runner.run(both.written(batch))
    assert stored is not None
    assert len(stored) == len(batch)
    assert stored == runner.run(both.formerly_written(batch))


def test_every_column_of_a_row_is_sent():
    assert sorted(copying.COLUMNS) == sorted(LedgerRow.__struct_fields__)
