"""The embedded servers, started, killed and started again."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import redis

from gateway.embedded import account
from gateway.embedded.postgres import Postgres
from gateway.embedded.process import EmbeddedError, inhabitants, spawn, stop, wait_until
from gateway.embedded.redis import Redis

FAST = {"fsync": "off", "full_page_writes": "off"}


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pg-test-") as name:
        yield Path(name)


def gone(pid: int, seconds: float = 15) -> bool:
    """Whether a process ends in time (a zombie has ended)."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


async def test_postgres_keeps_data_over_a_restart_and_over_a_stale_pid_file(folder: Path) -> None:
    server = Postgres(folder, FAST)
    connection = await asyncpg.connect(server.start())
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    await connection.execute("CREATE EXTENSION vector")
    assert await connection.fetchval("SHOW timezone") == "UTC"
    await connection.close()
    server.stop()
    server.stop()

    # The number in the pid file now belongs to somebody else: this very process.
    (folder / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n{folder}/data\n1\n5432\n{folder}\n\n1 1\nready\n")
    again = Postgres(folder, FAST)
    try:
        connection = await asyncpg.connect(again.start())
        assert await connection.fetchval("SELECT n FROM kept") == 7
        await connection.close()
    finally:
        again.stop()


def test_a_leftover_postgres_is_replaced_and_half_an_initdb_is_not_taken_for_data(folder: Path) -> None:
    (folder / "data.new").mkdir()
    (folder / "data.new" / "PG_VERSION").write_text("18\n")
    left = Postgres(folder, FAST)
    left.start()
    assert left.pid in inhabitants((folder / "data").resolve())
    server = Postgres(folder, FAST)
    try:
        server.start()
        assert left.pid is not None
        assert gone(left.pid)
        assert server.pid != left.pid
    finally:
        server.stop()
        left.stop()


def test_a_leftover_redis_is_replaced(folder: Path) -> None:
    left = Redis(folder)
    left.start()
    server = Redis(folder)
    try:
        with redis.Redis.from_url(server.start()) as client:
            assert client.ping()
        assert left.pid is not None
        assert gone(left.pid)
    finally:
        server.stop()
        left.stop()


def test_a_path_too_long_for_a_unix_socket_gets_a_short_one_and_stop_removes_it(folder: Path) -> None:
    server = Redis(folder / ("d" * 100))
    url = server.start()
    socket = Path(url.removeprefix("unix://"))
    assert not socket.is_relative_to(folder.resolve())
    with redis.Redis.from_url(url) as client:
        assert client.config_get("appendonly") == {"appendonly": "no"}
    server.stop()
    assert not socket.parent.exists()


def test_servers_end_when_the_process_that_started_them_is_killed(folder: Path) -> None:
    program = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from gateway.embedded.postgres import Postgres
        from gateway.embedded.redis import Redis
        servers = Postgres(Path({str(folder)!r}, "p"), {FAST!r}), Redis(Path({str(folder)!r}, "r"))
        for server in servers:
            server.start()
        print(*(server.pid for server in servers), flush=True)
        time.sleep(60)
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.send_signal(signal.SIGKILL)
    assert all(gone(pid) for pid in pids)


def test_a_server_that_cannot_start_says_why(folder: Path) -> None:
    with pytest.raises(EmbeddedError, match="no_such_setting"):
        Postgres(folder, {"no_such_setting": "1"}).start()


def test_a_child_that_is_never_ready_is_ended(folder: Path) -> None:
    log = folder / "log"
    child = spawn(["/bin/sleep", "30"], folder=folder, log=log, account=None, farewell=signal.SIGTERM)
    with pytest.raises(EmbeddedError, match="sleeper was not ready"):
        wait_until(lambda: False, child, what="sleeper", log=log, seconds=0.05)
    assert child.returncode == -signal.SIGKILL


def test_a_child_that_ignores_the_polite_signal_is_killed(folder: Path) -> None:
    ready = folder / "ready"
    script = f"trap '' TERM; : > {ready}; while :; do sleep 0.1; done"
    child = spawn(["/bin/sh", "-c", script], folder=folder, log=folder / "log", account=None, farewell=signal.SIGKILL)
    wait_until(ready.exists, child, what="shell", log=folder / "log", seconds=10)
    stop(child, signal.SIGTERM, seconds=0.1)
    assert child.returncode == -signal.SIGKILL


def test_children_get_none_of_our_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    log = folder / "log"
    child = spawn(["/usr/bin/env"], folder=folder, log=log, account=None, farewell=signal.SIGTERM)
    assert child.wait(10) == 0
    assert "sk-very-secret" not in log.read_text()


def test_not_root_means_no_servant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert account.servant() is None


def test_folders_above_become_passable_but_not_readable(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    account.hand_over(closed / "data", account.Account(os.getuid() + 12345, os.getgid()) if os.geteuid() == 0 else None)
    expected = 0o701 if os.geteuid() == 0 else 0o700
    assert closed.stat().st_mode & 0o777 == expected
    assert (closed / "data").stat().st_mode & 0o777 == 0o700
    assert (f"made {closed} passable" in caplog.text) == (os.geteuid() == 0)


def test_a_tree_installed_under_a_closed_umask_is_opened_for_the_servant(folder: Path) -> None:
    tree = folder / "wheel"
    tree.mkdir(mode=0o700)
    program, data = tree / "program", tree / "data"
    program.touch(mode=0o700)
    data.touch(mode=0o600)
    account.lend(tree, account.Account(os.getuid() + 12345, os.getgid()))
    assert [p.stat().st_mode & 0o777 for p in (tree, program, data)] == [0o705, 0o705, 0o604]
