"""Prohibited terms: what counts as an occurrence."""

import pytest

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.fold import fold
from gateway.guards.terms import MAX_CHARACTERS, MAX_TERM, MAX_TERMS, TermSet


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
