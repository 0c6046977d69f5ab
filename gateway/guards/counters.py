"""Counting a text while it comes: where the first character stands that is one unit too many.

Each counter knows what a unit is as the functions of :mod:`gateway.guards.length` do for whole texts; a property test holds them
together. A unit is there with its first character, so nothing ever waits for its end.
"""

import re
from collections.abc import Iterator
from typing import Protocol

SENTENCE_END = ".!?\u2026\u061f\u0964"
"""What ends a sentence before white space or the end of the text."""
CLOSING = "\"')]\u201d\u2019"
"""What may stand between the two."""
FULL_STOP = "\u3002\uff01\uff1f"
"""What ends a sentence whatever follows: the marks of Chinese and Japanese."""

_MARKS = re.compile(f"[{SENTENCE_END}]++[{re.escape(CLOSING)}]*+|[{FULL_STOP}]++")
_WORD = re.compile(r"\S++")
_SHOWN = re.compile(r"\S")


def sentence_ends(text: str, *, complete: bool) -> Iterator[int]:
    """Behind each sentence's end, from left to right. ``complete``: the end of the text is as good as white space."""
    # What follows is not part of the pattern: a run of marks that ends nothing would be tried from each of them.
    for marks in _MARKS.finditer(text):
        end = marks.end()
        if marks[0][0] in FULL_STOP or (text[end].isspace() if end < len(text) else complete):
            yield end


class Counter(Protocol):
    """One unit, in one text."""

    def feed(self, text: str) -> int | None:
        """More of the text: where in it there is too much; None: nowhere yet. Not asked again after that."""
        ...


class Characters:
    """Code points."""

    __slots__ = ("_left",)

    def __init__(self, most: int) -> None:
        self._left = most

    def feed(self, text: str) -> int | None:
        """As :meth:`Counter.feed`."""
        if len(text) > self._left:
            return self._left
        self._left -= len(text)
        return None


class Words:
    """Runs without white space."""

    __slots__ = ("_inside", "_left")

    def __init__(self, most: int) -> None:
        self._left = most
        self._inside = False

    def feed(self, text: str) -> int | None:
        """As :meth:`Counter.feed`."""
        if not text:
            return None
        begun = self._inside and not text[0].isspace()
        fresh = len(text.split()) - begun
        if fresh > self._left:
            words = [match.start() for match in _WORD.finditer(text)]
            return words[self._left + begun]
        self._left -= fresh
        self._inside = not text[-1].isspace()
        return None


class Lines:
    """What line feeds separate; one at the very end opens no line."""

    __slots__ = ("_left",)

    def __init__(self, most: int) -> None:
        self._left = most

    def feed(self, text: str) -> int | None:
        """As :meth:`Counter.feed`."""
        place = 0
        while self._left:
            place = text.find("\n", place) + 1
            if not place:
                return None
            self._left -= 1
        return place if place < len(text) else None


class Sentences:
    """Runs that end with a sentence's end, and what follows the last of them."""

    __slots__ = ("_before", "_left", "_open")

    def __init__(self, most: int) -> None:
        self._left = most
        self._open = False
        """Whether anything was seen of a sentence that has not ended."""
        self._before = ""
        """What stands before the next text, as far as it matters: a mark that white space would make an end, or a full stop."""

    def feed(self, text: str) -> int | None:
        """As :meth:`Counter.feed`."""
        if not text:
            return None
        before, self._before = self._before, ""
        offset = -len(before)
        if before and before in FULL_STOP:
            rest = text.lstrip(FULL_STOP)
            if not rest:
                self._before = before
                return None
            offset, text = len(text) - len(rest), rest
        else:
            text = before + text
        place = 0
        for end in sentence_ends(text, complete=False):
            found = self._begin(text, place, end)
            if found is not None:
                return found + offset
            place, self._open = end, False
        found = self._begin(text, place, len(text))
        if found is not None:
            return found + offset
        last = text.rstrip(CLOSING)[-1:]
        if (place == len(text) and last and last in FULL_STOP) or (self._open and last and last in SENTENCE_END):
            self._before = last
        return None

    def _begin(self, text: str, start: int, end: int) -> int | None:
        if self._open:
            return None
        shown = _SHOWN.search(text, start, end)
        if shown is None:
            return None
        if not self._left:
            return shown.start()
        self._left -= 1
        self._open = True
        return None
