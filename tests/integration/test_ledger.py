"""The ledger on a real Postgres: every acknowledged call lands exactly once, whatever breaks on the way."""

import asyncio
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import asyncpg
import msgspec
import pytest

from gateway.core.errors import GatewayError
from gateway.core.ids import uuid7, uuid7_ms
from gateway.core.ledger import UNBILLED, Ending, Intent, LedgerRow, State, row_of
from gateway.storage.ledger import shipper as shippers
from gateway.storage.ledger.spool import SpoolLimits
from gateway.storage.ledger.worker import WorkerLedger
from gateway.storage.ledger.writer import CallWriter, RowsRefusedError
from gateway.storage.memory.ledger import MemoryCallWriter
from gateway.storage.postgres.calls import CallFilter, CallReader, PostgresCallWriter, page
from gateway.storage.postgres.migrate import migrate
from gateway.storage.postgres.partitions import add_partitions, day_partition, drop_partitions
from gateway.storage.postgres.pool import open_pool
from tests.conftest import new_postgres, until

APP = "01900000-0000-7000-8000-00000000000a"
OTHER_APP = "01900000-0000-7000-8000-0000000000aa"
LIMITS = SpoolLimits(max_bytes=32 << 20, segment_bytes=1 << 20)
DAY_MS = 86_400_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def new_id(at_ms: int | None = None) -> str:
    return uuid7(now_ms() if at_ms is None else at_ms, random.getrandbits(76))


def make_row(call_id: str | None = None, **changes) -> LedgerRow:
    values: dict[str, Any] = {name: None for name in LedgerRow.__struct_fields__}
    values |= {
        "call_id": call_id or new_id(),
        "attempt": 1,
        "state": int(State.FINAL),
        "application_id": APP,
        "request_id": "r",
        "door": "chat",
        "stream": False,
        "outcome": "ok",
        "status": 200,
        "latency_us": 1000,
        "attempts": 1,
        "tags": (),
    }
    return LedgerRow(**(values | changes))


def call_of(attempt: int = 1, user: str | None = None) -> tuple[Intent, Ending]:
    """A call as the pipeline tells it to the ledger."""
    call_id = new_id()
    intent = Intent(call_id, attempt, APP, OTHER_APP, "r", "chat", False, None, "echo", "m", user, None, (), None, 42)
    return intent, Ending("ok", 200, None, None, 1000, None, None, 1, None, None, [], None, UNBILLED)


FULL = make_row(
    key_id="01900000-0000-7000-8000-00000000000b",
    prompt_id="01900000-0000-7000-8000-00000000000c",
    prompt="faq-bot",
    version=7,
    alias="production",
    variant="b",
    content_hash="c" * 64,
    generation=2**40,
    stream=True,
    requested_model="fast",
    provider="openai",
    model="gpt-4o",
    finish_reason="stop",
    input_tokens=10**18,
    cached_tokens=1,
    output_tokens=2,
    reasoning_tokens=3,
    usage_source="upstream",
    cost_nano=2**62,
    cost_status="exact",
    price_version="2026-01-01",
    first_byte_us=5,
    upstream_us=6,
    user='Zoë \U0001f600 \\ "quoted"\n',
    session="s",
    tags=("a", "", "b,c", "{}"),
    guard="pre:prohibited_terms",
    error="e",
    cache_write_tokens=2**40,
    cache_write_1h_tokens=11,
    audio_input_tokens=12,
    audio_cached_tokens=13,
    audio_output_tokens=14,
    image_input_tokens=15,
    image_output_tokens=16,
    images=17,
    request_units=18,
    service_tier="flex",
    audio_ms=19,
)


