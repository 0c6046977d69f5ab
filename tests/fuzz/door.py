"""Fuzzing the front door: two connections get the same reads, one with the short cut for repeated heads and one without."""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from gateway.core.requests import Inbound
from gateway.dialects.chat import CHAT_DIALECT
from gateway.edge.openai import HotRoute
from gateway.limits.admission import Admission
from gateway.pipeline.receive import Receiver
from gateway.pipeline.reply import Reply
from gateway.server.protocol import UNLIKE_HEADS, FrontDoor, GatewayProtocol, Limits

LIMITS = Limits(1024, 16, 4096, 1, 2, 5, 100)
BETWEEN = b"\xff\xff"
"""Where a fuzzer's input is cut into reads; no request has these bytes."""
_loop = asyncio.new_event_loop()


class Socket:
    """The transport's end, in memory."""

    def __init__(self) -> None:
        self.sent = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        if not self.closed:
            self.sent += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str) -> Any:
        return None

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_protocol(self) -> None:
        return None


async def cold(scope: Any, receive: Any, send: Any) -> None:
    """The application behind: says what it read."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    told = b"%b %b %b" % (scope["method"].encode(), scope["raw_path"], body)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(told))]})
    await send({"type": "http.response.body", "body": told})


class Door:
    """One connection to a front door of its own, with ``POST /hot``."""

    def __init__(self) -> None:
        self.seen: list[tuple[dict[bytes, bytes], bytes]] = []
        self.socket = Socket()
        state = ServerState()
        state.default_headers = [(b"date", b"today")]
        numbers = iter(range(1, 10_000))
        front = FrontDoor(
            hot={b"/hot": HotRoute("chat", self.answer, CHAT_DIALECT)},
            services=None,  # type: ignore[arg-type]
            receiver=Receiver(lambda: 1.0, lambda: 2, lambda bits: next(numbers), 60),
            admission=Admission(1000),
            limits=LIMITS,
            now=lambda: 0.0,
        )
        config = Config(cold, lifespan="off", log_config=None, ws="none", access_log=False)
        self.protocol = GatewayProtocol(front, config, state, {}, _loop)
        self.protocol.connection_made(self.socket)  # type: ignore[arg-type]

    async def answer(self, inbound: Inbound, services: Any, reply: Reply) -> None:
        """Say what was read, and note it."""
        # The length is the body's own; of a repeated head the first one's stays in the headers, and nobody reads it there.
        self.seen.append(({k: v for k, v in inbound.headers.items() if k != b"content-length"}, inbound.body))
        await reply.whole(200, b"content-type: text/plain\r\n", inbound.body)

    async def receive(self, data: bytes) -> None:
        """One read, and the turns of the loop that its requests take."""
        if not self.socket.closed:
            self.protocol.data_received(data)
        for _ in range(6):
            await asyncio.sleep(0)


def heads(data: bytes) -> None:
    """What a connection says does not depend on the short cut; and nothing is raised into the loop, whatever is read."""
    reads = [read for read in data.split(BETWEEN) if read][:20]

    async def both() -> None:
        quick, slow = Door(), Door()
        slow.protocol._unlike = UNLIKE_HEADS  # learns no head, so that every request is parsed
        for read in reads:
            await quick.receive(read)
            await slow.receive(read)
        assert slow.protocol._heads is None
        assert quick.seen == slow.seen
        assert quick.socket.sent == slow.socket.sent
        assert quick.socket.closed == slow.socket.closed
        for door in (quick, slow):
            door.protocol.connection_lost(None)
            for task in list(door.protocol.tasks):
                task.cancel()
        await asyncio.sleep(0)

    _loop.run_until_complete(both())


def post(body: bytes, *lines: bytes, path: bytes = b"/hot") -> bytes:
    """A request as a client library writes it."""
    head = [b"POST %b HTTP/1.1" % path, b"host: x", *lines, b"content-length: %d" % len(body)]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def seeds() -> list[bytes]:
    """Repeated heads, cut and joined, with neighbours that differ by a byte, and what two readers could read differently."""
    key = b"authorization: Bearer k"
    one, other = post(b'{"a":1}', key), post(b"", key, b"x-tags: t")
    chunked = b"POST /hot HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    return [
        BETWEEN.join([one, one, one, post(b"longer body", key), one]),
        BETWEEN.join([one, one[:20], one[20:], one + one, other, one]),
        BETWEEN.join([one, one + one[:30], one[30:], chunked, one]),
        BETWEEN.join([one, one.replace(b"content-length: 7", b"content-length: 07"), one, one.replace(b"7", b"+7")]),
        BETWEEN.join([one, post(b"x", path=b"/cold"), one, b"GET /cold HTTP/1.1\r\nhost: x\r\n\r\n", one]),
        BETWEEN.join([post(b"ab", b"connection: close"), post(b"ab")]),
        BETWEEN.join([one.replace(b"\r\n", b"\n"), one]),
        BETWEEN.join([one, b"POST /hot HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\nabc"]),
        BETWEEN.join([post(b"ab", b"expect: 100-continue"), post(b"ab", b"expect: 100-continue")]),
    ]
