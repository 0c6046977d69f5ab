"""The program as a process: readiness, end, death of a worker, and the whole of ``make up``."""

import os
import shlex
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

ROOT = Path(__file__).parents[2]
CHAT = {"model": "faq-bot", "messages": [{"role": "user", "content": "When are you open?"}]}


def test_it_answers_and_ends_with_status_0(start_gateway: Callable[..., Any]) -> None:
    gateway = start_gateway()
    with gateway.client() as client:
        answer = client.post("/v1/chat/completions", json=CHAT)
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["finish_reason"] == "stop"
    workers = gateway.worker_pids
    assert gateway.stop() == 0
    assert not any(psutil.pid_exists(pid) for pid in workers)
    assert [row["n"] for row in gateway.rows("select count(*) as n from calls where door = 'chat'")] == [1]


def test_a_killed_worker_is_replaced_and_the_neighbour_keeps_serving(start_gateway: Callable[..., Any]) -> None:
    gateway = start_gateway(workers=2)
    before = set(gateway.worker_pids)
    assert len(before) == 2
    victim = gateway.kill_worker()
    end = time.monotonic() + 60
    while len(set(gateway.worker_pids) - {victim}) < 2:
        assert time.monotonic() < end, gateway.log
        time.sleep(0.05)
    assert gateway.process.poll() is None
    gateway.wait_ready()
    with gateway.client() as client:
        assert client.post("/v1/chat/completions", json=CHAT).status_code == 200


class Up:
    """``python -m gateway up`` over a storage directory."""

    def __init__(self, home: Path, port: int) -> None:
        foreign = ("PROMPTGATE_", "OPENAI_")
        plain = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self.home = home
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "up"],
            env={**plain, "PROMPTGATE_PORT": str(port), "PROMPTGATE_STORAGE_DIRECTORY": str(home)},
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.lines.append(line)

    def ready(self) -> "Up":
        end = time.monotonic() + 120
        while not any("Promptgate is ready" in line for line in list(self.lines)):
            assert self.process.poll() is None, "".join(self.lines)
            assert time.monotonic() < end, "".join(self.lines)
            time.sleep(0.05)
        return self

    def exports(self) -> dict[str, str]:
        lines = (self.home / "env").read_text().splitlines()
        return dict(shlex.split(line.removeprefix("export "))[0].split("=", 1) for line in lines)

    def tree(self) -> list[psutil.Process]:
        return [p for p in psutil.Process(self.process.pid).children(recursive=True) if p.is_running()]

    def names(self) -> dict[int, str]:
        """Process id to name; those that end while we look are left out."""
        found: dict[int, str] = {}
        for process in self.tree():
            with suppress(psutil.NoSuchProcess):
                found[process.pid] = process.name()
        return found

    def end(self, signum: int) -> int:
        self.process.send_signal(signum)
        status = self.process.wait(90)
        self._reader.join(30)
        return status


@pytest.fixture
def up(server_folder: Path) -> Iterator[Callable[[], Up]]:
    home = server_folder / f"up-{os.urandom(3).hex()}"
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    started: list[Up] = []

    def start() -> Up:
        started.append(Up(home, port))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait()
        each._reader.join(60)


def ask(exports: dict[str, str]) -> httpx.Response:
    return httpx.post(
        f"{exports['OPENAI_BASE_URL']}/chat/completions",
        headers={"authorization": f"Bearer {exports['OPENAI_API_KEY']}"},
        json={**CHAT, "model": exports["PROMPTGATE_DEMO_PROMPT"]},
        trust_env=False,
        timeout=60,
    )


@pytest.mark.slow
def test_up_makes_everything_and_a_second_run_keeps_data_and_key(up: Callable[[], Up]) -> None:
    first = up().ready()
    exports = first.exports()
    assert set(exports) == {
        "OPENAI_BASE_URL",
        "OPENAI_API_KEY",
        "PROMPTGATE_DEMO_PROMPT",
        "PROMPTGATE_ADMIN_TOKEN",
        "PROMPTGATE_URL",
    }
    assert stat.S_IMODE((first.home / "env").stat().st_mode) == 0o600
    assert ask(exports).status_code == 200

    # A second one over the same data says so and leaves the first alone.
    rival = up()
    assert rival.process.wait(60) == 1
    assert first.process.poll() is None
    family = first.tree()
    assert {"postgres", "redis-server"} <= {p.name() for p in family}

    assert first.end(signal.SIGINT) == 0
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []

    second = up().ready()
    assert second.exports() == exports
    assert ask(exports).status_code == 200

    # kill -9 of the whole program's head takes every child along, and the data survives that too.
    family = second.tree()
    second.process.kill()
    _, alive = psutil.wait_procs(family, timeout=90)
    assert alive == []
    third = up().ready()
    assert third.exports() == exports
    assert ask(exports).status_code == 200
    assert third.end(signal.SIGTERM) == 0


@pytest.mark.slow
def test_up_starts_a_dead_redis_again(up: Callable[[], Up]) -> None:
    running = up().ready()
    redis = next(pid for pid, name in running.names().items() if name == "redis-server")
    os.kill(redis, signal.SIGKILL)
    end = time.monotonic() + 30
    while not any(name == "redis-server" and pid != redis for pid, name in running.names().items()):
        assert time.monotonic() < end, "".join(running.lines)
        time.sleep(0.05)
    assert ask(running.exports()).status_code == 200
    assert running.end(signal.SIGTERM) == 0


@pytest.mark.slow
def test_ctrl_c_while_starting_leaves_nothing(up: Callable[[], Up]) -> None:
    early = up()
    end = time.monotonic() + 60
    while not (early.home / "redis" / "redis.sock").exists():
        assert time.monotonic() < end, "".join(early.lines)
        time.sleep(0.01)
    family = early.tree()
    assert early.end(signal.SIGINT) == 0, "".join(early.lines)
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []
