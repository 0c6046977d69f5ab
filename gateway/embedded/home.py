"""The storage directory of an installation: its lock, its secrets, and what it tells clients and tools."""

import fcntl
import os
import re
import secrets
import shlex
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from gateway.embedded.process import EmbeddedError
from gateway.settings import Settings

_SECRET_BYTES = 32
"""256 bits: as much as the MAC and the comparison of tokens can use."""
_KEY_LINE = re.compile(r"^export OPENAI_API_KEY=(\S+)$", re.MULTILINE)


@contextmanager
def locked(home: Path) -> Generator[None]:
    """Make the storage directory and hold it for this process. Raises :class:`EmbeddedError` if another one does.

    The lock ends with the process, however it ends; the file holds the process id for ``make local-stop``.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            raise EmbeddedError(f"a gateway with its data in {home} is running already (process {holder})") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def with_secrets(settings: Settings) -> Settings:
    """Settings whose empty secrets are filled from files in the storage directory, made at their first use."""
    home = Path(settings.storage.directory)
    security = settings.security
    return replace(
        settings,
        security=replace(
            security,
            secret=security.secret or _kept(home / "secret"),
            admin_token=security.admin_token or _kept(home / "admin-token"),
        ),
    )


def write_exports(file: Path, values: Mapping[str, str]) -> None:
    """A file for ``source``, readable for its owner only, replaced in one step."""
    _write_private(file, "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items()))


def kept_key(file: Path) -> str | None:
    """The API key that an earlier run wrote to its exports, if any."""
    try:
        found = _KEY_LINE.search(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found[1] if found else None


def _kept(file: Path) -> str:
    try:
        text = file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        text = ""
    if not text:
        text = secrets.token_urlsafe(_SECRET_BYTES)
        file.parent.mkdir(parents=True, exist_ok=True)
        _write_private(file, f"{text}\n")
    return text


def _write_private(file: Path, text: str) -> None:
    draft = file.with_name(f"{file.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
    draft.replace(file)
