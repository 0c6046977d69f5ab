"""Amazon's binary event stream, received: bytes in any chunking to whole messages.

Source: AWS's "Event stream encoding" (``application/vnd.amazon.eventstream``): total length, length of headers and a CRC-32 of both,
4 bytes each, big-endian; headers (name, type, value); payload; CRC-32 of everything before it.
"""

import struct
import zlib
from collections.abc import Iterator

from msgspec import Struct

from gateway.core.errors import UPSTREAM_INVALID, GatewayError

MAX_MESSAGE_BYTES = 1 << 20
"""As of an SSE event: no model says near 1 MiB at once. The format itself would allow 24 MiB."""
_PRELUDE = struct.Struct(">III")
_CHECKSUM = struct.Struct(">I")
_LEAST = _PRELUDE.size + _CHECKSUM.size
"""Bytes of a message without headers and payload."""
_STRING = 7
_FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a value by its type: true, false, byte, short, int, long, timestamp, uuid."""
_SIZED = frozenset({6, _STRING})
"""Types whose value has its length before it: bytes and text."""


class Message(Struct, frozen=True):
    """One message: its text headers by name, and its payload."""

    headers: dict[str, str]
    payload: bytes


class EventStreamParser:
    """The incremental reading of one stream. One object per answer."""

    __slots__ = ("_held", "_limit")

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._limit = max_message_bytes
        self._held = bytearray()

    @property
    def pending(self) -> bool:
        """Whether a message has begun that is not whole; at the end of the stream: whether it was cut."""
        return bool(self._held)

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that ``data`` completes, in order; read them all before feeding again.

        Raises ``upstream_invalid``, after the messages before it, for one that is damaged or over the cap.
        """
        held = self._held
        held += data
        while len(held) >= _PRELUDE.size:
            total, header_size, checksum = _PRELUDE.unpack_from(held)
            if zlib.crc32(held[:8]) != checksum:
                raise _broken("a damaged prelude")
            if total > self._limit:
                raise _broken(f"a message of more than {self._limit} bytes")
            if total < _LEAST + header_size:
                raise _broken("a message shorter than its headers")
            if len(held) < total:
                return
            message = bytes(held[:total])
            del held[:total]
            (checksum,) = _CHECKSUM.unpack_from(message, total - _CHECKSUM.size)
            if zlib.crc32(message[: -_CHECKSUM.size]) != checksum:
                raise _broken("a damaged message")
            start = _PRELUDE.size + header_size
            yield Message(_headers(message[_PRELUDE.size : start]), message[start : -_CHECKSUM.size])


def _headers(data: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    at = 0
    try:
        while at < len(data):
            name_end = at + 1 + data[at]
            name, kind, at = data[at + 1 : name_end].decode(), data[name_end], name_end + 1
            if kind in _SIZED:
                size = int.from_bytes(data[at : at + 2])
                at += 2
            else:
                size = _FIXED[kind]
            if at + size > len(data):
                raise _broken("a header longer than the headers")
            if kind == _STRING:
                headers[name] = data[at : at + size].decode()
            at += size
    except (IndexError, KeyError, UnicodeDecodeError):
        raise _broken("unreadable headers") from None
    return headers


def _broken(what: str) -> GatewayError:
    return GatewayError(UPSTREAM_INVALID, f"The provider sent {what}.")