@pytest.fixture
async def connection(fresh_database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(fresh_database)
    yield connection
    await connection.close()


@pytest.fixture
async def reader(fresh_database: str) -> AsyncIterator[CallReader]:
    pool = await open_pool(fresh_database)
    yield CallReader(pool)
    await pool.close()


@pytest.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[tuple[CallWriter, Callable]]:
    """A writer, and a way to read one call back."""
    if request.param == "memory":
        memory = MemoryCallWriter()

        async def read(call_id: str) -> list[LedgerRow]:
            return [row for (known, _), row in sorted(memory.rows.items()) if known == call_id]

        yield memory, read
        return
    url = request.getfixturevalue("fresh_database")
    writer, pool = PostgresCallWriter(url), await open_pool(url)
    await writer.prepare(now_ms())
    yield writer, CallReader(pool).get
    await writer.close()
    await pool.close()


# --- the writer, both twins -------------------------------------------------------------------------------------------


async def test_a_row_comes_back_as_it_was(store):
    writer, read = store
    bare = make_row(attempt=0, application_id=None)
    await writer.write([FULL, bare])
    assert await read(FULL.call_id) == [FULL]
    assert await read(bare.call_id) == [bare]
    assert await read(new_id()) == []


async def test_what_a_row_is_made_of_is_written_as_the_row(store):
    writer, read = store
    final, other = call_of(user="u"), make_row()
    await writer.write([final, other])
    await writer.write([final])
    assert await read(final[0].call_id) == [row_of(*final)]
    assert await read(other.call_id) == [other]


async def test_replays_in_any_order_change_nothing(store):
    writer, read = store
    rows = [make_row(user=str(number)) for number in range(30)]
    await writer.write(rows[:20])
    await writer.write(rows[10:])
    await writer.write(random.sample(rows, len(rows)))
    await writer.write([rows[0], rows[0]])
    for row in rows:
        assert await read(row.call_id) == [row]


async def test_a_row_only_advances(store):
    writer, read = store
    final = make_row(outcome="ok", user="u", cost_nano=5)
    estimate = msgspec.structs.replace(final, state=int(State.INTERRUPTED), outcome="interrupted", cost_nano=None)
    await writer.write([estimate])
    assert (await read(final.call_id))[0].outcome == "interrupted"
    await writer.write([final])
    assert await read(final.call_id) == [final]
    await writer.write([estimate])
    await writer.write([msgspec.structs.replace(final, outcome="changed")])
    assert await read(final.call_id) == [final]
    both = make_row(user="both")
    await writer.write([both, msgspec.structs.replace(both, state=int(State.INTERRUPTED)), final])
    assert await read(both.call_id) == [both]


async def test_attempts_of_a_call_are_rows_of_their_own(store):
    writer, read = store
    first = make_row(outcome="upstream_error", status=502)
    second = msgspec.structs.replace(first, attempt=2, outcome="ok", status=200)
    await writer.write([first, second])
    assert await read(first.call_id) == [first, second]


async def test_a_refused_batch_leaves_nothing_and_the_writer_goes_on(store):
    writer, read = store
    good, bad = make_row(), make_row(user="a\0b")
    with pytest.raises(RowsRefusedError):
        await writer.write([good, bad])
    assert await read(good.call_id) == []
    with pytest.raises(RowsRefusedError):
        await writer.write([bad])
    await writer.bury(bad, "a\0b is refused")
    await writer.write([good])
    assert await read(good.call_id) == [good]


async def test_a_batch_that_is_large_is_sent_in_pieces(fresh_database: str, connection, monkeypatch):
    monkeypatch.setattr("gateway.storage.postgres.calls.PIECE", 1000)
    writer = PostgresCallWriter(fresh_database)
    rows = [make_row() for _ in range(450)]
    await writer.write(rows[:10])
    await writer.write(rows)
    assert await connection.fetchval("select count(*) from calls") == 450
    with pytest.raises(RowsRefusedError):
        await writer.write([*(make_row() for _ in range(450)), make_row(user="\0")])
    assert await connection.fetchval("select count(*) from calls") == 450
    await writer.close()


# --- what Postgres refuses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"user": "\0"},
        {"tags": ["fine", "a\0"]},
        {"input_tokens": 2**63},
        {"version": 2**31},
        {"status": 2**15},
        {"application_id": "no uuid"},
        {"session": ["no", "text"]},
        {"request_id": None},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_what_cannot_be_stored_is_refused_and_buried_whole(fresh_database: str, connection, changes):
    writer = PostgresCallWriter(fresh_database)
    bad = make_row(**changes)
    with pytest.raises(RowsRefusedError):
        await writer.write([make_row(), bad])
    await writer.bury(bad, "refused")
    await writer.bury(bad, "refused")
    (letter,) = await connection.fetch("select call_id, attempt, record::text as record, error from calls_dead_letter")
    assert letter["call_id"] == bad.call_id
    assert letter["error"] == "refused"
    assert msgspec.json.decode(letter["record"]) == msgspec.to_builtins(
        dict(zip(bad.__struct_fields__, msgspec.structs.astuple(bad))) | {"tags": list(bad.tags)}
    )
    assert await connection.fetchval("select count(*) from calls") == 0
    await writer.close()


async def test_keys_have_the_day_of_their_last_call(fresh_database: str, connection):
    key, other = new_id(), new_id()
    await connection.execute(
        "insert into applications (id, slug, name, description, created_at, updated_at) values ($1, 'a', 'a', '', now(), now())",
        APP,
    )
    for made in (key, other):
        await connection.execute(
            "insert into api_keys (id, application_id, public_id, digest, created_at)"
            " values ($1::uuid, $2, $1::uuid::text, sha256($1::uuid::text::bytea), now())",
            made,
            APP,
        )
    writer = PostgresCallWriter(fresh_database)

    async def days() -> dict[str, str | None]:
        return {str(r["id"]): r["day"] for r in await connection.fetch("select id, last_used_on::text as day from api_keys")}

    noon = 1_760_011_200_000  # 2025-10-09, 12:00 UTC
    await writer.write([make_row(new_id(noon + hour * 3_600_000), key_id=key) for hour in (0, 11, 12, 2)])
    assert await days() == {key: "2025-10-10", other: None}
    await writer.write([make_row(new_id(noon), key_id=key), make_row(new_id(noon), key_id=other), make_row()])
    assert await days() == {key: "2025-10-10", other: "2025-10-09"}, "it never goes back"
    await connection.execute("update api_keys set last_used_on = null")
    await writer.write([make_row(new_id(noon), key_id=key)])
    assert await days() == {key: None, other: None}, "the same day is told once"
    row = make_row("ffffffff-ffff-7fff-bfff-ffffffffffff", key_id=key)
    await writer.write([row])
    assert await connection.fetchval("select count(*) from calls where call_id = $1", row.call_id) == 1, "no day: no matter"
    await writer.close()


async def test_stored_keys_of_provider_accounts_have_the_day_of_their_last_attempt(fresh_database: str, connection):
    used, spare = new_id(), new_id()
    for name, made in (("used", used), ("spare", spare)):
        await connection.execute(
            "insert into provider_credentials"
            " (id, provider, name, hint, key_id, wrapped_key, ciphertext, created_by, created_at, updated_at)"
            " values ($1, 'openai', $2, '', 'k', '', '', 'me', now(), now())",
            made,
            name,
        )
    writer = PostgresCallWriter(fresh_database)
    noon = 1_760_011_200_000  # 2025-10-09, 12:00 UTC
    gone = new_id()
    await writer.write([make_row(new_id(noon), credential_id=used), make_row(new_id(noon), credential_id=gone), make_row()])
    await writer.write([make_row(new_id(noon - 86_400_000), credential_id=used)])
    found = await connection.fetch("select id, last_used_on::text as day from provider_credentials")
    assert {str(row["id"]): row["day"] for row in found} == {used: "2025-10-09", spare: None}
    stored = await connection.fetch("select credential_id from calls where credential_id is not null")
    assert sorted(str(row["credential_id"]) for row in stored) == sorted([used, used, gone])
    await writer.close()


async def test_poison_is_found_in_a_large_batch_and_the_rest_lands(tmp_path: Path, fresh_database: str, connection):
    worker = await WorkerLedger.open(tmp_path, 0, PostgresCallWriter(fresh_database), limits=LIMITS)
    poisoned = set()
    for number in range(1000):
        intent, ending = call_of(0, "x\0" if number % 300 == 7 else f"user-{number}")
        worker.ledger.append(intent, ending)
        if "\0" in (intent.user or ""):
            poisoned.add(intent.call_id)
    await worker.drain(30)
    assert await connection.fetchval("select count(*) from calls") == 996
    assert {letter["call_id"] for letter in await connection.fetch("select call_id from calls_dead_letter")} == poisoned
    assert worker.counters().dead_letters == 4
    assert list(tmp_path.iterdir()) == []


# --- when things break ------------------------------------------------------------------------------------------------


async def test_calls_go_on_while_postgres_is_stopped_and_land_when_it_is_back(
    tmp_path: Path, server_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shippers, "BACKOFF_S", (0.05, 0.2))
    server = new_postgres(server_folder / "stopped")
    url = server.start()
    try:
        await migrate(url)
        worker = await WorkerLedger.open(tmp_path, 0, PostgresCallWriter(url), limits=LIMITS)

        def serve(count: int) -> None:
            for _ in range(count):
                intent, ending = call_of()
                worker.ledger.intend(intent)
                worker.ledger.append(intent, ending)

        serve(500)
        await until(lambda: worker.counters().rows_shipped == 500)
        server.stop()
        serve(700)
        failures = worker.counters().failures
        await until(lambda: worker.counters().failures >= failures + 3)
        assert worker.counters().spool_bytes > 0
        assert worker.counters().lag_s > 0
        assert worker.counters().last_error
        serve(300)
        server.start()
        await until(lambda: worker.counters().rows_shipped == 1500)
        assert (worker.counters().spool_bytes, worker.counters().lag_s) == (0, 0)
        await worker.drain(10)
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("select count(*) from calls") == 1500
        await connection.close()
    finally:
        server.stop()


CHILD = """
import asyncio, sys
from pathlib import Path
from gateway.core.ids import uuid7
from gateway.core.ledger import UNBILLED, Ending, Intent
from gateway.storage.ledger.spool import SpoolLimits
from gateway.storage.ledger.worker import WorkerLedger
from gateway.storage.postgres.calls import PostgresCallWriter

APP = "01900000-0000-7000-8000-00000000000a"

async def main(root, url, start_ms):
    worker = await WorkerLedger.open(Path(root), 0, PostgresCallWriter(url), limits=SpoolLimits(32 << 20, 1 << 20))
    number = 0
    while True:
        for number in range(number + 1, number + 51):
            call = uuid7(int(start_ms) + number // 1000, number)
            intent = Intent(call, 1, APP, APP, call, "chat", False, None, "echo", "m", None, None, (), None, number)
            worker.ledger.intend(intent)
            print("i", call, flush=True)
            counts = (number, *[0] * 12, None, 0)
            ending = Ending("ok", 200, "stop", "upstream", 5, None, None, 1, None, None, [], counts, UNBILLED)
            worker.ledger.append(intent, ending)
            print("f", call, flush=True)
        await asyncio.sleep(0.001)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_kill_9_in_the_middle_of_shipping_loses_and_doubles_nothing(tmp_path: Path, fresh_database: str, connection):
    finished, intended = set(), set()
    for life in range(3):
        arguments = [sys.executable, "-c", CHILD, str(tmp_path), fresh_database, str(now_ms())]
        child = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        lines: list[str] = []
        while len(lines) < 6000 + 3000 * life:
            lines.append(await asyncio.to_thread(child.stdout.readline))
            assert lines[-1], "the child ended by itself"
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
        child.stdout.close()
        child.wait()
        for line in lines:
            kind, _, call = line.partition(" ")
            if line.endswith("\n"):
                (intended if kind == "i" else finished).add(call.strip())
    shipped_alive = await connection.fetchval("select count(*) from calls")
    worker = await WorkerLedger.open(tmp_path, 1, PostgresCallWriter(fresh_database), limits=LIMITS)
    await until(lambda: len(list(tmp_path.glob("spool-*"))) == 1)
    await worker.drain(30)
    rows = {str(row["call_id"]): row["outcome"] for row in await connection.fetch("select call_id, outcome from calls")}
    assert shipped_alive > 0
    assert {call for call, outcome in rows.items() if outcome == "ok"} >= finished
    assert set(rows) >= intended
    # In each life at most one record was written whose acknowledgement did not get out.
    assert len(rows) <= len(intended) + 3
    assert list(tmp_path.iterdir()) == []


class Relay:
    """A TCP door to Postgres' Unix socket that resets the next connection after so many bytes in one direction."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.socket = parse_qs(parts.query)["host"][0] + "/.s.PGSQL.5432"
        self.database = parts.path
        self.after: int | None = None
        self.of_answers = False
        self.resets = 0
        self.tasks: set[asyncio.Task] = set()

    async def __aenter__(self) -> Self:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        self.url = f"postgresql://postgres@127.0.0.1:{port}{self.database}?sslmode=disable"
        return self

    async def __aexit__(self, *_) -> None:
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        limit, self.after = self.after, None
        upstream_reader, upstream_writer = await asyncio.open_unix_connection(self.socket)

        def reset() -> None:
            self.resets += 1
            client = writer.get_extra_info("socket")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            upstream_writer.transport.abort()

        async def pump(source, target, limit: int | None) -> None:
            sent = 0
            try:
                while data := await source.read(65536):
                    if limit is not None and sent + len(data) >= limit:
                        target.write(data[: limit - sent])
                        await target.drain()
                        # What was sent must get there before the reset.
                        await asyncio.sleep(0.001)
                        reset()
                        return
                    sent += len(data)
                    target.write(data)
                    await target.drain()
            except OSError:
                pass
            finally:
                target.close()

        answers = self.of_answers
        for task in (
            asyncio.create_task(pump(reader, upstream_writer, None if answers else limit)),
            asyncio.create_task(pump(upstream_reader, writer, limit if answers else None)),
        ):
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)


