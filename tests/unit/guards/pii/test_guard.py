"""The guard `pii`: its options, and what it makes of neighbours and overlaps."""

import pytest

from gateway.core.errors import GatewayError
from gateway.guards.catalogue import make
from gateway.guards.detector import Finding
from gateway.guards.forms import FormDetector
from gateway.guards.pii.kinds import FORMS
from gateway.guards.shipped import CATALOGUE
from gateway.guards.tables import kinds_of


def guard(**options: object) -> FormDetector:
    made = make(CATALOGUE["pii"], options, "validators[0]")
    assert isinstance(made, FormDetector)
    return made


def found(text: str, **options: object) -> list[tuple[str, str]]:
    return [(f.what, text[f.start : f.end]) for f in guard(**options).find(text)]


def test_only_the_chosen_kinds_are_found():
    text = "bob@example.org paid with 4111 1111 1111 1111"
    assert found(text) == [("email", "bob@example.org"), ("credit_card", "4111 1111 1111 1111")]
    assert found(text, kinds=["email"]) == [("email", "bob@example.org")]
    assert found(text, kinds=["iban"]) == []


def test_texts_that_are_allowed_are_not_found():
    text = "write to Support@Example.org or bob@example.org"
    assert found(text, allow=["support@example.org"]) == [("email", "bob@example.org")]


def test_a_kind_that_does_not_exist_is_named():
    with pytest.raises(GatewayError, match="'shoe_size' is no kind") as caught:
        guard(kinds=["email", "shoe_size"])
    assert caught.value.param == "validators[0].options.kinds[1]"


def test_an_option_that_does_not_exist_is_an_error():
    with pytest.raises(GatewayError, match="unknown field `kind`"):
        guard(kind=["email"])


def test_too_many_allowed_texts_are_an_error():
    with pytest.raises(GatewayError, match="at most 1000"):
        guard(allow=["x"] * 1001)


def test_equal_choices_share_one_detector():
    assert guard(kinds=["email", "ip"]) is guard(kinds=["ip", "email"])


def test_a_kind_without_proof_needs_a_word_that_announces_it():
    assert found("my passport no. X1234567") == [("passport", "X1234567")]
    assert found("order X1234567") == []
    assert found("passport\nX1234567") == []


def test_of_two_at_one_place_the_longer_wins():
    # The first sixteen digits are a card too.
    assert found("6304000000000000 00") == [("credit_card", "6304000000000000")]
    assert found("call 415-555-0132", kinds=["phone"]) == [("phone", "415-555-0132")]


def test_neighbours_make_a_number_part_of_something_else():
    assert found("a4111111111111111") == []
    assert found("4111111111111111b") == []
    assert found("0.4111111111111111") == []
    assert found("4111111111111111.5") == []
    assert found("4111111111111111.") == [("credit_card", "4111111111111111")]


def test_a_text_without_spaces_around():
    assert found("邮箱:bob@example.cn。电话") == [("email", "bob@example.cn")]
    assert found("卡号4111111111111111。") == [("credit_card", "4111111111111111")]


def test_what_lies_left_of_the_start_is_only_looked_at():
    detector = guard(kinds=["us_ssn"])
    text = "1536-90-4399 536-90-4399"
    assert detector.find_from(text, 1) == [Finding(13, 24, "us_ssn")]
    assert detector.find_from(text, 14) == []


def test_what_is_held_is_what_may_become_a_finding():
    detector = guard(kinds=["us_ssn"])
    assert detector.hold("the answer is") == 0
    assert detector.hold("it is 536-9") == 5
    assert detector.hold("it is 536-90-4399") == 11
    assert detector.hold("it is 536-90-4399.") == 12
    assert detector.hold("it is 536-90-4399. ") == 0
    assert guard(kinds=["email"]).hold("write to bo") == 2
    assert guard().longest == max(guard(kinds=[kind]).longest or 0 for kind in kinds_of(FORMS))


def test_every_kind_is_found_in_its_own_corpus():
    from tests.corpus.measure import load

    assert {what for example in load("pii").examples for what, _ in example.find} == set(kinds_of(FORMS))


def test_a_number_that_is_called_something_else_is_no_telephone_even_with_a_wrong_check_digit():
    assert found("NHS number 943 476 5919") == [("uk_nhs", "943 476 5919")]
    assert found("NHS number 943 476 5918") == []
    assert found("NHS number 943 476 5918", kinds=["phone"]) == []
    assert found("SIN 046-454-287") == []
    assert found("943 476 5918") == [("phone", "943 476 5918")]
    assert found("ask the NHS, phone 943 476 5918") == [("phone", "943 476 5918")]
    # Announced is a number of nine digits, and this one has ten.
    assert found("with your tax file, ring 415-555-0132") == [("phone", "415-555-0132")]


def test_a_large_block_of_addresses_is_nobodys_and_a_small_one_somebodys():
    assert found("192.168.0.0/16, 198.51.100.0/24, 0.0.0.0/0 and 2001:db8::/32") == []
    assert found("10.1.2.3/24") == [("ip", "10.1.2.3/24")]
    assert found("198.51.100.8/29") == [("ip", "198.51.100.8/29")]
    assert found("198.51.100.8/99") == [("ip", "198.51.100.8/99")]
    assert found("198.51.100.7/2024") == [("ip", "198.51.100.7")]
    assert found("2001:db8:1:2::/64 and 2001:db8::7/32") == [("ip", "2001:db8:1:2::/64"), ("ip", "2001:db8::7/32")]
