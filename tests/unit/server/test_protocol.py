"""The HTTP protocol on a loopback socket with scripted hot routes: load, time, callers that leave, and what repeats."""

import asyncio
import gc
import socket
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from gateway.core.errors import CLIENT_GONE, GatewayError
from gateway.core.requests import Inbound
from gateway.dialects.chat import CHAT_DIALECT
from gateway.edge.openai import HotRoute
from gateway.limits.admission import Admission
from gateway.pipeline.receive import Receiver
from gateway.pipeline.reply import Reply
from gateway.server import reply as reply_module
from gateway.server.accept import Acceptor
from gateway.server.protocol import FrontDoor, GatewayProtocol, Limits
from gateway.server.reply import FEW
from tests.conftest import until

HEAD = b"content-type: text/plain\r\n"
LIMITS = Limits(
    max_header_bytes=4096,
    max_headers=20,
    max_body_bytes=100_000,
    head_seconds=1,
    body_seconds=2,
    keep_alive_seconds=5,
    max_connections=100,
)
Handler = Callable[[Inbound, Any, Reply], Awaitable[None]]


async def cold(scope: Any, receive: Any, send: Any) -> None:
    """The application behind: answers with what it read."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % (5 + len(body)))]})
    await send({"type": "http.response.body", "body": b"cold " + body})


class Bench:
    """A listening front door. ``handler`` answers ``POST /hot``."""

    def __init__(self, handler: Handler, *, cap: int = 100, limits: Limits = LIMITS, quick: Any = None) -> None:
        self.seen: list[Inbound] = []
        self.state = ServerState()
        self.state.default_headers = [(b"date", b"today")]
        self.port = 0
        self.received = 0
        """Bytes that have come from all callers."""

        async def noted(inbound: Inbound, services: Any, reply: Reply) -> None:
            self.seen.append(inbound)
            await handler(inbound, services, reply)

        ids = iter(range(1, 10_000))
        self.front = FrontDoor(
            hot={b"/hot": HotRoute("chat", noted, CHAT_DIALECT, quick)},
            services=None,  # type: ignore[arg-type]
            receiver=Receiver(lambda: 1.0, lambda: 2, lambda bits: next(ids), 60),
            admission=Admission(cap),
            limits=limits,
        )
        self.config = Config(cold, lifespan="off", log_config=None, ws="none", access_log=False)

    def connection(self) -> GatewayProtocol:
        """The only one."""
        (found,) = self.state.connections
        assert isinstance(found, GatewayProtocol)
        return found

    async def got(self, *sent: bytes) -> None:
        """Until all that was ever sent has come."""
        await until(lambda: self.received == sum(map(len, sent)))

    def answer(self, status: int = 200) -> bytes:
        return b"HTTP/1.1 %d " % status


@asynccontextmanager
async def serving(bench: Bench) -> AsyncIterator[Bench]:
    class Counting(GatewayProtocol):
        def data_received(self, data: bytes) -> None:
            bench.received += len(data)
            super().data_received(data)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Counting(bench.front, bench.config, bench.state, {}, loop), "127.0.0.1", 0)
    bench.port = server.sockets[0].getsockname()[1]
    try:
        yield bench
    finally:
        server.close()
        for connection in list(bench.state.connections):
            connection.transport.abort()
        await until(lambda: not bench.state.connections)
        await asyncio.gather(*bench.state.tasks, return_exceptions=True)


@asynccontextmanager
async def connected(bench: Bench) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def post(body: bytes = b"", *extra: bytes, path: bytes = b"/hot", version: bytes = b"1.1") -> bytes:
    lines = [b"POST %b HTTP/%b" % (path, version), b"host: x", *extra, b"content-length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def read(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """One response with a content-length."""
    async with asyncio.timeout(5):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        return int(first.split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


async def rest(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(5):
        return await reader.read()


async def echo(inbound: Inbound, services: Any, reply: Reply) -> None:
    await reply.whole(200, HEAD, inbound.body + b" " + inbound.headers.get(b"x-tags", b""))


async def test_a_hot_request_reaches_its_handler_with_known_headers_only() -> None:
    async with serving(Bench(echo)) as bench, connected(bench) as (reader, writer):
        writer.write(post(b"abc", b"X-Tags: t", b"x-unknown: u", b"authorization: Bearer k"))
        status, headers, body = await read(reader)
        assert (status, body) == (200, b"abc t")
        assert list(headers) == ["date", "content-type", "content-length"]
        (inbound,) = bench.seen
        assert inbound.door == "chat"
        assert set(inbound.headers) & {b"x-tags", b"authorization"} == {b"x-tags", b"authorization"}
        assert b"x-unknown" not in inbound.headers


async def test_other_routes_and_methods_go_to_the_application() -> None:
    async with serving(Bench(echo)) as bench, connected(bench) as (reader, writer):
        for data in (
            post(b"1", path=b"/other"),
            post(b"2", path=b"/hot?x=1"),
            b"PUT /hot HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n3",
        ):
            writer.write(data)
            assert (await read(reader))[2].startswith(b"cold ")
        writer.write(post(b"4"))
        assert (await read(reader))[2] == b"4 "


async def test_at_capacity_a_call_is_refused_at_once_and_the_connection_kept() -> None:
    gate = asyncio.Event()

    async def wait(inbound: Inbound, services: Any, reply: Reply) -> None:
        await gate.wait()
        await reply.whole(200, HEAD, b"done")

    async with serving(Bench(wait, cap=1)) as bench, connected(bench) as (first, one), connected(bench) as (second, two):
        one.write(post())
        while not bench.seen:
            await asyncio.sleep(0.001)
        for _ in range(3):
            two.write(post(b"{}", b"x-request-id: mine"))
            status, headers, body = await read(second)
            assert status == 503
            assert (headers["retry-after"], headers["retry-after-ms"]) == ("1", "1000")
            assert "x-should-retry" not in headers
            assert headers["x-request-id"]
            assert msgspec.json.decode(body)["error"]["code"] == "overloaded"
        assert bench.front.shed == 3
        assert len(bench.seen) == 1
        gate.set()
        assert (await read(first))[2] == b"done"
        two.write(post())
        assert (await read(second))[0] == 200
        assert bench.front.admission.in_flight == 0


async def test_a_refusal_behind_a_pipelined_request_keeps_the_order() -> None:
    gate = asyncio.Event()

    async def wait(inbound: Inbound, services: Any, reply: Reply) -> None:
        await gate.wait()
        await reply.whole(200, HEAD, b"first")

    async with serving(Bench(wait, cap=2)) as bench, connected(bench) as (reader, writer):
        bench.front.admission.in_flight = 1
        writer.write(post(b"1") + post(b"2"))
        while not bench.seen:
            await asyncio.sleep(0.001)
        bench.front.admission.cap = 0
        gate.set()
        assert (await read(reader))[2] == b"first"
        assert (await read(reader))[0] == 503
        bench.front.admission.in_flight -= 1
    assert bench.front.admission.in_flight == 0


@pytest.mark.parametrize("close", ["close", "reset"])
async def test_a_caller_who_leaves_cancels_the_call_and_gives_its_place_back(close: str) -> None:
    outcome: list[object] = []

    async def wait(inbound: Inbound, services: Any, reply: Reply) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            outcome.append(reply.gone)
            raise

    async with serving(Bench(wait)) as bench:
        async with connected(bench) as (_, writer):
            writer.write(post())
            while not bench.seen:
                await asyncio.sleep(0.001)
            if close == "reset":
                writer.transport.abort()
        await until(lambda: outcome and not bench.state.tasks and not bench.state.connections)
        assert outcome == [True]
        assert bench.front.admission.in_flight == 0


class Underway:
    """Stands for a call that has departed, and notes what is done with it."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def wait(self) -> None:
        self.done.append("wait")

    def abandon(self) -> None:
        self.done.append("abandon")


