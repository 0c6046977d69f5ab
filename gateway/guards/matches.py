r"""All matches of a pattern in a text, in bounded work.

RE2 finds one match in linear time. Finding all of them by asking again behind each is another matter: to know that ``a.*b|a`` matches
no more than an ``a``, it must look for a ``b`` up to the end of the text, for every ``a`` anew. So what lies ahead is shown in windows.
A match is decided when nothing that begins at or before it can reach the window's end (the pattern's beginnings tell, see
:mod:`gateway.guards.partial`); else the window is doubled. What was shown is counted, and where it comes to more than
:data:`MAX_STEPS`, the rest of the text is one finding. Counted are characters and never time, so the verdict is always the same.
"""

# pyright: reportUnknownMemberType=false

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Protocol

from gateway.guards.detector import Finding

FREE = 16
"""Matches that are simply asked for: each costs the rest of the text at most, so these are linear together."""
WINDOW = 256
"""Bytes that are looked ahead at first: most matches are shorter, and a window costs some microseconds whatever is in it."""
MAX_STEPS = 1 << 24
"""Bytes looked at again for one text: some 80 ms. That is 65,000 short matches, or a hundred that need 100,000 bytes."""
TOO_MANY = "too_many_matches"
"""The kind of a finding that is all the rest of a text."""

Place = tuple[int, int, str]
"""A finding by bytes: its start, its end, its kind."""


class Match(Protocol):
    """One match of RE2's."""

    lastindex: int | None

    def span(self) -> tuple[int, int]:
        """Its first byte, and the first behind it."""
        ...


class Regex(Protocol):
    """What ``re2`` compiles, with the types that its own stubs lack; asked about UTF-8, for which it takes a third of the time."""

    def finditer(self, text: bytes, pos: int = ..., endpos: int | None = ...) -> Iterator[Match]:
        """All matches within bounds, not overlapping; what is left of them is only looked at."""
        ...

    def search(self, text: bytes, pos: int = ..., endpos: int | None = ...) -> Match | None:
        """The first of them."""
        ...


class Matches:
    """All matches of an automaton in a text. ``what`` is the kind of one.

    ``ends`` matches the longest end of a text that may yet become part of a match, the empty one too; None: nobody can tell.
    ``longest``: bytes of the longest match and of what must be seen right of it; None: there is no bound.
    """

    __slots__ = ("_all", "_ends", "_longest", "_what")

    def __init__(self, everything: Regex, ends: Regex | None, longest: int | None, what: Callable[[Match], str]) -> None:
        self._all = everything
        self._ends = ends
        self._longest = longest
        self._what = what

    @property
    def most(self) -> int | None:
        """How many of a bounded length are found in one text: each costs no more than the bound beyond its own length."""
        return None if self._longest is None else MAX_STEPS // max(self._longest, 1)

    def find(self, data: bytes, start: int, most: int | None) -> list[Place]:
        """Those that begin at byte ``start`` or later; ``most`` is how many of a bounded length there may be."""
        matches = self._all.finditer(data, start)
        found = [(*match.span(), self._what(match)) for match in islice(matches, FREE if most is None else most)]
        if most is None:
            return found if len(found) < FREE else self._further(data, found)
        more = next(matches, None) if len(found) == most else None
        return found if more is None else [*found, (more.span()[0], len(data), TOO_MANY)]

    def until(self, data: bytes, start: int, border: int) -> list[Place]:
        """Those that begin at byte ``start`` or later, and left of ``border``."""
        found: list[Place] = []
        for match in self._all.finditer(data, start):
            begin, end = match.span()
            if begin >= border:
                break
            found.append((begin, end, self._what(match)))
        return found

    def _further(self, data: bytes, found: list[Place]) -> list[Place]:
        """Those behind the first ones too."""
        place, size, width, steps = found[-1][1], len(data), WINDOW, MAX_STEPS
        while place < size:
            end = _whole(data, min(place + width, size))
            border = size if end == size else self._border(data, place, end)
            steps -= width  # for the search that finds no more
            moved = place
            for match in self._all.finditer(data, place, end):
                begin, stop = match.span()
                if begin >= border:
                    break
                steps -= width
                if steps < 0:
                    return [*found, (begin, size, TOO_MANY)]
                found.append((begin, stop, self._what(match)))
                moved = stop
            moved = max(moved, border)
            width = WINDOW if moved > place else 2 * width
            place = moved
            if steps < 0 and place < size:
                return [*found, (place, size, TOO_MANY)]
        return found

    def _border(self, data: bytes, start: int, end: int) -> int:
        """The first byte of a window that something may begin at which more text decides."""
        if self._ends is None:
            return start
        begin = _begun(data, start)  # an edge may be there
        held = self._ends.search(data[begin:end], start - begin)
        return start if held is None else begin + held.span()[0]


def _whole(data: bytes, end: int) -> int:
    """The next byte from this one on that begins a character: a window does not end within one."""
    while end < len(data) and data[end] & 0xC0 == 0x80:
        end += 1
    return end


def _begun(data: bytes, place: int) -> int:
    """Where the character before this byte begins."""
    begin = max(0, place - 1)
    while begin and data[begin] & 0xC0 == 0x80:
        begin -= 1
    return begin


def by_characters(data: bytes, characters: int, places: list[Place]) -> list[Finding]:
    """The same by characters, of a text that has so many; places are in order."""
    if len(data) == characters:
        return [Finding(start, end, what) for start, end, what in places]
    found: list[Finding] = []
    byte = char = 0
    for start, end, what in places:
        begin = char + len(data[byte:start].decode())
        byte, char = end, begin + len(data[start:end].decode())
        found.append(Finding(begin, char, what))
    return found
