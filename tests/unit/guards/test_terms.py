"""Prohibited terms: what counts as an occurrence."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.fold import fold
from gateway.guards.terms import MAX_CHARACTERS, MAX_TERM, MAX_TERMS, TermSet
from tests.property.test_guards import occurrences


def found(terms: list[str], text: str) -> str | None:
    compiled = TermSet(terms, "p")
    folded = fold(text)
    hit = compiled.first(compiled.match(folded) or [], folded, "")
    return None if hit is None else compiled.terms[hit.term]


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("ass", "what an ass"),
        ("ass", "ASS!"),
        ("ass", "ass"),
        ("ass", "(ass)"),
        ("ass", "pass the ass"),
        ("straße", "in der STRASSE"),
        ("STRASSE", "in der straße"),
        ("İzmir", "i̇zmir"),
        ("credit card", "my Credit Card number"),
        ("C++", "we write C++17 here"),
        (".net", "asp.net"),
        ("$$$", "win$$$now"),
        ("naïve", "so Naïve."),
        ("naïve", "—naïve—"),
        ("日本", "日本"),
        ("a.b", "a.b"),
        ("(x|y)*", "z (X|Y)* z"),
        ("\\d", "say \\D!"),
    ],
)
def test_a_term_is_found(term: str, text: str):
    assert found([term], text) == term


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("ass", "class"),
        ("ass", "assume"),
        ("ass", "ass_1"),
        ("ass", "éass"),
        ("ass", "assé"),
        ("naïve", "naïveté"),
        ("naïve", "xnaïve"),
        ("é", "éé ée"),
        ("C++", "objectivec++"),
        ("日本", "日本語"),
        ("a.b", "axb"),
        ("credit card", "credit  card"),
        ("ass", ""),
    ],
)
def test_a_part_of_a_word_is_no_occurrence(term: str, text: str):
    assert found([term], text) is None


def test_of_several_hits_the_one_that_is_sure_first_is_reported():
    assert found(["beta gamma", "alpha", "gamma"], "an alpha beta gamma") == "alpha"
    assert found(["gamma", "beta gamma"], "beta gamma.") == "beta gamma"
    assert found(["aa bb cc", "bb"], "aa bb cc") == "bb"
    # "stop!" is sure at its last character, "stop" only at the next.
    assert found(["stop", "stop!"], "stop!") == "stop"


def test_ten_thousand_terms_are_one_pass():
    terms = [f"term{i}x" for i in range(MAX_TERMS)]
    assert found(terms, "nothing of that, but term7777x") == "term7777x"
    assert found(terms, "term7777 term7777xx") is None


@pytest.mark.parametrize(
    ("term", "within", "alone"),
    [
        ("ass", "class assume ", "an ass."),
        ("naïve", "naïveté ", "—Naïve—"),
        (".net", "x.nets ", "asp.net!"),
        ("c++", "objectivec++ ", "c++"),
        ("aa", "aaa", " aa"),
        ("(a|b)*", "x(a|b)* y(a|b)*, (a|b)*", ""),
    ],
)
def test_a_term_is_found_behind_however_many_words_that_hold_it(term: str, within: str, alone: str):
    assert found([term], within * 1000 + alone) == term
    compiled = TermSet([term], "p")
    folded = fold(within * 1000 + alone + within * 1000)
    places = [*compiled.places(0, folded, "")]
    assert places == occurrences(compiled.folded[0], folded)
    assert found([term], (within * 1000).rstrip()) == (term if term == "(a|b)*" else None)


def test_a_text_of_nothing_but_words_that_hold_a_term_is_judged_from_where_it_goes_on():
    compiled = TermSet(["ass"], "p")
    assert [*compiled.places(0, "ass" + "class" * 100, "p")] == []
    assert [*compiled.places(0, "ass " + "class " * 100, "p")] == []
    assert [*compiled.places(0, "ass " + "class " * 100, " ")] == [0]


def test_threads_search_at_the_same_time():
    compiled, threads = TermSet(["alpha", "beta"], "p"), 4
    together = Barrier(threads)

    def search(number: int) -> set[tuple[int, ...]]:
        together.wait()
        text = ("x" * 100_000) + ("alpha", "beta", "gamma", "beta alpha")[number]
        return {tuple(compiled.match(text)) for _ in range(50)}

    with ThreadPoolExecutor(threads) as pool:
        assert [*pool.map(search, range(threads))] == [{(0,)}, {(1,)}, {()}, {(1, 0)}]


def test_a_search_that_fails_leaves_nothing_behind():
    compiled = TermSet(["alpha"], "p")
    with pytest.raises(UnicodeEncodeError):
        compiled.match("alpha \ud800")
    assert compiled.match("beta") == []
    assert compiled.match("alpha alpha") == [0]


def test_every_byte_of_a_term_is_meant_as_it_stands():
    characters = [chr(code) for code in [*range(1, 128), 0xE9, 0x3BB, 0x65E5, 0x1F600]]
    for char in characters:
        term = f"{char}q{char}"
        assert TermSet([term], "p", whole_words=False).match(fold(f"..{term}..")) == [0], repr(char)
        assert TermSet([term], "p", whole_words=False).match(fold(f"..{char}Q.{char}..")) == ([0] if char == "." else []), repr(
            char
        )


@pytest.mark.parametrize(
    ("terms", "param"),
    [
        ([""], "p[0]"),
        (["ok", "  "], "p[1]"),
        (["a\0b"], "p[0]"),
        (["x" * (MAX_TERM + 1)], "p[0]"),
        (["x"] * (MAX_TERMS + 1), "p"),
        (["x" * MAX_TERM] * (MAX_CHARACTERS // MAX_TERM + 1), "p"),
    ],
)
def test_terms_that_cannot_be_held_are_refused_by_name(terms: list[str], param: str):
    with pytest.raises(GatewayError) as failure:
        TermSet(terms, "p")
    assert failure.value.kind is MALFORMED
    assert failure.value.param == param
