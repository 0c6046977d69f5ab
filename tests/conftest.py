"""Real servers for every test that asks: one Postgres and one Redis per test process, fresh, stopped for sure.

Each pytest-xdist worker has its own pair, so flushing Redis or dropping a database never disturbs a neighbour.
``TEST_POSTGRES_BIN`` (a folder with ``initdb`` and ``postgres``) and ``TEST_REDIS_SERVER`` (a ``redis-server`` or
``valkey-server``) have the suite run on other versions than the embedded ones; see ``make test-on``.
"""

import asyncio
import gc
import importlib
import os
import pkgutil
import shutil
import tempfile
import tomllib
import uuid
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import coverage
import pytest
import redis
from hypothesis import settings

import admin_cli
import gateway
from gateway.embedded.postgres import Postgres
from gateway.embedded.redis import Redis
from gateway.storage.postgres.migrate import migrate
from tests.redis_cluster import RedisCluster

Result = TypeVar("Result")

IN_WORKER = "PYTEST_XDIST_WORKER" in os.environ
"""Of pytest-xdist, as in the whole suite."""


def leave_programs_unmeasured() -> None:
    """Have coverage leave alone the programs that tests start: they take twice as long with it, and the floors hold without."""
    if IN_WORKER:
        os.environ.pop("COVERAGE_PROCESS_CONFIG", None)


leave_programs_unmeasured()
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")  # how long an example takes is the machine's affair

PATIENCE = 60
"""Seconds within which something that takes no time must have happened, on a machine whose cores are busy or stolen."""
REAL_TIME = (
    "adversarial",
    "e2e",
    "integration",
    "contract",
    "unit/loadtests",
    "unit/server",
    "unit/embedded",
    "unit/transport",
)
"""Where real processes, sockets and clocks are: a stalled machine can fail such a test though the product is right."""


MANY_TIMES = (
    "tests/adversarial/",
    "tests/corpus/",
    "tests/fuzz/",
    "tests/property/",
    "tests/unit/admin_cli/test_promptfile.py::test_what_is_written_is_read_back_the_same",
    "tests/unit/guards/sql/test_guard.py::test_hostile_statements_are_read_to_their_end",
)
"""Where the same lines run with thousands of inputs: measuring their coverage there takes most of the time and tells nothing new."""


@contextmanager
def unmeasured() -> Iterator[None]:
    """Coverage rests. Only in a worker: it warns of a measurement that begins twice in the process it was started in."""
    measured = coverage.Coverage.current() if IN_WORKER else None
    if measured is None:
        yield
        return
    measured.stop()
    try:
        yield
    finally:
        measured.start()
        leave_programs_unmeasured()  # which starting undid


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Import what is measured; then coverage rests while tests are collected, which takes more than twice as long with it."""
    if IN_WORKER and coverage.Coverage.current() is not None:
        for package in (gateway, admin_cli):
            for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
                importlib.import_module(module.name)
    with unmeasured():
        found = yield
    # What was collected stays to the end: half a million objects that the garbage collector need not look at again and again.
    gc.collect()
    gc.freeze()
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Coverage rests during tests of :data:`MANY_TIMES`."""
    if not item.nodeid.startswith(MANY_TIMES):
        return (yield)
    with unmeasured():
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Repeat a failed test of :data:`REAL_TIME`, at most twice; the closing line counts every repetition."""
    root = Path(__file__).parent
    for item in items:
        if item.path.relative_to(root).as_posix().startswith(REAL_TIME):
            item.add_marker(pytest.mark.flaky(reruns=2))


def new_postgres(folder: Path, **options: str) -> Postgres:
    """A server to start, of the version under test. Its data is thrown away, so nothing waits for a disk."""
    programs = os.environ.get("TEST_POSTGRES_BIN")
    options = {"fsync": "off", "full_page_writes": "off", **options}
    return Postgres(folder, options, Path(programs) if programs else None)


def new_redis(folder: Path) -> Redis:
    """A server to start, of the version under test."""
    program = os.environ.get("TEST_REDIS_SERVER")
    return Redis(folder, Path(program) if program else None)


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A short path (Unix sockets allow 107 bytes), outside pytest's own closed folders, so that ``nobody`` can reach it."""
    folder = Path(tempfile.mkdtemp(prefix="pg-test-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url(server_folder: Path) -> Iterator[str]:
    """The URL of a fresh Postgres (superuser, database ``postgres``)."""
    server = new_postgres(server_folder / "postgres", max_connections="200")
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="session")
def redis_url(server_folder: Path) -> Iterator[str]:
    """The URL of a fresh Redis."""
    server = new_redis(server_folder / "redis")
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="session")
def cluster(server_folder: Path) -> Iterator[RedisCluster]:
    """A fresh Redis Cluster. A test that kills or moves something makes its own."""
    servers = RedisCluster(server_folder / "cluster")
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()


@pytest.fixture
def clean_cluster(cluster: RedisCluster) -> str:
    """The URL of the session's cluster, emptied before the test."""
    for port in cluster.nodes:
        cluster.tell(port, "FLUSHALL")
    return cluster.url


@pytest.fixture(scope="session")
def example_folder(server_folder: Path) -> Path:
    """A folder into which the example of a plug-in is installed, as ``pip install --target`` would: package and metadata."""
    source = Path(__file__).parents[1] / "docs" / "examples" / "promptgate-guard-shouting"
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    folder = server_folder / "plugins"
    shutil.copytree(source / "src", folder)
    metadata = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in project["entry-points"].items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(groups))
    return folder


@pytest.fixture
def installed_example(example_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, where this process finds it."""
    monkeypatch.syspath_prepend(str(example_folder))
    return example_folder


def run_sql(url: str, sql: str) -> None:
    """One statement on its own connection."""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    in_own_loop(run)


def in_own_loop(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run ``work`` to its end whether or not a loop runs here already."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(work())).result()


async def until(found: Callable[[], object]) -> None:
    """Wait for ``found`` to be true; fails after :data:`PATIENCE`."""
    async with asyncio.timeout(PATIENCE):
        while not found():
            await asyncio.sleep(0.005)


@contextmanager
def new_database(server: str, template: str = "template1") -> Iterator[str]:
    """The URL of a new database, dropped afterwards whoever is still connected."""
    name = f"test_{uuid.uuid4().hex}"
    run_sql(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    yield server.replace("@/postgres?", f"@/{name}?")
    run_sql(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def migrated_template(postgres_url: str) -> str:
    """The name of a database with the current schema, to copy from: a copy takes a tenth of the migrations' time."""
    name = "migrated_template"
    run_sql(postgres_url, f"CREATE DATABASE {name}")
    in_own_loop(lambda: migrate(postgres_url.replace("@/postgres?", f"@/{name}?")))
    return name


@pytest.fixture
def empty_database(postgres_url: str) -> Iterator[str]:
    """The URL of a new database without any table, for one test."""
    with new_database(postgres_url) as url:
        yield url


@pytest.fixture
def fresh_database(postgres_url: str, migrated_template: str) -> Iterator[str]:
    """The URL of a new database with the current schema, for one test."""
    with new_database(postgres_url, migrated_template) as url:
        yield url


@pytest.fixture(scope="module")
def module_database(postgres_url: str, migrated_template: str) -> Iterator[str]:
    """The same for all tests of a module."""
    with new_database(postgres_url, migrated_template) as url:
        yield url


@pytest.fixture
def clean_redis(redis_url: str) -> Iterator[str]:
    """The URL of the session's Redis, emptied before and after the test."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        yield redis_url
        client.flushall()
