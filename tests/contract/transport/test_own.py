"""What only the gateway's own client promises: counters, safe answers, idle expiry, draining, no second of two payments."""

import asyncio
import socket
import time
from typing import Any

import pytest

from gateway.core import errors
from gateway.core.errors import GatewayError
from gateway.core.upstream import HttpRequest
from gateway.transport.client import Http1Transport
from tests.conftest import PATIENCE, until

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"


def soon(seconds: float = 600) -> float:
    """A deadline; by default one that no test reaches, however slow the machine."""
    return time.monotonic() + seconds


async def answering(wire: Any) -> None:
    while True:
        await wire.request()
        await wire.send(OK)


async def call(transport: Http1Transport, target: Any, ask: HttpRequest) -> bytes:
    exchange = await transport.send(target, ask, soon())
    try:
        return await exchange.read(1000)
    finally:
        exchange.close()


async def test_an_answer_that_came_in_one_read_is_read_without_suspending(upstream: Any, ask: HttpRequest) -> None:
    await upstream.play(answering)
    transport = Http1Transport()
    for method in ("read", "chunk"):
        exchange = await transport.send(upstream.target(), ask, soon())
        step = exchange.read(100) if method == "read" else exchange.chunk()
        with pytest.raises(StopIteration) as stopped:
            step.send(None)
        assert stopped.value.value == b"hello"
        exchange.close()
    await transport.close()


async def test_a_second_close_and_a_late_read_cannot_touch_the_next_call(upstream: Any, ask: HttpRequest) -> None:
    go = asyncio.Event()

    async def script(wire: Any) -> None:
        await wire.request()
        await wire.send(OK)
        await wire.request()
        await go.wait()
        await wire.send(OK)
        await wire.gone()

    await upstream.play(script)
    transport = Http1Transport()
    first = await transport.send(upstream.target(), ask, soon())
    first.close()
    second = asyncio.ensure_future(call(transport, upstream.target(), ask))
    await until(lambda: transport.in_use)
    first.close()
    with pytest.raises(RuntimeError):
        await first.read(100)
    with pytest.raises(RuntimeError):
        await first.chunk()
    go.set()
    assert await second == b"hello"
    assert upstream.taken == 1
    await transport.close()


async def test_counters(upstream: Any, ask: HttpRequest) -> None:
    await upstream.play(answering)
    transport = Http1Transport()
    exchange = await transport.send(upstream.target(), ask, soon())
    assert (transport.opened, transport.reused, transport.in_use, transport.waiting) == (1, 0, 1, 0)
    exchange.close()
    assert transport.in_use == 0
    await call(transport, upstream.target(path="/other"), ask)
    assert (transport.opened, transport.reused, transport.in_use) == (1, 1, 0)
    await transport.close()


async def test_the_connection_used_last_is_used_next(upstream: Any, ask: HttpRequest) -> None:
    used: list[int] = []

    async def script(wire: Any) -> None:
        while True:
            await wire.request()
            used.append(wire.number)
            await asyncio.sleep(0.01)
            await wire.send(OK)

    await upstream.play(script)
    transport = Http1Transport()
    await asyncio.gather(*(call(transport, upstream.target(), ask) for _ in range(3)))
    used.clear()
    for _ in range(3):
        await call(transport, upstream.target(), ask)
    assert len(set(used)) == 1
    await transport.close()


async def test_idle_connections_are_closed_by_us(upstream: Any, ask: HttpRequest) -> None:
    left = asyncio.Event()

    async def script(wire: Any) -> None:
        await wire.request()
        await wire.send(OK)
        await wire.gone()
        left.set()

    await upstream.play(script)
    transport = Http1Transport(idle_seconds=0.1)
    await call(transport, upstream.target(), ask)
    await asyncio.wait_for(left.wait(), PATIENCE)
    assert await call(transport, upstream.target(), ask) == b"hello"
    assert (transport.opened, transport.retried_stale) == (2, 0)
    await transport.close()


