"""Detectors made of patterns keep the law for any pattern, and hold back exactly what can still be found."""

import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise, product
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.core.errors import GatewayError
from gateway.guards import matches
from gateway.guards.detector import Finding
from gateway.guards.matches import MAX_STEPS, TOO_MANY
from gateway.guards.partial import anatomy
from gateway.guards.patterns import Pattern, RegexDetector, possible
from gateway.guards.rules import Rule, Tally
from gateway.guards.stream import Rules, Window
from tests.property.laws import check_law

atoms = st.sampled_from(
    ["a", "b", "ab", "é", "[ab]", "[^a]", ".", r"\d", r"\w", r"\b", r"\B", "^", "$", "(?m:^)", "(?m:$)", "-", "(?i:A)", " "]
)


def composed(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(inner, min_size=2, max_size=4).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda some: f"(?:{'|'.join(some)})"),
        st.tuples(inner, st.sampled_from(["?", "{0,2}", "{2}", "{1,3}", "??", "{1,2}?"])).map(
            lambda made: f"(?:{made[0]}){made[1]}"
        ),
    )


patterns = st.recursive(atoms, composed, max_leaves=8)
texts = st.text(st.sampled_from("abAé-1 \n"), max_size=14)


def detector(chosen: list[str]) -> RegexDetector:
    made = [Pattern(f"kind{i}", pattern) for i, pattern in enumerate(chosen)]
    try:
        return RegexDetector(made, lambda i: f"p[{i}]")
    except GatewayError:
        assume(False)
        raise


chosen = st.lists(patterns, min_size=1, max_size=3)


@settings(max_examples=80)
@given(chosen, texts, st.integers(0, 14))
def test_any_cut_is_judged_as_the_whole(some: list[str], text: str, cut: int) -> None:
    made = detector(some)
    check_law(made, text, cut)
    if made.find(text) or made.hold(text):
        assert possible([made.probe])(text), "who is not asked can say nothing"


GROWTH = ["".join(more) for length in (1, 2, 3) for more in product("abA-1", repeat=length)]
simple = st.recursive(st.sampled_from(["a", "b", "[ab]", "[^a]", ".", r"\d", "-", "(?i:A)"]), composed, max_leaves=6)


@settings(max_examples=60)
@given(simple, st.text(st.sampled_from("abA-1"), max_size=5))
def test_an_end_is_held_if_and_only_if_it_can_grow_into_a_match(pattern: str, text: str) -> None:
    """By trying every continuation: patterns without edges, over a small alphabet."""
    found = detector([pattern])
    assert found.longest is not None
    assume(found.longest <= 4)
    whole = re.compile(pattern, re.ASCII)
    ends = [end for end in range(len(text)) if any(whole.fullmatch(text[end:] + more) for more in GROWTH)]
    assert found.hold(text) == len(text) - min([*ends, len(text)])


@settings(max_examples=80)
@given(patterns, texts)
def test_a_pattern_keeps_its_meaning(pattern: str, text: str) -> None:
    """Taken apart and put together it finds what Python finds, where the two agree on what a line's end is."""
    assume("$" not in pattern)
    found = detector([pattern])
    expected = [match.span() for match in re.finditer(pattern, text, re.ASCII) if match.group()]
    if all(match.group() for match in re.finditer(pattern, text, re.ASCII)):
        assert [(f.start, f.end) for f in found.find(text)] == expected


@given(st.text(max_size=30))
def test_any_text_is_a_pattern_or_an_error_that_says_why(pattern: str) -> None:
    with suppress(ValueError):
        assert anatomy(pattern).shortest >= 0


# --- many matches ---------------------------------------------------------------------------------------------------

endless = st.recursive(
    st.sampled_from(["a", "b", "[ab]", "[^a]", ".", r"\d", r"\b", "(?m:$)", "-", "a*", "b+", "(?s:.*)", "[ab]+?", "(?:a|bb)*"]),
    composed,
    max_leaves=6,
)


@settings(max_examples=100)
@given(st.lists(endless, min_size=1, max_size=3), st.text(st.sampled_from("ab-1\né\U0001f600"), max_size=40), st.integers(1, 5))
def test_what_is_found_in_windows_is_what_is_found_at_once(some: list[str], text: str, window: int) -> None:
    made = detector(some)
    data = text.encode()
    at_once = [(*match.span(), made._what(match)) for match in made._all.finditer(data)]
    expected = [Finding(len(data[:start].decode()), len(data[:end].decode()), what) for start, end, what in at_once]
    with patch.multiple(matches, WINDOW=window, FREE=1):
        assert made.find(text) == expected


class Counted:
    """An automaton that counts the characters that it may have to look at: for each match, all that is before it."""

    def __init__(self, automaton: Any) -> None:
        self.automaton = automaton
        self.steps = 0

    def finditer(self, text: bytes, pos: int = 0, endpos: int | None = None) -> Iterator[Any]:
        end = len(text) if endpos is None else endpos
        self.steps += end - pos
        for match in self.automaton.finditer(text, pos, endpos):
            yield match
            self.steps += end - match.end()

    def search(self, text: bytes, pos: int = 0, endpos: int | None = None) -> Any:
        self.steps += (len(text) if endpos is None else endpos) - pos
        return self.automaton.search(text, pos, endpos)


HOSTILE = ["a.*b|a", "(?s)a.*?b|a", "(?:a|aa)*b|a", r"(?:\w+ )*x|\w", "[^x]*x|.", "(?:a*)*b|a", "a+b|a{2}", r"\b.*!|\w"]
"""What is endless in engines that backtrack, and quadratic in those that do not."""


@pytest.mark.parametrize("pattern", HOSTILE)
@pytest.mark.parametrize("unit", ["a", "ab", "a ", "aaaa\n", "x"])
def test_the_work_is_bounded_whatever_is_found(pattern: str, unit: str) -> None:
    """With a tenth of a thousandth of the steps, so that the test takes a moment: what is counted is no time."""
    budget = MAX_STEPS // 512
    text = unit * (12_000 // len(unit))
    made = detector([pattern])
    counted = Counted(made._all)
    found = made._matches
    found._all, found._ends = counted, Counted(found._ends)  # type: ignore[assignment]
    with patch.multiple(matches, MAX_STEPS=budget):
        places = made.find(text)
    assert counted.steps <= (matches.FREE + 4) * len(text) + 4 * budget
    assert all(one.end <= two.start for one, two in pairwise(places))
    if places and places[-1].what == TOO_MANY:
        assert places[-1].end == len(text), "nothing of the rest is let pass"


@settings(max_examples=60)
@given(simple, st.text(st.sampled_from("abA-1"), max_size=30), st.integers(1, 4), st.integers(0, 3))
def test_too_many_matches_are_too_many_however_a_stream_is_cut(pattern: str, text: str, size: int, most: int) -> None:
    made = detector([pattern])
    made.most = most
    whole = made.find(text)
    assert len([one for one in whole if one.what != TOO_MANY]) <= most
    window = Window(Rules((Rule("regex", made, "redact"),)), Tally("post", []))
    for i in range(0, len(text), size):
        window.feed(text[i : i + size])
    window.finish()
    covered = {at for edit in window.edits for at in range(edit.start, edit.end)}
    assert covered == {at for one in whole for at in range(one.start, one.end)}
    if whole and whole[-1].what == TOO_MANY:
        assert any(edit.text == "[TOO_MANY_MATCHES]" for edit in window.edits)