async def never(inbound: Inbound, services: Any, reply: Reply) -> None:
    raise AssertionError("a call that departed was handed to its handler")


@pytest.mark.parametrize(
    ("meanwhile", "done"),
    [(lambda protocol: protocol.connection_lost(None), "abandon"), (lambda protocol: protocol.shutdown(), "wait")],
    ids=["the caller leaves", "the worker stops"],
)
async def test_what_happens_before_a_call_sets_off_is_noticed_then(meanwhile: Callable[[Any], None], done: str) -> None:
    underway = Underway()

    def quick(inbound: Inbound, services: Any, reply: Any, dialect: Any) -> Iterator[None]:
        meanwhile(reply.protocol)
        yield
        reply.set_off(underway, inbound)

    async with serving(Bench(never, quick=quick)) as bench, connected(bench) as (_, writer):
        bench.front.admission.in_flight = FEW
        writer.write(post())
        while not underway.done:
            await asyncio.sleep(0.001)
        assert underway.done == [done]
        assert bench.front.admission.in_flight == FEW + (done == "wait")


@pytest.mark.parametrize("others", [0, FEW])
async def test_what_does_not_set_off_is_the_handlers(others: int) -> None:
    async def answer(inbound: Inbound, services: Any, reply: Reply) -> None:
        await reply.whole(200, HEAD, b"handled")

    def quick(inbound: Inbound, services: Any, reply: Any, dialect: Any) -> Iterator[None]:
        yield
        reply.set_off(None, inbound)

    async with serving(Bench(answer, quick=quick)) as bench, connected(bench) as (reader, writer):
        bench.front.admission.in_flight = others
        writer.write(post())
        assert (await read(reader))[2] == b"handled"
        assert bench.front.admission.in_flight == others


