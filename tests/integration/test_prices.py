"""Prices against a real ledger: what had none, new prices for old calls, and the way back."""

import random
import secrets
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest
from litestar import Litestar

from gateway.control.openapi import ContentSchema
from gateway.control.prices.schemas import Unpriced
from gateway.control.problems import HANDLERS
from gateway.control.routes import control_router
from gateway.control.services import ControlServices
from gateway.core.errors import GatewayError
from gateway.core.ids import uuid7
from gateway.core.ledger import LedgerRow, State
from gateway.pipeline.seeding import Seeding
from gateway.pricing.table import PriceTable, load_prices
from gateway.storage.memory.cache import MemoryCache
from gateway.storage.memory.limits import MemoryLimits
from gateway.storage.memory.spending import MemorySpending
from gateway.storage.postgres import prices as stored
from gateway.storage.postgres.calls import CallReader, PostgresCallWriter
from gateway.storage.postgres.partitions import add_partitions
from gateway.storage.postgres.pool import Pool, open_pool
from gateway.storage.postgres.prices import Prices, Scope, Step
from gateway.storage.postgres.registry import Registry
from gateway.storage.sql.statements import load
from tests.integration.installed import SETTINGS, TARGETS, VAULT

NOW = 1_790_000_000_000
DAY = 86_400_000
ALL = Scope(NOW - 10 * DAY, NOW + 10 * DAY)
_SQL = load("prices.sql")


def table(version: str, rate: str = "2", **more: str) -> PriceTable:
    models = {"m": rate} | more
    return load_prices(
        (
            f'version = "{version}"\n'
            + "".join(
                f'[[price]]\nprovider = "p"\nmodels = ["{model}"]\ninput = "{price}"\noutput = "{price}"\n'
                for model, price in models.items()
            )
        ).encode()
    )


def row(at_ms: int = NOW, **changes: Any) -> LedgerRow:
    """A call of 1,000 tokens in and 500 out, priced at a dollar per million by the table ``old``."""
    values: dict[str, Any] = dict.fromkeys(LedgerRow.__struct_fields__)
    values |= {
        "call_id": uuid7(at_ms, random.getrandbits(76)),
        "attempt": 1,
        "state": int(State.FINAL),
        "request_id": "r",
        "door": "chat",
        "stream": False,
        "provider": "p",
        "model": "m",
        "outcome": "ok",
        "status": 200,
        "input_tokens": 1000,
        "output_tokens": 500,
        "usage_source": "upstream",
        "cost_nano": 1_500_000,
        "cost_status": "exact",
        "price_version": "old",
        "latency_us": 1,
        "attempts": 1,
        "tags": (),
    }
    return LedgerRow(**(values | changes))


@pytest.fixture
async def pool(fresh_database: str) -> AsyncIterator[Pool]:
    pool = await open_pool(fresh_database)
    async with pool.acquire() as connection:
        await add_partitions(connection, NOW - 2 * DAY, 4)
    yield pool
    await pool.close()


