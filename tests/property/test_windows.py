"""Any chunking of a text gives the same verdict, the same notes and the same shown text, and nothing of what is found is shown."""

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.verdicts import ALLOW, Block, Note
from gateway.guards.edits import rewritten
from gateway.guards.masks import Masks, Placeholders
from gateway.guards.patterns import Pattern, RegexDetector
from gateway.guards.required import RequiredDetector, RequiredSet
from gateway.guards.rules import Rule, Tally
from gateway.guards.stream import Rules, Window
from gateway.guards.term_detector import TermDetector
from gateway.guards.terms import TermSet
from tests.property.laws import check_law

ALPHABET = st.sampled_from("aabb-.12 ß<>AB_")
TEXTS = st.text(ALPHABET, max_size=40)
CUTS = st.lists(st.integers(0, 40), max_size=12)
MASKS = {"<A_1>": "one", "<A_12>": "twelve", "<B_1>": "<A_1>"}


def regex(*patterns: str) -> RegexDetector:
    return RegexDetector([Pattern(f"kind{i}", pattern) for i, pattern in enumerate(patterns)], lambda i: f"p[{i}]")


def terms(*some: str, whole_words: bool = True) -> TermDetector:
    return TermDetector(TermSet(list(some), "terms", whole_words=whole_words), "term")


STREAMING = [
    regex(r"a{1,3}b"),
    regex(r"\b\d{1,4}\b", r"1-2"),
    regex(r"\bbb?\b", "b-a"),
    regex("ß.", "<[AB]"),
    regex(r"\Ba", r"^b", r"1$"),
    terms("a", "ab-", "-b", "ss a"),
    terms("ba", "s", "ab", whole_words=False),
    Placeholders(MASKS),
]
WHOLE = [regex("a.*b"), regex(r"\A.*1"), RequiredDetector(RequiredSet(["b"], "required"), "missing")]


@settings(max_examples=150)
@given(st.sampled_from(STREAMING), TEXTS, st.integers(0, 40))
def test_every_detector_keeps_the_law(detector: Any, text: str, cut: int) -> None:
    check_law(detector, text, cut)


def rule(detector: Any, action: Any, mode: Any) -> Rule:
    if isinstance(detector, Placeholders):
        return Rule("masks", detector, "replace", restores=MASKS)
    return Rule(f"guard{id(detector)}", detector, action, mode, replacement="#")


ACTIONS = st.sampled_from(["block", "reask", "redact", "redact", "replace", "replace", "annotate"])
MODES = st.sampled_from(["enforce", "enforce", "observe"])
STREAM_RULES = st.lists(st.builds(rule, st.sampled_from(STREAMING), ACTIONS, MODES), max_size=4, unique_by=lambda r: r.guard)
WHOLE_RULES = st.lists(st.builds(rule, st.sampled_from(WHOLE), ACTIONS, MODES), max_size=1)


def rules_of(stream: list[Rule], whole: list[Rule]) -> Rules:
    return Rules(
        tuple(r for r in stream if not r.watches),
        tuple(r for r in whole if not r.watches),
        tuple(r for r in [*stream, *whole] if r.watches),
    )


def outcome(rules: Rules, pieces: list[str]) -> tuple[Any, list[Note], str, int]:
    """The verdict, the notes, what was shown piece by piece, and how far."""
    notes: list[Note] = []
    window = Window(rules, Tally("post", notes), 0)
    text, shown, released = "".join(pieces), "", 0
    for piece in [*pieces, None]:
        verdict = window.feed(piece) if piece is not None else window.finish()
        assert released <= window.released <= len(text)
        # As events are shown: by the edits that are known now, and never again.
        part = text[released : window.released]
        shown += rewritten(part, list(window.edits), released)
        released = window.released
        while window.edits and window.edits[0].end <= released:
            window.edits.popleft()
        if verdict is not ALLOW:
            break
    assert window.finish() == verdict
    assert window.feed("more") == verdict
    return verdict, sorted(notes, key=lambda n: (n.guard, n.action, n.mode)), shown, released


def pieces(text: str, cuts: list[int]) -> list[str]:
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    return [text[a:b] for a, b in pairwise(places)]


@settings(max_examples=300)
@given(STREAM_RULES, WHOLE_RULES, TEXTS, CUTS)
def test_any_chunking_gives_the_same(stream: list[Rule], whole: list[Rule], text: str, cuts: list[int]) -> None:
    rules = rules_of(stream, whole)
    once = outcome(rules, [text] if text else [])
    assert outcome(rules, pieces(text, cuts)) == once
    assert outcome(rules, list(text)) == once


@settings(max_examples=150)
@given(STREAM_RULES, TEXTS, CUTS)
def test_nothing_of_a_finding_is_shown(stream: list[Rule], text: str, cuts: list[int]) -> None:
    """By definition: every character that an enforced rule finds is gone, and the answer ends before what blocks."""
    rules = rules_of(stream, [])
    verdict, _, shown, released = outcome(rules, pieces(text, cuts))
    found = [(r, f) for r in rules.stream for f in r.detector.find(text)]
    blocks = [f.start for r, f in found if r.blocks]
    assert isinstance(verdict, Block) == bool(blocks)
    assert released == min([*blocks, len(text)])
    covered = {place for _, f in found for place in range(f.start, f.end)}
    kept = [char for place, char in enumerate(text[:released]) if place not in covered]
    if not any(r.restores for r in rules.stream):
        # What is written instead has none of these letters.
        written = [
            char
            for char in shown.replace("[KIND0]", "#").replace("[KIND1]", "#").replace("[KIND2]", "#").replace("[TERM]", "#")
        ]
        assert [char for char in written if char != "#"] == kept


@given(st.lists(st.tuples(st.sampled_from(["email", "phone"]), st.text(max_size=6)), max_size=6), TEXTS, CUTS)
def test_masks_are_restored_byte_for_byte_and_values_are_inert(
    values: list[tuple[str, str]], filler: str, cuts: list[int]
) -> None:
    written_by_the_caller = "<EMAIL_1> " + filler
    masks = Masks([written_by_the_caller])
    said = "".join([f"{filler}{masks.place(what, value)}" for what, value in values])
    expected = "".join([f"{filler}{value}" for _, value in values])
    assert "<EMAIL_1>" not in masks.values
    if not masks.values:
        return
    rules = Rules((Rule("masks", Placeholders(masks.values), "replace", restores=masks.values),))
    _, notes, shown, _ = outcome(rules, pieces(said, cuts))
    assert shown == expected
    assert notes == []
