"""The law of detectors: what a guard finds does not depend on how the text was cut."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.verdicts import ALLOW, Note
from gateway.guards.detector import Contextual, Detector, Finding
from gateway.guards.edits import rewritten
from gateway.guards.rules import Rule, Tally
from gateway.guards.stream import Rules, Window
from tests.corpus.measure import Corpus, detector_of, load, names
from tests.property.laws import check_law


def _streamed(corpus: Corpus) -> Detector | None:
    detector = detector_of(corpus.type, corpus.head.options)
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
def test_a_detector_keeps_the_law(name: str):
    corpus = CORPORA[name]
    detector = _streamed(corpus)

    @settings(max_examples=100)
    @given(texts(_pieces(corpus)), st.data())
    def law(text: str, data: st.DataObject):
        for cut in data.draw(st.lists(st.integers(0, len(text)), min_size=1, max_size=10)):
            check_law(detector, text, cut)

    law()


@pytest.mark.parametrize("name", CORPORA)
def test_what_a_stream_has_let_go_does_not_matter(name: str):
    """From any place on, with as much left of it as the detector wants to see, it says what it says of the whole text from there."""
    corpus = CORPORA[name]
    detector = _streamed(corpus)

    @settings(max_examples=50)
    @given(texts(_pieces(corpus)), st.data())
    def forgets(text: str, data: st.DataObject):
        if not isinstance(detector, Contextual):
            return
        start = data.draw(st.integers(0, len(text)))
        kept = min(start, detector.before)
        gone = start - kept
        here = detector.find_from(text[gone:], kept)
        assert [Finding(f.start + gone, f.end + gone, f.what) for f in here] == detector.find_from(text, start)
        assert detector.hold_from(text[gone:], kept) == detector.hold_from(text, start)

    forgets()


def _shown(rules: Rules, pieces: list[str]) -> tuple[str, list[Note]]:
    """What a reader of a stream gets, piece by piece, and what is written down."""
    notes: list[Note] = []
    window = Window(rules, Tally("post", notes), 0)
    text, shown, released = "".join(pieces), "", 0
    for piece in [*pieces, None]:
        assert (window.feed(piece) if piece is not None else window.finish()) is ALLOW
        shown += rewritten(text[released : window.released], list(window.edits), released)
        released = window.released
        while window.edits and window.edits[0].end <= released:
            window.edits.popleft()
    return shown, sorted(notes, key=repr)


def test_all_of_them_together_redact_a_stream_as_they_redact_the_whole():
    rules = Rules(tuple(Rule(name, _streamed(corpus), "redact") for name, corpus in CORPORA.items()))
    pieces = [piece for corpus in CORPORA.values() for piece in _pieces(corpus)]

    @settings(max_examples=50)
    @given(texts(pieces), st.lists(st.integers(0, 400), max_size=20))
    def same(text: str, cuts: list[int]):
        places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
        streamed = [text[a:b] for a, b in pairwise(places)] or [""]
        assert _shown(rules, streamed) == _shown(rules, [text])

    same()


WHOLE = {name: corpus for name in names() if _streamed(corpus := load(name)) is None}


@pytest.mark.parametrize("name", WHOLE)
def test_any_cut_of_a_text_that_is_judged_as_a_whole_gives_its_verdict(name: str):
    corpus = WHOLE[name]
    detector = detector_of(corpus.type, corpus.head.options)
    rules = Rules(whole=(Rule(name, detector),))

    @settings(max_examples=25)
    @given(
        texts([example.text for example in corpus.examples if len(example.text) < 500]),
        st.lists(st.integers(0, 500), max_size=8),
    )
    def same(text: str, cuts: list[int]):
        places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
        window = Window(rules, Tally("post", []), 0)
        for a, b in pairwise(places):
            assert window.feed(text[a:b]) is ALLOW
            assert window.released == 0
        assert (window.finish() is ALLOW) == (not detector.find(text))

    same()
