"""Timeouts, the deadline, slow readers, and leaving early.

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
from tests.conftest import PATIENCE, until

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


async def pieces(transport: Transport, target: Target, ask: HttpRequest, *, deadline: float = 600) -> list[bytes]:
    exchange = await transport.send(target, ask, soon(deadline))
    got = []
    try:
        while piece := await exchange.chunk():
            got.append(piece)
    finally:
        exchange.close()
    return got


@contextlib.asynccontextmanager
async def failing(kind: Kind) -> AsyncIterator[None]:
    with pytest.raises(GatewayError) as caught:
        async with asyncio.timeout(PATIENCE):  # limits that a test does not set are ten times as long
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


# --- time -------------------------------------------------------------------------------------------------------------


async def silent(wire: Any) -> None:
    await wire.request()
    await wire.gone()


async def test_no_head_in_time(upstream: Any, make: Make, ask: HttpRequest) -> None:
    await upstream.play(silent)
    start = time.monotonic()
    async with failing(errors.UPSTREAM_TIMEOUT):
        await whole(make(), upstream.target(first_byte=0.2), ask)
    assert time.monotonic() - start > 0.19


async def test_a_dripping_head(upstream: Any, make: Make, ask: HttpRequest, kind: str) -> None:
    async def script(wire: Any) -> None:
        await wire.request()
        await wire.send(OK, step=1, pause=0.05)

    await upstream.play(script)
    # httpx waits for each read anew; only the total bounds such a head.
    target = upstream.target(first_byte=0.2) if kind == "own" else upstream.target(first_byte=0.2, total=0.4)
    async with failing(errors.UPSTREAM_TIMEOUT):
        await whole(make(), target, ask)


async def test_a_stall_inside_the_body(upstream: Any, make: Make, ask: HttpRequest) -> None:
    async def script(wire: Any) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello")
        await wire.gone()

    await upstream.play(script)
    transport = make()
    start = time.monotonic()
    async with failing(errors.UPSTREAM_TIMEOUT):
        await whole(transport, upstream.target(idle=0.2), ask)
    async with failing(errors.UPSTREAM_TIMEOUT):
        await pieces(transport, upstream.target(idle=0.2), ask)
    assert time.monotonic() - start > 0.38


async def test_a_slow_reader_is_not_a_slow_upstream(upstream: Any, make: Make, ask: HttpRequest) -> None:
    async def script(wire: Any) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")
        await asyncio.sleep(0.3)
        await wire.send(b"world")
        await wire.gone()

    await upstream.play(script)
    exchange = await make().send(upstream.target(idle=0.2), ask, soon())
    assert await exchange.chunk() == b"hello"
    await asyncio.sleep(0.4)
    assert await exchange.chunk() == b"world"
    assert await exchange.chunk() == b""
    exchange.close()


async def trickle(wire: Any) -> None:
    await wire.request()
    await wire.send(CHUNKED)
    while True:
        await wire.send(b"1\r\na\r\n")
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("by", ["total", "deadline"])
@pytest.mark.parametrize("how", [whole, pieces])
async def test_a_trickle_ends_with_the_total_or_the_deadline(
    upstream: Any, make: Make, ask: HttpRequest, by: str, how: Any
) -> None:
    await upstream.play(trickle)
    start = time.monotonic()
    async with failing(errors.UPSTREAM_TIMEOUT if by == "total" else errors.DEADLINE):
        await how(
            make(), upstream.target(idle=0.2, total=0.3 if by == "total" else 60), ask, deadline=60 if by == "total" else 0.3
        )
    assert time.monotonic() - start > 0.28


async def test_nothing_is_sent_after_the_deadline(upstream: Any, make: Make, ask: HttpRequest) -> None:
    asked = 0

    async def script(wire: Any) -> None:
        nonlocal asked
        while True:
            await wire.request()
            asked += 1
            await wire.send(OK)

    await upstream.play(script)
    transport = make()
    await whole(transport, upstream.target(), ask)
    async with failing(errors.DEADLINE):
        await whole(transport, upstream.target(), ask, deadline=-1)
    async with failing(errors.UPSTREAM_TIMEOUT):
        await whole(transport, upstream.target(total=0), ask)
    await asyncio.sleep(0.02)
    assert asked == 1


async def test_the_deadline_bounds_the_wait_for_the_head(upstream: Any, make: Make, ask: HttpRequest) -> None:
    await upstream.play(silent)
    async with failing(errors.DEADLINE):
        await whole(make(), upstream.target(), ask, deadline=0.2)


@pytest.mark.parametrize("by", ["total", "deadline"])
async def test_the_wait_for_a_free_connection_is_bounded(upstream: Any, make: Make, ask: HttpRequest, by: str) -> None:
    await upstream.play(silent)
    transport = make(max_connections=1)
    first = asyncio.ensure_future(whole(transport, upstream.target(), ask))
    await until(lambda: upstream.taken)
    async with failing(errors.UPSTREAM_TIMEOUT if by == "total" else errors.DEADLINE):
        await whole(transport, upstream.target(total=0.2 if by == "total" else 60), ask, deadline=60 if by == "total" else 0.2)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


# --- leaving ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["head", "read", "chunk"])
async def test_cancelling_closes_the_upstream(upstream: Any, make: Make, ask: HttpRequest, stage: str) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def script(wire: Any) -> None:
        await wire.request()
        if stage != "head":
            await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")
        asked.set()
        await wire.gone()
        left.set()

    await upstream.play(script)
    transport = make()

    async def call() -> None:
        exchange = await transport.send(upstream.target(), ask, soon())
        try:
            await (exchange.read(LIMIT) if stage == "read" else exchange.chunk())
        finally:
            exchange.close()

    task = asyncio.ensure_future(call())
    await asked.wait()
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(left.wait(), PATIENCE)
    if isinstance(transport, Http1Transport):
        assert transport.in_use == 0


@pytest.mark.parametrize("read_some", [False, True])
async def test_closing_before_the_end_closes_the_upstream(
    upstream: Any, make: Make, ask: HttpRequest, *, read_some: bool
) -> None:
    left = asyncio.Event()

    async def script(wire: Any) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello")
        await wire.gone()
        left.set()

    await upstream.play(script)
    exchange = await make().send(upstream.target(), ask, soon())
    if read_some:
        assert await exchange.chunk() == b"hello"
    exchange.close()
    await asyncio.wait_for(left.wait(), PATIENCE)


async def test_a_slow_reader_holds_the_upstream_back(upstream: Any, make: Make, ask: HttpRequest) -> None:
    sent = 0
    total = 64 << 20

    async def script(wire: Any) -> None:
        nonlocal sent
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        block = b"x" * 65536
        while sent < total:
            await wire.send(block)
            sent += len(block)
        await wire.gone()

    await upstream.play(script)
    exchange = await make().send(upstream.target(), ask, soon())
    await asyncio.sleep(0.3)
    # Ours (256 KiB plus one read) and what the two kernels buffer on loopback.
    assert sent < 16 << 20
    got = 0
    while piece := await exchange.chunk():
        got += len(piece)
    exchange.close()
    assert got == total


async def test_a_closed_transport_takes_nothing(upstream: Any, make: Make, ask: HttpRequest) -> None:
    await upstream.play(always(OK))
    transport = make()
    await whole(transport, upstream.target(), ask)
    await transport.close()
    with pytest.raises(GatewayError) as caught:
        await transport.send(upstream.target(), ask, soon())
    assert caught.value.kind is errors.DRAINING
