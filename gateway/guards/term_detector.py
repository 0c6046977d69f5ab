"""A list of terms as a detector: the engine of prohibited terms, for lists with other actions or beside other guards."""

from gateway.guards.detector import Finding
from gateway.guards.fold import fold, origins
from gateway.guards.tails import Tails
from gateway.guards.terms import TermSet


class TermDetector:
    """A ``Detector`` of the terms of a set. Where several begin at one place the longest is found."""

    __slots__ = ("_by_folded", "_tails", "_terms", "_what", "before", "longest")

    def __init__(self, terms: TermSet, what: str) -> None:
        self._terms = terms
        self._what = what
        self._tails = Tails(terms)
        self._by_folded = dict(zip(terms.folded, terms.terms, strict=True))
        self.longest: int | None = max(map(len, terms.folded)) + 1
        self.before = 1

    def term(self, text: str) -> str:
        """The term, as configured, that a found text is."""
        return self._by_folded.get(fold(text), text)

    def find(self, text: str) -> list[Finding]:
        """Every term."""
        return self.find_from(text, 0)

    def find_from(self, text: str, start: int) -> list[Finding]:
        """Every term that begins at ``start`` or later."""
        before, folded = fold(text[:start])[-1:], fold(text[start:])
        candidates = self._terms.match(before + folded)
        if not candidates:
            return []
        where = origins(text[start:], folded)
        places = [(begin, -len(self._terms.folded[i])) for i in candidates for begin in self._terms.places(i, folded, before)]
        found: list[Finding] = []
        end = start
        for begin, minus in sorted(places):
            first, last = begin, begin - minus
            if where is not None:
                # A character whose folding is partly a term's is part of the finding.
                first, last = where[first], where[last - 1] + 1
            if first + start >= end:
                end = last + start
                found.append(Finding(first + start, end, self._what))
        return found

    def hold(self, text: str) -> int:
        """Characters at the end of a text that may be, or become, part of a term."""
        return self.hold_from(text, 0)

    def hold_from(self, text: str, start: int) -> int:
        """As :meth:`hold`, for terms that begin at ``start`` or later."""
        before, rest = fold(text[:start])[-1:], text[start:]
        folded = fold(rest)
        length = self._tails.hold(folded, before)
        where = origins(rest, folded)
        return length if where is None or not length else len(rest) - where[len(folded) - length]
