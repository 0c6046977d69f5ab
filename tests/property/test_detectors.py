"""The law of detectors: what a guard finds does not depend on how the text was cut."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.guards.catalogue import CATALOGUE, make
from gateway.guards.detector import Contextual, Detector
from tests.corpus.measure import Corpus, load, names


def _streamed(corpus: Corpus) -> Detector | None:
    detector = make(CATALOGUE[corpus.type], corpus.head.options, corpus.type)
    return detector if detector.longest is not None else None


CORPORA = {name: corpus for name in names() if _streamed(corpus := load(name)) is not None}
FILLER = [
    "",
    " ",
    "\n",
    "a",
    "1",
    "-",
    ".",
    "@",
    ":",
    "/",
    "(",
    "é",
    "日",
    "\u200d",
    "!",
    "]",
    "word ",
    "0 ",
    "=",
    "\U0001f469",
]


def _pieces(corpus: Corpus) -> list[str]:
    found = [part for example in corpus.examples for _, part in example.find if part]
    return found + [example.text for example in corpus.examples if len(example.text) < 200]


@st.composite
def texts(draw: st.DrawFn, pieces: list[str]) -> str:
    """Pieces of the corpus, whole or broken, with something or nothing between them."""
    out: list[str] = []
    for _ in range(draw(st.integers(1, 4))):
        piece = draw(st.sampled_from(pieces))
        if draw(st.booleans()):
            a, b = sorted((draw(st.integers(0, len(piece))), draw(st.integers(0, len(piece)))))
            piece = piece[a:b]
        out += [piece, draw(st.sampled_from(FILLER))]
    return "".join(out)


@pytest.mark.parametrize("name", CORPORA)
def test_findings_left_of_what_is_held_are_final(name: str):
    corpus = CORPORA[name]
    detector = _streamed(corpus)
    assert detector is not None
    assert detector.longest is not None

    @settings(max_examples=100)
    @given(texts(_pieces(corpus)), st.data())
    def law(text: str, data: st.DataObject):
        assert detector.longest is not None
        whole = list(detector.find(text))
        assert all(0 <= f.start <= f.end <= len(text) for f in whole)
        assert all(a.end <= b.start for a, b in pairwise(whole))
        for cut in data.draw(st.lists(st.integers(0, len(text)), min_size=1, max_size=12)):
            left = text[:cut]
            held = detector.hold(left)
            assert 0 <= held <= min(cut, detector.longest)
            final = cut - held
            assert [f for f in detector.find(left) if f.start < final] == [f for f in whole if f.start < final]

    law()


@pytest.mark.parametrize("name", CORPORA)
def test_nothing_but_one_character_left_of_the_beginning_matters(name: str):
    """A stream forgets what it has released, but for one character: findings and what is held must not depend on it."""
    corpus = CORPORA[name]
    detector = _streamed(corpus)
    assert detector is not None
    assert detector.before in {0, 1}

    @settings(max_examples=100)
    @given(texts(_pieces(corpus)), st.data())
    def forgets(text: str, data: st.DataObject):
        start = data.draw(st.integers(0, len(text)))
        kept = min(start, detector.before)
        rest = text[start - kept :]
        if detector.before:
            assert isinstance(detector, Contextual)
            here, held = detector.find(rest, kept), detector.hold(rest, kept)
            there, there_held = detector.find(text, start), detector.hold(text, start)
            assert [(f.start - kept, f.end - kept, f.what) for f in here] == [
                (f.start - start, f.end - start, f.what) for f in there
            ]
            assert held == there_held
        else:
            # Where a finding ends, the next begins afresh.
            for finding in detector.find(text):
                after = [f for f in detector.find(text) if f.start >= finding.end]
                fresh = detector.find(text[finding.end :])
                assert [(f.start + finding.end, f.end + finding.end, f.what) for f in fresh] == [
                    (f.start, f.end, f.what) for f in after
                ]

    forgets()
