"""A hostile upstream: a raw-socket server that plays, connection by connection, whatever script a test gives it."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop

from gateway.core.upstream import HttpRequest, Target, Timeouts
from gateway.transport.client import Http1Transport
from gateway.transport.httpx_twin import HttpxTransport

Transport = Http1Transport | HttpxTransport
Make = Callable[..., Transport]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop is what production runs on; asyncio's own loop is what a debugger and Windows run on."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


class Wire:
    """The upstream's end of one connection."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        """0 for the first connection the server took."""
        self.reader = reader
        self.writer = writer

    async def request(self) -> tuple[bytes, bytes]:
        """The next request: head and body. Raises ``IncompleteReadError`` when the client has closed."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        fields = (f.partition(b":") for f in head.split(b"\r\n"))
        length = next((int(v) for n, _, v in fields if n.lower() == b"content-length"), None)
        if length is None:
            assert head.startswith((b"GET ", b"DELETE ")), "a POST says how long its body is"
            length = 0
        return head, await self.reader.readexactly(length)

    async def send(self, data: bytes, *, step: int = 0, pause: float = 0) -> None:
        """All at once, or ``step`` bytes at a time with a pause (0: a turn of the loop) after each."""
        for i in range(0, len(data), step or len(data)):
            self.writer.write(data[i : i + (step or len(data))])
            await self.writer.drain()
            if step:
                await asyncio.sleep(pause)

    async def gone(self) -> float:
        """Seconds until the client closes its end."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass
        return loop.time() - start

    def reset(self) -> None:
        """Close with RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Wire], Awaitable[None]]


class Upstream:
    """A server under a test's control."""

    def __init__(self) -> None:
        self.port = 0
        self.taken = 0
        """Connections accepted."""
        self.faults: list[BaseException] = []
        self._servers: list[asyncio.Server] = []
        self._playing: set[asyncio.Task[None]] = set()
        self._wires: list[asyncio.StreamWriter] = []

    async def play(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        """Serve; ``script`` has each connection from its first byte to its close, which comes when the script returns."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            wire = Wire(self.taken, reader, writer)
            self.taken += 1
            self._wires.append(writer)
            task = asyncio.current_task()
            assert task is not None
            self._playing.add(task)
            try:
                await script(wire)
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            except BaseException as fault:
                if not isinstance(fault, asyncio.CancelledError):
                    self.faults.append(fault)
            finally:
                self._playing.discard(task)
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
        self._servers.append(server)
        self.port = server.sockets[0].getsockname()[1]

    def target(self, *, host: str = "127.0.0.1", scheme: str = "http", path: str = "/v1", **timeouts: float) -> Target:
        """``timeouts`` in seconds; those that a test does not name are out of its reach, however slow the machine."""
        patient = {"connect": 120, "first_byte": 600, "idle": 600, "total": 600}
        return Target("acme", "m", f"{scheme}://{host}:{self.port}{path}", "sk", Timeouts(**{**patient, **timeouts}))

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for writer in self._wires:
            if not writer.transport.is_closing():  # CPython 3.11.2 cannot abort a TLS connection that is closed
                writer.transport.abort()
        for task in list(self._playing):
            task.cancel()
        await asyncio.gather(*self._playing, return_exceptions=True)
        await asyncio.sleep(0.01)
        if self.faults:
            raise self.faults[0]


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    yield upstream
    await upstream.close()


@pytest.fixture
def ask() -> HttpRequest:
    return HttpRequest(
        "/chat/completions", ((b"content-type", b"application/json"), (b"authorization", b"Bearer sk-1")), b'{"a":1}'
    )


@pytest.fixture(params=["own", "httpx"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def make(kind: str) -> AsyncIterator[Make]:
    made: list[Transport] = []

    def factory(**options: Any) -> Transport:
        if kind == "own":
            options.setdefault("drain_seconds", 0.2)
        made.append((Http1Transport if kind == "own" else HttpxTransport)(**options))
        return made[-1]

    yield factory
    for transport in made:
        await transport.close()


@pytest.fixture
def reuses(kind: str) -> bool:
    """The twin makes a connection for each call; why is said at its head."""
    return kind == "own"
