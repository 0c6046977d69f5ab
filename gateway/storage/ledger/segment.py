"""A spool segment: one preallocated, memory-mapped file."""

import os
from mmap import mmap
from pathlib import Path

from gateway.storage.ledger.frames import MAGIC

SUFFIX = ".segment"


class Segment:
    """A file of zeros to append records to.

    ``memory.write`` appends where the last one ended. Its blocks are allocated before it is mapped, so a full disk is an ``OSError``
    here, never a SIGBUS at a later write. Stores into the mapping are in the page cache at once, with no system call, and stay
    there when the process is killed.
    """

    def __init__(self, directory: Path, number: int, size: int, *, durable: bool = False) -> None:
        """Create the file. ``durable`` also makes its existence survive a power loss. Raises ``OSError``."""
        self.number = number
        self.path = directory / f"{number:012d}{SUFFIX}"
        self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(self.descriptor, 0, size)
            self.memory = mmap(self.descriptor, size)
        except OSError:
            os.close(self.descriptor)
            self.path.unlink(missing_ok=True)
            raise
        self.memory.write(MAGIC)
        if durable:
            os.fsync(self.descriptor)
            sync_folder(directory)

    def sync(self) -> None:
        """Wait until all records are on the disk: dirty mapped pages belong to the file, so ``fdatasync`` covers them."""
        if self.descriptor >= 0:
            os.fdatasync(self.descriptor)

    def close(self) -> None:
        """Unmap, keeping the file."""
        if self.descriptor >= 0:
            self.memory.close()
            os.close(self.descriptor)
            self.descriptor = -1

    def destroy(self) -> None:
        """Unmap and remove: every row in it is elsewhere by now."""
        self.close()
        self.path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def segment_paths(directory: Path) -> list[Path]:
    """A spool's segments, oldest first."""
    return sorted(directory.glob(f"*{SUFFIX}"))
