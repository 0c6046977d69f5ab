"""The in-process twin: the same port over a function. What needs a network (resets, TLS, pools) does not apply to it."""

import time

import pytest

from gateway.core import errors
from gateway.core.errors import GatewayError
from gateway.core.upstream import HttpRequest, Target
from gateway.transport.local import LocalTransport

TARGET = Target("echo", "echo-1", "echo:", "")


def echo(request: HttpRequest) -> tuple[int, dict[bytes, bytes], list[bytes]]:
    return 200, {b"content-type": b"text/plain"}, [b"", request.body[:2], b"", request.body[2:]]


def soon(seconds: float = 10) -> float:
    return time.monotonic() + seconds


async def test_a_whole_answer(ask: HttpRequest) -> None:
    exchange = await LocalTransport(echo).send(TARGET, ask, soon())
    assert (exchange.status, exchange.headers) == (200, {b"content-type": b"text/plain"})
    assert await exchange.read(100) == ask.body
    exchange.close()


async def test_pieces_and_then_the_rest(ask: HttpRequest) -> None:
    exchange = await LocalTransport(echo).send(TARGET, ask, soon())
    assert await exchange.chunk() == ask.body[:2]
    assert await exchange.read(100) == ask.body[2:]
    assert await exchange.chunk() == b""
    exchange.close()


async def test_the_limit(ask: HttpRequest) -> None:
    exchange = await LocalTransport(echo).send(TARGET, ask, soon())
    with pytest.raises(GatewayError) as caught:
        await exchange.read(6)
    assert caught.value.kind is errors.UPSTREAM_INVALID


async def test_the_deadline(ask: HttpRequest) -> None:
    with pytest.raises(GatewayError) as caught:
        await LocalTransport(echo, clock=lambda: 5.0).send(TARGET, ask, 5.0)
    assert caught.value.kind is errors.DEADLINE


async def test_closed(ask: HttpRequest) -> None:
    transport = LocalTransport(echo)
    await transport.close()
    with pytest.raises(GatewayError) as caught:
        await transport.send(TARGET, ask, soon())
    assert caught.value.kind is errors.DRAINING
