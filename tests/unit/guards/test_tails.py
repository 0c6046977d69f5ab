"""What must be held back at the end of a stream, and no more."""

import pytest

from gateway.guards.tails import Tails
from gateway.guards.terms import TermSet


def held(terms: list[str], text: str, before: str = "") -> str:
    length = Tails(TermSet(terms, "p")).hold(text, before)
    return text[len(text) - length :]


@pytest.mark.parametrize(
    ("terms", "text", "expected"),
    [
        (["secret"], "a sec", "sec"),
        (["secret"], "a secret", "secret"),
        (["secret"], "a secrets", ""),
        (["secret"], "a secret ", ""),
        (["secret"], "insec", ""),
        (["secret"], "(sec", "sec"),
        (["secret"], "é\nsec", "sec"),
        (["secret"], "s", "s"),
        (["secret"], "", ""),
        (["credit card", "cardinal"], "my credit car", "credit car"),
        (["credit card"], "my credit ", "credit "),
        (["credit card"], "my credit-", ""),
        (["credit card"], "credits ", ""),
        (["c++"], "in c", "c"),
        (["c++"], "in c+", "c+"),
        (["c++"], "in c++", ""),
        (["$$$"], "x$$", "$$"),
        (["$$$"], "x$$ ", ""),
        (["-a -b"], "q-a ", "-a "),
        (["-a -b"], "-a -a", "-a"),
        (["-a -a -b"], "-a -a", "-a -a"),
        ([" x"], "a ", " "),
        (["_x"], "a _", "_"),
        (["aa bb", "bb cc"], "aa bb", "aa bb"),
        (["aa bb!", "bb cc"], "xaa bb", "bb"),
    ],
)
def test_the_longest_end_that_may_become_a_term_is_held(terms: list[str], text: str, expected: str):
    assert held(terms, text) == expected


def test_what_was_released_before_is_the_left_edge():
    assert held(["secret"], "sec", "n") == ""
    assert held(["secret"], "sec", " ") == "sec"
    assert held(["se cret"], "se ", "n") == ""
    assert held([".net"], ".n", "p") == ".n"
