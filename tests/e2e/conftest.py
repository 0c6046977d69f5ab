"""The real program: ``python -m gateway serve`` on a fresh database and a Redis of its own, seeded like ``make up`` does."""

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest

from admin_cli.seed import seed
from gateway.embedded.redis import Redis
from tests.conftest import in_own_loop, new_database, new_redis

ROOT = Path(__file__).parents[2]
ADMIN_TOKEN = "e2e-admin-token"
READY_SECONDS = 90
"""Two cores, a whole suite on them: starting may take long, and failing here for that would say nothing."""
FOREIGN = (
    "PROMPTGATE_",
    "OPENAI_",
    "ANTHROPIC_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def plain_environment() -> dict[str, str]:
    """Ours, without anything that configures a gateway or a client."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}


@dataclass
class GatewayProcess:
    """One running program; ``start`` again after ``stop`` or ``kill`` keeps port, database, spool and secrets."""

    folder: Path
    database_url: str
    redis_url: str
    workers: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    admin_token: str = ADMIN_TOKEN
    api_key: str = ""
    """The demo application's key, once seeded."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_path(self) -> Path:
        """Standard output and standard error."""
        return self.folder / "gateway.log"

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def pid(self) -> int:
        """The supervisor's."""
        assert self.process is not None
        return self.process.pid

    @property
    def worker_pids(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.pid).children()]

    @property
    def environ(self) -> dict[str, str]:
        """What the program is started with."""
        return {
            **plain_environment(),
            "PROMPTGATE_PORT": str(self.port),
            "PROMPTGATE_WORKERS": str(self.workers),
            "PROMPTGATE_DATABASE_URL": self.database_url,
            "PROMPTGATE_REDIS_URL": self.redis_url,
            "PROMPTGATE_STORAGE_DIRECTORY": str(self.folder),
            "PROMPTGATE_SECURITY_ADMIN_TOKEN": self.admin_token,
            # Five milliseconds are the default; where tests fill every core a process waits longer than that for its turn.
            "PROMPTGATE_REDIS_TIMEOUT_MS": "500",
            **self.settings,
        }

    @property
    def env(self) -> dict[str, str]:
        """What ``.promptgate/env`` gives to clients, on top of a plain environment."""
        return {
            **plain_environment(),
            "OPENAI_BASE_URL": f"{self.url}/v1",
            "OPENAI_API_KEY": self.api_key,
            "PROMPTGATE_DEMO_PROMPT": "faq-bot",
            "PROMPTGATE_ADMIN_TOKEN": self.admin_token,
            "PROMPTGATE_URL": self.url,
        }

    def client(self, **options: object) -> httpx.Client:
        """With the demo key; ``options`` as for ``httpx.Client``."""
        headers = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        return httpx.Client(**{"base_url": self.url, "headers": headers, "trust_env": False, "timeout": 60, **options})

    def admin(self, **options: object) -> httpx.Client:
        """With the admin token."""
        return self.client(headers={"authorization": f"Bearer {self.admin_token}"}, **options)

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve"],
                env=self.environ, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.wait_ready()

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        end = time.monotonic() + seconds
        last: object = None
        with self.client(timeout=5) as client:
            while time.monotonic() < end:
                assert self.process is not None
                assert self.process.poll() is None, f"the gateway ended with {self.process.returncode}:\n{self.log}"
                try:
                    answer = client.get("/readyz")
                    if answer.status_code == 200:
                        return
                    last = answer.text
                except (httpx.ConnectError, httpx.ReadError, httpx.TimeoutException, httpx.RemoteProtocolError) as e:
                    last = repr(e)
                time.sleep(0.05)
        pytest.fail(f"not ready after {seconds} s, last seen: {last}; log:\n{self.log}")

    def seed(self) -> None:
        """The demo application with its key and prompts."""
        self.api_key = seed(self.url, self.admin_token, ROOT / "config" / "prompts", None).api_key

    def stop(self, seconds: float = 60) -> int:
        """SIGTERM; the exit status. Fails if the program does not end."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"the gateway did not end {seconds} s after SIGTERM; log:\n{self.log}")

    def kill(self) -> None:
        """SIGKILL to supervisor and workers at once: the power switch."""
        assert self.process is not None
        if self.process.poll() is None:
            children = psutil.Process(self.pid).children(recursive=True)
            self.process.kill()
            for child in children:
                try:
                    child.kill()
                except psutil.NoSuchProcess:
                    continue
            psutil.wait_procs(children, timeout=10)
        self.process.wait(10)

    def kill_worker(self) -> int:
        """SIGKILL to one worker; its process id. The supervisor replaces it."""
        victim = self.worker_pids[0]
        os.kill(victim, signal.SIGKILL)
        return victim

    def rows(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """What a query on the gateway's database gives."""

        async def run() -> list[asyncpg.Record]:
            connection = await asyncpg.connect(self.database_url)
            try:
                return await connection.fetch(sql, *arguments)
            finally:
                await connection.close()

        return in_own_loop(run)


@pytest.fixture(scope="module")
def start_gateway(postgres_url: str, migrated_template: str, server_folder: Path) -> Iterator[Callable[..., GatewayProcess]]:
    """``start_gateway(workers=1, upstream=None, seed=True, **settings)``: a started program, ended with the module.

    ``upstream`` is the base URL (``http://127.0.0.1:9000/v1``) of an OpenAI-compatible fake; without it ``echo`` answers.
    ``settings`` are environment variables, for what the defaults do not say. Each call has its own database and Redis.
    """
    made: list[tuple[GatewayProcess, Redis]] = []

    def start(*, workers: int = 1, upstream: str | None = None, seed: bool = True, **settings: str) -> GatewayProcess:
        folder = server_folder / f"e2e_{uuid.uuid4().hex[:8]}"
        redis = new_redis(folder / "redis")
        url = databases.enter_context(new_database(postgres_url, migrated_template))
        if upstream is not None:
            settings = {
                "PROMPTGATE_PROVIDERS_OPENAI_BASE_URL": upstream,
                "PROMPTGATE_PROVIDERS_OPENAI_API_KEY": "sk-upstream",
                **settings,
            }
        gateway = GatewayProcess(folder, url, redis.start(), workers, settings)
        made.append((gateway, redis))
        gateway.start()
        if seed:
            gateway.seed()
        return gateway

    with ExitStack() as databases:
        yield start
        for gateway, redis in made:
            if gateway.process is not None and gateway.process.poll() is None:
                gateway.stop()
            redis.stop()


@pytest.fixture(scope="module")
def gateway_process(start_gateway: Callable[..., GatewayProcess]) -> GatewayProcess:
    """One worker, the echo provider, the demo in it."""
    return start_gateway()
