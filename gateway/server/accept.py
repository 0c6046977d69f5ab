"""Taking new connections as fast as they come.

libuv takes one connection per turn of its loop and listening socket. Under load a turn takes ten milliseconds and more, which makes
less than a hundred connections a second: those of a burst wait in the kernel's queue for many seconds, and neither an answer nor a
refusal reaches them. So, once libuv has found a connection, those that wait behind it are taken in the same turn.
"""

import asyncio
import socket
from collections.abc import Callable

PER_TURN = 128
"""Connections taken in one turn: some 8 ms of work, no more than the turn may take (``server.turn_target_ms``). The rest stays in
the kernel's queue, and the connections just made ask for another look."""


class Acceptor:
    """Looks after libuv's own accepting on one listening socket, which must not block."""

    __slots__ = ("_coming", "_listener", "_looking", "_loop")

    def __init__(self, listener: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._listener = listener
        self._loop = loop
        self._looking = False
        self._coming: set[asyncio.Task[None]] = set()

    @property
    def closed(self) -> bool:
        """Whether the server has stopped listening."""
        return self._listener.fileno() < 0

    def look(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        """A connection was made: take those behind it, each with a new ``protocol``, in the coming turn."""
        if not self._looking:
            self._looking = True
            self._loop.call_soon(self._take_waiting, protocol)

    def _take_waiting(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._looking = False
        for _ in range(PER_TURN):
            try:
                accepted, _address = self._listener.accept()
            except OSError:
                return  # none waits, the server has stopped, or there are too many open files, which libuv sees to
            task = self._loop.create_task(self._make(protocol, accepted))
            self._coming.add(task)
            task.add_done_callback(self._coming.discard)

    async def _make(self, protocol: Callable[[], asyncio.Protocol], accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(protocol, accepted)
        except OSError:
            accepted.close()  # its peer has gone already
