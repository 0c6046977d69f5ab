"""What every transport to a network refuses, against an upstream that breaks every rule.

``own`` is the gateway's client, ``httpx`` its twin. Where the twin legitimately differs the test says so and why.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from gateway.core import errors
from gateway.core.errors import GatewayError, Kind
from gateway.core.upstream import HttpRequest, Target
from gateway.transport.client import Http1Transport
from gateway.transport.httpx_twin import HttpxTransport
from tests.conftest import PATIENCE

LIMIT = 1 << 25
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

Transport = Http1Transport | HttpxTransport
Make = Callable[..., Transport]


def soon(seconds: float = 600) -> float:
    """A deadline; by default one that no test reaches, however slow the machine."""
    return time.monotonic() + seconds


async def whole(
    transport: Transport, target: Target, ask: HttpRequest, *, deadline: float = 600, limit: int = LIMIT
) -> tuple[int, bytes]:
    exchange = await transport.send(target, ask, soon(deadline))
    try:
        return exchange.status, await exchange.read(limit)
    finally:
        exchange.close()


@contextlib.asynccontextmanager
async def failing(kind: Kind) -> AsyncIterator[None]:
    with pytest.raises(GatewayError) as caught:
        yield
    assert caught.value.kind is kind, (caught.value.kind.name, caught.value.detail, caught.value.cause)
    if kind is not errors.DEADLINE:
        assert "acme" in caught.value.detail
    assert "127.0.0.1" not in caught.value.detail
    assert caught.value.target == "acme"


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


# --- the hostile ones -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello", id="content-length"),
        pytest.param(CHUNKED + b"5\r\nhello\r\n", id="no last chunk"),
        pytest.param(CHUNKED + b"50\r\nhello", id="inside a chunk"),
        pytest.param(CHUNKED + b"5\r\nhello\r\n0\r\n", id="before the last blank line"),
    ],
)
@pytest.mark.parametrize("ending", ["eof", "reset"])
async def test_a_truncated_body_is_never_taken_for_a_whole_one(
    upstream: Any, make: Make, ask: HttpRequest, answer: bytes, ending: str
) -> None:
    async def script(wire: Any) -> None:
        await wire.request()
        await wire.send(answer)
        if ending == "reset":
            await asyncio.sleep(0.02)
            wire.reset()

    await upstream.play(script)
    transport = make()
    async with failing(errors.UPSTREAM_INCOMPLETE):
        await whole(transport, upstream.target(), ask)
    exchange = await transport.send(upstream.target(), ask, soon())
    got = b""
    async with failing(errors.UPSTREAM_INCOMPLETE):
        while piece := await exchange.chunk():
            got += piece
    exchange.close()
    # A reset may overtake bytes in the receiver's kernel; an orderly end may not.
    assert got == b"hello" or (ending == "reset" and got == b"")


async def test_a_reset_ends_a_body_that_has_no_length(upstream: Any, make: Make, ask: HttpRequest) -> None:
    async def script(wire: Any) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await asyncio.sleep(0.02)
        wire.reset()

    await upstream.play(script)
    async with failing(errors.UPSTREAM_INCOMPLETE):
        await whole(make(), upstream.target(), ask)


@pytest.mark.parametrize("ending", ["eof", "reset"])
async def test_a_connection_lost_before_the_answer(upstream: Any, make: Make, ask: HttpRequest, ending: str) -> None:
    async def script(wire: Any) -> None:
        await wire.request()
        if ending == "reset":
            wire.reset()

    await upstream.play(script)
    async with failing(errors.UPSTREAM_UNREACHABLE):
        await whole(make(), upstream.target(), ask)
    assert upstream.taken == 1


async def test_a_connection_lost_inside_the_head(upstream: Any, make: Make, ask: HttpRequest, kind: str) -> None:
    await upstream.play(once(b"HTTP/1.1 200 OK\r\ncontent-le"))
    # httpcore reports the end of a connection in the same words whether or not a part of the head had come.
    async with failing(errors.UPSTREAM_INCOMPLETE if kind == "own" else errors.UPSTREAM_UNREACHABLE):
        await whole(make(), upstream.target(), ask)


BIG = b"x-a: " + b"a" * 70_000
MANY = b"".join(b"x-%d: 1\r\n" % i for i in range(250))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello", id="two content-lengths"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 5, 6\r\n\r\nhello", id="content-length list"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello", id="negative content-length"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", id="length and chunked"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n", id="chunked and length"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello", id="gzip"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", id="coded transfer"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + BIG + b"\r\ncontent-length: 5\r\n\r\nhello", id="big head"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + MANY + b"content-length: 5\r\n\r\nhello", id="many headers"),
        pytest.param(b"HTTP/1.1 101 S\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n" + OK, id="upgrade"),
        pytest.param(b"<html>502</html>\r\n\r\n", id="no http"),
        pytest.param(b"HTTP/1.1 20x OK\r\n\r\n", id="no status"),
    ],
)
async def test_an_ambiguous_or_excessive_head_is_refused(upstream: Any, make: Make, ask: HttpRequest, answer: bytes) -> None:
    gone = asyncio.Event()

    async def script(wire: Any) -> None:
        await wire.request()
        await wire.send(answer)
        await wire.gone()
        gone.set()

    await upstream.play(script)
    async with failing(errors.UPSTREAM_INVALID):
        await whole(make(), upstream.target(), ask)
    await asyncio.wait_for(gone.wait(), PATIENCE)


async def test_an_endless_head_is_refused(upstream: Any, make: Make, ask: HttpRequest) -> None:
    async def script(wire: Any) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nx-a: ")
        while True:
            await wire.send(b"a" * 4096)

    await upstream.play(script)
    async with failing(errors.UPSTREAM_INVALID):
        await whole(make(), upstream.target(), ask)


async def test_a_broken_chunk_is_an_error(upstream: Any, make: Make, ask: HttpRequest) -> None:
    await upstream.play(once(CHUNKED + b"5\r\nhelloXX3\r\nabc\r\n0\r\n\r\n"))
    async with failing(errors.UPSTREAM_INVALID):
        await whole(make(), upstream.target(), ask)


@pytest.mark.parametrize("length", [b"content-length: 600000", b"transfer-encoding: chunked"])
async def test_a_body_over_the_limit_is_refused_and_cut(upstream: Any, make: Make, ask: HttpRequest, length: bytes) -> None:
    gone = asyncio.Event()

    async def script(wire: Any) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % length)
        with contextlib.suppress(ConnectionError):
            if b"chunked" in length:
                for _ in range(1000):
                    await wire.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
            else:
                await wire.send(b"x" * 600_000)
        await wire.gone()
        gone.set()

    await upstream.play(script)
    async with failing(errors.UPSTREAM_INVALID):
        await whole(make(), upstream.target(), ask, limit=500_000)
    await asyncio.wait_for(gone.wait(), PATIENCE)


async def test_a_body_of_exactly_the_limit_is_taken(upstream: Any, make: Make, ask: HttpRequest) -> None:
    await upstream.play(always(OK))
    assert await whole(make(), upstream.target(), ask, limit=5) == (200, b"hello")


@pytest.mark.parametrize("extra", [b"X", b"HTTP/1.1 200 OK\r\ncontent-le", b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"])
@pytest.mark.parametrize("later", [False, True])
async def test_bytes_after_the_answer_never_reach_the_next_call(
    upstream: Any, make: Make, ask: HttpRequest, extra: bytes, *, later: bool
) -> None:
    sent = asyncio.Event()

    async def script(wire: Any) -> None:
        await wire.request()
        await wire.send(OK + (b"" if later else extra))
        if later:
            await asyncio.sleep(0.02)
            await wire.send(extra)
        sent.set()
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nsame")

    await upstream.play(script)
    transport = make()
    assert await whole(transport, upstream.target(), ask) == (200, b"hello")
    await sent.wait()
    await asyncio.sleep(0.06)
    assert await whole(transport, upstream.target(), ask) == (200, b"hello")
    assert upstream.taken == 2
