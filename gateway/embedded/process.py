"""Child servers: started so that they never outlive us, found again when a killed run left them behind.

A child runs in its own session (Ctrl-C in the terminal is ours to handle, in our order) and asks the kernel for a signal
when the process that started it is gone, ``kill -9`` included. Children are found again by the folder on their command
line, which survives reused process ids and lost pid files and is readable whoever they run as.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.embedded.account import Account

_PR_SET_PDEATHSIG = 1
"""From <linux/prctl.h>."""
_POLL_SECONDS = 0.02
"""Between two looks at a starting or stopping child: short beside the 0.1 s that the quickest of them takes."""
_TAIL_BYTES = 2000
"""Of a server's log in an error message: its last twenty lines or so."""


Child = subprocess.Popen[bytes]

BARE_ENVIRONMENT = {"LC_ALL": "C"}
"""Servers get none of our environment: keys and tokens live there."""


class EmbeddedError(Exception):
    """An embedded server cannot do what was asked. The text is for the person at the terminal and says how to go on."""


def spawn(argv: Sequence[str | Path], *, folder: Path, log: Path, account: Account | None, farewell: int) -> Child:
    """Start ``argv`` in ``folder``, its output appended to ``log``, as ``account`` (None: as ourselves).

    ``farewell`` is the signal it gets when we are gone. Call it from the main thread: the kernel watches the thread.
    """
    with log.open("ab") as sink:
        return subprocess.Popen(
            [str(part) for part in argv],
            cwd=folder,
            env=BARE_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(farewell),  # noqa: PLW1509 - one system call, resolved before the fork
            umask=0o077,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )


def wait_until(ready: Callable[[], bool], process: Child, *, what: str, log: Path | None, seconds: float) -> None:
    """Wait for ``ready``. Raises :class:`EmbeddedError` with the log's end if the child dies or takes too long."""
    end = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None:
            raise EmbeddedError(f"{what} stopped while starting (status {process.returncode}){_ending(log)}")
        if time.monotonic() > end:
            stop(process, signal.SIGKILL, seconds=5)
            raise EmbeddedError(f"{what} was not ready after {seconds:.0f} s{_ending(log)}")
        time.sleep(_POLL_SECONDS)


def stop(process: Child, polite: int, *, seconds: float) -> None:
    """Ask a child to end, wait, and kill it when it does not. Harmless for one that has ended."""
    if process.poll() is None:
        process.send_signal(polite)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def inhabitants(folder: Path) -> list[int]:
    """The processes started over ``folder``: what a killed run left behind. Empty where there is no ``/proc``."""
    name = os.fsencode(folder)
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if name in (entry / "cmdline").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:  # ended meanwhile
            continue
    return found


def evict(folder: Path, polite: int, *, seconds: float) -> None:
    """End every process started over ``folder``: politely, and after ``seconds`` by force."""
    for signum, patience in ((polite, seconds), (signal.SIGKILL, 5.0)):
        for pid in inhabitants(folder):
            try:
                os.kill(pid, signum)
            except ProcessLookupError:
                continue
        end = time.monotonic() + patience
        while inhabitants(folder):
            if time.monotonic() > end:
                break
            time.sleep(_POLL_SECONDS)
        else:
            return
    raise EmbeddedError(f"processes {inhabitants(folder)} of an earlier run still hold {folder}; end them and try again")


def die_with_parent(signum: int) -> Callable[[], None] | None:
    """A ``preexec_fn`` that has the kernel send the child ``signum`` once the thread that started it is gone."""
    if sys.platform != "linux":  # elsewhere a leftover is met at the next start
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def arm() -> None:
        prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)
        if os.getppid() != parent:  # it died between our fork and the line above
            os._exit(1)

    return arm


def _ending(log: Path | None) -> str:
    """The end of a log file, for an error message."""
    if log is None:
        return ""
    return f"; {log} ends with:\n{log.read_bytes()[-_TAIL_BYTES:].decode(errors='replace').strip()}"
