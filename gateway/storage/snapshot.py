"""The last-known-good snapshot on disk: signed, replaced atomically, ignored when it is not ours."""

import hashlib
import hmac
import os
import tempfile
from pathlib import Path

_MAC = hashlib.sha256
_MAC_BYTES = 32


def write(path: Path, secret: bytes, payload: bytes) -> None:
    """Replace the file whole: a reader sees the old one or the new one. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(hmac.digest(secret, payload, _MAC) + payload)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read(path: Path, secret: bytes) -> bytes | None:
    """The payload; None when there is no file, or it was cut, altered or signed with another secret."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    payload = data[_MAC_BYTES:]
    return payload if hmac.compare_digest(data[:_MAC_BYTES], hmac.digest(secret, payload, _MAC)) else None
