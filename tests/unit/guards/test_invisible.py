"""The guard `invisible`: rows of characters, what scripts and emoji need, what is held back."""

import pytest

from gateway.core.errors import GatewayError
from gateway.guards.detector import Finding
from gateway.guards.invisible import InvisibleDetector
from tests.corpus.measure import detector_of


def guard(**options: object) -> InvisibleDetector:
    made = detector_of("invisible", options)
    assert isinstance(made, InvisibleDetector)
    return made


def test_neighbours_of_one_kind_are_one_finding():
    assert guard().find("a\u200b\u200b\u202eb") == [Finding(1, 3, "zero_width"), Finding(3, 4, "bidi")]


@pytest.mark.parametrize("char", ["\u200b", "\u202e", "\U000e0041", "\x00"])
def test_a_long_row_is_several_findings(char: str):
    found = guard().find("a" + char * 150)
    assert [(f.start, f.end) for f in found] == [(1, 65), (65, 129), (129, 151)]


def test_only_the_chosen_kinds_are_found():
    assert [f.what for f in guard(kinds=["bidi"]).find("\u200b\u202e\x00")] == ["bidi"]


def test_a_kind_that_does_not_exist_is_named():
    with pytest.raises(GatewayError, match="'color' is no kind") as caught:
        guard(kinds=["color"])
    assert caught.value.param == "invisible.options.kinds[0]"


def test_a_byte_order_mark_is_needed_at_the_very_beginning_only():
    assert guard().find("\ufeffa") == []
    assert guard().find("a\ufeff") == [Finding(1, 2, "zero_width")]
    assert guard().find_from("a\ufeff", 1) == [Finding(1, 2, "zero_width")]


def test_white_space_is_no_control():
    assert guard().find("\t\n\f\r\x85 \u00a0\u2003\u3000") == []


def test_what_is_held():
    detector = guard()
    assert detector.hold("") == 0
    assert detector.hold("visible") == 0
    assert detector.hold("a\u200b") == 1
    assert detector.hold("a\u200bb") == 0
    assert detector.hold("\u200b" * 100) == detector.longest == 72
    assert detector.hold_from("\u200b" * 10, 4) == 6


def test_a_flag_is_decided_when_it_is_complete():
    flag = "\U0001f3f4" + "".join(chr(0xE0000 + ord(char)) for char in "gbeng") + "\U000e007f"
    assert guard().find(flag) == []
    assert guard().find(flag[:-1]) == [Finding(1, 6, "tag")]
    assert guard().hold(flag[:-1]) == 5
