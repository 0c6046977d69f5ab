"""The gateway as a peer: one worker, everything on, a fresh installation of its own, and a prompt to serve.

On: key check, alias resolution, a 1 KB template with 5 variables and their contract, prohibited terms before and after, an alias
split among two variants with another user per call, per-minute limit (high), ledger rows in Postgres, metrics. Worker on the test
core; supervisor, Postgres and Redis on the load core, so that core 1 holds what nginx's and the forwarder's core holds: the process
that serves.
"""

import os
import secrets
import shlex
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from loadtests.machine import LOAD_CORE, TEST_CORE, Family, family, pin
from loadtests.peers import Counted, Upstream
from loadtests.tools import BUILD, Running, free_port, wait_for_port
from loadtests.work import CHAT_PATH, PROMPT, SDK_HEADERS, VARIANTS, Workload, gateway_body, prompt_content

_APPLICATION = "bench"
_PER_MINUTE = 100_000_000
"""Exercises the limiter and never refuses: a thousand times what one worker can serve."""
_START_SECONDS = 60.0
"""initdb, migrations and the first start, with room for a slow disk."""


class Gateway:
    """Our gateway, as ``python -m gateway up`` starts it."""

    label = "gateway"

    def __init__(self, upstream: Upstream) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.url = self.base + CHAT_PATH
        self.answers: Counter[str] = Counter()
        """By status, over all runs: the caller's book, to be laid beside the ledger."""
        self.run_id = secrets.token_hex(4)
        self._home = BUILD / "gateway"
        shutil.rmtree(self._home, ignore_errors=True)
        token = f"bench-{secrets.token_hex(16)}"
        keep = ("PATH", "HOME", "LANG", "TMPDIR", "PROMPTGATE_DATABASE_URL", "PROMPTGATE_REDIS_URL")
        environment = {name: os.environ[name] for name in keep if name in os.environ} | {
            "PROMPTGATE_PORT": str(self.port),
            "PROMPTGATE_WORKERS": "1",
            "PROMPTGATE_STORAGE_DIRECTORY": str(self._home),
            "PROMPTGATE_SECURITY_ADMIN_TOKEN": token,
            "PROMPTGATE_PROVIDERS_OPENAI_BASE_URL": f"{upstream.base}/v1",
            "PROMPTGATE_PROVIDERS_OPENAI_API_KEY": "bench",
        }
        self._upstream = upstream
        self._running = Running("gateway", [sys.executable, "-m", "gateway", "up"], core=LOAD_CORE, environment=environment)
        self._http = httpx.Client(base_url=self.base, headers={"authorization": f"Bearer {token}"}, timeout=30, trust_env=False)
        try:
            wait_for_port(self.port, self._running, _START_SECONDS)
            self._wait_ready()
            self.settle()
            self.key = self._seed()
        except BaseException:
            self.stop()
            raise

    def family(self) -> Family:
        return family(self._running.pid)

    def settle(self) -> None:
        """Put the processes where they belong: also after a worker was replaced."""
        now = self.family()
        pin(now.workers, TEST_CORE)
        pin((*now.others, *now.databases), LOAD_CORE)

    def body(self, work: Workload) -> bytes:
        return gateway_body(work, self.run_id)

    def headers(self) -> Mapping[str, str]:
        return {"authorization": f"Bearer {self.key}", **SDK_HEADERS}

    def count(self, result: Counted) -> None:
        self.answers.update(result.answers)

    def new_book(self) -> str:
        """Count from zero, under another prefix of users; the prefix."""
        self.run_id = secrets.token_hex(4)
        self.answers.clear()
        return self.run_id

    def metrics(self) -> str:
        return self._http.get("/metrics").raise_for_status().text

    def ask(self, work: Workload) -> httpx.Response:
        """One call, outside the books."""
        headers = {**self.headers(), "content-type": "application/json", "accept-encoding": "identity"}
        return self._http.post(work.path, content=gateway_body(work, "probe"), headers=headers)

    def publish(self, slug: str, content: dict[str, Any]) -> None:
        """One more prompt, served at once."""
        self._admin("/prompts", {"slug": slug, "content": content})
        self._admin(f"/prompts/{slug}/versions/1/publish", {"wait": True})

    def kill_worker(self) -> int:
        """``kill -9`` the worker that serves; its process id."""
        (worker, *_) = self.family().workers
        os.kill(worker, signal.SIGKILL)
        return worker

    def wait_for_new_worker(self, old: int, seconds: float = 30) -> float:
        """Until the supervisor has another worker and it answers; how long that took, in seconds."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            workers = self.family().workers
            if old not in workers and workers and self._is_ready():
                self.settle()
                return time.monotonic() - began
            time.sleep(0.05)
        raise RuntimeError(f"no new worker within {seconds:.0f} s of kill -9:\n{self._running.log_end()}")

    def database_url(self) -> str:
        """Where the rows are: the address that was given, or that of the embedded server."""
        return os.environ.get("PROMPTGATE_DATABASE_URL") or _exported(self._home / "services")["PROMPTGATE_DATABASE_URL"]

    def stop(self) -> None:
        self._http.close()
        self._running.stop()

    def _is_ready(self) -> bool:
        try:
            return self._http.get("/readyz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def _wait_ready(self) -> None:
        give_up = time.monotonic() + _START_SECONDS
        while not ((self._home / "env").exists() and self._is_ready()):  # the file is written last
            if time.monotonic() > give_up or self._running.popen.poll() is not None:
                raise RuntimeError(f"the gateway is not ready:\n{self._running.log_end()}")
            time.sleep(0.1)

    def _admin(self, path: str, body: dict[str, Any], method: str = "POST") -> dict[str, Any]:
        answer = self._http.request(method, f"/api/v1{path}", json=body, headers={"x-application": _APPLICATION})
        if answer.is_error:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def _seed(self) -> str:
        """An application with a key, and the prompt with ``production`` split among its versions; the key."""
        made = self._admin("/applications", {"slug": _APPLICATION, "requests_per_minute": _PER_MINUTE})
        first, *others = VARIANTS.values()
        self._admin("/prompts", {"slug": PROMPT, "content": prompt_content(first)})
        for text in others:
            self._admin(f"/prompts/{PROMPT}/versions", {"content": prompt_content(text)})
        weight = 10_000 // len(VARIANTS)
        variants = [{"name": name, "version": i, "weight": weight} for i, name in enumerate(VARIANTS, 1)]
        split = {"variants": variants, "wait": True, "wait_timeout_ms": 10_000}
        self._admin(f"/prompts/{PROMPT}/aliases/production/split", split, "PUT")
        return made["api_key"]


def _exported(file: Path) -> dict[str, str]:
    """The variables of a shell file of ``export NAME=value`` lines."""
    words = (word for line in file.read_text().splitlines() for word in shlex.split(line, comments=True))
    return dict(word.split("=", 1) for word in words if "=" in word)