async def test_writing_to_somebody_who_left_is_client_gone() -> None:
    left, outcomes = asyncio.Event(), list[str]()

    async def late(inbound: Inbound, services: Any, reply: Reply) -> None:
        with suppress(asyncio.CancelledError):
            await left.wait()
        for step in (reply.whole(200, HEAD, b""), reply.start(200, HEAD), reply.write(b""), reply.end(b"")):
            try:
                await step
            except GatewayError as error:
                outcomes.append(error.kind.name)

    async with serving(Bench(late)) as bench:
        async with connected(bench) as (_, writer):
            writer.write(post())
            while not bench.seen:
                await asyncio.sleep(0.001)
        while len(outcomes) < 4:
            await asyncio.sleep(0.001)
    assert outcomes == [CLIENT_GONE.name] * 4


async def test_requests_queued_behind_one_whose_caller_left_give_their_places_back() -> None:
    """While a request is queued nobody reads, so that its caller left is seen when the one before is answered."""
    gate = asyncio.Event()

    async def wait(inbound: Inbound, services: Any, reply: Reply) -> None:
        await (gate.wait() if inbound.body == b"1" else asyncio.Event().wait())
        await reply.whole(200, HEAD, b"done")

    async with serving(Bench(wait)) as bench:
        async with connected(bench) as (_, writer):
            writer.write(post(b"1") + post(b"2") + post(b"3"))
            while not bench.seen:
                await asyncio.sleep(0.001)
        gate.set()
        async with asyncio.timeout(5):
            while bench.state.connections or bench.state.tasks:
                await asyncio.sleep(0.001)
        assert b"3" not in [inbound.body for inbound in bench.seen]
        assert bench.front.admission.in_flight == 0


@pytest.mark.parametrize(
    "error", [None, GatewayError(CLIENT_GONE, "left"), ZeroDivisionError()], ids=["silent", "gateway", "bug"]
)
async def test_a_handler_that_never_answers_closes_the_connection(error: Exception | None) -> None:
    async def broken(inbound: Inbound, services: Any, reply: Reply) -> None:
        if error is not None:
            raise error

    async with serving(Bench(broken)) as bench, connected(bench) as (reader, writer):
        writer.write(post())
        assert await rest(reader) == b""
        assert bench.front.admission.in_flight == 0
        for task in list(bench.state.tasks):
            task.exception()
        loop_errors = [task for task in asyncio.all_tasks() if task.done()]
        assert loop_errors == []


async def test_a_stream_is_chunked_and_ended() -> None:
    async def stream(inbound: Inbound, services: Any, reply: Reply) -> None:
        await reply.start(200, HEAD)
        await reply.write(b"one")
        await reply.end(inbound.body)

    async with serving(Bench(stream)) as bench, connected(bench) as (reader, writer):
        for last, framed in ((b"two", b"3\r\ntwo\r\n"), (b"", b"")):
            writer.write(post(last))
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"transfer-encoding: chunked" in head
            assert await reader.readuntil(b"0\r\n\r\n") == b"3\r\none\r\n" + framed + b"0\r\n\r\n"
        writer.write(post(b"two", version=b"1.0"))
        data = await rest(reader)
        assert b"chunked" not in data
        assert b"connection: close" in data
        assert data.endswith(b"\r\n\r\nonetwo")


async def test_http_1_0_stream_without_a_last_piece() -> None:
    async def stream(inbound: Inbound, services: Any, reply: Reply) -> None:
        await reply.start(200, HEAD)
        await reply.write(b"one")
        await reply.end()

    async with serving(Bench(stream)) as bench, connected(bench) as (reader, writer):
        writer.write(post(version=b"1.0"))
        assert (await rest(reader)).endswith(b"\r\n\r\none")


