"""Detectors made of patterns keep the law for any pattern, and hold back exactly what can still be found."""

import re
from contextlib import suppress
from itertools import product

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.core.errors import GatewayError
from gateway.guards.partial import anatomy
from gateway.guards.patterns import Pattern, RegexDetector, possible
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
