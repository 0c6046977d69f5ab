"""The plain form of any text is its own plain form, and is made character by character."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.guards.injection.views import squeezed, words
from gateway.guards.normal import plain

TEXT = st.text(max_size=60)


@given(TEXT)
def test_plain_is_idempotent(text: str):
    assert plain(plain(text)) == plain(text)


@given(TEXT, TEXT)
def test_plain_of_parts_is_a_part_of_plain(left: str, right: str):
    assert plain(left + right) == plain(left) + plain(right)


@given(TEXT)
def test_words_and_squeezed_are_idempotent_and_agree(text: str):
    simple = plain(text)
    assert words(words(simple)) == words(simple)
    assert squeezed(words(simple)) == squeezed(simple)
