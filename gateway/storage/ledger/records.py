"""Ledger records as bytes, whatever callers and providers put into their texts. Pure.

An intent is a MessagePack array. A final record is a pair: the intent, byte for byte, and the ending.
"""

from collections.abc import Sequence
from typing import TypeVar, cast

import msgspec
from msgspec import Struct
from msgspec.structs import fields, replace

from gateway.core.ledger import Ending, Intent

MAX_INTENT = 4096
"""Bytes of an encoded intent. A usual one has 350; only absurd labels (``user``, tags, model names) make one this long."""
FINAL_EXTRA = 2048
"""What a final record may be longer than its intent, framing included: usage, cost, outcome and public error have about 120 bytes
in use."""
MAX_ENDING = FINAL_EXTRA - 16
"""Bytes of an encoded ending: what the head of the pair (1) and the frame (9) leave. The last, narrowest step of :func:`mended`
always stays below."""
MAX_RECORD = 8192
"""No record is longer, framing included: a segment's unusable end is shorter than this."""

PAIR = b"\x92"
"""The head of a MessagePack array of two."""

_WIDTHS = ((1024, 16), (256, 16), (64, 0))
"""Steps of cutting: bytes per text, texts per list. At 64 bytes the ids (36) and hashes (64) are still whole, and the 16 texts of
an intent with its 4 numbers take 1.1 KB, the 9 texts of an ending with its 20 numbers 0.8 KB."""
_INT64 = 1 << 63

encode = msgspec.msgpack.Encoder().encode
decode_intent = msgspec.msgpack.Decoder(Intent).decode
decode_final = msgspec.msgpack.Decoder(tuple[Intent, Ending]).decode

Record = TypeVar("Record", Intent, Ending)


def as_stored(record: Record, limit: int) -> tuple[Record, bytes]:
    """(what is stored, its bytes): the record itself if it can be encoded and is not too long, else a mended one."""
    try:
        body = encode(record)
    except (UnicodeEncodeError, OverflowError):
        pass
    else:
        if len(body) <= limit:
            return record, body
    return mended(record, limit)


def mended(record: Record, limit: int) -> tuple[Record, bytes]:
    """A record that can be stored instead, in at most ``limit`` (>= ``MAX_ENDING``) bytes.

    Texts are cut (marked with an ellipsis) until it fits, lone surrogates become their escapes, and numbers beyond 64 bits
    become unknown. A slightly poorer accounting row is better than none.
    """
    tame, body = record, b""
    for width, texts in _WIDTHS:
        tame = _tamed(record, width, texts)
        body = encode(tame)
        if len(body) <= limit:
            break
    return tame, body


_Any = TypeVar("_Any", bound=Struct)


def _tamed(record: _Any, width: int, texts: int) -> _Any:
    return replace(record, **{field.name: _tame(getattr(record, field.name), width, texts) for field in fields(record)})


def _tame(value: object, width: int, texts: int) -> object:
    match value:
        case str():
            return _cut(value, width)
        case int():
            return value if -_INT64 <= value < _INT64 else None
        case Struct():
            return _tamed(value, width, texts)
        case tuple() | list():
            values = cast("Sequence[object]", value)
            if values and isinstance(values[0], int):
                texts = len(values)
            tame = [_tame(each, width, texts) for each in values[:texts]]
            return tame if isinstance(value, list) else tuple(tame)
        case _:
            return value


def _cut(text: str, width: int) -> str:
    raw = text[: width + 1].encode("utf-8", "backslashreplace")
    if len(raw) <= width:
        return raw.decode()
    return raw[: width - 3].decode("utf-8", "ignore") + "…"
