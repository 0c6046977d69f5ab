"""The composition root: Settings -> Services -> the application. The only file that knows everybody."""

import asyncio
import contextlib
import logging
import os
import random
import secrets
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.types import ASGIApp

from gateway.accounts import endpoints_of, peppers_of, providers_of, survey, takers_of, tracing_of
from gateway.control import openapi, problems
from gateway.control.routes import control_router, with_encoded_slashes
from gateway.control.services import ControlServices
from gateway.control.status import probes
from gateway.control.workbench import RegistryWorkbench
from gateway.core.documents import SCHEMA_VERSION
from gateway.core.errors import STORE_UNAVAILABLE, GatewayError
from gateway.core.events import Usage
from gateway.core.ids import RANDOM_BITS, uuid7
from gateway.core.ledger import Intent
from gateway.core.stored import Keeping
from gateway.core.trace import Sampler
from gateway.core.upstream import Target
from gateway.edge.ops import Readiness, ops_handlers
from gateway.edge.schema import data_plane_paths
from gateway.limits.tokens import Measure, count, measure
from gateway.pipeline.accounts import Accounts
from gateway.pipeline.charging import Charging
from gateway.pipeline.key_news import KeyNews
from gateway.pipeline.limits import Limits
from gateway.pipeline.memory import Memory
from gateway.pipeline.news import Follower
from gateway.pipeline.outages import OutageNews
from gateway.pipeline.permits import Permits
from gateway.pipeline.receive import Receiver
from gateway.pipeline.releases import CATALOG_PAUSE, Releases, Snapshot, decode_snapshot, encode_snapshot
from gateway.pipeline.seeding import Seeding
from gateway.pipeline.services import Observer, Services
from gateway.pricing.table import PriceTable, load_prices, price, price_of_input
from gateway.routing.compile import compile_routes, compile_rules
from gateway.routing.models import load_models
from gateway.routing.table import RouteTable
from gateway.running import Running
from gateway.settings import Settings, is_configured
from gateway.storage import snapshot
from gateway.storage.ledger.spool import SpoolLimits
from gateway.storage.ledger.worker import WorkerLedger
from gateway.storage.postgres.calls import CallReader, PostgresCallWriter
from gateway.storage.postgres.catalog import PostgresCatalog
from gateway.storage.postgres.objects import PostgresObjects
from gateway.storage.postgres.pool import Pool, connected, open_pool
from gateway.storage.postgres.prices import Prices
from gateway.storage.postgres.registry import Registry
from gateway.storage.postgres.responses import PostgresResponses
from gateway.storage.postgres.revisions import pending
from gateway.storage.postgres.spending import PostgresSpending
from gateway.storage.postgres.sums import Sums
from gateway.storage.postgres.writing import LIVE_S
from gateway.storage.redis.answers import RedisAnswers
from gateway.storage.redis.cache import RedisCache
from gateway.storage.redis.leases import RedisLeases
from gateway.storage.redis.limits import RedisLimits
from gateway.storage.redis.link import Link
from gateway.storage.redis.news import News
from gateway.storage.redis.outages import INSTALLATION_KEYS, OWN_KEYS, OWN_OUTAGES, RedisOutages
from gateway.storage.redis.seal import name_of_key
from gateway.storage.vault import Vault, keys_of
from gateway.telemetry.metrics import Table, exposition

if TYPE_CHECKING:
    pass

FIRST_LOOKS = 3
"""Tries of a starting worker to ask the registry: one slow connection on a busy host is no reason to start without it."""
LIVE_POLLS = 3
"""Polls that a worker may miss before nobody waits for it any more."""
LEDGER_LAG_ALARM_SECONDS = 30.0
"""Healthy lag is below 2 s (promise N10); half a minute means Postgres is away."""
SWEEP_SECONDS = 600.0
"""Between two looks for kept responses past their end: often enough to stay small, and nobody waits for it."""
PROBE_TIMEOUT_SECONDS = 0.5
"""A person waits for the answer, so it may take longer than a call's few milliseconds."""

_log = logging.getLogger("gateway.app")


