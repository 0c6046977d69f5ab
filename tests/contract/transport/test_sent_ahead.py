"""Requests of whose answers somebody is told instead of waiting for them; and writes that are made at the end of a turn."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from gateway.core.errors import GatewayError
from gateway.core.upstream import HttpRequest, Sent, Target
from gateway.transport.client import Http1Transport
from gateway.transport.gathering import JOIN_BYTES, Gathered, Outbox
from gateway.transport.http1 import MAX_UNREAD_BYTES

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"


def soon(seconds: float = 600) -> float:
    return time.monotonic() + seconds


@pytest.fixture
async def transport() -> AsyncIterator[Http1Transport]:
    transport = Http1Transport(drain_seconds=0.2)
    yield transport
    await transport.close()


async def warm(transport: Http1Transport, target: Target, ask: HttpRequest) -> None:
    """An idle connection, after a call that waits for it."""
    assert not transport.is_ready(target)
    assert transport.prepare(target, ask, soon()) is None
    exchange = await transport.send(target, ask, soon())
    assert await exchange.read(100) == b"hello"
    exchange.close()
    assert transport.is_ready(target)


Begun = Callable[..., Awaitable[Target]]


@pytest.fixture
def begun(upstream: Any, ask: HttpRequest, transport: Http1Transport) -> Begun:
    """Plays an upstream that answers one call, and ``then`` does what it is told. The target, with that call's idle connection."""

    async def begin(then: Callable[[Any], Awaitable[None]], **timeouts: float) -> Target:
        async def script(wire: Any) -> None:
            await wire.request()
            await wire.send(OK)
            await then(wire)

        await upstream.play(script)
        target = upstream.target(**timeouts)
        await warm(transport, target, ask)
        return target

    return begin


async def ahead(transport: Http1Transport, target: Target, ask: HttpRequest, deadline: float | None = None) -> Sent:
    """A request, sent and arrived."""
    told = asyncio.Event()
    sent = transport.prepare(target, ask, deadline or soon())
    assert sent is not None
    sent.dispatch(told.set)
    await told.wait()
    return sent


@pytest.mark.parametrize("step", [0, 1, 7])
@pytest.mark.parametrize(
    "answer", [OK, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"]
)
async def test_an_answer_in_any_pieces_arrives_once_and_whole(
    upstream: Any, begun: Begun, ask: HttpRequest, transport: Http1Transport, answer: bytes, step: int
) -> None:
    async def then(wire: Any) -> None:
        for _ in range(2):
            head, body = await wire.request()
            assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
            assert body == ask.body
            await wire.send(answer, step=step)

    target = await begun(then)
    for _ in range(2):
        sent = await ahead(transport, target, ask)
        assert sent.body_now(5) == sent.body_now(100) == b"hello"
        assert sent.body_now(4) is None
        sent.release()
    assert (upstream.taken, transport.in_use) == (1, 0)


async def test_a_refusal_is_taken_up_as_if_it_had_been_waited_for(
    begun: Begun, ask: HttpRequest, transport: Http1Transport
) -> None:
    async def then(wire: Any) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 429 No\r\nretry-after: 3\r\ncontent-length: 4\r\n\r\nslow")

    target = await begun(then)
    sent = await ahead(transport, target, ask)
    assert sent.body_now(100) is None
    exchange = await transport.take_up(sent, target, ask, soon())
    assert (exchange.status, exchange.headers[b"retry-after"], await exchange.read(100)) == (429, b"3", b"slow")
    exchange.close()
    assert transport.in_use == 0


async def test_a_stale_connection_is_replaced_when_it_is_taken_up(
    begun: Begun, ask: HttpRequest, transport: Http1Transport
) -> None:
    async def then(wire: Any) -> None:
        if wire.number == 0:
            await wire.request()
            wire.reset()
            return
        await wire.gone()

    target = await begun(then)
    sent = await ahead(transport, target, ask)
    assert sent.body_now(100) is None
    exchange = await transport.take_up(sent, target, ask, soon())
    assert await exchange.read(100) == b"hello"
    exchange.close()
    assert (transport.retried_stale, transport.in_use) == (1, 0)


async def test_an_answer_cut_short_is_told_when_it_is_taken_up(
    begun: Begun, ask: HttpRequest, transport: Http1Transport
) -> None:
    async def then(wire: Any) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhel")

    target = await begun(then)
    sent = await ahead(transport, target, ask)
    assert sent.body_now(100) is None
    with pytest.raises(GatewayError) as caught:
        await transport.take_up(sent, target, ask, soon())
    assert caught.value.kind.name == "upstream_incomplete"
    assert transport.in_use == 0


@pytest.mark.parametrize("timeout", ["first_byte", "idle", "deadline"])
async def test_timeouts_hold_though_nobody_waits(
    begun: Begun, ask: HttpRequest, transport: Http1Transport, timeout: str
) -> None:
    async def then(wire: Any) -> None:
        await wire.request()
        if timeout == "idle":
            await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhel")
        await wire.gone()

    target = await begun(then, **({} if timeout == "deadline" else {timeout: 0.1}))
    deadline = soon(0.1 if timeout == "deadline" else 600)
    sent = await ahead(transport, target, ask, deadline)
    with pytest.raises(GatewayError) as caught:
        await transport.take_up(sent, target, ask, deadline)
    assert caught.value.kind.name == ("deadline" if timeout == "deadline" else "upstream_timeout")
    assert transport.in_use == 0


async def test_an_answer_too_long_to_keep_is_read_by_who_takes_it_up(
    begun: Begun, ask: HttpRequest, transport: Http1Transport
) -> None:
    size = MAX_UNREAD_BYTES * 8

    async def then(wire: Any) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"a" * size)
        await wire.gone()

    target = await begun(then)
    sent = await ahead(transport, target, ask)
    assert sent.body_now(2 * size) is None
    exchange = await transport.take_up(sent, target, ask, soon())
    assert len(await exchange.read(2 * size)) == size
    exchange.close()
    assert transport.in_use == 0


