"""Guards of letters and formulas: script, gibberish, refusal."""

from typing import Any

import pytest

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.catalogue import make
from gateway.guards.gibberish import repetition, surprise
from gateway.guards.shipped import CATALOGUE


def kinds(guard: str, text: str, **options: Any) -> list[str]:
    return [f.what for f in make(CATALOGUE[guard], options, "g").find(text)]


def test_letters_of_other_scripts_are_found_where_they_stand():
    detector = make(CATALOGUE["script"], {"allowed": ["Latin"]}, "g")
    text = "Hello \u043c\u0438\u0440 p\u0430ypal \u4f60\u597d 1 \U0001f600"
    assert [(f.what, text[f.start : f.end]) for f in detector.find(text)] == [
        ("script_not_allowed", "\u043c\u0438\u0440"),
        ("mixed_scripts", "p\u0430ypal"),
        ("script_not_allowed", "\u4f60\u597d"),
    ]
    assert detector.hold(text) == len(text)


def test_scripts_and_mixing_are_looked_for_apart():
    assert kinds("script", "p\u0430ypal") == ["mixed_scripts"]
    assert kinds("script", "\u043c\u0438\u0440 world") == []
    assert kinds("script", "p\u0430ypal", allowed=["Latin", "Cyrillic"], mixed=False) == []
    assert kinds("script", "\u4f60", allowed=["Latin"], mixed=False) == ["script_not_allowed"]
    assert len(kinds("script", "\u4f60 a " * 100_000, allowed=["Latin"])) == 1_000


@pytest.mark.parametrize(
    ("guard", "options", "param"),
    [
        ("script", {"allowed": ["Klingon"]}, "g.options.allowed"),
        ("script", {"allowed": ["L}"]}, "g.options.allowed[0]"),
        ("script", {"mixed": False}, "g.options"),
        ("gibberish", {"max_surprise": 0}, "g.options.max_surprise"),
        ("refusal", {"within": 5}, "g.options.within"),
    ],
)
def test_bad_options_are_named(guard: str, options: dict[str, Any], param: str):
    with pytest.raises(GatewayError) as failure:
        make(CATALOGUE[guard], options, "g")
    assert failure.value.kind is MALFORMED
    assert failure.value.param == param


def test_gibberish_has_thresholds():
    assert kinds("gibberish", "xqzjk vbnmq wrtpl kjhgf zzxcv") == ["unlikely_letters"]
    assert kinds("gibberish", "xqzjk vbnmq wrtpl kjhgf zzxcv", max_surprise=9) == []
    assert kinds("gibberish", "ha" * 100) == ["repetition"]
    assert kinds("gibberish", "ha" * 100, max_repetition=1_000) == []
    assert kinds("gibberish", "xqzjk vbnmq", min_chars=40) == []
    assert surprise("1234 5678") is None
    assert surprise("") is None
    assert repetition("a lone sentence") < 12


def test_a_refusal_must_stand_at_the_beginning():
    refusal = "I'm sorry, but I can't help with that."
    assert kinds("refusal", refusal) == ["refusal"]
    assert kinds("refusal", refusal.upper().replace("'", "\u2019")) == ["refusal"]
    assert kinds("refusal", "Here is the poem. " * 30 + refusal) == []
    assert kinds("refusal", "Here is the poem. " * 30 + refusal, within=10_000) == ["refusal"]


@pytest.mark.parametrize("guard", ["script", "gibberish", "refusal"])
@pytest.mark.parametrize(
    "text", ["", "\0" * 100_000, "a" * 1_000_000, "a\u0430" * 100_000, "\ud800 \U000e0041" * 1_000, "\u4f60" * 500_000]
)
def test_hostile_texts_are_read_to_their_end(guard: str, text: str):
    found = make(CATALOGUE[guard], {}, "g").find(text)
    assert all(0 <= f.start <= f.end <= len(text) for f in found)