async def test_a_caller_who_stops_reading_is_gone_after_the_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply_module, "WRITE_STALL_SECONDS", 0.05)
    outcome: list[GatewayError] = []

    async def flood(inbound: Inbound, services: Any, reply: Reply) -> None:
        await reply.start(200, HEAD)
        try:
            while True:
                await reply.write(b"x" * 1_000_000)
        except GatewayError as error:
            outcome.append(error)

    async with serving(Bench(flood)) as bench, connected(bench) as (reader, writer):
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(post())
        await until(lambda: outcome)
        assert (outcome[0].kind, outcome[0].detail) == (CLIENT_GONE, "the caller stopped reading")
        await until(lambda: not bench.state.connections)


async def test_the_sweep_ends_what_dribbles_or_idles_and_nothing_else() -> None:
    async with serving(Bench(echo)) as bench, connected(bench) as (reader, writer):
        await until(lambda: bench.state.connections)
        loop, connection = asyncio.get_running_loop(), bench.connection()
        connection.sweep(loop.time() + 0.5)
        writer.write(post(b"a"))
        assert (await read(reader))[0] == 200
        connection.sweep(loop.time() + 4)
        writer.write(post(b"b")[:-1])
        await bench.got(post(b"a"), post(b"b")[:-1])
        connection.sweep(loop.time() + 1.9)
        writer.write(b"b")
        assert (await read(reader))[2] == b"b "
        connection.sweep(loop.time() + 5.1)
        assert await rest(reader) == b""
        connection.sweep(loop.time() + 100)


@pytest.mark.parametrize(("sent", "after"), [(b"", 1.1), (post(b"abc")[:20], 1.1), (post(b"abc")[:-1], 2.1)])
async def test_the_sweep_answers_408(sent: bytes, after: float) -> None:
    async with serving(Bench(echo)) as bench, connected(bench) as (reader, writer):
        writer.write(sent)
        await until(lambda: bench.state.connections)
        await bench.got(sent)
        bench.connection().sweep(asyncio.get_running_loop().time() + after)
        status, headers, body = await read(reader)
        assert (status, headers["connection"]) == (408, "close")
        assert msgspec.json.decode(body)["error"]["code"] == "request_timeout"
        assert await rest(reader) == b""
        assert bench.seen == []


async def test_a_call_under_way_is_never_swept() -> None:
    gate = asyncio.Event()

    async def wait(inbound: Inbound, services: Any, reply: Reply) -> None:
        await gate.wait()
        await reply.whole(200, HEAD, b"done")

    async with serving(Bench(wait)) as bench, connected(bench) as (reader, writer):
        writer.write(post())
        while not bench.seen:
            await asyncio.sleep(0.001)
        bench.connection().sweep(asyncio.get_running_loop().time() + 1e6)
        gate.set()
        assert (await read(reader))[2] == b"done"


async def test_one_connection_too_many_is_refused() -> None:
    limits = msgspec.structs.replace(LIMITS, max_connections=1)
    async with serving(Bench(echo, limits=limits)) as bench, connected(bench) as (first, one):
        one.write(post())
        assert (await read(first))[0] == 200
        async with connected(bench) as (second, _):
            status, headers, body = await read(second)
            assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
            assert msgspec.json.decode(body)["error"]["code"] == "overloaded"
            assert await rest(second) == b""
        one.write(post(b"still here"))
        assert (await read(first))[2] == b"still here "


@pytest.mark.parametrize(
    "data",
    [
        post(b"", b"x-a: " + b"y" * 5000),
        post(b"", *[b"x-%d: y" % i for i in range(30)]),
        b"POST /hot HTTP/1.1\r\nx-a: " + b"y" * 15_000,
        b"POST /other HTTP/1.1\r\nx-a: " + b"y" * 5000 + b"\r\n\r\n",
    ],
    ids=["size", "count", "unfinished", "cold"],
)
async def test_heads_beyond_the_limits(data: bytes) -> None:
    async with serving(Bench(echo)) as bench, connected(bench) as (reader, writer):
        writer.write(data)
        status, _, body = await read(reader)
        assert (status, msgspec.json.decode(body)["error"]["code"]) == (431, "headers_too_large")
        assert bench.seen == []


@pytest.mark.parametrize("cut", [10, 2500, 4000, 4090])
async def test_a_large_head_in_two_reads_is_refused_as_in_one(cut: int) -> None:
    data = post(b"", b"x-a: " + b"y" * 5000)
    async with serving(Bench(echo)) as bench, connected(bench) as (reader, writer):
        writer.write(data[:cut])
        await bench.got(data[:cut])
        writer.write(data[cut:])
        status, _, body = await read(reader)
        assert status == 431
        assert msgspec.json.decode(body)["error"]["code"] == "headers_too_large"
        assert bench.seen == []