async def test_what_is_dropped_is_seen_by_the_upstream_and_told_to_nobody(
    begun: Begun, ask: HttpRequest, transport: Http1Transport
) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def then(wire: Any) -> None:
        await wire.request()
        asked.set()
        await wire.gone()
        left.set()

    target = await begun(then)
    sent = transport.prepare(target, ask, soon())
    assert sent is not None
    told: list[None] = []
    sent.dispatch(lambda: told.append(None))
    await asked.wait()
    sent.drop()
    await left.wait()
    assert told == []
    assert transport.in_use == 0


class Below(asyncio.Transport):
    """Where gathered writes go."""

    def __init__(self) -> None:
        super().__init__()
        self.did: list[bytes | str] = []
        self.closing = False

    def write(self, data: Any) -> None:
        self.did.append(bytes(data))

    def close(self) -> None:
        self.did.append("close")

    def abort(self) -> None:
        self.did.append("abort")

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return 7


async def test_what_is_written_in_a_turn_is_one_write() -> None:
    outbox, one, two = Outbox(), Below(), Below()
    first, second = Gathered(one, outbox), Gathered(two, outbox)
    first.write(b"a")
    second.write(b"x")
    first.write(b"b")
    assert (one.did, first.get_write_buffer_size()) == ([], 9)
    await asyncio.sleep(0)
    assert (one.did, two.did, first.get_write_buffer_size()) == ([b"ab"], [b"x"], 7)
    first.write(b"c")
    await asyncio.sleep(0)
    assert one.did == [b"ab", b"c"]


async def test_nothing_is_reordered_by_long_writes_or_by_closing() -> None:
    outbox, below = Outbox(), Below()
    gathered = Gathered(below, outbox)
    long = b"l" * (JOIN_BYTES + 1)
    gathered.write(b"a")
    gathered.write(long)
    gathered.write(b"b")
    gathered.close()
    await asyncio.sleep(0)
    assert below.did == [b"a", long, b"b", "close"]


async def test_what_was_not_sent_is_dropped_with_the_connection() -> None:
    outbox, below, gone = Outbox(), Below(), Below()
    gathered, lost = Gathered(below, outbox), Gathered(gone, outbox)
    gathered.write(b"a")
    gathered.abort()
    lost.write(b"a")
    gone.closing = True
    await asyncio.sleep(0)
    assert (below.did, gone.did) == (["abort"], [])
