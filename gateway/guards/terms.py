"""Prohibited terms: one pass over the text for all of them, whatever their number.

The matching engine is Hyperscan, which looks at 16 or 32 bytes at a time. Beside ``re2.Set``, on 200 / 10,000 characters of prose
without a hit: 20 terms 0.8 / 3 us against 1.4 / 20, 10,000 terms 0.8 / 8 against 1.7 / 25 (``tests/bench/bench_terms.py``).
It tells which terms may occur; where, and whether at word edges, is then judged here, because its word edges are ASCII only, and
10,000 terms with them take 26 s to compile.
"""

import re
from collections.abc import Iterator, Sequence

import hyperscan
from msgspec import Struct

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.fold import fold, is_word

MAX_TERMS = 10_000
"""Per list. 10,000 terms compile in half a second and match at 1 us per KB; more is for a classifier."""

MAX_TERM = 256
"""Characters per term: a stream may have to hold back this much text."""

MAX_CHARACTERS = 200_000
"""Per list: a stream keeps every prefix of every term, 80 bytes each."""

_MISSES = 32
"""Occurrences within words after which those are passed over by a pattern, which is compiled for that: each takes 0.5 us otherwise, and
a text may hold nothing else."""


class Hit(Struct, frozen=True, gc=False):
    """An occurrence of a term, in folded characters of the searched text."""

    decided: int
    """How many characters must be known to be sure of it: its end, plus one where a word edge is to be seen there."""
    start: int
    term: int


class TermSet:
    """A compiled list of terms. ``param`` names the list in errors. Raises ``malformed``.

    ``whole_words``: a term that begins or ends with a character of a word does so at the word's edge.
    """

    __slots__ = ("_database", "_edged", "_idle", "_left", "_right", "folded", "longest", "terms", "whole_words")

    def __init__(self, terms: list[str], param: str, *, whole_words: bool = True) -> None:
        if len(terms) > MAX_TERMS:
            raise GatewayError(MALFORMED, f"{param} has {len(terms)} terms; at most {MAX_TERMS} are possible", param=param)
        self.terms = tuple(terms)
        self.folded = tuple(_checked(term, i, param) for i, term in enumerate(terms))
        if sum(map(len, self.folded)) > MAX_CHARACTERS:
            raise GatewayError(MALFORMED, f"{param} has more than {MAX_CHARACTERS} characters in all", param=param)
        self.longest = max(map(len, self.folded), default=0)
        """Folded characters of the longest term."""
        self.whole_words = whole_words
        self._left = [whole_words and is_word(term[0]) for term in self.folded]
        self._right = [whole_words and is_word(term[-1]) for term in self.folded]
        self._database = _compiled(self.folded)
        self._idle = [self._database.scratch]
        """One for each thread that has searched at the same time as others: none can be used by two."""
        self._edged: dict[int, re.Pattern[str]] = {}
        """By term: itself where it is no part of a word, of those that were often found within words."""

    def match(self, folded: str) -> list[int]:
        """Ids of the terms that may occur in a folded text, or in one of ASCII as it is, word edges left aside: nearly always none."""
        data, idle = folded.encode(), self._idle
        found: list[int] = []
        scratch = idle.pop() if idle else hyperscan.Scratch(self._database)
        self._database.scan(data, _note, 0, found, scratch)  # pyright: ignore[reportArgumentType] - the context is what we give
        idle.append(scratch)
        return found

    def first(self, candidates: list[int], folded: str, before: str) -> Hit | None:
        """Of what :attr:`match` found, the hit that reading character by character would be sure of first; None: no hit.

        ``before`` is the folded character left of the text, empty at the beginning. ``decided > len(folded)`` means that the
        term stands at the very end of the text and only the next character can tell; the end of everything makes it a hit.
        """
        hits = [hit for i in candidates if (hit := self._locate(i, folded, before)) is not None]
        return min(hits, key=_order, default=None)

    def _locate(self, i: int, folded: str, before: str) -> Hit | None:
        start = next(self.places(i, folded, before), None)
        return None if start is None else Hit(start + len(self.folded[i]) + self._right[i], start, i)

    def places(self, i: int, folded: str, before: str) -> Iterator[int]:
        """Where term ``i`` begins in a folded text, at the edges it asks for; the end of the text counts as an edge."""
        term, left, right = self.folded[i], self._left[i], self._right[i]
        start, misses = folded.find(term), 0
        while start >= 0:
            end = start + len(term)
            previous = folded[start - 1] if start else before
            left_open = not left or not previous or not is_word(previous)
            if left_open and (not right or end == len(folded) or not is_word(folded[end])):
                yield start
            else:
                misses += 1
            start = folded.find(term, start + 1) if misses < _MISSES else self._next(i, folded, start + 1)

    def _next(self, i: int, folded: str, start: int) -> int:
        """Where term ``i`` occurs next, at the edges it asks for; -1: nowhere."""
        pattern = self._edged.get(i)
        if pattern is None:
            term = re.escape(self.folded[i])
            # The term stands first, so that ``re`` looks for it as a text.
            left, right = rf"(?<!\w{term})" if self._left[i] else "", r"(?!\w)" if self._right[i] else ""
            pattern = self._edged[i] = re.compile(term + left + right)
        found = pattern.search(folded, start)
        return -1 if found is None else found.start()


def _compiled(folded: Sequence[str]) -> hyperscan.Database:
    """Takes 40 us per term; other threads run meanwhile."""
    database, number = hyperscan.Database(), len(folded)
    # Case is nothing to it, which spares ASCII, nearly every text, the folding: there it means the same.
    flags = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_SINGLEMATCH
    texts = [term.encode() for term in folded]
    database.compile(expressions=texts, ids=range(number), elements=number, flags=[flags] * number, literal=True)
    return database


def _note(term: int, start: int, end: int, flags: int, found: list[int]) -> None:
    del start, end, flags
    found.append(term)


def _order(hit: Hit) -> tuple[int, int, int]:
    return hit.decided, hit.start, hit.term


def _checked(term: str, i: int, param: str) -> str:
    folded = fold(term)
    if not term.strip() or len(folded) > MAX_TERM or "\0" in term:
        raise GatewayError(
            MALFORMED,
            f"{param}[{i}] must be a text of 1 to {MAX_TERM} characters, not blank, without NUL",
            param=f"{param}[{i}]",
        )
    return folded
