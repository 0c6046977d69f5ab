"""Spool folders: who owns one, how a dead one is found, and how far its rows have been shipped.

Every worker process makes a folder of its own under the ledger directory and holds a lock (flock) on a file in it for as long
as it lives; the kernel lets go of the lock however the process ends. So a folder whose lock can be taken belongs to nobody.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from struct import Struct

from gateway.storage.ledger.frames import checksum

_LOCK = "lock"
_SHIPPED = "shipped"
_PREFIX = "spool-"
_FORMER_PREFIX = "worker-"
"""Of folders made when records had another format: programs of that time, which find only these, would drop ours unread."""
_MARK = Struct("<QQ")
_SUM = Struct("<I")


class SpoolFolder:
    """A locked spool folder."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock
        self._mark = os.open(path / _SHIPPED, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def shipped(self) -> tuple[int, int]:
        """(segment number, offset) before which every final row is committed; (0, 0), ship all, when in doubt."""
        raw = os.pread(self._mark, _MARK.size + _SUM.size, 0)
        mark, total = raw[: _MARK.size], raw[_MARK.size :]
        if len(total) < _SUM.size or _SUM.unpack(total)[0] != checksum(mark):
            return 0, 0
        number, offset = _MARK.unpack(mark)
        return number, offset

    def mark_shipped(self, number: int, offset: int) -> None:
        """Remember it: one small write to the page cache."""
        mark = _MARK.pack(number, offset)
        os.pwrite(self._mark, mark + _SUM.pack(checksum(mark)), 0)

    def release(self) -> None:
        """Let others take the folder."""
        os.close(self._mark)
        os.close(self._lock)

    def remove(self) -> None:
        """Delete the folder, then let go: nobody can take it in between."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()

    def set_aside(self) -> None:
        """Keep the folder for a person to look at, out of the way of recovery."""
        self.path.rename(self.path.with_name("damaged-" + self.path.name))
        self.release()


def make_folder(root: Path, slot: int) -> SpoolFolder:
    """A new folder for the worker in ``slot``. Raises ``OSError``."""
    root.mkdir(parents=True, exist_ok=True)
    while True:
        path = root / f"{_PREFIX}{slot:03d}-{os.getpid()}-{time.time_ns()}"
        path.mkdir()
        folder = take(path)
        # Another worker may take the newborn folder for a dead one; it is empty, so it may have it.
        if folder is not None:
            return folder


def take(path: Path) -> SpoolFolder | None:
    """Lock a spool folder; None when its owner is alive or it is gone."""
    try:
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The former owner may have deleted the folder between our open and our lock.
        if (path / _LOCK).stat().st_ino == os.fstat(lock).st_ino:
            return SpoolFolder(path, lock)
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None


def dead_folders(root: Path) -> Iterator[SpoolFolder]:
    """Every spool folder without a living owner, oldest first, now ours."""
    found = (*root.glob(f"{_PREFIX}*"), *root.glob(f"{_FORMER_PREFIX}*"))
    for path in sorted(found, key=lambda path: path.name.rpartition("-")[2]):
        folder = take(path)
        if folder is not None:
            yield folder
