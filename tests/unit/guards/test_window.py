"""Judging a stream while it comes."""

from gateway.core.documents import Guardrails, PostValidation
from gateway.core.verdicts import ALLOW, Block
from gateway.guards.plan import OutputGuard, compile_guards


def guard(terms: list[str] | None = None, required: list[str] | None = None) -> OutputGuard:
    plan = compile_guards(
        Guardrails(post_validation=PostValidation(prohibited_terms=terms or [], required_elements=required or []))
    )
    assert plan.post is not None
    return plan.post


def test_text_is_released_as_soon_as_it_is_harmless():
    scan = guard(["secret"]).scan()
    assert scan.released(0) == 0
    assert scan.feed(0, "The se") is ALLOW
    assert scan.released(0) == 4
    assert scan.feed(0, "a is") is ALLOW
    assert scan.released(0) == 10


def test_a_term_cut_in_pieces_is_blocked_before_its_first_letter_is_shown():
    scan = guard(["secret"]).scan()
    for piece in ("The ", "s", "ec", "ret"):
        assert scan.feed(0, piece) is ALLOW
    assert scan.released(0) == 4
    verdict = scan.feed(0, " plan")
    assert verdict == Block("prohibited_terms", "the text contains the prohibited term 'secret'", 0)
    assert scan.released(0) == 4
    assert scan.feed(0, "more") is verdict
    assert scan.finish(0) is verdict
    assert scan.end() is verdict


def test_a_longer_word_is_not_the_term():
    scan = guard(["secret"]).scan()
    scan.feed(0, "secret")
    assert scan.released(0) == 0
    assert scan.feed(0, "ary") is ALLOW
    assert scan.released(0) == len("secretary")


def test_a_term_at_the_very_end_is_decided_by_the_end():
    scan = guard(["secret"]).scan()
    assert scan.feed(0, "my secret") is ALLOW
    assert isinstance(scan.finish(0), Block)
    assert scan.released(0) == 3


def test_a_held_end_that_is_harmless_is_released_by_the_end():
    scan = guard(["secret"]).scan()
    scan.feed(0, "my sec")
    assert scan.released(0) == 3
    assert scan.finish(0) is ALLOW
    assert scan.released(0) == 6
    assert scan.finish(0) is ALLOW


def test_choices_are_judged_apart():
    scan = guard(["secret"]).scan()
    scan.feed(0, "sec")
    scan.feed(1, "ret ")
    assert (scan.released(0), scan.released(1)) == (0, 4)
    assert scan.feed(0, "ond ") is ALLOW
    scan.feed(1, "secret")
    assert scan.end() == Block("prohibited_terms", "the text contains the prohibited term 'secret'", 1)


def test_required_elements_are_judged_at_the_end_and_hold_nothing_back():
    scan = guard(required=["Source:"]).scan()
    assert scan.feed(0, "Some text. ") is ALLOW
    assert scan.released(0) == 11
    assert scan.feed(1, "sou") is ALLOW
    assert scan.feed(1, "RCE: x") is ALLOW
    assert scan.finish(1) is ALLOW
    assert scan.finish(0) == Block("required_elements", "the text lacks the required element 'Source:'", 0)


def test_a_choice_that_ends_without_any_text_lacks_what_is_required():
    scan = guard(["x"], required=["y"]).scan()
    assert isinstance(scan.finish(0), Block)


def test_an_answer_without_texts_is_not_judged():
    assert guard(["x"], ["y"]).scan().end() is ALLOW


def test_characters_that_grow_when_folded_are_counted_as_they_were_sent():
    scan = guard(["strasse"]).scan()
    assert scan.feed(0, "ẞ ßß straß") is ALLOW
    assert scan.released(0) == 5
    assert isinstance(scan.feed(0, "e!"), Block)


def test_a_character_is_never_cut_where_its_folding_is():
    # U+0390 folds to three characters, of which the last is a combining mark that begins the term.
    scan = guard(["\u0301x"]).scan()
    assert scan.feed(0, "a\u0390") is ALLOW
    assert scan.released(0) == 1
    assert isinstance(scan.feed(0, "x "), Block)


def test_an_empty_event_changes_nothing():
    scan = guard(["secret"]).scan()
    scan.feed(0, "n")
    scan.feed(0, "")
    scan.feed(0, "secret ")
    assert scan.released(0) == 8


def test_long_terms_are_shortened_in_the_verdict():
    verdict = guard(["x" * 200]).check([(0, "x" * 200)])
    assert isinstance(verdict, Block)
    assert len(verdict.detail) < 120