@pytest.mark.parametrize("of_answers", [False, True], ids=["towards", "answers"])
async def test_a_connection_reset_after_any_number_of_bytes_loses_and_doubles_nothing(
    fresh_database: str, connection, of_answers: bool
):
    await add_partitions(connection, now_ms())
    rows: list[LedgerRow] = []
    committed_but_unsaid = 0
    async with Relay(fresh_database) as relay:
        relay.of_answers = of_answers
        # The end of an answer to COPY is 18 bytes; a step below that cannot miss it.
        for after in range(0, 4097, 16):
            batch = [make_row(user=f"{after}") for _ in range(3)]
            rows += batch
            relay.after = after
            writer = PostgresCallWriter(relay.url)
            failures = 0
            while True:
                try:
                    await writer.write(batch)
                    break
                except RowsRefusedError:
                    raise
                except Exception:
                    failures += 1
                    assert failures < 10
                    there = await connection.fetchval(
                        "select count(*) from calls where call_id = any($1)", [r.call_id for r in batch]
                    )
                    assert there in (0, 3)
                    committed_but_unsaid += there == 3
            await writer.close()
        assert relay.resets > 30
    stored = {str(row["call_id"]) for row in await connection.fetch("select call_id from calls")}
    assert stored == {row.call_id for row in rows}
    assert await connection.fetchval("select count(*) from calls") == len(rows)
    if of_answers:
        assert committed_but_unsaid > 0, "the sweep never hit the moment between COMMIT and its answer"


