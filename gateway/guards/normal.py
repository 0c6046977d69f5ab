"""The plain form of a text: what a reader takes it for, whatever characters it was written with.

Each character is taken alone: compatibility decomposition (NFKD, Unicode Standard Annex 15), case folding, marks and everything
invisible dropped, look-alikes of Latin letters replaced by these (Unicode Technical Standard 39). Nothing depends on neighbours, so
the work is linear whatever the text: composing and reordering marks, which is quadratic for a hostile run of them, never happens.
Patterns that are searched in plain text must be plain themselves: :func:`plain_pattern`.
"""

import re
import unicodedata
from collections.abc import Mapping

from gateway.guards.confusables import LOOKALIKES

PIECE = 1 << 15
"""Characters that are translated at once: a millisecond or two, in which no other thread of Python gets its turn."""

_REMEMBERED = 20_000
"""Characters whose plain form is kept: more than the living scripts of any text have, 2 MB; the rest is computed each time."""

_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols that show nothing: fillers of Hangul, the empty Braille cell."""

_SPACES = "\t\n\r\x0b\x0c\x85"
"""Controls that separate words."""

_BOXED = {0x1F150: 26, 0x1F170: 26, 0x1F1E6: 26}
"""First code points of the white-on-black letters and the regional indicators, which have no decomposition."""

_ALIKE = {ord(char): letter for letter, chars in LOOKALIKES.items() for char in chars} | {
    start + i: chr(97 + i) for start, count in _BOXED.items() for i in range(count)
}


def _shown(char: str) -> bool:
    """Whether it is more than a mark or a control."""
    return char in _SPACES or not (
        char in _BLANK
        or unicodedata.combining(char)
        or unicodedata.category(char) in {"Mn", "Me", "Cf", "Cc", "Co", "Cs", "Cn"}
    )


def _once(text: str) -> str:
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join([_ALIKE.get(ord(char), char) for char in folded if _shown(char)])


def _plain(char: str) -> str:
    before, after = char, _once(char)
    while after != before:
        before, after = after, _once(after)
    return after


_CONTROLS = bytes(code for code in range(128) if not _shown(chr(code)))


class _Table(dict[int, str]):
    """What :meth:`str.translate` asks, filled as characters are met."""

    def __missing__(self, code: int) -> str:
        plain = _plain(chr(code))
        if len(self) < _REMEMBERED:
            self[code] = plain
        return plain


_TABLE = _Table()
_FOREIGN = re.compile(r"[^\x00-\x7f]+")


def plain(text: str) -> str:
    """The plain form; the plain form of a plain text is itself."""
    if text.isascii():
        return text.encode().lower().translate(None, _CONTROLS).decode()
    return translated(text, _TABLE)


def translated(text: str, table: Mapping[int, str] | Mapping[int, int]) -> str:
    """``text.translate(table)``, in pieces: a million characters at once take 50 ms."""
    if len(text) <= PIECE:
        return text.translate(table)
    return "".join([text[at : at + PIECE].translate(table) for at in range(0, len(text), PIECE)])


def plain_pattern(pattern: str) -> str:
    """A pattern for plain text: its letters outside ASCII made plain, its syntax, which is ASCII, left alone."""
    return _FOREIGN.sub(lambda match: plain(match[0]), pattern)
