"""A text is too long or not, and at the same character, however it was cut; and what counts while it comes counts as the whole does."""

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.documents import PostValidation, Validator
from gateway.core.verdicts import ALLOW, Block
from gateway.guards.catalogue import make
from gateway.guards.compiling import rules_of
from gateway.guards.length import LengthGuard
from gateway.guards.rules import Tally
from gateway.guards.shipped import CATALOGUE
from gateway.guards.stream import Rules, Window

UNITS = ("characters", "words", "sentences", "lines")
TEXTS = st.text(st.sampled_from('ab .!?\n\t")\u201d\u3002\uff01\u20269'), max_size=40)
CUTS = st.lists(st.integers(0, 40), max_size=12)
BOUNDS = st.dictionaries(st.sampled_from(UNITS), st.integers(0, 8), min_size=1)


def pieces(text: str, cuts: list[int]) -> list[str]:
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    return [text[a:b] for a, b in pairwise(places)]


def guard(most: dict[str, int], least: dict[str, int]) -> LengthGuard:
    options = {f"max_{unit}": n for unit, n in most.items()} | {f"min_{unit}": n for unit, n in least.items()}
    made = make(CATALOGUE["length"], options, "g")
    assert isinstance(made, LengthGuard)
    return made


def first_passed(text: str, most: dict[str, int]) -> int | None:
    """By definition, slowly: the least beginning of the text that is too long, without its last character."""
    for end in range(len(text) + 1):
        for unit, bound in most.items():
            shorter = guard({unit: bound}, {}).judge(text[:end])
            if shorter is not None:
                return end - 1
    return None


@settings(max_examples=100)
@given(BOUNDS, TEXTS, CUTS)
def test_any_cut_passes_a_bound_at_the_same_character(most: dict[str, int], text: str, cuts: list[int]):
    counter, place, passed = guard(most, {}).counter(), 0, None
    for piece in pieces(text, cuts):
        passed = counter.feed(piece)
        if passed is not None:
            break
        place += len(piece)
    whole = guard(most, {}).counter().feed(text)
    assert (None if passed is None else (passed[0] + place, passed[1])) == whole
    assert (None if whole is None else whole[0]) == first_passed(text, most)


@settings(max_examples=100)
@given(st.sampled_from(UNITS), st.integers(0, 6), TEXTS)
def test_a_text_is_too_long_exactly_where_it_would_not_be_too_short(unit: str, bound: int, text: str):
    """The one is counted while the text comes, the other when it is whole."""
    too_long = guard({unit: bound}, {}).judge(text) is not None
    assert too_long == (guard({}, {unit: bound + 1}).judge(text) is None)


@settings(max_examples=100)
@given(BOUNDS, st.dictionaries(st.sampled_from(UNITS), st.integers(0, 8), max_size=1), TEXTS, CUTS)
def test_any_cut_gives_the_same_verdict_and_shows_the_same(
    most: dict[str, int], least: dict[str, int], text: str, cuts: list[int]
):
    least = {unit: min(bound, most.get(unit, bound)) for unit, bound in least.items()}
    options: dict[str, Any] = {f"max_{unit}": n for unit, n in most.items()} | {f"min_{unit}": n for unit, n in least.items()}
    ruled = rules_of(PostValidation(validators=[Validator("length", options=options)]), "post", CATALOGUE)
    rules = Rules(tuple(ruled.text), tuple(ruled.whole))

    def judged(some: list[str]) -> tuple[object, int]:
        window = Window(rules, Tally("post", []), 0)
        for piece in some:
            window.feed(piece)
            assert least or window.released <= (first_passed(text, most) or len(text))
        return window.finish(), window.released

    verdict, shown = judged(pieces(text, cuts))
    assert (verdict, shown) == judged([text])
    found = guard(most, least).judge(text)
    assert (verdict is ALLOW) == (found is None)
    if isinstance(verdict, Block):
        assert verdict.detail == f"found {found}"
        assert shown == (0 if least else first_passed(text, most))