async def test_a_locked_ledger_is_waited_for_not_given_up(tmp_path: Path, fresh_database: str, connection, monkeypatch):
    monkeypatch.setattr("gateway.storage.postgres.calls.LOCK_TIMEOUT_S", 1)
    monkeypatch.setattr(shippers, "BACKOFF_S", (0.05, 0.1))
    worker = await WorkerLedger.open(tmp_path, 0, PostgresCallWriter(fresh_database), limits=LIMITS)
    await until(lambda: worker.counters().batches == 0)
    async with connection.transaction():
        await connection.execute("lock table calls in access exclusive mode")
        worker.ledger.append(*call_of(0))
        await until(lambda: "LockNotAvailable" in (worker.counters().last_error or ""))
    await until(lambda: worker.counters().rows_shipped == 1)
    await worker.drain(10)
    assert await connection.fetchval("select count(*) from calls") == 1


# --- partitions -------------------------------------------------------------------------------------------------------


async def partitions_of(connection) -> list[str]:
    rows = await connection.fetch(
        "select inhrelid::regclass::text as name from pg_inherits where inhparent = 'calls'::regclass"
    )
    return sorted(row["name"] for row in rows)


async def test_partitions_are_made_once_by_however_many_workers(fresh_database: str, connection):
    writers = [await asyncpg.connect(fresh_database) for _ in range(4)]
    made = await asyncio.gather(*(add_partitions(writer, 1_790_000_000_000, 3) for writer in writers))
    assert sorted(name for names in made for name in names) == [
        "calls_20260921",
        "calls_20260922",
        "calls_20260923",
        "calls_20260924",
    ]
    assert await partitions_of(connection) == [
        "calls_20260921",
        "calls_20260922",
        "calls_20260923",
        "calls_20260924",
        "calls_default",
    ]
    assert await add_partitions(connection, 1_790_000_000_000, 3) == []
    assert await add_partitions(connection, 1_790_000_000_000 + DAY_MS, 3) == ["calls_20260925"]
    for writer in writers:
        await writer.close()


