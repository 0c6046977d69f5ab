"""The in-process twin: a pure function in place of a network. The built-in ``echo`` provider answers through it."""

import time
from collections.abc import Callable, Mapping, Sequence

from gateway.core.upstream import HttpRequest, Target, Transport
from gateway.transport.failures import draining, late, too_large

Responder = Callable[[HttpRequest], tuple[int, Mapping[bytes, bytes], Sequence[bytes]]]
"""A request to status, headers (lower-case names) and the body in the pieces it is to arrive in."""


class LocalTransport(Transport):
    """``Transport`` to a function. ``clock`` gives monotonic seconds."""

    def __init__(self, responder: Responder, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._responder = responder
        self._clock = clock
        self._closed = False

    async def send(self, target: Target, request: HttpRequest, deadline: float) -> "LocalAnswer":
        """See ``Transport.send``; nothing here waits, so of the timeouts only the deadline can have passed."""
        if self._closed:
            raise draining()
        if self._clock() >= deadline:
            raise late(target.provider)
        status, headers, pieces = self._responder(request)
        return LocalAnswer(target.provider, status, headers, [piece for piece in pieces if piece])

    async def close(self) -> None:
        """Take no more requests."""
        self._closed = True


class LocalAnswer:
    """An ``Exchange`` whose bytes are all there."""

    __slots__ = ("_pieces", "_provider", "headers", "status")

    def __init__(self, provider: str, status: int, headers: Mapping[bytes, bytes], pieces: list[bytes]) -> None:
        self._provider = provider
        self.status = status
        self.headers = headers
        pieces.reverse()
        self._pieces = pieces
        """Last piece first, so that the next one is popped."""

    async def read(self, limit: int) -> bytes:
        """The rest of the body; see ``Exchange.read``."""
        body = b"".join(reversed(self._pieces))
        self._pieces.clear()
        if len(body) > limit:
            raise too_large(self._provider, limit)
        return body

    async def chunk(self) -> bytes:
        """One piece; see ``Exchange.chunk``."""
        return self._pieces.pop() if self._pieces else b""

    def close(self) -> None:
        """Drop what was not read."""
        self._pieces.clear()
