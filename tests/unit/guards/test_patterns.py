"""What a detector made of patterns finds and refuses, and what happens where one automaton is not enough."""

from typing import Any

import pytest

from gateway.core.errors import GatewayError
from gateway.guards import matches, patterns
from gateway.guards.detector import Finding
from gateway.guards.matches import MAX_STEPS
from gateway.guards.partial import anatomy
from gateway.guards.patterns import Pattern, RegexDetector, possible


def made(*some: Pattern) -> RegexDetector:
    return RegexDetector(some, lambda i: f"p[{i}]")


def test_who_begins_first_wins_and_then_who_is_named_first() -> None:
    detector = made(Pattern("pair", "ab"), Pattern("letter", "[a-z]"), Pattern("word", "[a-z]{2}"))
    assert detector.find("ab1bc") == [Finding(0, 2, "pair"), Finding(3, 4, "letter"), Finding(4, 5, "letter")]
    assert detector.longest == 2
    assert detector.before == 0


class Asked:
    """An automaton that counts the characters that it is given to search."""

    def __init__(self, automaton: Any) -> None:
        self.automaton = automaton
        self.characters = 0

    def finditer(self, text: bytes, pos: int = 0, endpos: int | None = None) -> Any:
        self.characters += (len(text) if endpos is None else endpos) - pos
        return self.automaton.finditer(text, pos, endpos)

    def search(self, text: bytes, pos: int = 0, endpos: int | None = None) -> Any:
        self.characters += (len(text) if endpos is None else endpos) - pos
        return self.automaton.search(text, pos, endpos)

    def __call__(self, text: bytes) -> Any:
        self.characters += len(text)
        return self.automaton(text)


