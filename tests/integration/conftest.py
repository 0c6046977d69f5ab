"""A running admin API on a real Postgres, its workers, and what it is sent in these tests."""

import asyncio
import itertools
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn
from click.testing import CliRunner, Result
from litestar import Litestar

from admin_cli.main import main
from gateway.control.openapi import ContentSchema
from gateway.control.problems import HANDLERS
from gateway.control.routes import PATH, control_router, with_encoded_slashes
from gateway.control.services import ControlServices
from gateway.control.status.probes import Probe
from gateway.core.documents import Change, KeyDocument, ReleaseDocument
from gateway.core.ids import uuid7
from gateway.core.ledger import LedgerRow, State
from gateway.core.references import Reference
from gateway.pricing.table import load_prices
from gateway.storage.postgres.calls import CallReader
from gateway.storage.postgres.catalog import PostgresCatalog
from gateway.storage.postgres.pool import open_pool
from gateway.storage.postgres.prices import Prices
from gateway.storage.postgres.registry import Registry
from tests.integration.installed import SETTINGS, TARGETS, VAULT, counters

TOKEN = "an-admin-token"
PRICES = load_prices((Path(__file__).parents[2] / "config" / "prices.toml").read_bytes())
_COUNT = itertools.count()


def new_id() -> str:
    return uuid7(time.time_ns() // 1_000_000, secrets.randbits(76))


class Workers:
    """A cache port that keeps what was announced, and a fleet of two workers that obey it or do not."""

    def __init__(self) -> None:
        self.announced: list[Change] = []
        self.registry: Registry | None = None
        self.obedient = True

    async def get_release(self, application_id: str, reference: Reference) -> ReleaseDocument | None:
        return None

    async def put_release(self, document: ReleaseDocument) -> None:
        return None

    async def get_keys(self, digests: Sequence[str]) -> dict[str, KeyDocument]:
        return {}

    async def put_key(self, digest: str, document: KeyDocument) -> None:
        return None

    async def announce(self, changes: list[Change]) -> None:
        self.announced += changes
        await self.report(changes[-1].generation)

    async def report(self, generation: int) -> None:
        assert self.registry is not None
        await self.registry.report_worker("worker-1", host="h", pid=1, slot=0, generation=generation)
        applied = generation if self.obedient else generation - 1
        await self.registry.report_worker("worker-2", host="h", pid=2, slot=1, generation=applied)


class Control:
    """A running admin API."""

    def __init__(self, url: str, app: Litestar, workers: Workers, database: str) -> None:
        self.url = url
        self.app = app
        self.workers = workers
        self.database = database
        self.http = httpx.Client(
            base_url=f"{url}{PATH}", headers={"authorization": f"Bearer {TOKEN}"}, timeout=20, trust_env=False
        )

    def ask(self, method: str, path: str, body: Any = None, status: int | None = None, **query: Any) -> Any:
        content = None if body is None else msgspec.json.encode(body)
        answer = self.http.request(method, path, content=content, params=query or None)
        assert status is None or answer.status_code == status, answer.text
        return answer.json()

    def refused(self, method: str, path: str, body: Any) -> tuple[int, str, str | None, str]:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        answer = self.http.request(method, path, content=content)
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "code", "param"}
        return answer.status_code, error["code"], error["param"], error["message"]

    def cli(self, *args: str, app: str | None = None, code: int = 0, **env: str) -> Result:
        settings = {"PROMPTGATE_URL": self.url, "PROMPTGATE_ADMIN_TOKEN": TOKEN, "PROMPTGATE_APP": app or "", **env}
        result = CliRunner().invoke(main, args, env=settings)
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def json(self, *args: str, app: str, code: int = 0) -> Any:
        return msgspec.json.decode(self.cli(*args, "--json", app=app, code=code).stdout)


@pytest.fixture(scope="module")
def control(module_database: str) -> Iterator[Control]:
    workers = Workers()
    ready = threading.Event()
    running: dict[str, Any] = {}

    async def serve() -> None:
        pool = await open_pool(module_database, 1, 4)
        try:
            registry = workers.registry = Registry(pool, new_id, lambda: datetime.now(UTC))

            async def generation() -> str:
                return str(await PostgresCatalog(pool).generation())

            services = ControlServices(
                registry=registry,
                calls=CallReader(pool),
                prices=PRICES,
                money=Prices(pool, new_id, lambda: datetime.now(UTC)),
                cache=workers,
                counters=counters(),
                probes=(Probe("generation", generation, "none"),),
                random_bytes=secrets.token_bytes,
                clock=lambda: datetime.now(UTC),
                monotonic=time.monotonic,
                vault=VAULT,
                providers=SETTINGS.providers,
                targets=TARGETS,
            )
            app = Litestar(
                [control_router(services, TOKEN)], exception_handlers=HANDLERS, plugins=[ContentSchema()], logging_config=None
            )
            server = uvicorn.Server(
                uvicorn.Config(with_encoded_slashes(app), port=0, log_level="warning", lifespan="off", ws="none")
            )
            serving = asyncio.create_task(server.serve())
            while not server.started:
                await asyncio.sleep(0.01)
            running.update(app=app, server=server, port=server.servers[0].sockets[0].getsockname()[1])
            ready.set()
            await serving
        finally:
            await pool.close()
            ready.set()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(20)
    assert thread.is_alive(), "the server did not start"
    control = Control(f"http://127.0.0.1:{running['port']}", running["app"], workers, module_database)
    yield control
    control.http.close()
    running["server"].should_exit = True
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def app(control: Control) -> str:
    """A fresh application's slug."""
    slug = f"app{next(_COUNT)}"
    control.ask("POST", "/applications", {"slug": slug}, 201)
    control.workers.obedient = True
    return slug


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"type": "message", "role": "system", "content": words}], **more}


@pytest.fixture
def prompt(control: Control, app: str) -> str:
    """The slug of a prompt with versions 1 and 2, the first of them in production."""
    slug = "team/greet"
    control.ask("POST", "/prompts", {"slug": slug, "content": text("one")}, 201, application=app)
    control.ask("POST", "/prompts/team~greet/versions", {"content": text("two")}, 201, application=app)
    control.ask("POST", "/prompts/team~greet/versions/1/publish", {}, 200, application=app)
    return slug


def row(application_id: str, prompt: str, outcome: str) -> LedgerRow:
    values: dict[str, Any] = dict.fromkeys(LedgerRow.__struct_fields__)
    values.update(
        call_id=new_id(), attempt=1, state=State.FINAL, application_id=application_id, request_id="r", door="chat", prompt=prompt,
        version=1, stream=False, provider="echo", model="echo", outcome=outcome, status=200, input_tokens=3, output_tokens=4,
        cost_nano=5, latency_us=1500, attempts=1, tags=("t",),
    )  # fmt: skip
    return LedgerRow(**values)


NASTY = [
    None, True, -1, 0, 10**30, 1.5, "", " ", "\0", "a\0b", "\ud800", "x" * 300, "../..", "a//b", "%2F", "😀", "'; drop table prompts; --",
    [], [[]], {}, {"": None}, {"a": {"a": {}}}, [None], ["\0"],
]  # fmt: skip


def escaped_json(value: Any) -> bytes:
    """JSON with escapes, so that even a lone surrogate travels."""
    import json

    return json.dumps(value).encode()
