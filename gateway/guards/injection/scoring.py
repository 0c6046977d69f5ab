"""From wording to a score: how much a text looks like an attack, and of which family.

Every wording that is found is one piece of evidence with a weight ``w``; the score is ``1 - (1 - w1)(1 - w2)...``, the chance that at
least one of them means it, were they independent (a noisy or; Pearl, "Probabilistic Reasoning in Intelligent Systems", 1988, 4.3.2).
So a verdict can be explained: the family with the most evidence, and the number.
"""

import re
from collections.abc import Iterable
from functools import cache

from msgspec import Struct

from gateway.guards.injection.encoded import MAX_DECODED, MAX_DEPTH, decoded
from gateway.guards.injection.matching import PatternSet
from gateway.guards.injection.patterns import DISCUSSION, MARKUP, WORDS, Family, Pattern
from gateway.guards.injection.signs import Sign, signs
from gateway.guards.injection.views import backwards, rotated, squeezed, unleet, words
from gateway.guards.normal import plain

_HIDDEN = Pattern("obfuscation", 0.45, "")
"""An attack that stands in the text only when a trick is undone: the trick is evidence of its own."""

_QUOTED = 0.3
"""What is left of the weight of a wording that stands in quotation marks in a text about attacks."""

_QUOTATION = re.compile(
    r"\"[^\"\n]{3,400}+\"|`[^`\n]{3,400}+`|(?<!\w)'[^'\n]{3,400}+'(?!\w)"
    "|\u00ab[^\u00bb\n]{3,400}+\u00bb|[\u201c\u201e][^\u201c\u201d\n]{3,400}+[\u201c\u201d]|\u2018[^\u2019\n]{3,400}+\u2019"
)


class Score(Struct, frozen=True):
    """The verdict of the evidence."""

    value: float
    """0 to 1."""
    family: Family | None
    """Of the heaviest evidence; None: there is none."""


@cache
def _word_set(family: Family) -> PatternSet:
    return PatternSet(p for p in WORDS if p.family == family)


@cache
def _markup_set() -> PatternSet:
    return PatternSet(MARKUP)


@cache
def _squeezed_set() -> PatternSet:
    return PatternSet(WORDS, squeezed=True)


@cache
def _discussion() -> re.Pattern[str]:
    return re.compile(DISCUSSION)


class Evidence:
    """What was found in one text. ``families``: those that count."""

    __slots__ = ("_families", "_left", "_weights")

    def __init__(self, families: frozenset[Family]) -> None:
        self._families = families
        self._weights: dict[Pattern, float] = {}
        self._left = MAX_DECODED

    def read(self, text: str, *, decode: bool) -> None:
        """Gather from a text, and from what is encoded in it."""
        simple = plain(text)
        found = self._direct(simple)
        if found:
            self._add(found, text)
        tricks = signs(text)
        self._tricks(simple, tricks if text.isascii() else signs(simple))
        if decode:
            self._decode(text, tricks, MAX_DEPTH)

    def score(self) -> Score:
        """Of all that was gathered."""
        by_family: dict[Family, float] = {}
        rest = 1.0
        for pattern, weight in self._weights.items():
            rest *= 1 - weight
            by_family[pattern.family] = by_family.get(pattern.family, 1.0) * (1 - weight)
        return Score(1 - rest, min(by_family, key=lambda family: by_family[family], default=None))

    def _direct(self, simple: str) -> list[Pattern]:
        spaced = words(simple)
        found = [pattern for family in self._families for pattern in _word_set(family).match(spaced)]
        found += [pattern for pattern in _markup_set().match(simple) if pattern.family in self._families]
        return found

    def _tricks(self, simple: str, found: frozenset[Sign]) -> None:
        """Readings of the text in which more is found than in itself."""
        if Sign.LEET in found:
            for reading in unleet(simple):
                self._reveal(self._direct(reading))
        if Sign.ROTATED in found:
            self._reveal(self._direct(rotated(simple)))
        if Sign.REVERSED in found:
            self._reveal(self._direct(backwards(simple)))
        if Sign.SPREAD in found:
            for reading in {simple, *unleet(simple)}:
                self._reveal([p for p in _squeezed_set().match(squeezed(reading)) if p.family in self._families])

    def _decode(self, text: str, found: frozenset[Sign], depth: int) -> None:
        for piece in decoded(text, found):
            self._left -= len(piece)
            if self._left < 0:
                return
            simple = plain(piece)
            self._reveal(self._direct(simple))
            inner = signs(piece)
            self._tricks(simple, inner)
            if depth > 1:
                self._decode(piece, inner, depth - 1)

    def _reveal(self, found: list[Pattern]) -> None:
        new = [pattern for pattern in found if pattern not in self._weights]
        if new:
            self._add(new, None)
            self._weights[_HIDDEN] = _HIDDEN.weight

    def _add(self, found: Iterable[Pattern], text: str | None) -> None:
        """``text`` is where it stands as it is; None: in a reading of it, which nobody quotes."""
        outside: frozenset[Pattern] | None = None
        if text is not None and _discussion().search(text.lower()):
            outside = frozenset(self._direct(plain(_QUOTATION.sub(" ... ", text))))
        for pattern in found:
            self._weights[pattern] = pattern.weight if outside is None or pattern in outside else pattern.weight * _QUOTED
