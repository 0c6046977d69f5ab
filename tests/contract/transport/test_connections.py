"""When connections are kept, replaced and waited for, and what becomes of those that cannot be made.

``own`` is the gateway's client, ``httpx`` its twin. Where the twin legitimately differs the test says so and why.
"""

import asyncio
import contextlib
import gc
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from gateway.core import errors
from gateway.core.errors import GatewayError, Kind
from gateway.core.upstream import HttpRequest, Target
from gateway.transport.client import Http1Transport
from gateway.transport.httpx_twin import HttpxTransport

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


def once(answer: bytes, *, step: int = 0) -> Any:
    async def script(wire: Any) -> None:
        await wire.request()
        await wire.send(answer, step=step)

    return script


# --- keep-alive -------------------------------------------------------------------------------------------------------


async def test_a_connection_closed_while_idle_is_not_used(upstream: Any, make: Make, ask: HttpRequest) -> None:
    await upstream.play(once(OK))
    transport = make()
    for _ in range(3):
        assert await whole(transport, upstream.target(), ask) == (200, b"hello")
        await asyncio.sleep(0.03)
    assert upstream.taken == 3


@pytest.mark.parametrize("method", [b"POST", b"GET", b"DELETE"])
async def test_a_connection_closed_upon_the_next_request_is_replaced_once(
    upstream: Any, make: Make, ask: HttpRequest, method: bytes
) -> None:
    ask = HttpRequest(ask.path, ask.headers, ask.body if method == b"POST" else b"", method)

    async def script(wire: Any) -> None:
        await wire.request()
        await wire.send(OK)
        await wire.request()
        if wire.number == 1:
            wire.reset()

    await upstream.play(script)
    transport = make()
    assert await whole(transport, upstream.target(), ask) == (200, b"hello")
    for _ in range(2):
        assert await whole(transport, upstream.target(), ask) == (200, b"hello")
    assert upstream.taken == 3
    if isinstance(transport, Http1Transport):
        assert (transport.retried_stale, transport.opened, transport.reused) == (2, 3, 2)


async def test_the_replacement_is_not_replaced(upstream: Any, make: Make, ask: HttpRequest) -> None:
    async def script(wire: Any) -> None:
        if wire.number == 0:
            await wire.request()
            await wire.send(OK)
        await wire.request()

    await upstream.play(script)
    transport = make()
    assert await whole(transport, upstream.target(), ask) == (200, b"hello")
    async with failing(errors.UPSTREAM_UNREACHABLE):
        await whole(transport, upstream.target(), ask)
    assert upstream.taken == 2
    if isinstance(transport, Http1Transport):
        assert transport.in_use == 0


async def test_a_kept_connection_that_dies_inside_the_head_is_not_replaced(
    upstream: Any, make: Make, ask: HttpRequest, *, reuses: bool
) -> None:
    async def script(wire: Any) -> None:
        await wire.request()
        if wire.number == 0:
            await wire.send(OK)
            await wire.request()
        await wire.send(b"HTTP/1.1 2")

    await upstream.play(script)
    transport = make()
    assert await whole(transport, upstream.target(), ask) == (200, b"hello")
    with pytest.raises(GatewayError):
        await whole(transport, upstream.target(), ask)
    assert upstream.taken == (1 if reuses else 2)


async def test_many_at_once_get_their_own_answers(upstream: Any, make: Make, ask: HttpRequest, *, reuses: bool) -> None:
    async def script(wire: Any) -> None:
        while True:
            _, body = await wire.request()
            await asyncio.sleep(0.001)
            await wire.send(CHUNKED + b"%x\r\n%b\r\n" % (len(body), body), step=9)
            await wire.send(b"0\r\n\r\n")

    await upstream.play(script)
    transport = make(max_connections=7)

    async def one(number: int) -> bool:
        body = b"body of call %d" % number
        return await whole(transport, upstream.target(), HttpRequest("/x", ask.headers, body)) == (200, body)

    assert all(await asyncio.gather(*(one(i) for i in range(60))))
    assert upstream.taken == (7 if reuses else 60)


