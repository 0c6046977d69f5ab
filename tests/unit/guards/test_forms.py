"""Tables of forms: edges, announcements, what is relaxed for RE2."""

import pytest

from gateway.guards import forms
from gateway.guards.detector import Finding
from gateway.guards.forms import REACH, Form, FormDetector, announced, either
from gateway.guards.partial import anatomy
from gateway.guards.pii.kinds import FORMS as PII
from gateway.guards.secrets.kinds import FORMS as SECRETS
from tests.corpus.measure import load


def found(text: str, *table: Form) -> list[tuple[str, str]]:
    return [(f.what, text[f.start : f.end]) for f in FormDetector(table).find(text)]


def test_every_form_is_bounded_and_its_announcement_within_reach():
    for form in (*PII, *SECRETS):
        assert anatomy(form.pattern).longest is not None, form
        announcement = anatomy(form.after).longest
        assert announcement is not None, form
        assert announcement < REACH, form


def test_words_are_grouped_and_mean_the_same():
    assert either("tin|tax id|idnr") == "(?:[tT](?i:in|ax id)|[iI](?i:dnr))"
    form = Form("x", "[0-9]{3}", after=announced("tin|tax id|idnr"))
    assert found("TIN 123, Tax ID 456, IdNr. 789; stint 111", form) == [("x", "123"), ("x", "456"), ("x", "789")]


def test_an_announcement_reaches_24_characters_on_its_line_and_over_no_digit():
    form = Form("x", "[0-9]{3}", after=announced("id"))
    assert found("id" + " " * 24 + "123", form) == [("x", "123")]
    assert found("id" + " " * 25 + "123", form) == []
    assert found("id\n123", form) == []
    assert found("id 1 123", form) == []


def test_an_announcement_may_lie_left_of_the_start():
    detector = FormDetector([Form("x", "[0-9]{3}", after=announced("id"))])
    assert detector.before == REACH
    assert detector.find_from("my id is 123", 6) == [Finding(9, 12, "x")]
    assert detector.find_from("my id is 123", 10) == []


def test_the_longest_wins_then_the_first_named():
    short, long, same = (
        Form("short", "[0-9]{3}", right="x"),
        Form("long", "[0-9]{3} [0-9]{3}"),
        Form("same", "[0-9]{3} [0-9]{3}"),
    )
    assert found("123 456 789", short, long, same) == [("long", "123 456"), ("short", "789")]
    assert found("123 456", same, long) == [("same", "123 456")]


def test_a_refused_match_does_not_hide_what_begins_in_it():
    form = Form("x", "[0-9]{2}(?: [0-9]{2}){1,2}", lambda text: text == "56 78", right="y")
    assert found("12 34 56 78", form) == [("x", "56 78")]


def test_a_rare_character_is_looked_for_first():
    form = Form("x", "[a-z]{1,5}@[a-z]{1,5}", around="@", left="[a-z]", right="[a-z]")
    assert found("a@b cc@dd, @ toolongname@x e@f", form) == [("x", "a@b"), ("x", "cc@dd"), ("x", "e@f")]
    assert FormDetector([form]).find_from("a@b cc@dd", 2) == [Finding(4, 9, "x")]


def test_long_repetitions_keep_their_bounds():
    form = Form("x", "k_[a-z]{30,40}", left=r"\w", right=r"\w")
    assert [len(text) for _, text in found(" ".join("k_" + "a" * n for n in (29, 30, 40, 41)), form)] == [32, 42]
    detector = FormDetector([form])
    assert detector.longest == 44
    assert detector.hold("say k_" + "a" * 10) == 12
    assert detector.hold("say k_" + "a" * 100) == 0


def test_a_long_text_is_searched_in_windows_to_the_same_end(monkeypatch: pytest.MonkeyPatch):
    text = " ".join([example.text for example in load("pii").examples])
    detector = FormDetector(PII)
    whole = detector.find(text)
    assert len(whole) > 100
    for size in (101, 997):
        monkeypatch.setattr(forms, "WINDOW", size)
        assert detector.find(text) == whole


def test_lone_surrogates_are_read_as_one_character():
    detector = FormDetector([Form("x", "[0-9]{3}", right=r"\w")])
    assert detector.find("\ud800 123 \udc00") == [Finding(2, 5, "x")]
    assert detector.hold("\ud800 12") == 2