class ThreadedTokenCounter:
    """``TokenCounter``: tiktoken in one thread, which it leaves free for Python while it counts."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="tokens")

    async def count(self, model: str, texts: list[str]) -> list[int]:
        """Tokens of each text."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: [count(model, text) for text in texts])

    async def measure(self, model: str, texts: list[str]) -> list[Measure]:
        """See the port."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: [measure(model, text) for text in texts])


async def build(settings: Settings, slot: int, table: Table, observer: Observer, is_stopping: Callable[[], bool]) -> Running:
    """Make a worker's parts. Neither Redis nor Postgres need be there; a snapshot on disk then serves."""
    secret = settings.security.secret.encode()
    pool = await open_pool(settings.database.url, min_size=0, max_size=settings.database.pool_size)
    link = Link(settings.redis.url, time.monotonic, settings.redis.timeout_ms / 1000)
    cache, catalog = RedisCache(link, secret), PostgresCatalog(pool)
    answers_link = Link(settings.redis.url, time.monotonic, settings.redis.timeout_ms / 1000)
    answers = RedisAnswers(answers_link, secret)
    limits_link = Link(settings.redis.url, time.monotonic, settings.limits.timeout_ms / 1000)
    counters = RedisLimits(limits_link, time.monotonic)
    for each in (link, answers_link, limits_link):
        await each.open()
    spending, worker_id = PostgresSpending(pool), _new_id()
    seeding = Seeding(counters, spending, worker_id, time.monotonic, patience_s=settings.limits.rebuild_ms / 1000)
    limits = Limits(counters, seeding, time.monotonic, _now_ms, settings.limits.reservation_seconds)
    charging = Charging(counters, spending)
    memory = Memory(
        answers,
        max_bytes=settings.recall.max_answer_bytes,
        keep_seconds=settings.recall.idempotency_hours * 3600.0,
        sleep=asyncio.sleep,
    )
    prices = load_prices((Path(settings.config_folder) / "prices.toml").read_bytes())
    routes = RouteTable(compile_routes(settings), compile_rules(settings.resilience), lambda t: _price_of_target(prices, t))
    vault = Vault(keys_of(settings.security.credentials_key), secrets.token_bytes)
    providers, transports = providers_of(settings, _new_id)
    accounts = Accounts(settings, routes, vault.open, takers_of(providers))
    releases = Releases(catalog, cache, time.monotonic, accounts=accounts)
    shelf = Path(settings.storage.directory) / "snapshot"
    _restore(releases, shelf, secret)
    models = load_models(_optional(Path(settings.config_folder) / "models.toml"))
    writer = PostgresCallWriter(settings.database.url, settings.ledger.retention_days)
    ledger = await WorkerLedger.open(
        Path(settings.ledger.directory),
        slot,
        writer,
        limits=SpoolLimits(
            segment_bytes=settings.ledger.segment_bytes,
            max_bytes=settings.ledger.max_bytes,
            reserve_bytes=settings.ledger.reserve_bytes if settings.ledger.when_full == "account-only" else 0,
            fsync=settings.ledger.fsync,
        ),
        price=lambda intent: _price_of_input(prices, intent),
        recovered=charging.recovered,
    )
    sums = Sums(settings.database.url, _now_ms, settings.ledger.retention_days)
    kept = PostgresResponses(pool)
    registry = Registry(pool, _new_id, lambda: datetime.now(UTC), max(LIVE_S, LIVE_POLLS * settings.registry.poll_ms / 1000))
    control = _control(settings, pool, registry, prices, cache, seeding, link, ledger, vault, accounts, table)
    tracing = tracing_of(settings, observer, slot)
    services = Services(
        releases=releases,
        permits=Permits(RedisLeases(link, time.monotonic), time.monotonic, settings.limits.requests_per_minute),
        limits=limits,
        routes=routes,
        providers=providers,
        prices=prices,
        ledger=ledger.ledger,
        observer=observer if tracing is None else tracing,
        tokens=ThreadedTokenCounter(),
        clock=time.monotonic,
        default_model=settings.default_model,
        synced=ledger.synced if ledger.waits_for_disk else None,
        max_answer_bytes=settings.upstream.max_answer_bytes,
        server_timing=settings.telemetry.server_timing,
        memory=memory,
        workbench=RegistryWorkbench(control, settings.security.admin_token),
        objects=PostgresObjects(pool),
        keeping=Keeping(
            kept,
            settings.responses.retention_days,
            settings.responses.max_bytes,
            settings.responses.max_turns,
            settings.responses.max_history_bytes,
        ),
        models=models,
        endpoints=endpoints_of(settings, transports),
        peppers=peppers_of(settings),
    )

    async def report(generation: int) -> None:
        await registry.report_worker(worker_id, host=socket.gethostname(), pid=os.getpid(), slot=slot, generation=generation)

    async def repair(generation: int) -> None:
        await cache.repair(catalog, generation)

    async def stop() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(GatewayError):
            await registry.forget_worker(worker_id)
        for transport in transports:
            await transport.close()
        await charging.close()
        await limits.close()
        await limits_link.close()
        await answers_link.close()
        await link.close()
        await pool.close()

    async def readiness() -> tuple[bool, Readiness]:
        return await _readiness(services, ledger, link, is_stopping)

    def rejected() -> int:
        return cache.rejected + answers.rejected

    litestar = _litestar(settings, control, ops_handlers(readiness, lambda: exposition(table)))
    random_bits = random.Random(secrets.token_bytes(32)).getrandbits  # noqa: S311 - ids must be unique, not secret
    receiver = Receiver(
        time.monotonic,
        _now_ms,
        random_bits,
        settings.server.request_timeout_ms / 1000,
        None if tracing is None else Sampler(settings.traces.sample_ratio, random_bits),
    )
    # Last, because what was made above held the loop up: a question on its way would have timed out for no fault of a store.
    follower = Follower(releases, report, repair, settings.registry.poll_ms / 1000)
    tasks = [
        asyncio.ensure_future(follower.run()),
        asyncio.ensure_future(News(settings.redis.url, secret).subscribe(follower.hear)),
        asyncio.ensure_future(
            OutageNews(accounts, RedisOutages(link, secret), RedisOutages(link, secret, OWN_OUTAGES), time.monotonic).run()
        ),
        asyncio.ensure_future(
            KeyNews(
                accounts,
                RedisOutages(link, secret, INSTALLATION_KEYS),
                RedisOutages(link, secret, OWN_KEYS),
                lambda key: name_of_key(secret, key),
                time.monotonic,
            ).run()
        ),
        asyncio.ensure_future(limits.run()),
        asyncio.ensure_future(sums.run()),
        asyncio.ensure_future(_sweep(kept)),
        asyncio.ensure_future(_keep_snapshot(releases, shelf, secret, settings.registry.snapshot_seconds)),
    ]
    await _first_look(releases)
    return Running(settings, services, receiver, litestar, ledger, transports, rejected, charging, sums, stop, tracing)


