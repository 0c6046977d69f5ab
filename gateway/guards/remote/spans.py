"""Places that others found something at: read strictly, for what stands there is written over.

Places are counted in characters (Unicode code points) of the texts as they were sent. Who counts in bytes or UTF-16 units is soon out
of range, or cuts a character in two; an answer with one such place is none at all.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

from msgspec import Struct

from gateway.guards.remote.asking import AnswerError, Span, label

MAX_SPANS = 10_000
"""Of one answer: a long conversation has some hundred names."""


class Place(Struct, frozen=True, gc=False):
    """A span as it came."""

    text: int
    start: int
    end: int
    """Exclusive."""
    label: str


def checked(places: Sequence[Place], texts: Sequence[str]) -> tuple[Span, ...]:
    """The spans, in order. Raises :class:`AnswerError` for those that are out of range, empty, overlapping or within a character."""
    if len(places) > MAX_SPANS:
        raise AnswerError(f"it gives more than {MAX_SPANS} places")
    spans: list[Span] = []
    before = (0, 0)
    for place in sorted(places, key=_order):
        if not 0 <= place.text < len(texts) or not 0 <= place.start < place.end <= len(texts[place.text]):
            raise AnswerError("it gives a place that is none of the texts")
        text = texts[place.text]
        if _cuts(text, place.start) or _cuts(text, place.end):
            raise AnswerError("it gives a place within a character")
        if (place.text, place.start) < before:
            raise AnswerError("it gives places that overlap")
        before = (place.text, place.end)
        spans.append(Span(place.text, place.start, place.end, label(place.label)))
    return tuple(spans)


def apart(places: Iterable[Place]) -> list[Place]:
    """The same places without overlaps: of two the one that begins first is whole, or the longer one, and the other what is left."""
    out: list[Place] = []
    text = end = 0
    for place in sorted(places, key=_order):
        if place.text != text:
            text, end = place.text, 0
        start = max(place.start, end)
        if start < place.end:
            out.append(Place(text, start, place.end, place.label))
            end = place.end
    return out


def divided(places: Iterable[Place], texts: Sequence[str], between: int) -> list[Place]:
    """Places in texts that were sent as one, with ``between`` characters between them; what lies between is nowhere.

    Raises :class:`AnswerError` for those that are out of range.
    """
    starts = list(accumulate([len(text) + between for text in texts], initial=0))
    whole = starts[-1] - between
    out: list[Place] = []
    for place in places:
        if not 0 <= place.start < place.end <= whole:
            raise AnswerError("it gives a place that is none of the text")
        index = bisect_right(starts, place.start) - 1
        while index < len(texts) and starts[index] < place.end:
            start, end = max(place.start - starts[index], 0), min(place.end - starts[index], len(texts[index]))
            if start < end:
                out.append(Place(index, start, end, place.label))
            index += 1
    return out


def _order(place: Place) -> tuple[int, int, int]:
    return place.text, place.start, -place.end


def _cuts(text: str, at: int) -> bool:
    """Whether a border lies between the halves of a character that is written as two surrogates, or beside a lone one."""
    return any("\ud800" <= char <= "\udfff" for char in text[max(0, at - 1) : at + 1])
