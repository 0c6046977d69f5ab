"""The guard ``length``: how long a text may be, and how long it must be, in characters, words, sentences and lines.

A word is a run without white space, a line is what line feeds separate (one at the very end opens no line), and a sentence is a run
that ends with a full stop, an exclamation or question mark, an ellipsis or their kin in other scripts before white space or the end: a
cheap reading of Unicode Standard Annex 29 (``3.5`` ends none, ``e.g. this`` ends one). Where words are written without blanks, count
characters.
"""

import re
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.detector import Finding

_MOST = 100_000_000
"""Of anything: more than any body holds."""

_Count = Annotated[int, Meta(ge=0, le=_MOST)] | None

_SENTENCE_END = re.compile(
    "(?:[.!?\u2026\u061f\u0964]++[\"')\\]\u201d\u2019]*+(?=\\s|\\Z))|[\u3002\uff01\uff1f]++",
)


class LengthOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What ``length`` may be told; at least one bound."""

    min_characters: _Count = None
    max_characters: _Count = None
    min_words: _Count = None
    max_words: _Count = None
    min_sentences: _Count = None
    max_sentences: _Count = None
    min_lines: _Count = None
    max_lines: _Count = None


def _sentences(text: str) -> int:
    ends = 0
    last = 0
    for end in _SENTENCE_END.finditer(text):
        ends += 1
        last = end.end()
    return ends + bool(text[last:].strip())


def _lines(text: str) -> int:
    return text.count("\n") + (not text.endswith("\n")) if text else 0


class LengthGuard:
    """Counts. Kinds: ``too_long`` or ``too_short`` with the unit (``too_long: words``)."""

    __slots__ = ("_options",)

    longest: int | None = None
    before: int = 0

    def __init__(self, options: LengthOptions) -> None:
        self._options = options

    def find(self, text: str) -> Sequence[Finding]:
        """One finding that spans the text, or none."""
        what = self._judge(text)
        return () if what is None else (Finding(0, len(text), what),)

    def hold(self, text: str) -> int:
        """Everything."""
        return len(text)

    def _judge(self, text: str) -> str | None:
        o = self._options
        for unit, least, most, count in (
            ("characters", o.min_characters, o.max_characters, len),
            ("words", o.min_words, o.max_words, lambda text: len(text.split())),
            ("sentences", o.min_sentences, o.max_sentences, _sentences),
            ("lines", o.min_lines, o.max_lines, _lines),
        ):
            if least is None and most is None:
                continue
            number = count(text)
            if most is not None and number > most:
                return f"too_long: {unit}"
            if least is not None and number < least:
                return f"too_short: {unit}"
        return None
