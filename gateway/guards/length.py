"""The guard ``length``: how long a text may be, and how long it must be, in characters, words, sentences and lines.

A word is a run without white space, a line is what line feeds separate (one at the very end opens no line), and a sentence is a run
that ends with a full stop, an exclamation or question mark, an ellipsis or their kin in other scripts before white space or the end: a
cheap reading of Unicode Standard Annex 29 (``3.5`` ends none, ``e.g. this`` ends one). Where words are written without blanks, count
characters.

A stream is ended at the first character that is too much. That a text is too short only its end can tell.
"""

import re
from collections.abc import Callable, Mapping
from typing import Annotated

from msgspec import Meta, Struct

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.counters import Characters, Counter, Lines, Sentences, Words, sentence_ends
from gateway.guards.normal import PIECE
from gateway.guards.whole import WholeText

_MOST = 100_000_000
"""Of anything: more than any body holds."""

_WORD = re.compile(r"\S++")

_Count = Annotated[int, Meta(ge=0, le=_MOST)] | None


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
    ends = list(sentence_ends(text, complete=True))
    return len(ends) + bool(text[ends[-1] if ends else 0 :].strip())


def _lines(text: str) -> int:
    return text.count("\n") + (not text.endswith("\n")) if text else 0


def _words(text: str) -> int:
    return len(text.split()) if len(text) <= PIECE else sum(1 for _ in _WORD.finditer(text))


_UNITS: dict[str, Callable[[str], int]] = {
    "characters": len,
    "words": _words,
    "sentences": _sentences,
    "lines": _lines,
}


_COUNTERS: dict[str, Callable[[int], Counter]] = {
    "characters": Characters,
    "words": Words,
    "sentences": Sentences,
    "lines": Lines,
}


class LengthCount:
    """One text on its way past the upper bounds."""

    __slots__ = ("_counters",)

    def __init__(self, most: Mapping[str, int]) -> None:
        self._counters = [(f"too_long: {unit}", _COUNTERS[unit](bound)) for unit, bound in most.items()]

    def feed(self, text: str) -> tuple[int, str] | None:
        """More of the text: where in it the first of the bounds is passed, and which (``too_long: words``)."""
        passed = [(place, what) for what, counter in self._counters if (place := counter.feed(text)) is not None]
        return min(passed, key=_first, default=None)


def _first(passed: tuple[int, str]) -> int:
    return passed[0]


class LengthGuard(WholeText):
    """Counts. Of several upper bounds the one counts that is passed first; a text that is too long is not too short besides."""

    __slots__ = ("_least", "_most")

    def __init__(self, least: Mapping[str, int], most: Mapping[str, int]) -> None:
        self._least = least
        self._most = most

    def judge(self, text: str) -> str | None:
        """``too_long`` or ``too_short`` with the unit (``too_long: words``)."""
        counter = self.counter()
        for start in range(0, len(text), PIECE):
            passed = counter.feed(text[start : start + PIECE])
            if passed is not None:
                return passed[1]
        return next((f"too_short: {unit}" for unit, least in self._least.items() if _UNITS[unit](text) < least), None)

    def counter(self) -> LengthCount:
        """As :meth:`Counting.counter <gateway.guards.detector.Counting.counter>`."""
        return LengthCount(self._most)

    @property
    def rest(self) -> "LengthGuard | None":
        """As :attr:`Counting.rest <gateway.guards.detector.Counting.rest>`."""
        return LengthGuard(self._least, {}) if self._least else None


def make_length(options: LengthOptions, param: str) -> LengthGuard:
    """The guard. Raises ``malformed`` where there is no bound, or no text could be within them."""
    place = f"{param}.options"
    bounds = {name: getattr(options, name) for name in options.__struct_fields__}
    if all(bound is None for bound in bounds.values()):
        raise GatewayError(MALFORMED, f"{place} must have at least one bound, such as max_characters", param=place)
    for unit in _UNITS:
        least, most = bounds[f"min_{unit}"], bounds[f"max_{unit}"]
        if least is not None and most is not None and least > most:
            raise GatewayError(MALFORMED, f"{place}.min_{unit} is more than max_{unit}", param=f"{place}.min_{unit}")
    return LengthGuard(_given("min", bounds), _given("max", bounds))


def _given(side: str, bounds: Mapping[str, int | None]) -> dict[str, int]:
    return {unit: bound for unit in _UNITS if (bound := bounds[f"{side}_{unit}"]) is not None}
