"""How a record lies in a spool segment: length, checksum, kind, body. Pure.

    offset  0        4        8      9
            length   CRC32C   kind   body ...
            u32 LE   u32 LE   u8     MessagePack array

``length`` counts kind and body; the checksum covers the same bytes. Segments are made of zeros, so a zero length is the end.
Whatever a crash leaves half done is a zero length or a wrong checksum.
CRC32C is the polynomial of RFC 3720, which processors compute in hardware.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Callable
from mmap import mmap
from struct import Struct
from typing import NamedTuple, cast

import google_crc32c

MAGIC = b"pgspool2"
"""Leads every segment; the digit is the version of the format, records included (:mod:`.records`)."""
FORMER_MAGIC = b"pgspool1"
"""Of segments whose records are those of :mod:`.former`."""
FIRST = len(MAGIC)
"""Offset of a segment's first record."""
HEADER = Struct("<IIB")
_pack = HEADER.pack
OVERHEAD = HEADER.size
"""Bytes that a record takes beside its body."""
_KIND_BYTES = 1

INTENT = 1
FINAL = 2
"""The kinds of records; plain integers, because an enum member costs a lookup on the hot path."""


class Frame(NamedTuple):
    """One record as found."""

    kind: int
    body: bytes
    end: int
    """Offset of the next record."""


class TornRecordError(Exception):
    """A record that was not completely written, or has changed since."""


checksum = cast("Callable[[bytes], int]", google_crc32c.value)
_extend = cast("Callable[[int, bytes], int]", google_crc32c.extend)

_INTENT_SEED = checksum(bytes([INTENT]))
_FINAL_SEED = checksum(bytes([FINAL]))
"""Checksums of the kind bytes, to go on from."""
_SEEDS = {INTENT: _INTENT_SEED, FINAL: _FINAL_SEED}


def intent_frame(body: bytes) -> bytes:
    """An intent as it lies in the segment."""
    return _pack(len(body) + _KIND_BYTES, _extend(_INTENT_SEED, body), INTENT) + body


def final_frame(body: bytes) -> bytes:
    """A final record as it lies in the segment."""
    return _pack(len(body) + _KIND_BYTES, _extend(_FINAL_SEED, body), FINAL) + body


def header_at(memory: mmap | bytearray, offset: int) -> tuple[int, int, int] | None:
    """(kind, start of the body, offset of the next record) in memory that this process itself has written; None at the end."""
    start = offset + OVERHEAD
    if start > len(memory):
        return None
    length, _, kind = HEADER.unpack_from(memory, offset)
    return (kind, start, start - _KIND_BYTES + length) if length else None


def frame_at(memory: mmap | bytes, offset: int, size: int) -> Frame | None:
    """The record at ``offset`` of ``size`` readable bytes; None at the end of records. Raises :class:`TornRecordError`."""
    start = offset + OVERHEAD
    if start > size:
        return None
    length, total, kind = HEADER.unpack_from(memory, offset)
    if length == 0:
        return None
    end = start - _KIND_BYTES + length
    seed = _SEEDS.get(kind)
    if end > size or end < start or seed is None:
        raise TornRecordError
    body = memory[start:end]
    if _extend(seed, body) != total:
        raise TornRecordError
    return Frame(kind, body, end)