async def test_a_large_body_in_the_same_read_is_no_large_head() -> None:
    async with serving(Bench(echo)) as bench, connected(bench) as (reader, writer):
        for _ in range(3):
            writer.write(post(b"x" * 50_000))
            assert (await read(reader))[0] == 200
        writer.write(b"".join(post(b"y" * 3000) for _ in range(4)))
        for _ in range(4):
            assert (await read(reader))[0] == 200


async def test_bodies_beyond_the_limit_are_counted_or_foretold() -> None:
    for data in (
        b"POST /hot HTTP/1.1\r\ncontent-length: 100001\r\n\r\n",
        b"POST /hot HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n20000\r\n" + b"x" * 0x20000 + b"\r\n0\r\n\r\n",
    ):
        async with serving(Bench(echo)) as bench, connected(bench) as (reader, writer):
            writer.write(data)
            status, headers, _ = await read(reader)
            assert (status, headers["connection"]) == (413, "close")
            assert bench.seen == []


async def test_what_cannot_be_parsed_behind_a_call_under_way_gets_no_second_answer() -> None:
    gate = asyncio.Event()

    async def wait(inbound: Inbound, services: Any, reply: Reply) -> None:
        await gate.wait()
        await reply.whole(200, HEAD, b"done")

    async with serving(Bench(wait)) as bench, connected(bench) as (reader, writer):
        writer.write(post())
        while not bench.seen:
            await asyncio.sleep(0.001)
        writer.write(b"NONSENSE\r\n\r\n")
        await bench.got(post(), b"NONSENSE\r\n\r\n")
        gate.set()
        assert (await rest(reader)).count(b"HTTP/1.1 ") <= 1


async def test_a_shutdown_lets_the_call_end_and_says_close() -> None:
    gate = asyncio.Event()

    async def wait(inbound: Inbound, services: Any, reply: Reply) -> None:
        await gate.wait()
        await reply.whole(200, HEAD, b"done")

    async with serving(Bench(wait)) as bench, connected(bench) as (reader, writer), connected(bench) as (idle, _):
        writer.write(post())
        while not bench.seen:
            await asyncio.sleep(0.001)
        for connection in list(bench.state.connections):
            connection.shutdown()
        assert await rest(idle) == b""
        gate.set()
        _, headers, body = await read(reader)
        assert (headers["connection"], body) == ("close", b"done")
        assert await rest(reader) == b""


async def test_a_connection_taken_while_the_worker_stops_is_served_and_closed() -> None:
    bench = Bench(echo)
    listener = socket.socket()
    bench.front.acceptor = Acceptor(listener, asyncio.get_running_loop())
    listener.close()
    async with serving(bench), connected(bench) as (silent, _), connected(bench) as (reader, writer):
        writer.write(post(b"last"))
        _, headers, body = await read(reader)
        assert (headers["connection"], body) == ("close", b"last ")
        assert await rest(silent) == b""


@pytest.mark.parametrize("path", [b"/hot", b"/other"])
async def test_a_connection_that_has_ended_is_freed_without_the_garbage_collector(path: bytes) -> None:
    async with serving(Bench(echo)) as bench:
        gc.collect()
        gc.disable()
        try:
            async with connected(bench) as (reader, writer):
                for _ in range(2):
                    writer.write(post(b"1", path=path))
                    await read(reader)
                ended = weakref.ref(bench.connection())
            while bench.state.connections:
                await asyncio.sleep(0.001)
            for _ in range(10):  # the loop's own handles of the call that told it
                await asyncio.sleep(0)
            assert ended() is None
        finally:
            gc.enable()


async def test_the_application_learns_the_addresses() -> None:
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await cold(scope, receive, send)

    bench = Bench(echo)
    bench.config = Config(app, lifespan="off", log_config=None, ws="none", access_log=False)
    async with serving(bench), connected(bench) as (reader, writer):
        for _ in range(2):
            writer.write(post(path=b"/other"))
            await read(reader)
        here = writer.get_extra_info("sockname")
        assert [(s["server"], s["client"], s["scheme"]) for s in scopes] == [(("127.0.0.1", bench.port), here, "http")] * 2


