"""How long an application waits for its limits after Redis has lost them: with the ledger summed up in advance, and without.

    PYTHONPATH=. python tests/bench/bench_rebuild.py --calls 5000000 --days 2

An embedded Postgres gets that many calls a day of one application (40,000 users, two models), made in SQL; two limits of a month ask for
them. Prints what summing up takes, and what the rebuild takes. Takes some minutes, and about 400 bytes of disk for each call.
"""

import argparse
import asyncio
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from gateway.core.ids import RANDOM_BITS, uuid7
from gateway.core.limits import Ask, LimitRule
from gateway.embedded.postgres import Postgres
from gateway.limits.spans import HOUR_MS
from gateway.limits.windows import DAY_MS
from gateway.pipeline.seeding import Seeding
from gateway.storage.memory.limits import MemoryLimits
from gateway.storage.postgres.migrate import migrate
from gateway.storage.postgres.partitions import add_partitions
from gateway.storage.postgres.pool import open_pool
from gateway.storage.postgres.registry import Registry
from gateway.storage.postgres.spending import PostgresSpending
from gateway.storage.postgres.sums import AT_ONCE, Sums

FIRST_DAY = 20_614 * DAY_MS
"""In the middle of a month."""
CALLS = """
    insert into calls (call_id, attempt, state, application_id, request_id, door, stream, outcome, status, latency_us, attempts, "user", tags,
        input_tokens, output_tokens, cost_nano, route)
    select (substr(hex, 1, 8) || '-' || substr(hex, 9, 4) || '-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
        1, 2, $1, 'req_' || n, 'chat', false, 'ok', 200, 900000, 1, 'user-' || n * 7919 % 40000, '{}', 100, 50, 100000,
        case n % 2 when 0 then 'fast' else 'slow' end
    from (select n, lpad(to_hex($2::bigint + n * $3::bigint / $4::bigint), 12, '0') as hex from generate_series(0, $4::bigint - 1) n) as given
"""


async def measure(url: str, calls: int, days: int) -> None:
    await migrate(url)
    pool = await open_pool(url)
    made = iter(range(1 << 30))
    registry = Registry(pool, lambda: uuid7(FIRST_DAY, next(made) % (1 << RANDOM_BITS)), lambda: datetime.now(UTC))
    app = (await registry.create_application("shop", actor="bench")).value.id
    rules = [
        LimitRule(id="", name="budget", scope="application", metric="cost_nano", amount=10**15, window="month"),
        LimitRule(id="", name="users", scope="user", metric="tokens", amount=10**9, window="month"),
    ]
    asks: list[Ask] = []
    for rule in rules:
        written = await registry.put_limit("shop", rule, actor="bench")
        asks.append(Ask(f"{written.value.id}:{'' if rule.scope == 'application' else 'user-7'}", "month", rule.amount, 0))
    connection = await asyncpg.connect(url)
    await add_partitions(connection, FIRST_DAY, days + 1)
    for day in range(days):
        began = time.perf_counter()
        await connection.execute(CALLS, app, FIRST_DAY + day * DAY_MS, DAY_MS, calls, timeout=3600)
        print(f"day {day + 1}: {calls:,} calls made in {time.perf_counter() - began:.0f} s", flush=True)
    await connection.execute("vacuum analyze calls", timeout=3600)
    await connection.close()
    # The last day is not over: an hour and 19 minutes of it are in no sum yet, the most there can be.
    now_ms = FIRST_DAY + days * DAY_MS - HOUR_MS + HOUR_MS // 3 - 60_000
    await rebuild(pool, app, asks, now_ms, "without sums")
    sums = Sums(url, lambda: now_ms)
    began = time.perf_counter()
    while await sums.round() == AT_ONCE:
        pass
    spent = time.perf_counter() - began
    print(f"{sums.made} hours and days summed up in {spent:.1f} s, {spent / sums.made * 1000:.0f} ms each", flush=True)
    await rebuild(pool, app, asks, now_ms, "with sums")
    await pool.close()


async def rebuild(pool: asyncpg.Pool, app: str, asks: list[Ask], now_ms: int, name: str) -> None:
    """Three times: the first may read from disk."""
    for _ in range(3):
        store = MemoryLimits(time.monotonic, lambda: now_ms)
        store.forget()
        seeding = Seeding(store, PostgresSpending(pool), "bench", time.monotonic, patience_s=3600)
        began = time.perf_counter()
        states = await seeding.look(app, asks)
        spent = time.perf_counter() - began
        found = "not possible: a question took longer than it may" if states is None else [state.used for state in states]
        print(f"{name}: {spent:.2f} s, {found}", flush=True)
        await seeding.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=5_000_000, help="a day")
    parser.add_argument("--days", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Postgres(Path(folder) / "postgres", {"fsync": "off", "full_page_writes": "off"})
        try:
            asyncio.run(measure(server.start(), given.calls, given.days))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
