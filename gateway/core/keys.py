"""API keys: ``pg_<public id>_<secret>_<checksum>``. Pure: the random bytes are an argument.

The prefix and the checksum let a secret scanner, and :func:`well_formed`, tell a key from a look-alike without asking a
store (the practice GitHub's tokens made common). The public id may be logged. The secret carries 192 bits, so that a plain
SHA-256 is all that storing it needs: there is nothing to guess, hence nothing for a slow hash to slow down.
"""

import hashlib
import zlib
from collections.abc import Callable

from msgspec import Struct

PREFIX = "pg"
PUBLIC_CHARS = 12
"""71 bits: no two keys of an installation meet by chance (birthday bound above 10**10 keys)."""
SECRET_BYTES = 24
"""192 bits."""
SECRET_CHARS = 33
"""The fewest base62 digits that hold 192 bits."""
CHECKSUM_CHARS = 6
"""The fewest base62 digits that hold a CRC-32."""
KEY_CHARS = len(PREFIX) + PUBLIC_CHARS + SECRET_CHARS + CHECKSUM_CHARS + 3

_PUBLIC_BYTES = 9
"""The fewest bytes that reach every public id."""
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE62 = frozenset(_DIGITS)
_PUBLIC = slice(len(PREFIX) + 1, len(PREFIX) + 1 + PUBLIC_CHARS)
_SIGNED = KEY_CHARS - CHECKSUM_CHARS - 1
"""How many characters the checksum covers: everything before its separator."""


class NewKey(Struct, frozen=True):
    """A key at its birth: the only moment its text exists on our side."""

    text: str
    """The whole key, to be shown once."""
    public_id: str
    digest: str
    """What is stored."""


def make(random_bytes: Callable[[int], bytes]) -> NewKey:
    """A new key from a source of random bytes (``secrets.token_bytes``)."""
    public_id = _base62(int.from_bytes(random_bytes(_PUBLIC_BYTES)) % 62**PUBLIC_CHARS, PUBLIC_CHARS)
    secret = _base62(int.from_bytes(random_bytes(SECRET_BYTES)), SECRET_CHARS)
    signed = f"{PREFIX}_{public_id}_{secret}"
    text = f"{signed}_{_checksum(signed)}"
    return NewKey(text, public_id, digest(text))


def digest(key: bytes | str) -> str:
    """SHA-256 of the whole key text, 64 hex digits: how a key is stored and found."""
    return hashlib.sha256(key if isinstance(key, bytes) else key.encode("utf-8", "surrogatepass")).hexdigest()


def well_formed(key: str) -> bool:
    """Whether ``key`` has our form and its checksum holds; says nothing about whether it exists."""
    if len(key) != KEY_CHARS or not key.isascii() or key.count("_") != 3:
        return False
    prefix, public_id, secret, checksum = key.split("_")
    return (
        prefix == PREFIX
        and len(public_id) == PUBLIC_CHARS
        and len(secret) == SECRET_CHARS
        and _BASE62.issuperset(public_id)
        and _BASE62.issuperset(secret)
        and checksum == _checksum(key[:_SIGNED])
    )


def public_part(key: str) -> str | None:
    """The part that may be logged, or None for a text that is no key of ours."""
    return key[_PUBLIC] if well_formed(key) else None


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode("ascii")), CHECKSUM_CHARS)


def _base62(number: int, width: int) -> str:
    digits: list[str] = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