def _price_of_input(prices: PriceTable, intent: Intent) -> tuple[int, str] | None:
    """What an interrupted call has cost at least: its estimated input. (nano-dollars, price version)."""
    if intent.provider is None or intent.model is None:
        return None
    cost = price_of_input(prices, intent.provider, intent.model, intent.estimated_input_tokens)
    return None if cost is None else (cost, prices.version)


def _price_of_target(prices: PriceTable, target: Target) -> int | None:
    """What a typical call costs at a target, for comparison: three tokens in for each one out."""
    return price(prices, target.provider, target.model, Usage(750_000, 250_000), estimated=True)[0]


def _optional(file: Path) -> bytes:
    """A file's content; an absent one is empty."""
    return file.read_bytes() if file.is_file() else b""


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _new_id() -> str:
    return uuid7(_now_ms(), secrets.randbits(RANDOM_BITS))


def _restore(releases: Releases, shelf: Path, secret: bytes) -> None:
    kept = _kept(shelf, secret)
    if kept is not None:
        releases.restore(kept)


def _kept(shelf: Path, secret: bytes) -> Snapshot | None:
    payload = snapshot.read(shelf, secret)
    if payload is None:
        return None
    try:
        kept = decode_snapshot(payload)
    except msgspec.DecodeError:
        return None
    return kept if kept.schema_version == SCHEMA_VERSION else None


async def _keep_snapshot(releases: Releases, shelf: Path, secret: bytes, seconds: float) -> None:
    """Write the last-known-good snapshot of all workers whenever what it holds has changed, and when this one ends."""
    ending = False
    while not ending:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            ending = True
        kept = await asyncio.to_thread(_kept, shelf, secret)
        if releases.degraded or (kept is not None and kept.generation > releases.generation):
            continue
        new = releases.snapshot(kept)
        payload = await asyncio.to_thread(encode_snapshot, new)
        if kept is not None and payload == encode_snapshot(kept):
            continue
        try:
            await asyncio.to_thread(snapshot.write, shelf, secret, payload)
        except OSError as error:
            _log.warning("the snapshot cannot be written", extra={"error": error, "path": shelf})


