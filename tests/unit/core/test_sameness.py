"""When requests are the same, and when they are not."""

from typing import Any

import pytest
from msgspec import Raw

from gateway.core.conversation import Message
from gateway.core.sameness import once_name, received_digest, rendered_digest

HELLO = Message("user", "hi", b'{"role":"user","content":"hi"}')
BASE: dict[str, Any] = {
    "application_id": "app",
    "version": "ab" * 32,
    "variant": "",
    "model": "gpt",
    "conversation": (HELLO,),
    "fields": {"temperature": Raw(b"0"), "seed": Raw(b"1")},
}


@pytest.mark.parametrize(
    "change",
    [
        {"application_id": "app2"},
        {"version": "cd" * 32},
        {"variant": "b"},
        {"model": "gpt2"},
        {"conversation": (HELLO, HELLO)},
        {"conversation": ()},
        {"fields": {"temperature": Raw(b"0")}},
        {"fields": {"temperature": Raw(b"01"), "seed": Raw(b"")}},
        {"fields": {"temperature": Raw(b"1"), "seed": Raw(b"0")}},
        {"application_id": "ap", "version": "p" + "ab" * 32},
    ],
)
def test_every_part_counts_and_parts_do_not_trade_bytes(change: dict[str, Any]) -> None:
    assert rendered_digest(**{**BASE, **change}) != rendered_digest(**BASE)


def test_neither_order_nor_who_asks_counts() -> None:
    fields = {"user": Raw(b'"me"'), "stream_options": Raw(b"{}"), "seed": Raw(b"1"), "temperature": Raw(b"0")}
    assert rendered_digest(**{**BASE, "fields": fields}) == rendered_digest(**BASE)


def test_a_key_is_of_one_application_and_one_door() -> None:
    names = {once_name(a, d, k) for a in ("a", "ab") for d in ("c", "bc") for k in (b"k", b"ck")}
    assert len(names) == 8


def test_headers_that_shape_the_answer_are_part_of_a_request() -> None:
    base = {b"x-request-id": b"1", b"authorization": b"x"}
    assert received_digest(base, [b"b"]) == received_digest({}, [b"b"])
    for name in (b"x-prompt", b"x-prompt-version", b"anthropic-version"):
        assert received_digest({**base, name: b"1"}, [b"b"]) != received_digest(base, [b"b"])
    assert received_digest({}, [b"c"]) != received_digest({}, [b"b"])