async def test_days_past_their_retention_are_dropped_by_any_worker(fresh_database: str, connection):
    now = 1_790_000_000_000  # 2026-09-21
    await add_partitions(connection, now - 3 * DAY_MS, 4)
    keeper, dropper = PostgresCallWriter(fresh_database), PostgresCallWriter(fresh_database, retention_days=1)
    days = [make_row(new_id(now + day * DAY_MS)) for day in (-400, -3, -2, -1, 0)]
    await keeper.write(days)
    await keeper.prepare(now)
    assert await connection.fetchval("select count(*) from calls") == 5
    await asyncio.gather(dropper.prepare(now), keeper.prepare(now))
    kept = [str(row["call_id"]) for row in await connection.fetch("select call_id from calls order by call_id")]
    assert kept == [row.call_id for row in days[-2:]]
    assert await drop_partitions(connection, now, 1) == []
    assert (await partitions_of(connection))[0] == "calls_20260920"
    await keeper.close()
    await dropper.close()


async def test_a_reader_who_stays_long_does_not_let_the_drop_hold_up_writers(fresh_database: str, connection):
    now = 1_790_000_000_000
    await add_partitions(connection, now - 3 * DAY_MS, 4)
    reader = await asyncpg.connect(fresh_database)
    async with reader.transaction():
        await reader.fetch("select 1 from calls limit 1")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await drop_partitions(connection, now, 1)
    assert await drop_partitions(connection, now, 1) == ["calls_20260918", "calls_20260919"]
    await reader.close()