@pytest.mark.parametrize("sources", [["ab"], ["a", "b"], [r"\d{2}", "(?:ab){1,3}", "b{1,9}"]])
def test_work_grows_with_the_text_and_not_with_what_is_found_in_it(sources: list[str]) -> None:
    """Each automaton reads a text once, however many matches there are: asking again behind each of them would be quadratic."""
    for length in (100, 1_000, 10_000):
        detector = made(*[Pattern(f"kind{i}", pattern) for i, pattern in enumerate(sources)])
        asked = [Asked(detector._any), Asked(detector._all)]
        detector._any, detector._all = asked  # type: ignore[assignment]
        detector._matches._all = asked[1]  # type: ignore[assignment]
        assert len(detector.find("ab" * (length // 2))) >= length / 6
        assert [automaton.characters for automaton in asked] == [length, length]
        assert detector.matches("ab" * (length // 2))
        assert asked[1].characters == 2 * length


def test_what_is_left_of_the_start_is_only_looked_at() -> None:
    detector = made(Pattern("word", r"\bfoo"))
    assert detector.find_from("xfoo", 1) == []
    assert detector.find_from(" foo", 1) == [Finding(1, 4, "word")]
    assert detector.hold_from("xfo", 1) == 0
    assert detector.hold_from("-fo", 1) == 2
    long = made(Pattern("word", r"\bfoo\b"))
    assert long.hold("many words before a foo") == 3


def test_without_a_bound_everything_is_held() -> None:
    endless = made(Pattern("x", "a.*b"))
    assert endless.longest is None
    assert endless.hold("abc") == 3
    far = made(Pattern("x", ".{999}" * 5))
    assert far.longest == 4995
    assert far.hold_from("abc", 1) == 2


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(?=a)b", "look-around"),
        ("(?<!a)b", "look-around"),
        ("(?!)b", "look-around"),
        (r"(a)\1", "back-reference"),
        (r"(?i)(a)\1", "back-reference"),
        ("(a)?(?(1)b|c)", "conditional"),
        ("(?>a)b", "atomic"),
        ("a++b", "possessive"),
        ("(", "unterminated"),
        ("a{2,1}", "min repeat"),
        ("[[a]b]", "nested set"),
        ("x" * 2001, "at most 2000"),
        ("", "empty text"),
        ("a*|b", "empty text"),
        (r"\b", "empty text"),
        ("a{1001}", "repetition size"),
        (r"\p{L}", "bad escape"),
        ("(" * 900 + "a" + ")" * 900, "nested too deeply"),
    ],
)
def test_what_is_refused_and_why(pattern: str, words: str) -> None:
    with pytest.raises(GatewayError, match=words) as failure:
        made(Pattern("ok", "a"), Pattern("x", pattern))
    assert failure.value.param == "p[1]"


def test_too_many_patterns() -> None:
    with pytest.raises(GatewayError, match="1 to 100 patterns"):
        made(*[Pattern("x", "a")] * 101)
    with pytest.raises(GatewayError, match="1 to 100 patterns"):
        made()


@pytest.mark.parametrize(
    ("pattern", "shortest", "longest", "before"),
    [
        ("abc", 3, 3, 0),
        (r"\babc\b", 3, 4, 1),
        ("abc$", 3, 4, 0),
        ("^abc", 3, 3, 1),
        (r"\Aabc\Z", 3, 4, 1),
        ("a|bcd", 1, 3, 0),
        ("(?:ab){2,3}", 4, 6, 0),
        ("(?:ab)*?c", 1, None, 0),
        ("(?:){5}c", 1, 1, 0),
        ("(?:){2,}c", 1, 1, 0),
        ("a{0}b", 1, 1, 0),
        ("[^a]", 1, 1, 0),
        ("[^ab-]", 1, 1, 0),
        (r"(?i)(?-i:a)(?P<n>\S)(?s:.)", 3, 3, 0),
        (r"(?x) a b  # words", 2, 2, 0),
    ],
)
def test_the_measures_of_a_pattern(pattern: str, shortest: int, longest: int | None, before: int) -> None:
    part = anatomy(pattern)
    assert (part.shortest, part.longest, part.before) == (shortest, longest, before)
    assert made(Pattern("x", pattern)).longest == longest


def test_case_is_ignored_where_asked() -> None:
    assert made(Pattern("x", "ab", ignore_case=True)).find("AB") == [Finding(0, 2, "x")]
    assert made(Pattern("x", "ab", ignore_case=True)).hold("xA") == 1
    assert made(Pattern("x", "ab")).find("AB") == []


def test_which_patterns_are_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = possible(["a", "b"])
    assert ask("x") is None
    assert ask("xb") == [1]
    assert not ask("\0")
    monkeypatch.setattr(patterns, "_MAX_MEM", 30_000)
    assert possible(["[a-z0-9é-ÿ]{1000}x"])("nothing") == [0], "too large: any may match"
    monkeypatch.setattr(patterns, "_MAX_MEM", 100_000)
    assert possible([f"[a-z]{{100}}{i}" for i in range(20)])("nothing") in (None, list(range(20)))


def test_the_rest_of_a_text_with_too_much_in_it_is_one_finding() -> None:
    """Nothing of it passes, and the kind says why."""
    detector = made(Pattern("pair", "é{2}"))
    detector.most = 2
    assert detector.find("éé1éé2éé3éé") == [Finding(0, 2, "pair"), Finding(3, 5, "pair"), Finding(6, 11, "too_many_matches")]
    assert detector.find("éé1éé2é") == [Finding(0, 2, "pair"), Finding(3, 5, "pair")]
    assert made(Pattern("long", "a{1,1000}")).most == MAX_STEPS // (4 * 1000)
    assert made(Pattern("endless", "a+b|c")).most is None


def test_a_pattern_whose_ends_are_too_much_for_an_automaton_is_bounded_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = made(Pattern("endless", "a+b|a"))
    detector._matches._ends = None
    monkeypatch.setattr(matches, "FREE", 1)
    assert detector.find("aab aa") == [Finding(0, 3, "endless"), Finding(4, 5, "endless"), Finding(5, 6, "endless")]
    monkeypatch.setattr(matches, "MAX_STEPS", 600)
    assert detector.find("ab" + "a" * 600)[-1] == Finding(2, 602, "too_many_matches")