async def test_the_date_follows_the_servers() -> None:
    async with serving(Bench(echo)) as bench, connected(bench) as (reader, writer):
        writer.write(post())
        assert (await read(reader))[1]["date"] == "today"
        bench.state.default_headers = [(b"date", b"tomorrow")]
        writer.write(post())
        assert (await read(reader))[1]["date"] == "tomorrow"
        assert bench.state.total_requests == 2


HEADS = [
    post(b"a", b"x-tags: 1"),
    post(b"bb", b"x-tags: 1"),
    post(b"bb", b"x-tags: 2"),
    post(b"c", b"X-Tags: 1"),
    post(b"d"),
    post(b"e", b"connection: keep-alive"),
    post(b"", b"x-tags: 1"),
    post(b"z" * 3000, b"x-tags: 1"),
    post(b"f", path=b"/other"),
    b"POST /hot HTTP/1.1\r\nContent-Length:   1\r\nx-tags: 3\r\n\r\ng",
    b"POST /hot HTTP/1.1\r\ncontent-length: 01\r\nx-tags: 3\r\n\r\nh",
    b"POST /hot HTTP/1.1\r\nx-tags: 1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nii\r\n0\r\n\r\n",
]


@pytest.mark.parametrize("first", range(len(HEADS)))
async def test_what_came_before_on_a_connection_never_changes_an_answer(first: int) -> None:
    """Repeated heads take a short cut: every pair of requests, in one read and in two, must be answered as on fresh connections."""

    async def alone(data: bytes) -> bytes:
        async with connected(bench) as (reader, writer):
            writer.write(data)
            return (await read(reader))[2]

    async with serving(Bench(echo)) as bench:
        expected = [await alone(data) for data in HEADS]
        for second in range(len(HEADS)):
            pair = [first, second]
            async with connected(bench) as (reader, writer):
                for i in [*pair, *pair]:
                    writer.write(HEADS[i])
                    assert (await read(reader))[2] == expected[i], (first, second)
                writer.write(HEADS[first] + HEADS[second])
                assert [(await read(reader))[2] for _ in pair] == [expected[i] for i in pair]
                for i in pair:
                    writer.write(HEADS[i])
                    assert (await read(reader))[2] == expected[i], (first, second, "after both in one read")


async def test_a_body_is_asked_for_when_its_turn_has_come() -> None:
    gate = asyncio.Event()

    async def wait(inbound: Inbound, services: Any, reply: Reply) -> None:
        await gate.wait()
        await reply.whole(200, HEAD, inbound.body)

    async with serving(Bench(wait)) as bench, connected(bench) as (reader, writer):
        head, _, body = post(b"2", b"expect: 100-continue").partition(b"\r\n\r\n")
        writer.write(post(b"1") + head + b"\r\n\r\n")
        await bench.got(post(b"1"), head, b"\r\n\r\n")
        gate.set()
        assert (await read(reader))[2] == b"1"
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection = bench.connection()
        connection.sweep(asyncio.get_running_loop().time() + 1.9)
        writer.write(body)
        assert (await read(reader))[2] == b"2"


async def test_a_body_that_never_comes_when_its_turn_has_come_is_a_408() -> None:
    async with serving(Bench(echo)) as bench, connected(bench) as (reader, writer):
        writer.write(post(b"1") + post(b"22")[:-1])
        assert (await read(reader))[2] == b"1 "
        await bench.got(post(b"1"), post(b"22")[:-1])
        bench.connection().sweep(asyncio.get_running_loop().time() + 2.1)
        assert (await read(reader))[0] == 408


async def test_at_capacity_a_connection_to_be_closed_is_closed() -> None:
    async with serving(Bench(echo, cap=0)) as bench, connected(bench) as (reader, writer):
        writer.write(post(b"", b"connection: close"))
        status, headers, _ = await read(reader)
        assert (status, headers["connection"]) == (503, "close")
        assert await rest(reader) == b""


async def test_at_capacity_a_repeated_head_is_refused_with_an_id_of_its_own() -> None:
    async with serving(Bench(echo)) as bench, connected(bench) as (reader, writer):
        for _ in range(2):
            writer.write(post(b"a"))
            assert (await read(reader))[0] == 200
        bench.front.admission.cap = 0
        ids = set()
        for _ in range(3):
            writer.write(post(b"a"))
            status, headers, _ = await read(reader)
            assert status == 503
            ids.add(headers["x-request-id"])
        assert len(ids) == 3
        bench.front.admission.cap = 1
        writer.write(post(b"a"))
        assert (await read(reader))[2] == b"a "
