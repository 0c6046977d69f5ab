"""The parent process: binds one SO_REUSEPORT socket per worker, forks workers, replaces the dead, passes on the end.

It keeps every socket open, so a connection that arrives while a worker is being replaced waits in the queue and is not refused.
Signals: TERM and INT end everything gracefully; HUP replaces the workers one by one (the new one serves before the old one drains).
"""

import ctypes
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable

from gateway.guards.shipped import CATALOGUE
from gateway.routing.compile import target_names
from gateway.settings import Settings
from gateway.telemetry.logs import configure
from gateway.telemetry.metrics import Table

BACKLOG = 4096
"""Connections that may wait in a worker's queue: a burst of a second at a few thousand per second. The kernel may cap it."""
KILL_AFTER_DRAIN = 15.0
"""Seconds beyond the drain time after which a worker that has not ended is killed: its spool is safe, see the ledger."""
LOOK_SECONDS = 0.1
"""Between two looks at new workers that may serve by now; a signal is seen at once."""
QUICK_DEATH = 1.0
"""A worker that dies sooner than this (seconds) after its start is replaced with a pause, so that a broken start does not spin."""
_PR_SET_PDEATHSIG = 1
"""prctl(2): signal to get when the parent dies, so that workers never outlive their supervisor."""

_log = logging.getLogger("gateway.supervisor")

RunWorker = Callable[[Settings, int, socket.socket, Table, int, Callable[[], None]], int]
"""(settings, slot, socket, metrics, metrics row, to be called when it serves) -> exit code, in the forked child."""


def bind(host: str, port: int) -> socket.socket:
    """A listening socket that shares its port. Raises OSError when the port is taken by somebody else."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.set_inheritable(True)
    return sock


def port_is_free(host: str, port: int) -> bool:
    """Whether nobody else listens there: SO_REUSEPORT alone would silently share the port with another gateway."""
    probe = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((host, port))
    except OSError:
        return False
    finally:
        probe.close()
    return True


class _Worker:
    def __init__(self, slot: int, incarnation: int, serves: int, replaces: int | None) -> None:
        self.slot = slot
        self.incarnation = incarnation
        self.began = time.monotonic()
        self.serves = serves
        """Read end of the pipe on which it says that it serves."""
        self.replaces = replaces
        """The process that ends as soon as this one serves."""
        self.retiring_since: float | None = None


class Supervisor:
    """Owns the sockets, the shared metrics and the children."""

    def __init__(self, settings: Settings, run_worker: RunWorker) -> None:
        self._settings = settings
        self._run_worker = run_worker
        workers = settings.server.workers
        self._sockets = [bind(settings.server.host, settings.server.port) for _ in range(workers)]
        # Two rows a slot: while workers are replaced, the old one still counts in its own.
        self._table = Table(workers * 2, settings.providers, target_names(settings), CATALOGUE)
        self._children: dict[int, _Worker] = {}
        self._stopping_since: float | None = None

    def run(self) -> int:
        """Serve until told to stop. Returns the exit code."""
        wanted = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
        signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
        for slot in range(len(self._sockets)):
            self._start(slot, 0)
        while self._children:
            received = signal.sigtimedwait(wanted, LOOK_SECONDS)
            number = received.si_signo if received is not None else None
            if number in {signal.SIGTERM, signal.SIGINT}:
                self._stop()
            elif number == signal.SIGHUP and self._stopping_since is None:
                self._replace_all()
            self._reap()
            self._retire_the_replaced()
            self._kill_the_late()
        for sock in self._sockets:
            sock.close()
        return 0

    def _start(self, slot: int, incarnation: int, replaces: int | None = None) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        serves, tell = os.pipe()
        os.set_blocking(serves, False)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = self._be_worker(slot, incarnation, tell)
            except BaseException:  # noqa: BLE001 - a forked child must never run on into its parent's code
                _log.exception("worker failed to start", extra={"slot": slot})
            finally:
                sys.stderr.flush()
                os._exit(code)
        os.close(tell)
        self._children[pid] = _Worker(slot, incarnation, serves, replaces)

    def _be_worker(self, slot: int, incarnation: int, tell: int) -> int:
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # a terminal sends them to the whole group; the parent passes on what we need
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        for other, sock in enumerate(self._sockets):
            if other != slot:
                sock.close()
        row = self._row(slot, incarnation)
        return self._run_worker(self._settings, slot, self._sockets[slot], self._table, row, lambda: _say(tell))

    def _row(self, slot: int, incarnation: int) -> int:
        return slot + len(self._sockets) * (incarnation % 2)

    def _stop(self) -> None:
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()
            _log.info("stopping")
        self._signal_all(signal.SIGTERM)

    def _replace_all(self) -> None:
        if any(w.retiring_since is not None or w.replaces is not None for w in self._children.values()):
            _log.warning("workers are being replaced already")
            return
        _log.info("replacing workers")
        for pid, worker in list(self._children.items()):
            self._start(worker.slot, worker.incarnation + 1, replaces=pid)

    def _retire_the_replaced(self) -> None:
        for worker in self._children.values():
            old = self._children.get(worker.replaces or 0)
            if worker.replaces is not None and _said(worker.serves):
                if old is not None:
                    old.retiring_since = time.monotonic()
                    os.kill(worker.replaces, signal.SIGTERM)
                worker.replaces = None

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            worker = self._children.pop(pid, None)
            if worker is None:
                continue
            os.close(worker.serves)
            self._table.retire(self._row(worker.slot, worker.incarnation))
            if worker.retiring_since is not None or self._stopping_since is not None:
                continue
            told = {"slot": worker.slot, "pid": pid, "error": _describe(status)}
            if worker.replaces in self._children:
                _log.error("the new worker failed to start, the old one goes on", extra=told)
                continue
            if any(other.replaces == pid for other in self._children.values()):
                _log.error("worker died while it was being replaced", extra=told)
                continue
            _log.error("worker died, replacing it", extra=told)
            if time.monotonic() - worker.began < QUICK_DEATH:
                time.sleep(QUICK_DEATH)
            self._start(worker.slot, worker.incarnation + 1)

    def _kill_the_late(self) -> None:
        bound = time.monotonic() - self._settings.server.drain_seconds - KILL_AFTER_DRAIN
        for pid, worker in self._children.items():
            since = self._stopping_since or worker.retiring_since
            if since is not None and since < bound:
                os.kill(pid, signal.SIGKILL)

    def _signal_all(self, number: int) -> None:
        for pid in self._children:
            os.kill(pid, number)


def _say(tell: int) -> None:
    os.write(tell, b"1")
    os.close(tell)


def _said(serves: int) -> bool:
    try:
        return os.read(serves, 1) == b"1"
    except BlockingIOError:
        return False


def _describe(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def supervise(settings: Settings, run_worker: RunWorker) -> int:
    """Run the whole program until it is told to stop. Returns the exit code; 1 with a clear line when the port is taken."""
    configure(settings.telemetry.log_level, settings.telemetry.log_format)
    server = settings.server
    if not port_is_free(server.host, server.port):
        _log.error("port %d on %s is taken; set PROMPTGATE_PORT to another one", server.port, server.host)
        return 1
    return Supervisor(settings, run_worker).run()
