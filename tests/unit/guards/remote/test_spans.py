"""Places that others give: read strictly, for they decide what a model sees."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.guards.catalogue import make
from gateway.guards.remote.asking import AnswerError, AsksForBytes, Matter, Opinion, Span
from gateway.guards.remote.spans import MAX_SPANS, Place, apart, checked, divided
from gateway.guards.remote.types import REMOTE

TEXTS = ("You are a clerk.", "I am Ada 👩 Byron.")
MATTER = Matter("pre", TEXTS, ("system", "user"), "demo", "", "req-1")
TYPES = {entry.name: entry for entry in REMOTE}


def read(guard: str, said: object) -> Opinion:
    made = make(TYPES[guard], {"endpoint": "rules"}, "p")
    assert isinstance(made, AsksForBytes)
    return made.read(said if isinstance(said, bytes) else msgspec.json.encode(said), MATTER)


def span(text: object = 1, start: object = 5, end: object = 8, label: object = "person") -> dict[str, object]:
    return {"text": text, "start": start, "end": end, "label": label}


def test_a_service_says_where():
    said = {"action": "mask", "spans": [span(1, 11, 16), span(), span(0, 10, 15, "a job, in words")]}
    assert read("http", said) == Opinion(
        ("flagged", "person", "person"), spans=(Span(0, 10, 15, "flagged"), Span(1, 5, 8, "person"), Span(1, 11, 16, "person"))
    )
    assert read("http", {"action": "mask", "spans": []}) == Opinion((), spans=())


@pytest.mark.parametrize(
    "spans",
    [
        [span(text=2)],
        [span(text=-1)],
        [span(start=-1)],
        [span(start=8, end=8)],
        [span(start=9, end=8)],
        [span(end=18)],
        [span(end=2**70)],
        [span(start=1.5)],
        [span(start="5")],
        [span(start=True)],
        [span(label=None)],
        [span(), span()],
        [span(), span(start=7, end=9)],
        [span(start=0, end=17), span(start=2, end=3)],
        [{"text": 1, "start": 5}],
        [span()] * (MAX_SPANS + 1),
        None,
        5,
    ],
)
def test_places_that_cannot_be_are_no_answer(spans: object):
    with pytest.raises(AnswerError):
        read("http", {"action": "mask", "spans": spans})


def test_a_place_beside_half_a_character_is_no_answer():
    texts = ("a\ud83d\ude00b",)
    for start, end in ((0, 2), (2, 4), (1, 3), (0, 1), (3, 4)):
        with pytest.raises(AnswerError, match="within a character"):
            checked([Place(0, start, end, "x")], texts)
    assert checked([Place(0, 0, 4, "x")], texts) == (Span(0, 0, 4, "x"),)


def test_an_analyzer_finds_in_all_texts_as_one_and_several_times():
    def found(start: int, end: int, kind: str = "PERSON", score: float = 0.9) -> dict[str, object]:
        return {"entity_type": kind, "start": start, "end": end, "score": score}

    at = len(TEXTS[0]) + 2
    said = [found(at + 5, at + 8), found(at + 5, at + 16), found(at + 11, at + 17, "NRP"), found(0, 3, score=0.1)]
    assert read("presidio", said) == Opinion(
        ("PERSON", "PERSON", "NRP"), spans=(Span(1, 5, 16, "PERSON"), Span(1, 16, 17, "NRP"))
    )
    across = read("presidio", [found(10, at + 4)])
    assert across.spans == (Span(0, 10, 16, "PERSON"), Span(1, 0, 4, "PERSON"))
    assert read("presidio", [found(len(TEXTS[0]), at)]).spans == ()
    for bad in (
        [found(0, at + 18)],
        [found(-1, 3)],
        [found(3, 3)],
        [found(0, 1)] * (MAX_SPANS + 1),
        [{"entity_type": "X", "score": 1}],
    ):
        with pytest.raises(AnswerError):
            read("presidio", bad)


PLACES = st.lists(
    st.builds(Place, st.just(0), st.integers(-2, 14), st.integers(-2, 14), st.sampled_from(["a", "b"])), max_size=6
)


@settings(max_examples=100)
@given(st.lists(st.text(st.sampled_from("ab"), max_size=5), min_size=1, max_size=3), PLACES)
def test_places_in_texts_that_were_sent_as_one_cover_the_same_characters(texts: list[str], places: list[Place]):
    whole = "--".join(texts)
    if not all(0 <= place.start < place.end <= len(whole) for place in places):
        with pytest.raises(AnswerError):
            divided(places, texts, 2)
        return
    spans = checked(apart(divided(places, texts, 2)), texts)
    covered = {i for place in places for i in range(place.start, place.end)}
    starts = [sum(len(text) + 2 for text in texts[:i]) for i in range(len(texts))]
    inside = {start + i for start, text in zip(starts, texts, strict=True) for i in range(len(text))}
    assert [starts[s.text] + i for s in spans for i in range(s.start, s.end)] == sorted(covered & inside)