async def test_rows_of_days_without_a_partition_are_kept_and_move_into_theirs(
    fresh_database: str, connection, reader: CallReader
):
    writer = PostgresCallWriter(fresh_database)
    today, tomorrow = make_row(new_id(1_790_000_000_000)), make_row(new_id(1_790_000_000_000 + DAY_MS))
    await writer.write([today, tomorrow])
    assert await connection.fetchval("select count(*) from only calls_default") == 2
    await add_partitions(connection, 1_790_000_000_000, 0)
    assert await connection.fetchval("select count(*) from only calls_default") == 1
    assert await connection.fetchval("select count(*) from only calls_20260921") == 1
    # A replay finds the row where it is now.
    await writer.write([today, tomorrow])
    assert await reader.get(today.call_id) == [today]
    assert await reader.get(tomorrow.call_id) == [tomorrow]
    await writer.close()


async def test_partitions_are_made_while_rows_pour_in(fresh_database: str, connection):
    writer, stop = PostgresCallWriter(fresh_database), asyncio.Event()
    written: list[LedgerRow] = []
    retries = 0

    async def pour() -> None:
        nonlocal retries
        while not stop.is_set():
            batch = [make_row(new_id(1_790_000_000_000 + random.randrange(8) * DAY_MS)) for _ in range(20)]
            while True:
                try:
                    await writer.write(batch)
                    break
                except RowsRefusedError:
                    raise
                except asyncpg.PostgresError:
                    retries += 1
            written.extend(batch)

    pouring = asyncio.create_task(pour())
    try:
        await until(lambda: len(written) > 200)
        await add_partitions(connection, 1_790_000_000_000)
        seen = len(written)
        await until(lambda: len(written) > seen + 200)
    finally:
        # A first try that was too slow must leave no connection to the tests after it.
        stop.set()
        await pouring
        await writer.close()
    assert await connection.fetchval("select count(*) from calls") == len(written)
    assert await connection.fetchval("select count(*) from only calls_default") == 0


def test_a_day_is_the_range_of_its_call_ids():
    day = datetime(2026, 2, 28, tzinfo=UTC)
    name, low, high = day_partition(day)
    assert name == "calls_20260228"
    assert uuid7_ms(high) - uuid7_ms(low) == DAY_MS
    first_ms = int(day.timestamp() * 1000)
    assert low <= uuid7(first_ms, 0) < uuid7(first_ms + DAY_MS - 1, 2**76 - 1) < high <= uuid7(first_ms + DAY_MS, 0)
    assert day_partition(day + timedelta(days=1))[0] == "calls_20260301"


# --- the reader -------------------------------------------------------------------------------------------------------


