"""Text hidden in a text by an encoding: base64 and its URL form, hexadecimal and binary digits, percent signs, escapes, tag characters.

Bounded: what is not text when decoded is dropped at once, and a budget of characters is shared by all that one text yields.
"""

import base64
import binascii
import html
import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote

from gateway.guards.injection.signs import Sign

MAX_DEPTH = 3
"""How many encodings around each other are taken off: each makes text longer by a third or more, and no model reads four."""

MAX_DECODED = 256 << 10
"""Characters that are decoded for one text: a hundred attacks, and a tenth of a second at most."""

_LEAST = 8
"""Characters of a decoded piece that are worth reading: no order is shorter."""

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}+(?:\r?\n[A-Za-z0-9+/_-]{4,}+)*+")
_HEX = re.compile(r"(?:(?:\\x|0x|%u00)?[0-9A-Fa-f]{2}[ ,:]?){8,}+")
_BINARY = re.compile(r"(?:[01]{8}[ ,]?){6,}+")
_DECIMAL = re.compile(r"(?:\b[1-9][0-9]{1,2}[ ,]{1,2}){7,}+(?:[1-9][0-9]{1,2}\b)?")
_ESCAPES = re.compile(r"\\u\{?([0-9A-Fa-f]{4})\}?")
_TAGS = re.compile(r"[\U000e0020-\U000e007e]{4,}+")

_HEX_MARKS = re.compile(r"\\x|0x|%u00|[ ,:]")
_GAPS = re.compile(r"[\r\n]")
_SHIFT = 0xE0000
"""Tag characters are ASCII moved up by this (Unicode Standard, chapter 23.9)."""


def _text(raw: bytes) -> str | None:
    """What the bytes say, if it looks like prose: valid UTF-8 (or UTF-16, as PowerShell makes it), mostly letters, no controls."""
    try:
        text = raw.decode("utf-16-le") if raw.count(0) * 3 > len(raw) else raw.decode()
    except UnicodeDecodeError:
        return None
    if len(text) < _LEAST or not text.replace("\n", " ").replace("\r", " ").replace("\t", " ").isprintable():
        return None
    return text


def _base64(piece: str) -> str | None:
    bare = _GAPS.sub("", piece).replace("-", "+").replace("_", "/")
    for part in (bare, *(part for part in bare.split("/") if part != bare and len(part) >= 16)):
        try:
            text = _text(base64.b64decode(part[: len(part) - (len(part) % 4 == 1)] + "=" * (-len(part) % 4)))
        except binascii.Error:
            continue
        if text is not None:
            return text
    return None


def _hex(piece: str) -> str | None:
    digits = _HEX_MARKS.sub("", piece)
    return _text(bytes.fromhex(digits[: len(digits) & ~1]))


def _binary(piece: str) -> str | None:
    digits = piece.replace(" ", "").replace(",", "")
    return _text(int(digits, 2).to_bytes(len(digits) // 8, "big")) if len(digits) <= 1 << 14 else None


def _decimal(piece: str) -> str | None:
    codes = [int(code) for code in piece.replace(",", " ").split()]
    return _text(bytes(codes)) if max(codes) < 128 else None


def _tags(piece: str) -> str | None:
    return "".join(chr(ord(char) - _SHIFT) for char in piece)


_PIECES: tuple[tuple[Sign, re.Pattern[str], Callable[[str], str | None]], ...] = (
    (Sign.BINARY, _BINARY, _binary),
    (Sign.HEX, _HEX, _hex),
    (Sign.DECIMAL, _DECIMAL, _decimal),
    (Sign.BASE64, _BASE64, _base64),
    (Sign.TAGS, _TAGS, _tags),
)


def _unescape(text: str) -> str:
    return _ESCAPES.sub(lambda match: chr(int(match[1], 16)), text)


_WHOLES: tuple[tuple[Sign, Callable[[str], str]], ...] = (
    (Sign.PERCENT, unquote),
    (Sign.ENTITIES, html.unescape),
    (Sign.ESCAPES, _unescape),
)


def decoded(text: str, found: frozenset[Sign]) -> Iterator[str]:
    """Every text that stands encoded in this one, one layer deep, where there are signs of it.

    Percent signs and escapes are taken off the text as a whole.
    """
    for sign, pattern, decode in _PIECES:
        if sign in found:
            for match in pattern.finditer(text):
                piece = decode(match[0][:MAX_DECODED])
                if piece is not None:
                    yield piece
    for sign, decode in _WHOLES:
        if sign in found:
            whole = decode(text[:MAX_DECODED])
            if whole != text:
                yield whole
