"""The guard ``length``: how long a text may be, and how long it must be, in characters, words, sentences and lines.

A word is a run without white space, a line is what line feeds separate (one at the very end opens no line), and a sentence is a run
that ends with a full stop, an exclamation or question mark, an ellipsis or their kin in other scripts before white space or the end: a
cheap reading of Unicode Standard Annex 29 (``3.5`` ends none, ``e.g. this`` ends one). Where words are written without blanks, count
characters.
"""

import re
from collections.abc import Callable, Mapping
from typing import Annotated

from msgspec import Meta, Struct

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.whole import WholeText

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


_UNITS: dict[str, Callable[[str], int]] = {
    "characters": len,
    "words": lambda text: len(text.split()),
    "sentences": _sentences,
    "lines": _lines,
}


class LengthGuard(WholeText):
    """Counts."""

    __slots__ = ("_bounds",)

    def __init__(self, bounds: Mapping[str, int | None]) -> None:
        self._bounds = [
            (unit, bounds[f"min_{unit}"], bounds[f"max_{unit}"], count)
            for unit, count in _UNITS.items()
            if bounds[f"min_{unit}"] is not None or bounds[f"max_{unit}"] is not None
        ]

    def judge(self, text: str) -> str | None:
        """``too_long`` or ``too_short`` with the unit (``too_long: words``)."""
        for unit, least, most, count in self._bounds:
            number = count(text)
            if most is not None and number > most:
                return f"too_long: {unit}"
            if least is not None and number < least:
                return f"too_short: {unit}"
        return None


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
    return LengthGuard(bounds)
