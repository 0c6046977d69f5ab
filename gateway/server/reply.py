"""A hot request's way back: the cycle that uvicorn sees, and the ``Reply`` that the pipeline writes to."""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.core.errors import CLIENT_GONE, GatewayError
from gateway.core.requests import Inbound
from gateway.edge.openai import HotRoute
from gateway.pipeline.express import Departed

if TYPE_CHECKING:
    from gateway.server.protocol import GatewayProtocol

WRITE_STALL_SECONDS = 30.0
"""A caller that reads nothing for this long is gone (fault F33): as long as the idle time we grant an upstream."""

FEW = 2
"""Calls under way with which none waits for others to go beside: it would only wait for one more pass of the event loop."""


class _Silent:
    """Stands where uvicorn expects a cycle's asyncio.Event; nobody waits on a hot reply."""

    def set(self) -> None:
        """Nothing to wake."""


_SILENT = _Silent()


class HotReply(Struct, eq=False):
    """A hot request's way back: the cycle uvicorn sees, and the ``Reply`` the pipeline writes to."""

    protocol: "GatewayProtocol"
    route: HotRoute
    headers: dict[bytes, bytes]
    keep_alive: bool
    more_body: bool = True
    body: list[bytes] = []
    body_bytes: int = 0
    queued: bool = False
    """Whether an earlier request of the connection must be answered first."""
    message_event: _Silent = _SILENT
    disconnected: bool = False
    response_complete: bool = False
    started: bool = False
    task: asyncio.Task[None] | None = None
    departed: Departed | None = None
    """The call, while it waits for its provider without a task."""
    chunked: bool = True
    """Whether a streamed response is framed in chunks."""

    @property
    def gone(self) -> bool:
        """Whether the caller has left."""
        return self.disconnected

    async def whole(self, status: int, head: bytes, body: bytes) -> None:
        """Send a complete response in one write."""
        self.send(status, head, body)

    @property
    def alone(self) -> bool:
        """See ``ExpressReply.alone``."""
        return self.protocol.front.admission.in_flight <= FEW

    def set_off(self, departed: Departed | None, inbound: Inbound) -> None:
        """See ``ExpressReply.set_off``."""
        self.departed = departed
        protocol = self.protocol
        if departed is None:
            protocol.run(self, self.route.handler(inbound, protocol.front.services, self))
        elif protocol.stopping:
            departed.wait()
        if self.disconnected:
            self.cancel()

    def cancel(self) -> None:
        """The caller has left: the provider's work ends with it."""
        self.disconnected = True
        departed, self.departed = self.departed, None
        if departed is not None:
            departed.abandon()
            self.protocol.front.admission.done()
        if self.task is not None and not self.task.done():
            # A task that has not had its first step would end without a word, whatever it has to record.
            self.protocol.loop.call_soon(self.task.cancel)

    def send(self, status: int, head: bytes, body: bytes) -> None:
        """``whole`` for callers without a coroutine; what had departed is over with it."""
        protocol = self.protocol
        if self.departed is not None:
            self.departed = None
            protocol.front.admission.done()
        self.started = True
        if self.disconnected:
            raise GatewayError(CLIENT_GONE, "the caller left")
        end = b"content-length: %d\r\n\r\n" if self.keep_alive else b"content-length: %d\r\nconnection: close\r\n\r\n"
        protocol.transport.write(b"".join((STATUS_LINE[status], protocol.date_line(), head, end % len(body), body)))
        self._complete()

    def go_on(self, rest: Coroutine[Any, Any, None], inbound: Inbound) -> None:
        """Run the rest of a call that had departed."""
        self.departed = None
        self.protocol.run(self, self.route.told(rest, inbound, self))

    async def start(self, status: int, head: bytes) -> None:
        """Begin a stream: chunked, or until close for HTTP/1.0."""
        self.started = True
        if self.disconnected:
            raise GatewayError(CLIENT_GONE, "the caller left")
        protocol = self.protocol
        if protocol.http_1_0:
            self.chunked = False
            self.keep_alive = False
        framing = b"transfer-encoding: chunked\r\n\r\n" if self.chunked else b"\r\n"
        protocol.transport.write(b"".join((STATUS_LINE[status], protocol.date_line(), head, self._connection(), framing)))

    async def write(self, data: bytes) -> None:
        """Send a piece; waits, bounded, while the caller's buffers are full."""
        if self.disconnected:
            raise GatewayError(CLIENT_GONE, "the caller left")
        protocol = self.protocol
        protocol.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data)
        if protocol.flow.write_paused:
            try:
                async with asyncio.timeout(WRITE_STALL_SECONDS):
                    await protocol.flow.drain()
            except TimeoutError:
                protocol.transport.abort()
                raise GatewayError(CLIENT_GONE, "the caller stopped reading") from None

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece and complete the response."""
        if self.disconnected:
            raise GatewayError(CLIENT_GONE, "the caller left")
        transport = self.protocol.transport
        if self.chunked:
            transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if data else b"0\r\n\r\n")
        elif data:
            transport.write(data)
        self._complete()

    def _connection(self) -> bytes:
        return b"" if self.keep_alive else b"connection: close\r\n"

    def _complete(self) -> None:
        self.response_complete = True
        protocol = self.protocol
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()
