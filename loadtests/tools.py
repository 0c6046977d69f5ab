"""The programs the benchmark needs: compiled from ``native/`` or found on the machine, started, watched, ended."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from loadtests.machine import LOAD_CORE

HERE = Path(__file__).parent
BUILD = HERE / ".bench"
"""Everything the benchmark makes: programs, configurations, logs, results."""
_NATIVE = {"upstream": (), "loadgen": ("-lm",)}


class MissingTool(SystemExit):
    """A program is not installed; the message says how to get it."""


def find(program: str, package: str) -> str:
    """The path of an installed program, or :class:`MissingTool`. Debian keeps servers in sbin, off a user's PATH."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
    if path is None:
        raise MissingTool(
            f"make bench needs {program}, which is not installed. On Debian or Ubuntu: sudo apt-get install {package}"
        )
    return path


def check_machine() -> None:
    """Say what is missing before anything is started, all of it at once."""
    if not sys.platform.startswith("linux"):
        raise MissingTool("make bench needs Linux: it pins processes to cores and reads /proc")
    missing: list[str] = []
    for program, package in (("cc", "gcc libc6-dev"), ("nginx", "nginx-light"), ("taskset", "util-linux")):
        try:
            find(program, package)
        except MissingTool as lack:
            missing.append(str(lack))
    if missing:
        raise MissingTool("\n".join(missing))


def build() -> None:
    """Compile what is older than its source."""
    BUILD.mkdir(exist_ok=True)
    for program, libraries in _NATIVE.items():
        source, target = HERE / "native" / f"{program}.c", BUILD / program
        if not target.exists() or target.stat().st_mtime < max(f.stat().st_mtime for f in source.parent.iterdir()):
            made = target.with_suffix(f".{os.getpid()}")  # moved into place whole: another run may be starting the old one
            subprocess.run([find("cc", "gcc libc6-dev"), "-O2", "-Wall", "-o", made, source, *libraries], check=True)
            made.replace(target)


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port: int, process: "Running", seconds: float) -> None:
    """Until something listens on ``port``; a ``RuntimeError`` with the end of its log if it ends or is too slow."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.popen.poll() is not None:
            raise RuntimeError(f"{process.label} ended with {process.popen.returncode}:\n{process.log_end()}")
        time.sleep(0.02)
    raise RuntimeError(f"{process.label} does not listen on port {port} after {seconds:.0f} s:\n{process.log_end()}")


class Running:
    """A child process with a log file, pinned to a core, ended by ``stop`` (SIGTERM, then SIGKILL)."""

    def __init__(
        self,
        label: str,
        command: Sequence[str | Path],
        core: int = LOAD_CORE,
        environment: Mapping[str, str] | None = None,
        cwd: Path = HERE.parent,
    ) -> None:
        self.label = label
        self.log = BUILD / f"{label}.log"
        self._out: IO[bytes] = self.log.open("wb")
        pinned = [find("taskset", "util-linux"), "-c", str(core), *map(str, command)]
        self.popen = subprocess.Popen(
            pinned, stdout=self._out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment, cwd=cwd
        )

    @property
    def pid(self) -> int:
        """The command's own: taskset replaces itself by it."""
        return self.popen.pid

    def log_end(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]

    def stop(self, seconds: float = 30) -> None:
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        self._out.close()
