"""Whom the embedded servers run as. Postgres refuses to run as root, so under root both run as ``nobody``.

``nobody`` exists everywhere, so no user is added to the machine. What it needs is opened and no more: the server's own
folder belongs to it, every folder above becomes passable (search, not read), and the wheel's programs become readable.
"""

import logging
import os
import pwd
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

_NAME = "nobody"
_MAX_SOCKET_PATH = 107
"""Bytes that ``sockaddr_un.sun_path`` holds on Linux, without the closing zero."""

_log = logging.getLogger("gateway.embedded")


class Account(Struct, frozen=True):
    """A user of the system, by number."""

    uid: int
    gid: int


def servant() -> Account | None:
    """Who runs the servers; None means we do, because we are not root."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam(_NAME)
    return Account(entry.pw_uid, entry.pw_gid)


def hand_over(folder: Path, account: Account | None) -> None:
    """Make ``folder`` (created if missing, private) the servant's own and reachable for it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if account is not None:
        os.chown(folder, account.uid, account.gid)
        _make_passable(folder.parents, account)


def socket_folder(folder: Path, name: str, account: Account | None) -> Path:
    """Where a Unix socket called ``name`` fits: ``folder``, or a new temporary one when its path is too long an address."""
    if len(os.fsencode(folder / name)) <= _MAX_SOCKET_PATH:
        return folder
    short = Path(tempfile.mkdtemp(prefix="promptgate-"))
    hand_over(short, account)
    return short


def lend(program_tree: Path, account: Account | None) -> None:
    """Let the servant read and run an installed tree of programs, whatever umask it was installed under.

    A tree that is not there is none to lend: a wheel's empty folder of libraries is made by uv and left out by pip.
    """
    if account is None or not program_tree.exists():
        return
    _make_passable(program_tree.parents, account)
    if program_tree.stat().st_mode & stat.S_IROTH:  # installers give one umask to the whole tree
        return
    for folder, _, files in os.walk(program_tree):
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            mode = path.stat().st_mode
            path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))


def _make_passable(folders: Iterable[Path], account: Account) -> None:
    for folder in folders:
        status = folder.stat()
        own = status.st_uid == account.uid and status.st_mode & stat.S_IXUSR
        if not own and not status.st_mode & stat.S_IXOTH:
            folder.chmod(status.st_mode | stat.S_IXOTH)
            _log.warning("made %s passable for others (o+x): the servers in it run as %s", folder, _NAME)
