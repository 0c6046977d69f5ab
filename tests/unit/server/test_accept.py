"""Connections that wait in the kernel's queue are taken together, whatever a turn of the loop costs."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from functools import partial

import pytest
import uvloop

from gateway.server import accept
from gateway.server.accept import Acceptor
from tests.conftest import until

BURST = 16


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(BURST)
        listening.setblocking(False)
        yield listening


@contextlib.contextmanager
def waiting(listener: socket.socket, count: int = BURST) -> Iterator[list[socket.socket]]:
    """Clients whose connections the kernel has made and nobody has accepted yet."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(listener.getsockname())) for _ in range(count)]


class Greeter(asyncio.Protocol):
    """Greets, and asks for the connections behind its own, as the front door does."""

    def __init__(self, acceptor: Acceptor, made: list[asyncio.Transport]) -> None:
        self.acceptor = acceptor
        self.made = made

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.made.append(transport)
        transport.write(b"hi")
        self.acceptor.look(partial(Greeter, self.acceptor, self.made))

    def connection_lost(self, exc: Exception | None) -> None:
        self.made.remove(self.transport)


async def turns_until_all_are_made(acceptor: Acceptor, made: list[asyncio.Transport]) -> int:
    acceptor.look(partial(Greeter, acceptor, made))
    for turn in range(1000):
        if len(made) == BURST:
            return turn
        await asyncio.sleep(0)
    raise AssertionError(f"{len(made)} of {BURST} were made")


async def close(made: list[asyncio.Transport]) -> None:
    for transport in list(made):
        transport.abort()
    await until(lambda: not made)


def test_a_burst_takes_fewer_turns_than_it_has_connections(listener: socket.socket) -> None:
    """On the loop that the worker runs on, beside its own server, which takes one connection a turn."""

    async def serve() -> int:
        loop = asyncio.get_running_loop()
        acceptor, made = Acceptor(listener, loop), list[asyncio.Transport]()
        server = await loop.create_server(partial(Greeter, acceptor, made), sock=listener.dup())
        try:
            return await turns_until_all_are_made(acceptor, made)
        finally:
            await close(made)
            server.close()

    with waiting(listener) as clients:
        turns = uvloop.run(serve())
        assert turns < BURST / 2
        assert [client.recv(2) for client in clients] == [b"hi"] * BURST


async def test_one_turn_takes_no_more_than_its_share(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accept, "PER_TURN", 3)
    acceptor, made = Acceptor(listener, asyncio.get_running_loop()), list[asyncio.Transport]()
    with waiting(listener):
        assert await turns_until_all_are_made(acceptor, made) > BURST / 3
        await close(made)


async def test_looking_twice_in_a_turn_takes_one_share(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accept, "PER_TURN", 1)
    acceptor, made = Acceptor(listener, asyncio.get_running_loop()), list[asyncio.Transport]()
    with waiting(listener):
        for _ in range(2):
            acceptor.look(partial(Greeter, acceptor, made))
        while not made:
            await asyncio.sleep(0)
        assert len(made) == 1
        listener.close()
        await close(made)


async def test_a_server_that_has_stopped_takes_nobody(listener: socket.socket) -> None:
    acceptor, made = Acceptor(listener, asyncio.get_running_loop()), list[asyncio.Transport]()
    assert not acceptor.closed
    with waiting(listener, 1):
        listener.close()
        assert acceptor.closed
        acceptor.look(partial(Greeter, acceptor, made))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert made == []


async def test_a_peer_that_has_gone_takes_nothing_with_it(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection that cannot be made is closed, and the next one is."""
    loop = asyncio.get_running_loop()
    acceptor, made = Acceptor(listener, loop), list[asyncio.Transport]()
    connect, gone = loop.connect_accepted_socket, list[socket.socket]()

    async def fail_once(protocol: partial[Greeter], accepted: socket.socket) -> object:
        if not gone:
            gone.append(accepted)
            raise ConnectionResetError
        return await connect(protocol, accepted)

    monkeypatch.setattr(loop, "connect_accepted_socket", fail_once)
    with waiting(listener, 2) as clients:
        acceptor.look(partial(Greeter, acceptor, made))
        while not made:
            await asyncio.sleep(0)
        assert gone[0].fileno() == -1
        assert sorted(client.recv(2) for client in clients) == [b"", b"hi"]
        await close(made)
