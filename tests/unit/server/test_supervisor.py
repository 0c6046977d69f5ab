"""The parent process in small: sockets, ports, and what it says about a dead worker. The whole of it is tested end to end."""

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator

import msgspec
import pytest

from gateway.server.supervisor import _describe, bind, port_is_free, supervise
from gateway.settings import Server, Settings
from tests.conftest import PATIENCE


@pytest.fixture(autouse=True)
def kept_logging() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    chatty = {name: logging.getLogger(name).level for name in ("httpx", "httpcore", "uvicorn.access", "asyncio")}
    yield
    root.handlers[:] = before
    root.setLevel(level)
    for name, kept in chatty.items():
        logging.getLogger(name).setLevel(kept)


def test_workers_share_a_port_and_nobody_else_does() -> None:
    first = bind("127.0.0.1", 0)
    port = first.getsockname()[1]
    assert not port_is_free("127.0.0.1", port)
    second = bind("127.0.0.1", port)
    assert second.get_inheritable()
    first.close()
    assert not port_is_free("127.0.0.1", port)
    second.close()
    assert port_is_free("127.0.0.1", port)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_ipv6() -> None:
    try:
        sock = bind("::1", 0)
    except OSError:
        pytest.skip("no IPv6 address here")
    with sock:
        assert sock.family == socket.AF_INET6
        assert not port_is_free("::1", sock.getsockname()[1])


def test_a_death_is_described() -> None:
    assert _describe(3 << 8) == "exit code 3"
    assert _describe(signal.SIGKILL) == "signal SIGKILL"


def settings(port: int, workers: int = 1) -> Settings:
    return Settings(server=Server(port=port, workers=workers))


def test_a_taken_port_is_said_and_nothing_is_started(capfd: pytest.CaptureFixture[str]) -> None:
    with bind("127.0.0.1", 0) as other:
        port = other.getsockname()[1]
        assert supervise(settings(port), lambda *_: pytest.fail("started a worker")) == 1
    line = msgspec.json.decode(capfd.readouterr().err.strip())
    assert str(port) in line["message"]
    assert line["level"] == "error"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_runs_workers_replaces_the_dead_and_ends_when_told(number: int) -> None:
    """In a child of our own: it forks, blocks signals and reaps."""
    with bind("127.0.0.1", 0) as probe:
        port = probe.getsockname()[1]
    seen, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(seen)

        def worker(_: Settings, slot: int, sock: socket.socket, table: object, row: int, serves: Callable[[], None]) -> int:
            serves()
            os.write(say, b"%d %d %d\n" % (slot, row, os.getpid()))
            signal.sigwait({signal.SIGTERM})
            return 0

        signal.alarm(4 * PATIENCE)  # whatever goes wrong, it ends, and its workers with it
        code = 1
        try:
            code = supervise(settings(port, workers=2), worker)
        finally:
            os._exit(code)
    os.close(say)
    with os.fdopen(seen) as lines:
        started = [lines.readline().split() for _ in range(2)]
        assert sorted(line[0] for line in started) == ["0", "1"]
        victim = next(line for line in started if line[0] == "1")
        os.kill(int(victim[2]), signal.SIGKILL)
        replaced = lines.readline().split()
        assert replaced[0] == "1"
        assert replaced[1] != victim[1], "the successor counts in another row"
        os.kill(pid, signal.SIGHUP)
        fresh = [lines.readline().split() for _ in range(2)]
        assert sorted(line[0] for line in fresh) == ["0", "1"]
        os.kill(pid, number)
        assert lines.read() == ""
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
