"""What every transport to a network sends and receives, against an upstream that cuts its bytes as it likes.

``own`` is the gateway's client, ``httpx`` its twin. Where the twin legitimately differs the test says so and why.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from gateway.core import errors
from gateway.core.errors import GatewayError
from gateway.core.upstream import HttpRequest, Target
from gateway.transport.client import Http1Transport
from gateway.transport.httpx_twin import HttpxTransport

LIMIT = 1 << 25
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

Transport = Http1Transport | HttpxTransport
Make = Callable[..., Transport]


def soon(seconds: float = 10) -> float:
    return time.monotonic() + seconds


async def whole(
    transport: Transport, target: Target, ask: HttpRequest, *, deadline: float = 10, limit: int = LIMIT
) -> tuple[int, bytes]:
    exchange = await transport.send(target, ask, soon(deadline))
    try:
        return exchange.status, await exchange.read(limit)
    finally:
        exchange.close()


async def pieces(transport: Transport, target: Target, ask: HttpRequest, *, deadline: float = 10) -> list[bytes]:
    exchange = await transport.send(target, ask, soon(deadline))
    got = []
    try:
        while piece := await exchange.chunk():
            got.append(piece)
    finally:
        exchange.close()
    return got


def always(answer: bytes, *, step: int = 0) -> Any:
    async def script(wire: Any) -> None:
        while True:
            await wire.request()
            await wire.send(answer, step=step)

    return script


def once(answer: bytes, *, step: int = 0) -> Any:
    async def script(wire: Any) -> None:
        await wire.request()
        await wire.send(answer, step=step)

    return script


# --- what is sent -----------------------------------------------------------------------------------------------------


async def test_the_request_is_exactly_what_the_translator_and_the_port_say(
    upstream: Any, make: Make, ask: HttpRequest, *, reuses: bool
) -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def script(wire: Any) -> None:
        seen.append(await wire.request())
        await wire.send(OK)
        await wire.gone()

    await upstream.play(script)
    assert await whole(make(), upstream.target(), ask) == (200, b"hello")
    head, body = seen[0]
    line, *fields = head.rstrip().split(b"\r\n")
    assert line == b"POST /v1/chat/completions HTTP/1.1"
    assert body == ask.body
    sent = dict(field.lower().split(b": ", 1) for field in fields)
    assert sent == {
        b"host": b"127.0.0.1:%d" % upstream.port,
        b"accept-encoding": b"identity",
        b"connection": b"keep-alive" if reuses else b"close",
        b"content-type": b"application/json",
        b"authorization": b"bearer sk-1",
        b"content-length": b"7",
    }
    assert len(fields) == len(sent)


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [(b"GET", b"", None), (b"DELETE", b"", None), (b"DELETE", b"{}", b"2"), (b"POST", b"", b"0"), (b"POST", b"ab", b"2")],
)
async def test_every_method_with_and_without_a_body(
    upstream: Any, make: Make, method: bytes, body: bytes, length: bytes | None, *, reuses: bool
) -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def script(wire: Any) -> None:
        while True:
            seen.append(await wire.request())
            await wire.send(OK)

    await upstream.play(script)
    transport = make()
    asked = HttpRequest("/files/file-1?after=a%20b", ((b"authorization", b"Bearer sk"),), body, method)
    for _ in range(2):
        assert await whole(transport, upstream.target(), asked) == (200, b"hello")
    assert upstream.taken == (1 if reuses else 2)
    for head, received in seen:
        line, *fields = head.rstrip().split(b"\r\n")
        assert line == method + b" /v1/files/file-1?after=a%20b HTTP/1.1"
        assert dict(field.lower().split(b": ", 1) for field in fields).get(b"content-length") == length
        assert received == body


@pytest.mark.parametrize("method", [b"HEAD", b"CONNECT", b"get", b"GET / HTTP/1.1\r\nx: y\r\n\r\nGET", b""])
async def test_no_other_method_is_sent(upstream: Any, make: Make, method: bytes) -> None:
    await upstream.play(always(OK))
    with pytest.raises(GatewayError) as caught:
        await whole(make(), upstream.target(), HttpRequest("/x", (), b"", method))
    assert caught.value.kind is errors.INTERNAL
    assert upstream.taken == 0


async def test_a_long_body_arrives_whole(upstream: Any, make: Make, ask: HttpRequest) -> None:
    seen: list[bytes] = []

    async def script(wire: Any) -> None:
        while True:
            _, body = await wire.request()
            seen.append(body)
            await wire.send(OK)

    await upstream.play(script)
    transport = make()
    body = bytes(range(256)) * 4000
    for _ in range(2):
        await whole(transport, upstream.target(), HttpRequest("/x", ask.headers, body))
    assert seen == [body, body]


@pytest.mark.parametrize("bad", [b"a\r\nx-evil: 1", b"a\nb", b"a\0b", b"a\rb"])
async def test_a_header_value_cannot_break_out(upstream: Any, make: Make, bad: bytes) -> None:
    await upstream.play(always(OK))
    with pytest.raises(GatewayError) as caught:
        await whole(make(), upstream.target(), HttpRequest("/x", ((b"authorization", bad),), b"{}"))
    assert caught.value.kind is errors.INTERNAL
    assert upstream.taken == 0


async def test_proxies_in_the_environment_are_not_used(
    upstream: Any, make: Make, ask: HttpRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    await upstream.play(always(OK))
    assert await whole(make(), upstream.target(), ask) == (200, b"hello")


# --- what is received -------------------------------------------------------------------------------------------------

ANSWERS = [
    pytest.param(OK, 200, b"hello", id="content-length"),
    pytest.param(CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", 200, b"hello", id="chunked"),
    pytest.param(CHUNKED + b"5;a=b\r\nhello\r\n0\r\nx-trailer: 1\r\n\r\n", 200, b"hello", id="extension and trailer"),
    pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, b"", id="empty"),
    pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", id="204"),
    pytest.param(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n", 304, b"", id="304"),
    pytest.param(b"HTTP/1.1 429 Slow Down\r\nRetry-After: 2\r\ncontent-length: 5\r\n\r\nhello", 429, b"hello", id="429"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"hello", id="100"),
    pytest.param(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 P\r\n\r\n" + OK, 200, b"hello", id="103 and 102"),
    pytest.param(
        b"HTTP/1.1 307 T\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 5\r\n\r\nhello", 307, b"hello", id="redirect"
    ),
    pytest.param(b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", id="no reason phrase"),
]


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize(("answer", "status", "body"), ANSWERS)
async def test_an_answer_in_any_chunking_and_the_connection_again(
    upstream: Any, make: Make, ask: HttpRequest, answer: bytes, status: int, body: bytes, step: int, *, reuses: bool
) -> None:
    await upstream.play(always(answer, step=step))
    transport = make()
    for _ in range(3):
        assert await whole(transport, upstream.target(), ask) == (status, body)
    assert b"".join(await pieces(transport, upstream.target(), ask)) == body
    assert upstream.taken == (1 if reuses else 4)


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nhello", id="until close"),
        pytest.param(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello", id="until close, said so"),
        pytest.param(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello", id="connection: close"),
        pytest.param(b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", id="http/1.0"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\nhello", id="http/1.0 until close"),
    ],
)
async def test_an_answer_that_ends_its_connection(
    upstream: Any, make: Make, ask: HttpRequest, answer: bytes, step: int
) -> None:
    await upstream.play(once(answer, step=step))
    transport = make()
    for _ in range(2):
        assert await whole(transport, upstream.target(), ask) == (200, b"hello")
    assert upstream.taken == 2


async def test_headers_are_lower_case_and_the_last_of_a_name_counts(upstream: Any, make: Make, ask: HttpRequest) -> None:
    await upstream.play(always(b"HTTP/1.1 200 OK\r\nX-Request-ID: r1\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 0\r\n\r\n"))
    exchange = await make().send(upstream.target(), ask, soon())
    exchange.close()
    assert exchange.headers[b"x-request-id"] == b"r1"
    assert exchange.headers[b"x-a"] == b"2"


async def test_headers_of_another_answer_are_not_this_ones(upstream: Any, make: Make, ask: HttpRequest) -> None:
    async def script(wire: Any) -> None:
        if wire.number == 0:
            await wire.request()
            await wire.send(CHUNKED.replace(b"OK", b"OK\r\nx-first: 1") + b"0\r\nx-trailer: 1\r\n\r\n")
        await wire.request()
        await wire.send(b"HTTP/1.1 103 E\r\nx-interim: 1\r\n\r\nHTTP/1.1 200 OK\r\nx-last: 1\r\ncontent-length: 0\r\n\r\n")

    await upstream.play(script)
    transport = make()
    seen = []
    for _ in range(2):
        exchange = await transport.send(upstream.target(), ask, soon())
        await exchange.read(LIMIT)
        exchange.close()
        seen.append(set(exchange.headers))
    assert seen == [{b"x-first", b"transfer-encoding"}, {b"x-last", b"content-length"}]


async def test_a_stream_comes_as_it_is_sent(upstream: Any, make: Make, ask: HttpRequest) -> None:
    go = asyncio.Event()

    async def script(wire: Any) -> None:
        await wire.request()
        await wire.send(CHUNKED)
        for i in range(3):
            event = b"data: %d\n\n" % i
            await wire.send(b"%x\r\n%b\r\n" % (len(event), event))
            await go.wait()
            go.clear()
        await wire.send(b"0\r\n\r\n")
        await wire.gone()

    await upstream.play(script)
    exchange = await make().send(upstream.target(), ask, soon())
    for i in range(3):
        assert await exchange.chunk() == b"data: %d\n\n" % i
        go.set()
    assert await exchange.chunk() == b""
    assert await exchange.chunk() == b""
    exchange.close()


async def test_a_big_body_comes_whole(upstream: Any, make: Make, ask: HttpRequest, *, reuses: bool) -> None:
    body = bytes(range(256)) * 8192
    await upstream.play(always(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)))
    transport = make()
    assert await whole(transport, upstream.target(), ask) == (200, body)
    assert b"".join(await pieces(transport, upstream.target(), ask)) == body
    assert upstream.taken == (1 if reuses else 2)
