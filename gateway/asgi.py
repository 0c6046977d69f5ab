"""The front door as an ASGI application: the data plane goes straight to the pipeline, everything else to Litestar.

Hot routes normally never get here, since the HTTP protocol answers them (:mod:`gateway.server.protocol`). With ``server.front =
"asgi"``, or under another ASGI server, they do, and the answer is the same byte for byte.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gateway.core.errors import CLIENT_GONE, MALFORMED, TOO_LARGE, GatewayError
from gateway.edge import doors
from gateway.edge.problems import refuse
from gateway.pipeline.receive import KNOWN_HEADERS, Receiver
from gateway.pipeline.services import Services

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class AsgiReply:
    """``Reply`` over ASGI messages."""

    def __init__(self, send: Send, *, chunks: bool = True) -> None:
        self._send = send
        self._kept: list[bytes] | None = None if chunks else []
        """Pieces of a stream for an HTTP/1.0 caller, who cannot be sent chunks: it gets them in one."""
        self._head: tuple[int, bytes] = (0, b"")
        self.started = False
        self.gone = False

    async def whole(self, status: int, head: bytes, body: bytes) -> None:
        """Send a complete response."""
        await self._start(status, head + b"content-length: %d\r\n" % len(body))
        await self._send({"type": "http.response.body", "body": body})

    async def start(self, status: int, head: bytes) -> None:
        """Begin a streamed response; the server chooses its framing."""
        self._head = (status, head)
        if self._kept is None:
            await self._start(status, head)

    async def write(self, data: bytes) -> None:
        """Send a piece; the server waits while the caller's buffers are full."""
        if self.gone:
            raise GatewayError(CLIENT_GONE, "the caller left")
        if self._kept is not None:
            self._kept.append(data)
            return
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece."""
        if self.gone:
            raise GatewayError(CLIENT_GONE, "the caller left")
        if self._kept is not None:
            status, head = self._head
            await self.whole(status, head, b"".join([*self._kept, data]))
            return
        await self._send({"type": "http.response.body", "body": data})

    async def _start(self, status: int, head: bytes) -> None:
        self.started = True
        if self.gone:
            raise GatewayError(CLIENT_GONE, "the caller left")
        lines = [line.split(b": ", 1) for line in head.split(b"\r\n") if line]
        await self._send({"type": "http.response.start", "status": status, "headers": [(name, value) for name, value in lines]})


class FrontApp:
    """ASGI: dispatches before any framework."""

    def __init__(self, services: Services, receiver: Receiver, litestar: Application, max_body_bytes: int) -> None:
        self._services = services
        self._receiver = receiver
        self._litestar = litestar
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and doors.serves(scope["path"]):
            await self._data_plane(scope, receive, send)
        else:
            await self._litestar(scope, receive, send)

    async def _data_plane(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        reply = AsgiReply(send, chunks=scope["http_version"] != "1.0")
        path = scope["raw_path"].decode("ascii", "replace").partition("?")[0]
        headers = {name: value for name, value in scope["headers"] if name in KNOWN_HEADERS}
        try:
            body = await _read_body(receive, self._max_body_bytes)
        except GatewayError as error:
            await refuse(error, self._receiver.receive("refused", {}, b""), reply, doors.dialect_of(path))
            return
        query = scope["query_string"].decode("latin-1")
        inbound = self._receiver.receive(doors.name_of(scope["method"], path), headers, body, query)
        call = asyncio.ensure_future(doors.answer(scope["method"], path, inbound, self._services, reply))
        watch = asyncio.ensure_future(_until_gone(receive, reply, call))
        try:
            await call
        except asyncio.CancelledError:
            if not reply.gone:
                raise
        except GatewayError:
            pass  # the caller left while it was being told of a failure; the row is written
        finally:
            watch.cancel()


async def _read_body(receive: Receive, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise GatewayError(MALFORMED, "the request ended before its body was complete")
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise GatewayError(TOO_LARGE, f"the body exceeds {limit} bytes")
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


async def _until_gone(receive: Receive, reply: AsgiReply, call: "asyncio.Future[None]") -> None:
    """Cancel the call when the caller leaves: the provider's work ends with it."""
    while (await receive())["type"] != "http.disconnect":
        pass
    reply.gone = True
    call.cancel()
