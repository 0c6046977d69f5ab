"""Ledger records as bytes, whatever callers and providers put into their texts. Pure."""

from typing import TypeVar

import msgspec
from msgspec.structs import fields, replace

from gateway.core.ledger import Intent, LedgerRow

MAX_INTENT = 4096
"""Bytes of an encoded intent. A usual one has 350; only absurd labels (``user``, tags, model names) make one this long."""
FINAL_EXTRA = 2048
"""What a final row may be longer than its intent: usage, cost, outcome and public error have about 200 bytes in use. Also the
size that the last, narrowest step of :func:`mended` always stays below."""
MAX_RECORD = 8192
"""No record is longer, framing included: a segment's unusable end is shorter than this."""

_WIDTHS = ((1024, 16), (256, 16), (64, 0))
"""Steps of cutting: bytes per text, number of tags. At 64 bytes the ids (36) and hashes (64) are still whole, and the 23 texts
of a row with its 23 numbers take 1.8 KB."""
_INT64 = 1 << 63

encode = msgspec.msgpack.Encoder().encode
decode_row = msgspec.msgpack.Decoder(LedgerRow).decode
decode_intent = msgspec.msgpack.Decoder(Intent).decode

Record = TypeVar("Record", Intent, LedgerRow)


def mended(record: Record, limit: int) -> bytes:
    """The encoding of a record that cannot be stored as it is, in at most ``limit`` (>= ``FINAL_EXTRA``) bytes.

    Texts are cut (marked with an ellipsis) until it fits, lone surrogates become their escapes, and numbers beyond 64 bits
    become unknown. A slightly poorer accounting row is better than none.
    """
    body = b""
    for width, tags in _WIDTHS:
        changes = {field.name: _tame(getattr(record, field.encode_name), width, tags) for field in fields(record)}
        body = encode(replace(record, **changes))
        if len(body) <= limit:
            break
    return body


def _tame(value: object, width: int, tags: int) -> object:
    if isinstance(value, str):
        return _cut(value, width)
    if isinstance(value, list):
        return [_cut(str(tag), width) for tag in value[:tags]]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return None
    return value


def _cut(text: str, width: int) -> str:
    raw = text[: width + 1].encode("utf-8", "backslashreplace")
    if len(raw) <= width:
        return raw.decode()
    return raw[: width - 3].decode("utf-8", "ignore") + "…"
