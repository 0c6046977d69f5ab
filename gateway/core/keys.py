"""API keys: ``pg_<public id>_<secret>_<checksum>``. Pure: the random bytes are an argument.

The prefix and the checksum let a secret scanner, and :func:`well_formed`, tell a key from a look-alike without asking a
store (the practice GitHub's tokens made common). The public id may be logged. The secret carries 192 bits, so that a plain
SHA-256 is all that storing it needs: there is nothing to guess, hence nothing for a slow hash to slow down. With a pepper, a
secret of the server, it is HMAC-SHA-256: whoever reads the database, but does not know the pepper, cannot even check a guess.
"""

import hashlib
import hmac
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

MARK_CHARS = 8
"""Of a pepper's mark: enough to tell an installation's few peppers apart, too few to learn anything from."""


class Peppers(Struct, frozen=True):
    """The secrets that digests of keys are made with. Keys made before there was one, or with the one before, keep working."""

    current: bytes = b""
    """Of new keys; empty: they have a plain SHA-256."""
    previous: bytes = b""
    """Of keys from before the pepper was changed; empty: there are none."""
    alone: bool = False
    """Whether keys without a pepper open nothing: else whoever can write to the database can add a key of their own."""

    def digest(self, key: bytes | str) -> str:
        """How a new key is stored: 64 hex digits."""
        return peppered(self.current, key) if self.current else digest(key)

    def digests(self, key: bytes) -> tuple[str, ...]:
        """All that a key may be stored by, the likeliest first. Without peppers there is one."""
        names = [peppered(pepper, key) for pepper in (self.current, self.previous) if pepper]
        return tuple(names) if self.alone else (*names, digest(key))

    @property
    def mark(self) -> str | None:
        """What is noted beside a new key, so that keys with an earlier pepper, or none, can be counted; None: no pepper."""
        return _mark(self.current)

    @property
    def previous_mark(self) -> str | None:
        """What was noted beside keys before the pepper was changed."""
        return _mark(self.previous)


PLAIN = Peppers()
"""No pepper."""


class NewKey(Struct, frozen=True):
    """A key at its birth: the only moment its text exists on our side."""

    text: str
    """The whole key, to be shown once."""
    public_id: str
    digest: str
    """What is stored."""
    pepper: str | None = None
    """The mark of the pepper in it; None: there is none."""


def make(random_bytes: Callable[[int], bytes], peppers: Peppers = PLAIN) -> NewKey:
    """A new key from a source of random bytes (``secrets.token_bytes``)."""
    public_id = _base62(int.from_bytes(random_bytes(_PUBLIC_BYTES)) % 62**PUBLIC_CHARS, PUBLIC_CHARS)
    secret = _base62(int.from_bytes(random_bytes(SECRET_BYTES)), SECRET_CHARS)
    signed = f"{PREFIX}_{public_id}_{secret}"
    text = f"{signed}_{_checksum(signed)}"
    return NewKey(text, public_id, peppers.digest(text), peppers.mark)


def digest(key: bytes | str) -> str:
    """SHA-256 of the whole key text, 64 hex digits: how a key without a pepper is stored and found."""
    return hashlib.sha256(_bytes(key)).hexdigest()


def peppered(pepper: bytes, key: bytes | str) -> str:
    """HMAC-SHA-256 of the whole key text, 64 hex digits: how a key with a pepper is stored and found."""
    return hmac.digest(pepper, _bytes(key), "sha256").hex()


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


def _mark(pepper: bytes) -> str | None:
    return peppered(pepper, b"promptgate pepper")[:MARK_CHARS] if pepper else None


def _bytes(key: bytes | str) -> bytes:
    return key if isinstance(key, bytes) else key.encode("utf-8", "surrogatepass")


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode("ascii")), CHECKSUM_CHARS)


def _base62(number: int, width: int) -> str:
    digits: list[str] = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