async def test_a_request_that_was_being_worked_on_is_not_sent_again(
    upstream: Any, ask: HttpRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kept connection that dies after a second has carried the call to somebody: a second POST would be paid twice."""
    monkeypatch.setattr("gateway.transport.http1.STALE_SECONDS", 0.1)

    async def script(wire: Any) -> None:
        await wire.request()
        await wire.send(OK)
        await wire.request()
        await asyncio.sleep(0.15)

    await upstream.play(script)
    transport = Http1Transport()
    await call(transport, upstream.target(), ask)
    with pytest.raises(GatewayError) as caught:
        await call(transport, upstream.target(), ask)
    assert caught.value.kind is errors.UPSTREAM_UNREACHABLE
    assert (upstream.taken, transport.in_use) == (1, 0)
    await transport.close()


async def test_a_waiter_gets_the_slot_of_a_connection_that_died(upstream: Any, ask: HttpRequest) -> None:
    async def script(wire: Any) -> None:
        await wire.request()
        await asyncio.sleep(0.02)
        if wire.number:
            await wire.send(OK)

    await upstream.play(script)
    transport = Http1Transport(max_connections=1)
    first, second = (asyncio.ensure_future(call(transport, upstream.target(), ask)) for _ in range(2))
    with pytest.raises(GatewayError):
        await first
    assert await second == b"hello"
    await transport.close()


async def test_a_failed_connect_gives_its_slot_back(ask: HttpRequest, upstream: Any) -> None:
    async def script(wire: Any) -> None:
        wire.reset()

    await upstream.play(script)
    transport = Http1Transport(max_connections=1)
    for _ in range(3):
        with pytest.raises(GatewayError) as caught:
            await call(transport, upstream.target(scheme="https"), ask)
        assert caught.value.kind is errors.UPSTREAM_UNREACHABLE
    assert transport.in_use == 0
    await transport.close()


async def test_an_early_answer_to_a_body_still_unsent_ends_the_connection(upstream: Any, ask: HttpRequest) -> None:
    async def script(wire: Any) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        await wire.gone()

    await upstream.play(script)
    transport = Http1Transport()
    for _ in range(2):
        # More than the two kernels will buffer before the script reads on.
        exchange = await transport.send(upstream.target(), HttpRequest("/x", ask.headers, b"x" * (64 << 20)), soon())
        assert exchange.status == 413
        exchange.close()
    assert upstream.taken == 2
    await transport.close()


async def test_endless_trailers_are_cut(upstream: Any, ask: HttpRequest) -> None:
    async def script(wire: Any) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-a: ")
        while True:
            await wire.send(b"a" * 4096)

    await upstream.play(script)
    transport = Http1Transport()
    exchange = await transport.send(upstream.target(), ask, soon())
    with pytest.raises(GatewayError) as caught:
        while await exchange.chunk():
            pass
    assert caught.value.kind is errors.UPSTREAM_INVALID
    exchange.close()
    await transport.close()


async def test_close_lets_calls_end_and_then_closes_every_connection(upstream: Any, ask: HttpRequest) -> None:
    asked = left = 0
    go = asyncio.Event()

    async def script(wire: Any) -> None:
        nonlocal asked, left
        await wire.request()
        asked += 1
        await go.wait()
        await wire.send(OK)
        await wire.gone()
        left += 1

    await upstream.play(script)
    transport = Http1Transport()
    calls = [asyncio.ensure_future(call(transport, upstream.target(), ask)) for _ in range(3)]
    await until(lambda: asked == 3)
    closing = asyncio.ensure_future(transport.close())
    await asyncio.sleep(0)
    with pytest.raises(GatewayError) as caught:
        await call(transport, upstream.target(), ask)
    assert caught.value.kind is errors.DRAINING
    go.set()
    assert await asyncio.gather(*calls) == [b"hello"] * 3
    await closing
    await until(lambda: left == 3)


async def test_close_does_not_wait_for_ever(upstream: Any, ask: HttpRequest) -> None:
    async def script(wire: Any) -> None:
        await wire.request()
        await wire.gone()

    await upstream.play(script)
    transport = Http1Transport(drain_seconds=0.1)
    stuck = asyncio.ensure_future(call(transport, upstream.target(), ask))
    await until(lambda: upstream.taken)
    await transport.close()
    with pytest.raises(GatewayError) as caught:
        await asyncio.wait_for(stuck, PATIENCE)
    assert caught.value.kind.status == 504
    assert transport.in_use == 0


async def test_nothing_is_scheduled_while_nothing_is_under_way(upstream: Any, ask: HttpRequest) -> None:
    await upstream.play(answering)
    transport = Http1Transport()
    await call(transport, upstream.target(), ask)
    await until(lambda: transport._wheel._timer is None)
    await transport.close()


async def test_small_writes_are_not_held_back_by_nagle(upstream: Any, ask: HttpRequest) -> None:
    await upstream.play(answering)
    transport = Http1Transport()
    exchange = await transport.send(upstream.target(), ask, soon())
    connection = exchange.connection
    assert connection is not None
    assert connection._transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    exchange.close()
    await transport.close()


async def test_a_dialer_cancelled_at_any_turn_leaves_no_connection_behind(upstream: Any, ask: HttpRequest) -> None:
    left = 0

    async def script(wire: Any) -> None:
        nonlocal left
        await wire.gone()
        left += 1

    await upstream.play(script)
    transport = Http1Transport()
    # The look-up, which takes as many turns as a thread likes, is over.
    await transport._dialer._addresses("127.0.0.1")
    for turns in range(30):
        task = asyncio.ensure_future(call(transport, upstream.target(), ask))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await until(lambda: transport.in_use == 0 and left == upstream.taken)
    assert upstream.taken > 3
    await transport.close()
