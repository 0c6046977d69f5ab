"""Recognising a repeated head: only what is equal byte for byte, digits of the length apart."""

import weakref

import pytest

from gateway.dialects.chat import CHAT_DIALECT
from gateway.edge.openai import HotRoute
from gateway.server.heads import Heads, RepeatedHead, learn
from gateway.server.reply import HotReply


async def handler(*_: object) -> None: ...


def cycle(*, keep_alive: bool = True) -> HotReply:
    return HotReply(None, HotRoute("chat", handler, CHAT_DIALECT), {b"x-tags": b"a"}, keep_alive=keep_alive)  # type: ignore[arg-type]


def parsed(head: bytes) -> list[tuple[bytes, bytes]]:
    lines = head.split(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]


HEAD = b"POST /hot HTTP/1.1\r\nhost: x\r\nContent-Length: 3\r\nx-tags: a\r\n\r\n"


def known() -> RepeatedHead:
    found = learn(HEAD + b"abc", parsed(HEAD), cycle())
    assert found is not None
    return found


def test_a_head_is_learnt_around_the_digits_of_its_length() -> None:
    found = known()
    assert found.before + b"3" + found.after == HEAD
    assert (found.route.door, found.known, found.bare) == ("chat", {b"x-tags": b"a"}, False)


@pytest.mark.parametrize(("length", "body"), [(b"3", b"xyz"), (b"0", b""), (b"11", b"hello\r\n\r\nab")])
def test_the_same_head_with_a_body_of_its_length(length: bytes, body: bytes) -> None:
    assert known().body_of(HEAD.replace(b"Length: 3", b"Length: " + length) + body) == body


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"ab",
        HEAD + b"abcd",
        HEAD.replace(b"x-tags: a", b"x-tags: b") + b"abc",
        HEAD.replace(b"Content-Length", b"content-length") + b"abc",
        HEAD.replace(b"3", b"") + b"abc",
        HEAD.replace(b"3", b"+3") + b"abc",
        HEAD.replace(b"3", b"3 ") + b"abc",
        HEAD.replace(b"3", b"\xb2") + b"ab",
        HEAD.replace(b"3", b"003") + b"abc",
        HEAD.replace(b"POST", b"PUT") + b"abc",
        HEAD[:-4] + b"\r\nx: y\r\n\r\nabc",
        HEAD[:-2].replace(b": 3", b": 0"),
        HEAD[:30],
        b"",
        HEAD + b"abc" + HEAD + b"abc",
    ],
)
def test_anything_else_goes_to_the_parser(data: bytes) -> None:
    assert known().body_of(data) is None


@pytest.mark.parametrize(
    "head",
    [
        HEAD.replace(b"Content-Length: 3\r\n", b""),
        HEAD.replace(b"x-tags: a", b"content-length: 3"),
        HEAD.replace(b"x-tags", b"transfer-encoding"),
        HEAD.replace(b"x-tags", b"expect"),
        HEAD.replace(b"x-tags", b"connection"),
        HEAD.replace(b": 3", b":\t3"),
        HEAD.replace(b": 3", b": 0000000003"),
        b"\r\n\r\n" + HEAD,
    ],
)
def test_heads_that_are_not_learnt(head: bytes) -> None:
    assert learn(head + b"abc", parsed(head.lstrip()), cycle()) is None


def test_only_a_hot_request_on_a_kept_connection_is_learnt() -> None:
    assert learn(HEAD, parsed(HEAD), cycle(keep_alive=False)) is None
    assert learn(HEAD, parsed(HEAD), object()) is None


def test_the_length_may_be_the_last_line() -> None:
    head = b"POST /hot HTTP/1.1\r\nx-tags: a\r\ncontent-length: 3\r\n\r\n"
    found = learn(head + b"abc", parsed(head), cycle())
    assert found is not None
    assert found.body_of(head.replace(b": 3", b": 12") + b"hello world.") == b"hello world."
    assert found.body_of(head.replace(b": 3", b": 3\r\nx: y") + b"abc") is None
    assert found.body_of(head[:-4].replace(b": 3", b": 0")) is None


@pytest.mark.parametrize("value", [b"keep-alive", b"Keep-Alive"])
def test_what_client_libraries_say_of_the_connection_is_learnt(value: bytes) -> None:
    head = HEAD.replace(b"x-tags", b"connection: %b\r\nx-tags" % value)
    assert learn(head + b"abc", parsed(head), cycle()) is not None
    for other in (b"close", b"keep-alive, upgrade", b"upgrade"):
        unlike = head.replace(value, other)
        assert learn(unlike + b"abc", parsed(unlike), cycle()) is None


def test_connections_that_send_the_same_head_share_it_while_any_of_them_is_there() -> None:
    heads = Heads()
    first = heads.shared(learn(HEAD + b"abc", parsed(HEAD), cycle()))
    assert heads.shared(learn(HEAD + b"abc", parsed(HEAD), cycle())) is first
    other = HEAD.replace(b"host: ", b"host: other.")
    assert heads.shared(learn(other + b"abc", parsed(other), cycle())) is not first
    assert heads.shared(None) is None
    assert first is not None
    gone = weakref.ref(first)
    del first
    assert gone() is None
