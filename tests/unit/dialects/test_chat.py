"""Reading a chat body: every message byte for byte, and errors that name the field."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import GatewayError
from gateway.core.requests import ChatRequest, Inbound
from gateway.dialects.chat import CHAT_DIALECT

SPACE = st.text(alphabet=" \t\r\n", max_size=3)
CONTENT = st.none() | st.text() | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": st.text()}), max_size=2)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"]), "content": CONTENT},
    optional={"name": st.text(), "tool_calls": st.lists(st.dictionaries(st.text(), st.integers(), max_size=2), max_size=2)},
)


def read(body: bytes) -> ChatRequest:
    return CHAT_DIALECT.read(Inbound("chat", {}, body, "c", "r", 0, 0.0, 1.0))


@given(st.lists(st.tuples(SPACE, MESSAGE, SPACE), max_size=4), SPACE, SPACE)
def test_every_message_is_kept_byte_for_byte(given_: list[tuple[str, dict[str, object], str]], before: str, after: str) -> None:
    raws = [msgspec.json.format(msgspec.json.encode(message), indent=1) for _, message, _ in given_]
    items = b",".join([left.encode() + raw + right.encode() for (left, _, right), raw in zip(given_, raws, strict=True)])
    body = (
        b'{"messages":' + before.encode() + b"[" + items + before.encode() + b"]" + after.encode() + b',"model":"m","top_p":1 }'
    )
    request = read(body)
    assert [message.raw for message in request.messages] == raws
    assert [message.role for message in request.messages] == [message["role"] for _, message, _ in given_]
    assert {name: bytes(raw) for name, raw in request.fields.items()} == {"top_p": b"1"}


def test_of_a_field_that_comes_twice_the_last_counts() -> None:
    request = read(
        b'{"messages":[{"role":"user","content":"a"}],"model":"x","messages":[{"role":"user","content":"b"}],"model":"y"}'
    )
    assert (request.model, [(message.text, message.raw) for message in request.messages]) == (
        "y",
        [("b", b'{"role":"user","content":"b"}')],
    )


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        (b"{}", "messages"),
        (b"null", "messages"),
        (b"[1]", "messages[0]"),
        (b'[{"role":"user"},{"content":"x"}]', "messages[1]"),
        (b'[{"role":"king"}]', "messages[0].role"),
        (b'[{"role":"user","content":[{"type":"text"},{"type":3}]}]', "messages[0].content[1].type"),
    ],
)
def test_what_is_wrong_with_a_message_is_told_by_its_place(messages: bytes, param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read(b'{"model":"m","messages":' + messages + b"}")
    assert (caught.value.kind.name, caught.value.param) == ("malformed", param)
