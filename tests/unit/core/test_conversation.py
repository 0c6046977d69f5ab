"""What shows at once of a message."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.conversation import Message


def test_a_message_of_the_prompt_says_its_text_alone() -> None:
    assert Message("system", "a\nb", b'{"role":"system","content":"a\\nb"}', ours=True).is_bare


@pytest.mark.parametrize(
    ("text", "raw", "bare"),
    [
        ("Hello", b'{"role":"user","content":"Hello"}', True),
        ("Hello", b'{"content":"Hello","role":"user"}', True),
        ("Hello", b'{"role": "user", "content": "Hello"}', False),
        ("Hello", b'{"role":"user","content":"Hello","name":"x"}', False),
        ("a\nb", b'{"role":"user","content":"a\\nb"}', False),
        ("\u00e9", '{"role":"user","content":"\u00e9"}'.encode(), False),
        ("", b'{"role":"user","content":""}', False),
        ("", b'{"role":"user","name":"abc"}', False),
        ("a", b'{"role":"user","content":[{"type":"text","text":"a"}]}', False),
    ],
)
def test_the_shortest_object_that_can_say_a_text_says_nothing_else(text: str, raw: bytes, bare: bool) -> None:
    assert Message("user", text, raw).is_bare is bare


@given(
    st.dictionaries(st.text(max_size=4), st.one_of(st.none(), st.text(max_size=6), st.lists(st.text(max_size=3), max_size=2))),
    st.text(max_size=30),
)
def test_nothing_hides_beside_a_bare_text(more: dict[str, object], text: str) -> None:
    fields = {"role": "user", **more, "content": text}
    fields["role"] = "user"
    raw = msgspec.json.encode(fields)
    assert not Message("user", text, raw).is_bare or fields.keys() == {"role", "content"}