@pytest.fixture
def money(pool: Pool) -> Prices:
    return Prices(pool, lambda: uuid7(time.time_ns() // 1_000_000, random.getrandbits(76)), lambda: datetime.now(UTC))


@pytest.fixture
async def write(fresh_database: str, pool: Pool) -> AsyncIterator[Any]:
    writer = PostgresCallWriter(fresh_database)
    yield writer.write
    await writer.close()


async def rerate(money: Prices, prices: PriceTable, scope: Scope = ALL, *, dry_run: bool = False) -> list[Step]:
    """All steps of a run."""
    steps: list[Step] = []
    run, after = None, None
    while True:
        step = await money.rerate(prices, scope, "ann", run=run, after=after, dry_run=dry_run)
        steps.append(step)
        if step.next_cursor is None:
            return steps
        call_id, _, attempt = step.next_cursor.rpartition(".")
        run, after = step.run, (call_id, int(attempt))


async def bills(pool: Pool, *rows: LedgerRow) -> list[tuple[int | None, str | None, str | None]]:
    found = [(await CallReader(pool).get(row.call_id))[0] for row in rows]
    return [(row.cost_nano, row.cost_status, row.price_version) for row in found]


async def test_calls_get_new_prices_and_get_the_old_ones_back(pool: Pool, money: Prices, write: Any):
    plain = row()
    unpriced = row(NOW - DAY, cost_nano=None, cost_status="unpriced")
    estimated = row(usage_source="estimated", cost_status="estimated", output_tokens=None, cost_nano=1_000_000)
    nothing = row(
        usage_source=None, input_tokens=None, output_tokens=None, cost_nano=None, cost_status=None, price_version=None
    )
    stranger = row(model="gone", cost_nano=7)
    right = row(model="right", cost_nano=1_500_000)
    outside = row(NOW + 11 * DAY)
    rows = (plain, unpriced, estimated, nothing, stranger, right, outside)
    await write(rows)
    before = await bills(pool, *rows)
    new = table("new", right="1")

    (trial,) = await rerate(money, new, dry_run=True)
    assert (trial.run, trial.looked_at, trial.changed) == (None, 6, 3)
    assert await bills(pool, *rows) == before

    (done,) = await rerate(money, new)
    assert (done.looked_at, done.changed, done.models) == (6, 3, trial.models)
    (model,) = done.models
    assert (model.calls, model.newly_priced, model.before_nano, model.after_nano) == (3, 1, 2_500_000, 8_000_000)
    assert await bills(pool, *rows) == [
        (3_000_000, "exact", "new"),
        (3_000_000, "exact", "new"),
        (2_000_000, "estimated", "new"),
        (None, None, None),
        (7, "exact", "old"),
        (1_500_000, "exact", "old"),
        (1_500_000, "exact", "old"),
    ]

    (again,) = await rerate(money, new)
    assert (again.run, again.changed) == (None, 0)
    (run,) = await money.runs(10)
    assert (run.id, run.actor, run.price_version, run.calls, run.undone_at) == (done.run, "ann", "new", 3, None)

    assert done.run is not None
    undone = await money.undo(done.run, after=None)
    assert (undone.looked_at, undone.restored, undone.next_cursor) == (3, 3, None)
    assert await bills(pool, *rows) == before
    assert (await money.undo(done.run, after=None)).restored == 0
    assert (await money.runs(10))[0].undone_at is not None


async def test_every_kind_of_usage_is_priced_from_its_column(pool: Pool, money: Prices, write: Any):
    rich = load_prices(
        b'version = "rich"\n[[price]]\nprovider = "p"\nmodels = ["m"]\ninput = "1"\ncached_input = "2"\ncache_write = "3"\n'
        b'cache_write_1h = "4"\noutput = "5"\nreasoning = "6"\naudio_input = "7"\naudio_cached = "8"\naudio_output = "9"\n'
        b'image_input = "10"\nimage_output = "11"\nper_image = "0.1"\nper_request = "0.01"\nper_second = "0.2"\n'
        b'per_million_characters = "12"\nbatch = "0.5"\n'
        b'[[price]]\nprovider = "p"\nmodels = ["pictures"]\ninput = "0"\noutput = "0"\n'
        b'pictures = [{ size = "s", price = "0.1" }, { size = "l", price = "0.3" }]\n'
    )
    call = row(
        input_tokens=100,
        cached_tokens=20,
        cache_write_tokens=10,
        cache_write_1h_tokens=5,
        audio_input_tokens=25,
        audio_cached_tokens=5,
        image_input_tokens=15,
        output_tokens=60,
        reasoning_tokens=10,
        audio_output_tokens=20,
        image_output_tokens=10,
        images=2,
        request_units=3,
        service_tier="batch",
        audio_ms=1500,
        characters=1000,
    )
    drawn = row(model="pictures", input_tokens=0, output_tokens=0, images=2, picture="l hd", usage_source="upstream")
    await write([call, drawn])
    await rerate(money, rich)
    tokens = 30 * 1 + 15 * 2 + 5 * 8 + 10 * 3 + 5 * 4 + 20 * 7 + 15 * 10 + 20 * 5 + 10 * 6 + 20 * 9 + 10 * 11
    assert await bills(pool, call) == [((tokens * 1000 + 230_000_000 + 300_000_000 + 12_000_000) // 2, "exact", "rich")]
    assert await bills(pool, drawn) == [(600_000_000, "exact", "rich")]


async def test_a_long_run_goes_on_where_it_stopped(pool: Pool, money: Prices, write: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stored, "BATCH", 7)
    monkeypatch.setattr(stored, "BATCHES", 3)
    first = row(NOW - DAY)
    rows = [row(NOW + number) for number in range(40)] + [first, msgspec.structs.replace(first, attempt=2)]
    await write(rows)
    steps = await rerate(money, table("new"))
    assert [step.looked_at for step in steps] == [21, 21, 0]
    assert len({step.run for step in steps}) == 1
    assert sum([step.changed for step in steps]) == 42
    assert set(await bills(pool, *rows)) == {(3_000_000, "exact", "new")}
    assert [len(await CallReader(pool).get(row.call_id)) for row in rows[-2:]] == [2, 2]
    (run,) = await money.runs(10)
    after, restored = None, 0
    while True:
        undone = await money.undo(run.id, after=after)
        restored += undone.restored
        if undone.next_cursor is None:
            break
        call_id, _, attempt = undone.next_cursor.rpartition(".")
        after = (call_id, int(attempt))
    assert restored == 42
    assert set(await bills(pool, *rows)) == {(1_500_000, "exact", "old")}


async def test_only_the_model_that_was_named(pool: Pool, money: Prices, write: Any):
    one, other = row(), row(model="n")
    await write([one, other])
    (step,) = await rerate(money, table("new", n="3"), Scope(ALL.since_ms, ALL.until_ms, "n"))
    assert step.changed == 1
    assert await bills(pool, one, other) == [(1_500_000, "exact", "old"), (4_500_000, "exact", "new")]


async def test_undoing_an_older_run_leaves_what_a_newer_one_changed(pool: Pool, money: Prices, write: Any):
    both, once = row(), row(model="n")
    await write([both, once])
    (first,) = await rerate(money, table("second", n="2"))
    await rerate(money, table("third", "3"), Scope(ALL.since_ms, ALL.until_ms, "m"))
    assert first.run is not None
    assert (await money.undo(first.run, after=None)).restored == 1
    assert await bills(pool, both, once) == [(4_500_000, "exact", "third"), (1_500_000, "exact", "old")]


async def test_a_run_goes_on_only_as_it_began(pool: Pool, money: Prices, write: Any):
    await write([row()])
    (step,) = await rerate(money, table("new"))
    with pytest.raises(GatewayError, match="another price table"):
        await money.rerate(table("newer"), ALL, "ann", run=step.run, after=None, dry_run=False)
    with pytest.raises(GatewayError, match="another price table, time or model"):
        await money.rerate(table("new"), Scope(ALL.since_ms, NOW), "ann", run=step.run, after=None, dry_run=False)
    assert step.run is not None
    await money.undo(step.run, after=None)
    with pytest.raises(GatewayError, match="it was undone"):
        await money.rerate(table("new"), ALL, "ann", run=step.run, after=None, dry_run=False)
    nobody = uuid7(NOW, 1)
    with pytest.raises(GatewayError, match="there is no run"):
        await money.rerate(table("new"), ALL, "ann", run=nobody, after=None, dry_run=False)
    with pytest.raises(GatewayError, match="there is no run"):
        await money.undo(nobody, after=None)


async def test_a_final_row_that_comes_later_still_replaces_a_rerated_one(pool: Pool, money: Prices, write: Any):
    early = row(state=int(State.INTERRUPTED), usage_source="estimated", cost_status="estimated", outcome="interrupted")
    await write([early])
    await rerate(money, table("new"))
    await write([msgspec.structs.replace(early, state=int(State.FINAL), outcome="ok", cost_nano=42, cost_status="exact")])
    assert await bills(pool, early) == [(42, "exact", "old")]


async def test_unpriced_models_are_counted_in_their_time(money: Prices, write: Any):
    missing = {"cost_nano": None, "cost_status": "unpriced"}
    await write([row(model="a", **missing), row(NOW - DAY, model="b", **missing), row(NOW + 1, model="b", **missing), row()])
    found = await money.unpriced(NOW - 2 * DAY, NOW + DAY)
    assert [(model.provider, model.model, model.calls) for model in found] == [("p", "b", 2), ("p", "a", 1)]
    assert found[0].first < found[0].last
    assert [model.model for model in await money.unpriced(NOW, NOW + 1)] == ["a"]


async def test_what_had_no_price_is_told_by_what_was_billed(money: Prices, write: Any):
    missing = {"cost_nano": None, "cost_status": "unpriced", "input_tokens": 0, "output_tokens": 0}
    drawn = [row(model="dall", images=1, picture="l hd", **missing) for _ in range(3)]
    await write([
        *drawn, row(model="dall", images=1, **missing), row(model="dall", characters=5, images=0, **missing),
        row(model="dall", audio_ms=5, **missing), row(model="dall", **missing),
    ])  # fmt: skip
    found = await money.unpriced(NOW - DAY, NOW + DAY)
    assert [(model.billed, model.calls) for model in found] == [
        ("pictures l hd", 3), ("characters", 1), ("pictures - -", 1), ("seconds", 1), ("tokens", 1),
    ]  # fmt: skip
    by_size = load_prices(
        b'version = "v"\n[[price]]\nprovider = "p"\nmodels = ["dall"]\ninput = "1"\noutput = "1"\nper_second = "1"\n'
        b'pictures = [{ size = "s", quality = "low", price = "0.1" }]\n'
    )
    assert {model.billed for model in found if Unpriced.of(model, by_size).priced_now} == {"pictures - -", "seconds", "tokens"}
    assert not any(Unpriced.of(model, table("new")).priced_now for model in found)
    assert not any(Unpriced.of(model, None).priced_now for model in found)


# --- the plans --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def crowded(pool: Pool) -> AsyncIterator[asyncpg.Connection]:
    """Enough rows in every partition that a sequential scan would be the wrong plan."""
    async with pool.acquire() as connection:
        await connection.execute(
            """insert into calls (call_id, attempt, state, request_id, door, stream, outcome, status, latency_us, attempts, tags,
                                  provider, model, input_tokens, output_tokens, usage_source, cost_nano, cost_status)
               select ids.id, 1, 2, 'r', 'chat', false, 'ok', 200, 1, 1, '{}', 'p', 'm', 1, 1, 'upstream', 1,
                      case when n % 1000 = 0 then 'unpriced' else 'exact' end
               from generate_series(1, 30000) n, lateral (
                   select (lpad(to_hex($1::bigint + n * 7000), 12, '0') || '7000' || '8000' || lpad(to_hex(n), 12, '0'))::uuid as id
               ) ids""",
            NOW - DAY,
        )
        await connection.execute(
            "insert into rerates select call_id, now(), 'x', 'v', call_id, call_id from calls order by call_id limit 2"
        )
        await connection.execute(
            "insert into rerated_calls select (select id from rerates order by id limit 1), call_id, attempt from calls"
        )
        await connection.execute("analyze")
        yield connection


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_the_ledger_is_never_scanned(crowded: asyncpg.Connection, mode: str):
    await crowded.execute(f"set plan_cache_mode = {mode}")
    ids = [record["call_id"] for record in await crowded.fetch("select call_id from calls order by call_id limit 500")]
    run = await crowded.fetchval("select id from rerates order by id limit 1")
    low, high = uuid7(NOW - DAY, 0), uuid7(NOW + DAY, 0)
    statements: dict[str, tuple[Any, ...]] = {
        "unpriced": (low, high, 200),
        "page": (low, high, -1, 500),
        "change": (run, "v", ids[0], ids[-1], ids, [1] * 500, [1] * 500, ["exact"] * 500),
        "undo_page": (run, ids[0], -1, 500),
        "undo": (run, ids[0], ids[-1], ids, [1] * 500),
    }
    for name, arguments in statements.items():
        sql = _SQL[name].format(columns="call_id, attempt") + (" for update" if name == "page" else "")
        raw = await crowded.fetchval(f"explain (format json) {sql}", *arguments)
        plan = (msgspec.json.decode(raw) if isinstance(raw, str | bytes) else raw)[0]["Plan"]
        # The default partition is empty here, and one page; scanning it is right.
        scanned = [
            n["Relation Name"] for n in nodes(plan) if n["Node Type"] == "Seq Scan" and n["Relation Name"] != "calls_default"
        ]
        assert scanned == [], (name, scanned)


# --- the admin API ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def api(pool: Pool, money: Prices) -> AsyncIterator[httpx.AsyncClient]:
    services = ControlServices(
        registry=Registry(pool, lambda: "", lambda: datetime.now(UTC)),
        calls=CallReader(pool),
        prices=table("new"),
        money=money,
        cache=MemoryCache(),
        counters=Seeding(MemoryLimits(time.monotonic, lambda: NOW), MemorySpending(lambda: ()), "w", time.monotonic),
        probes=(),
        random_bytes=secrets.token_bytes,
        clock=lambda: datetime.fromtimestamp(NOW / 1000, UTC),
        monotonic=time.monotonic,
        vault=VAULT,
        providers=SETTINGS.providers,
        targets=TARGETS,
    )
    app = Litestar([control_router(services, "t")], exception_handlers=HANDLERS, plugins=[ContentSchema()], logging_config=None)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app),
        base_url="http://gateway/api/v1/prices",
        headers={"authorization": "Bearer t", "x-actor": "ann"},
    ) as client:
        yield client


SPAN = {"from": "2026-09-11T00:00:00Z", "to": "2026-10-11T00:00:00+00:00"}


async def test_the_api_prices_anew_and_takes_it_back(api: httpx.AsyncClient, pool: Pool, write: Any):
    call = row()
    await write([call])
    trial = (await api.post("/rerates", json={**SPAN, "dry_run": True})).json()
    assert (trial["run"], trial["changed"], trial["price_version"]) == (None, 1, "new")
    step = (await api.post("/rerates", json=SPAN)).json()
    assert (step["changed"], step["next_cursor"]) == (1, None)
    assert await bills(pool, call) == [(3_000_000, "exact", "new")]
    (run,) = (await api.get("/rerates")).json()["items"]
    assert (run["id"], run["actor"], run["calls"]) == (step["run"], "admin:ann", 1)
    undone = (await api.post(f"/rerates/{step['run']}/undo")).json()
    assert undone == {"run": step["run"], "looked_at": 1, "restored": 1, "next_cursor": None}
    assert await bills(pool, call) == [(1_500_000, "exact", "old")]


async def test_the_api_checks_what_is_served_and_what_is_sent(api: httpx.AsyncClient, write: Any):
    await write([row(NOW - DAY, model="secret", cost_nano=None, cost_status="unpriced")])
    assert (await api.get("")).json() == {
        "version": "new",
        "entries": [{"provider": "p", "models": ["m"], "source": None, "date": None}],
    }
    served = (await api.post("/check")).json()
    assert (served["version"], served["entries"], served["problems"], served["old"]) == ("new", 1, [], [])
    assert served["unsourced"] == [{"provider": "p", "models": ["m"], "source": None, "date": None}]
    (missing,) = served["unpriced"]
    assert (missing["provider"], missing["model"], missing["calls"], missing["priced_now"]) == ("p", "secret", 1, False)
    assert missing["first_at"] == missing["last_at"] == "2026-09-20T14:13:20Z"
    text = 'version = "next"\n[[price]]\nprovider = "p"\nmodels = ["sec*", "sec*"]\ninput = "1"\noutput = "1"\ndate = "2026-03-25"\n'
    sent = (await api.post("/check", json={"file": text, "days": 2, "older_than_days": 180})).json()
    assert sent["version"] == "next"
    assert "'sec*' is listed twice" in sent["problems"][0]
    assert sent["unpriced"][0]["priced_now"] is True
    assert [entry["date"] for entry in sent["old"]] == []
    assert len((await api.post("/check", json={"file": text, "older_than_days": 179})).json()["old"]) == 1
    assert (await api.post("/check", json={"days": 0})).json()["unpriced"] == []
    broken = (await api.post("/check", json={"file": "version"})).json()
    assert (broken["version"], broken["entries"]) == (None, 0)
    assert broken["problems"][0].startswith("price table: ")


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/rerates", {}, 400, "from"),
        ("/rerates", {**SPAN, "to": SPAN["from"]}, 400, "to"),
        ("/rerates", {**SPAN, "from": "yesterday"}, 400, "from"),
        ("/rerates", {**SPAN, "modle": "m"}, 400, "modle"),
        ("/rerates", {**SPAN, "run": "x"}, 400, "run"),
        ("/rerates", {**SPAN, "run": "01900000-0000-7000-8000-00000000000a"}, 404, "run"),
        ("/rerates", {**SPAN, "cursor": "x"}, 400, "cursor"),
        ("/rerates/x/undo", {}, 400, "run"),
        ("/rerates/01900000-0000-7000-8000-00000000000a/undo", {}, 404, "run"),
        ("/check", {"days": -1}, 400, "days"),
        ("/check", {"file": "x" * (1 << 20) + "x"}, 400, "file"),
    ],
)
async def test_refusals_name_their_field(api: httpx.AsyncClient, path: str, body: Any, status: int, param: str):
    answer = await api.post(path, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param), answer.text