async def _sweep(kept: PostgresResponses) -> None:
    """Remove kept responses that are past their end; they have not been served since then."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        with contextlib.suppress(GatewayError):
            while await kept.sweep(now_ms=time.time_ns() // 1_000_000):
                pass


async def _first_look(releases: Releases) -> None:
    """Learn the generation before serving, if the registry can be asked.

    A worker that serves before it has asked would refuse calls while its predecessor could still answer them, so it is patient.
    """
    for left in reversed(range(FIRST_LOOKS)):
        try:
            await releases.catch_up()
        except GatewayError as error:
            if left and error.kind is STORE_UNAVAILABLE:
                await asyncio.sleep(CATALOG_PAUSE)
                continue
            _log.warning("starting without the registry", extra={"cause": error.cause or error.detail})
        return


async def _readiness(
    services: Services, ledger: WorkerLedger, link: Link, is_stopping: Callable[[], bool]
) -> tuple[bool, Readiness]:
    """Serving needs the registry or something last-known-good; everything else is a degraded mode."""
    releases = services.releases
    counters = ledger.counters()
    checks = {
        "postgres": "unreachable: serving last-known-good" if releases.degraded else "ok",
        "redis": "ok" if await link.version(PROBE_TIMEOUT_SECONDS) else "unreachable: limits are kept per worker",
        "ledger": "spool full: rows keep only what money is counted by"
        if counters.accounts_only
        else "spool over 80 % full"
        if counters.spool_alarm
        else "ok",
    }
    degraded = [name for name, found in checks.items() if found != "ok"]
    able = not releases.degraded or releases.has_something
    status = "stopping" if is_stopping() else "not_ready" if not able else "degraded" if degraded else "ready"
    details = Readiness(status, releases.generation, ledger.durability, checks, degraded)
    return able and not is_stopping(), details


def _control(  # noqa: PLR0913, PLR0917 - the composition root knows everybody
    settings: Settings,
    pool: Pool,
    registry: Registry,
    prices: PriceTable,
    cache: RedisCache,
    counters: Seeding,
    link: Link,
    ledger: WorkerLedger,
    vault: Vault,
    accounts: Accounts,
    table: Table,
) -> ControlServices:
    async def postgres_version() -> str:
        async with connected(pool) as connection:
            return await connection.fetchval("SHOW server_version")

    async def redis_version() -> str:
        found = await link.version(PROBE_TIMEOUT_SECONDS)
        if found is None:
            raise probes.UnwellError(link.last_failure or "no answer")
        return found

    async def waiting() -> tuple[int, float]:
        counters = ledger.counters()
        return counters.spool_bytes, counters.lag_s

    return ControlServices(
        registry=registry,
        calls=CallReader(pool),
        prices=prices,
        money=Prices(pool, _new_id, lambda: datetime.now(UTC)),
        cache=cache,
        counters=counters,
        probes=(
            probes.postgres(postgres_version),
            probes.migrations(lambda: pending(settings.database.url)),
            probes.redis(redis_version),
            probes.keys(registry.keys_by_pepper, peppers_of(settings)),
            probes.ledger(waiting, LEDGER_LAG_ALARM_SECONDS),
            probes.providers(
                lambda: [n for n, provider in settings.providers.items() if is_configured(provider) or n in accounts.stored()],
                lambda: accounts.locked,
            ),
            probes.disk(Path(settings.storage.directory)),
        ),
        random_bytes=secrets.token_bytes,
        clock=lambda: datetime.now(UTC),
        monotonic=time.monotonic,
        guard_endpoints=frozenset(settings.guard_endpoints),
        peppers=peppers_of(settings),
        vault=vault,
        providers=settings.providers,
        targets=survey(settings, accounts, table, time.monotonic),
    )


def _litestar(settings: Settings, control: ControlServices, ops: list[HTTPRouteHandler]) -> ASGIApp:
    app = Litestar(
        route_handlers=[control_router(control, settings.security.admin_token), *ops],
        openapi_config=OpenAPIConfig(
            title="Promptgate", version=version("promptgate"), path="/api/v1/docs", components=openapi.COMPONENTS
        ),
        plugins=[openapi.ContentSchema()],
        exception_handlers=problems.HANDLERS,
        logging_config=None,
        debug=False,
    )
    paths = app.openapi_schema.paths
    assert paths is not None
    paths.update(data_plane_paths())
    return with_encoded_slashes(app)