async def test_pages_are_complete_ordered_and_filtered(fresh_database: str, reader: CallReader):
    writer = PostgresCallWriter(fresh_database)
    base = 1_790_000_000_000
    rows = [
        make_row(
            new_id(base + number * DAY_MS // 40),
            attempt=number % 3,
            application_id=APP if number % 4 else OTHER_APP,
            prompt=["faq-bot", "greeter", None][number % 3],
            outcome="ok" if number % 5 else "blocked",
        )
        for number in range(120)
    ]
    rows += [msgspec.structs.replace(row, attempt=row.attempt + 1) for row in rows[:30]]
    await writer.prepare(base)
    await writer.write(rows)
    newest_first = sorted(rows, key=lambda row: (row.call_id, row.attempt), reverse=True)
    middle = base + DAY_MS
    for wanted, keep in [
        (CallFilter(), lambda row: True),
        (CallFilter(application_id=APP), lambda row: row.application_id == APP),
        (CallFilter(application_id=APP, prompt="faq-bot"), lambda row: row.application_id == APP and row.prompt == "faq-bot"),
        (CallFilter(prompt="greeter"), lambda row: row.prompt == "greeter"),
        (CallFilter(outcome="blocked"), lambda row: row.outcome == "blocked"),
        (
            CallFilter(application_id=APP, prompt="faq-bot", outcome="ok"),
            lambda row: (row.application_id, row.prompt, row.outcome) == (APP, "faq-bot", "ok"),
        ),
        (CallFilter(since_ms=middle), lambda row: uuid7_ms(row.call_id) >= middle),
        (CallFilter(until_ms=middle), lambda row: uuid7_ms(row.call_id) < middle),
        (
            CallFilter(application_id=OTHER_APP, since_ms=base + 1, until_ms=middle),
            lambda row: row.application_id == OTHER_APP and base < uuid7_ms(row.call_id) < middle,
        ),
        (CallFilter(application_id=new_id()), lambda row: False),
    ]:
        expected = [row for row in newest_first if keep(row)]
        found: list[LedgerRow] = []
        while part := await reader.list(wanted, 7):
            found += part
            wanted = msgspec.structs.replace(wanted, before=(part[-1].call_id, part[-1].attempt))
        assert found == expected
    with pytest.raises(GatewayError) as raised:
        await reader.list(CallFilter(application_id="no id"), 5)
    assert raised.value.kind.name == "malformed"
    await writer.close()


async def test_pages_read_only_the_partitions_and_indexes_they_need(fresh_database: str, connection):
    writer = PostgresCallWriter(fresh_database)
    base = 1_790_000_000_000 // DAY_MS * DAY_MS
    await writer.prepare(base)
    applications = [new_id() for _ in range(20)]
    for day in range(4):
        await writer.write(
            [
                make_row(
                    new_id(base + day * DAY_MS + number * 1000),
                    application_id=applications[number % 20],
                    prompt=f"prompt-{number % 37}",
                )
                for number in range(3000)
            ]
        )
    await writer.close()
    await connection.execute("analyze calls")

    async def plan(wanted: CallFilter) -> str:
        statement, arguments = page(wanted, 50)
        return "\n".join(record[0] for record in await connection.fetch(f"explain {statement}", *arguments))

    one_day: dict[str, Any] = {"since_ms": base + DAY_MS, "until_ms": base + 2 * DAY_MS - 1}
    second_day = f"calls_{datetime.fromtimestamp(base / 1000 + 86_400, UTC):%Y%m%d}"
    for wanted, index in [
        (CallFilter(**one_day), f"{second_day}_pkey"),
        (CallFilter(application_id=applications[3], **one_day), f"{second_day}_application_id_call_id_idx"),
        (
            CallFilter(application_id=applications[3], prompt="prompt-5", **one_day),
            f"{second_day}_application_id_prompt_call_id_idx",
        ),
    ]:
        text = await plan(wanted)
        assert index in text, text
        assert "Seq Scan" not in text, text
        assert {
            word
            for word in text.replace("(", " ").split()
            if word.startswith("calls_2") and "idx" not in word and "pkey" not in word
        } <= {second_day}, text
        assert "calls_default" not in text, text
    # Without a time range every partition is asked, each by its index.
    assert "Seq Scan on calls_2" not in await plan(CallFilter(application_id=applications[3]))
    one_call = "\n".join(
        record[0] for record in await connection.fetch("explain select * from calls where call_id = $1", new_id(base + DAY_MS))
    )
    assert f"{second_day}_pkey" in one_call, one_call
    assert one_call.count("Scan") == 1, one_call
