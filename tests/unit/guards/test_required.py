"""Required elements, whole and in a stream."""

import pytest

from gateway.core.errors import GatewayError
from gateway.guards.fold import fold
from gateway.guards.required import MAX_ELEMENT, MAX_ELEMENTS, RequiredSet, RequiredTrack


def test_the_first_missing_element_is_named_as_configured():
    required = RequiredSet(["Source:", "Disclaimer"], "p")
    assert required.missing(fold("SOURCE: x, DISCLAIMER")) is None
    assert required.missing(fold("disclaimer")) == "Source:"


def test_an_element_is_seen_across_events_and_memory_stays_bounded():
    required = RequiredSet(["straße", "xyz"], "p")
    track = RequiredTrack(required)
    for char in fold("In der STRASSE " + "ab" * 1000):
        track.feed(char)
        assert len(track._tail) <= required.overlap
    assert track.missing() == "xyz"
    track.feed("wx")
    track.feed("yz")
    assert track.missing() is None
    track.feed("more")
    assert track.missing() is None


def test_a_single_character_element_needs_no_past():
    track = RequiredTrack(RequiredSet(["."], "p"))
    track.feed("abc")
    assert track.missing() == "."
    track.feed("d.")
    assert track.missing() is None


@pytest.mark.parametrize(
    ("elements", "param"),
    [([" "], "p[0]"), (["a\0"], "p[0]"), (["x" * (MAX_ELEMENT + 1)], "p[0]"), (["x"] * (MAX_ELEMENTS + 1), "p")],
)
def test_elements_that_cannot_be_required_are_refused_by_name(elements: list[str], param: str):
    with pytest.raises(GatewayError) as failure:
        RequiredSet(elements, "p")
    assert failure.value.param == param