# anyio leaves a socket to the garbage collector if the task is cancelled while it connects.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
async def test_cancelled_calls_never_poison_a_connection(upstream: Any, make: Make, ask: HttpRequest) -> None:
    async def script(wire: Any) -> None:
        while True:
            _, body = await wire.request()
            await asyncio.sleep(0.004)
            await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body), step=40)
            await wire.send(body, step=5)

    await upstream.play(script)
    transport = make(max_connections=4)

    async def one(number: int) -> None:
        body = b"body of call %d" % number
        assert await whole(transport, upstream.target(), HttpRequest("/x", ask.headers, body)) == (200, body)

    tasks = [asyncio.ensure_future(one(i)) for i in range(60)]
    for i, task in enumerate(tasks):
        await asyncio.sleep(0.001)
        if i % 2:
            task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(r) for r in results if r is not None and not isinstance(r, asyncio.CancelledError)] == []
    assert sum(r is None for r in results) >= 30
    if isinstance(transport, Http1Transport):
        assert transport.in_use == 0
    del tasks, results
    gc.collect()


async def test_waiters_are_served_in_the_order_they_came(upstream: Any, make: Make, ask: HttpRequest, *, reuses: bool) -> None:
    served: list[bytes] = []

    async def script(wire: Any) -> None:
        while True:
            _, body = await wire.request()
            served.append(body)
            await asyncio.sleep(0.005)
            await wire.send(OK)

    await upstream.play(script)
    transport = make(max_connections=1)
    tasks = []
    for i in range(8):
        tasks.append(asyncio.ensure_future(whole(transport, upstream.target(), HttpRequest("/x", ask.headers, b"%d" % i))))
        await asyncio.sleep(0.001)
    await asyncio.gather(*tasks)
    assert served == [b"%d" % i for i in range(8)]
    assert upstream.taken == (1 if reuses else 8)


# --- no connection ----------------------------------------------------------------------------------------------------


async def test_a_closed_port(make: Make, ask: HttpRequest) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        target = Target("acme", "m", f"http://127.0.0.1:{unused.getsockname()[1]}/v1", "k")
        async with failing(errors.UPSTREAM_UNREACHABLE):
            await whole(make(), target, ask)
        with pytest.raises(GatewayError) as caught:
            await make().send(target, ask, soon())
        assert caught.value.unsent


async def test_a_connection_that_is_lost_may_have_carried_the_request(upstream: Any, make: Make, ask: HttpRequest) -> None:
    async def script(wire: Any) -> None:
        await wire.request()

    await upstream.play(script)
    with pytest.raises(GatewayError) as caught:
        await make().send(upstream.target(), ask, soon())
    assert (caught.value.kind, caught.value.unsent) == (errors.UPSTREAM_UNREACHABLE, False)


async def test_a_name_that_does_not_exist(make: Make, ask: HttpRequest) -> None:
    async with failing(errors.UPSTREAM_UNREACHABLE):
        # A resolver that is itself unreachable takes its time to say so.
        await whole(make(), _with(Target("acme", "m", "http://no-such-host.invalid/v1", "k"), connect=300), ask)


async def test_an_upstream_that_does_not_accept(make: Make, ask: HttpRequest) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        # A full backlog drops further handshakes, as a black hole does.
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(server.getsockname())
        await asyncio.sleep(0.05)
        target = Target("acme", "m", f"http://127.0.0.1:{server.getsockname()[1]}/v1", "k")
        start = loop.time()
        async with failing(errors.UPSTREAM_TIMEOUT):
            await whole(make(), _with(target, connect=0.2), ask)
        assert loop.time() - start > 0.15
        async with failing(errors.DEADLINE):
            await whole(make(), target, ask, deadline=0.2)


def _with(target: Target, **timeouts: float) -> Target:
    return Target(target.provider, target.model, target.base_url, target.api_key, type(target.timeouts)(**timeouts))


@pytest.mark.parametrize(
    "url", ["ftp://acme/v1", "acme", "http://", "http://u:p@acme/", "http://acme/?q=1", "http://acme:x/", "echo:"]
)
async def test_a_base_url_that_is_none(make: Make, ask: HttpRequest, url: str) -> None:
    with pytest.raises(GatewayError) as caught:
        await make().send(Target("p", "m", url, "k"), ask, soon())
    assert caught.value.kind is errors.UPSTREAM_UNREACHABLE
    assert caught.value.detail == "Provider 'p' cannot be reached."
