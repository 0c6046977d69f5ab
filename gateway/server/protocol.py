"""uvicorn's httptools protocol, with what an edge needs beside it, and a short cut for hot routes.

Theory of operation. llhttp (httptools) parses; uvicorn frames and keeps connections. This subclass adds limits (header bytes and
count, body bytes, time to a whole head and to a whole body, connections) and answers hot routes itself: the request goes straight
to the pipeline and the reply is written straight to the socket. Every other request takes uvicorn's own way to the ASGI app.

``HttpToolsProtocol`` is uvicorn's inside, not its API, so the minor version is pinned and what is used of it is small: the parser
callbacks, the pipeline deque, and the cycle's attributes ``response_complete``, ``disconnected``, ``keep_alive``, ``message_event``.
"""

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, cast

from msgspec import Struct, field
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from gateway.core.dialect import Dialect
from gateway.core.errors import (
    HEADERS_TOO_LARGE,
    MALFORMED,
    OVERLOADED,
    REQUEST_TIMEOUT,
    TOO_LARGE,
    GatewayError,
    Kind,
)
from gateway.dialects.chat import CHAT_DIALECT
from gateway.edge.openai import HotRoute
from gateway.edge.problems import head_of
from gateway.limits.admission import Admission
from gateway.pipeline.abreast import Abreast
from gateway.pipeline.receive import KNOWN_HEADERS, Receiver
from gateway.pipeline.services import Services
from gateway.server.accept import Acceptor
from gateway.server.heads import Heads, RepeatedHead, learn
from gateway.server.reply import HotReply
from gateway.transport.gathering import Gathered, Outbox

_READ = KNOWN_HEADERS | {b"content-length", b"expect"}
"""Headers of a hot request that anybody looks at."""


UNLIKE_HEADS = 4
"""Heads in a row that were not repeated, after which a connection's are no longer learnt: its client puts an id into each."""
LINGER_SECONDS = 0.5
"""How long a stopping worker keeps a silent connection: a request may be on its way, and closing in its face loses it. Longer than
any round trip. The answer to such a request says ``connection: close``, so that the caller's next one goes elsewhere."""


class Limits(Struct, frozen=True):
    """What the door lets in. Bytes and seconds."""

    max_header_bytes: int
    max_headers: int
    max_body_bytes: int
    head_seconds: float
    body_seconds: float
    keep_alive_seconds: float
    max_connections: int


class FrontDoor(Struct):
    """What all connections of one worker share."""

    hot: Mapping[bytes, HotRoute]
    """By raw path; empty sends everything to the ASGI app."""
    services: Services
    receiver: Receiver
    admission: Admission
    limits: Limits
    shed: int = 0
    """Hot requests refused for load, for the metric."""
    now: Callable[[], float] = time.thread_time
    """CPU seconds of the event loop's thread: a turn that waited for other processes is not the fault of its calls."""
    turn_began: float | None = None
    outbox: Outbox = field(default_factory=Outbox)
    """What connections are sent in this turn of the event loop."""
    departures: Abreast = field(default_factory=Abreast)
    """The calls that were read in it."""
    heads: Heads = field(default_factory=Heads)
    """What their clients send again and again."""
    acceptor: Acceptor | None = None
    """Takes the connections that wait behind one just made; None leaves them to the event loop, one a turn."""


_BUSY = GatewayError(OVERLOADED, "the gateway is at capacity; try again", retry_after=1, target="gateway")


@functools.cache
def _busy_parts(dialect: Dialect) -> tuple[bytes, bytes]:
    """Head, with a place for the request's id, and body. Made once: under overload a refusal must cost a fraction of a call."""
    body = dialect.problem(_BUSY, "")
    return head_of(_BUSY, "{id}", dialect), b"content-length: %d\r\n\r\n%b" % (len(body), body)


class GatewayProtocol(HttpToolsProtocol):
    """One client connection."""

    def __init__(
        self,
        front: FrontDoor,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.front = front
        self.http_1_0 = False
        self.waiting_since: float | None = None
        """Monotonic: when the head or body now being received began; None while none is."""
        self.idle_since: float | None = None
        """Monotonic: since when the connection has been without a request; None while it has one."""
        self.in_body = False
        self._between = True
        """Whether the parser stands between two messages, none of the next one's bytes read."""
        self.stopping = False
        self._begun = 0
        """Messages that began in the read at hand."""
        self._unlike = 0
        """Heads learnt in a row that no request repeated."""
        self._heads: RepeatedHead | None = None
        self._receiving: HotReply | None = None
        """The hot request whose body is coming in."""
        self._active: HotReply | None = None
        """The hot request that was started last."""
        self._head_read = 0
        """Bytes read for the head that is coming in; the read that it began in counts only if it held nothing else."""
        self._read = 0
        """Bytes of the read at hand."""
        self._date_source: list[tuple[bytes, bytes]] = []
        self._date_line = b""

    # --- connection ---------------------------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Refuse at the connection cap, else count the time to the first head.

        All of uvicorn's but the addresses, six calls of the system that only a scope needs: see :meth:`_asgi_request`.
        """
        self.connections.add(self)
        self.transport = Gathered(transport, self.front.outbox)
        self.flow = FlowControl(self.transport)
        acceptor = self.front.acceptor
        if acceptor is not None:
            acceptor.look(self._another)
            if acceptor.closed:  # taken by a worker that had begun to stop: nobody else would tell it
                self.shutdown()
        if len(self.connections) > self.front.limits.max_connections:
            self._refuse(OVERLOADED, "too many connections", retry_after=1)
            return
        self.waiting_since = self.loop.time()

    def _another(self) -> "GatewayProtocol":
        """The protocol of another connection to the same server."""
        return GatewayProtocol(self.front, self.config, self.server_state, self.app_state, self.loop)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the call: the upstream's work ends with its caller."""
        self.waiting_since = self.idle_since = None
        super().connection_lost(exc)
        for queued, _ in self.pipeline:
            queued.disconnected = True
        self.pipeline.clear()
        if self._active is not None:
            self._active.cancel()
        # What refers back to this goes, so that a connection is freed as it ends and does not wait for the garbage collector.
        self.cycle = self._active = self._receiving = None  # pyright: ignore[reportAttributeAccessIssue]

    def shutdown(self) -> None:
        """The worker stops: answer what is under way or about to come, then close."""
        self.stopping = True
        if self._active is not None and self._active.departed is not None:
            self._active.departed.wait()
        cycle = cast("RequestResponseCycle | HotReply | None", self.cycle)
        if cycle is None or cycle.response_complete:
            self.loop.call_later(LINGER_SECONDS, self._close_silent)
        elif isinstance(cycle, HotReply) and not cycle.started:
            cycle.keep_alive = False

    def _close_silent(self) -> None:
        cycle = cast("RequestResponseCycle | HotReply | None", self.cycle)
        if self._between and (cycle is None or cycle.response_complete):
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Parse; answers a broken head or frame with a 400 in JSON."""
        between = self._between
        if between and self._heads is not None and self._repeats(data, self._heads):
            return
        if self.idle_since is not None:
            self.idle_since = None
            self.waiting_since = self.loop.time()
        if not between and not self.in_body:
            self._head_read += len(data)
        self._read = len(data)
        self._begun = 0
        super().data_received(data)
        if between and not self.in_body and self._one_message():
            self._head_read = len(data)
        if self._head_read > self.front.limits.max_header_bytes and not self.in_body:
            self._refuse_head()
        elif between and self._between and self._unlike < UNLIKE_HEADS and self._one_message():
            self._unlike += 1
            self._heads = self.front.heads.shared(learn(data, self.headers, self.cycle))

    def _one_message(self) -> bool:
        return self._begun == 1

    def _repeats(self, data: bytes, heads: RepeatedHead) -> bool:
        """Start the request that ``data`` holds, if it is whole and its head is the one before; see :class:`RepeatedHead`."""
        body = heads.body_of(data)
        previous = self.cycle
        if self.stopping or body is None or len(body) > self.front.limits.max_body_bytes or not previous.response_complete:
            return False
        self.idle_since = None
        self._unlike = 0
        if not self._admitted():
            self._busy(heads.route, heads.known)
            self.on_response_complete()
            return True
        self.cycle = cycle = HotReply(self, heads.route, heads.known, True)  # pyright: ignore[reportAttributeAccessIssue]
        self._run_hot(cycle, body, bare=heads.bare)
        return True

    def send_400_response(self, msg: str) -> None:
        """The plain-text 400 of uvicorn, in our error form."""
        self._refuse(MALFORMED, msg)

    def sweep(self, now: float) -> None:
        """Called about once a second: end connections that dribble or idle too long."""
        if self._active is not None and not self._active.response_complete:
            return  # a call has its own deadline, and what is read behind it is not read in a hurry
        limits = self.front.limits
        since = self.waiting_since
        if since is not None:
            if now - since > (limits.body_seconds if self.in_body else limits.head_seconds):
                self._refuse(REQUEST_TIMEOUT, "the request did not arrive in time")
        elif (
            self.idle_since is not None
            and now - self.idle_since > limits.keep_alive_seconds
            and not self.transport.is_closing()
        ):
            self.transport.close()

    # --- parser callbacks -----------------------------------------------------------------------------------------------
    def on_message_begin(self) -> None:
        """Only what every request needs; the ASGI scope is made when it turns out to be wanted."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self.in_body = False
        self._between = False
        self._begun += 1
        self._head_read = 0
        if self.waiting_since is None:
            self.waiting_since = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header. Size is checked when they are complete, and while they are not, by what has been read."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Choose the way: hot, or uvicorn's."""
        if self.transport.is_closing():
            return
        self.in_body = True
        headers, limits = self.headers, self.front.limits
        if len(headers) > limits.max_headers or (
            self._head_read + self._read > limits.max_header_bytes
            and sum([len(n) + len(v) for n, v in headers]) > limits.max_header_bytes
        ):
            self._refuse_head()
            return
        hot, parser = self.front.hot.get(self.url), self.parser
        assert parser is not None
        if hot is None or parser.get_method() != b"POST" or parser.should_upgrade():
            self._asgi_request()
            return
        known = {name: value for name, value in headers if name in _READ}
        self.http_1_0 = parser.get_http_version() == "1.0"
        cycle = HotReply(self, hot, known, keep_alive=not (self.http_1_0 or self.stopping) and parser.should_keep_alive())
        if int(known.get(b"content-length", b"0")) > limits.max_body_bytes:
            self._refuse(TOO_LARGE, f"the body exceeds {limits.max_body_bytes} bytes", dialect=hot.dialect)
            return
        existing = cast("RequestResponseCycle | None", self.cycle)
        self.cycle = cycle  # pyright: ignore[reportAttributeAccessIssue]
        if existing is not None and not existing.response_complete:
            cycle.queued = True
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))  # pyright: ignore[reportArgumentType, reportUnknownMemberType]
        else:
            self._ask_for_body(cycle)
        self._receiving = cycle

    def _ask_for_body(self, cycle: HotReply) -> None:
        if cycle.more_body and cycle.headers.get(b"expect", b"").lower() == b"100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _asgi_request(self) -> None:
        """Hand the request to uvicorn, with the scope its own ``on_message_begin`` makes."""
        url, headers, transport = self.url, self.headers, self.transport
        self._receiving = None
        if self.scheme is None:
            self.server, self.client = get_local_addr(transport), get_remote_addr(transport)
            self.scheme = "https" if is_ssl(transport) else "http"
        super().on_message_begin()
        self.url = url
        for name, value in headers:
            super().on_header(name, value)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Collect a hot body, within bounds; the rest is uvicorn's."""
        cycle = self._receiving
        if cycle is None:
            if self.transport.is_closing():
                return
            super().on_body(body)
            return
        cycle.body_bytes += len(body)
        if cycle.body_bytes > self.front.limits.max_body_bytes:
            self._refuse(TOO_LARGE, f"the body exceeds {self.front.limits.max_body_bytes} bytes")
            return
        cycle.body.append(body)

    def on_message_complete(self) -> None:
        """A whole request is in: start it, unless an earlier one is still being answered."""
        self.waiting_since = None
        self._between = True
        cycle = self._receiving
        if cycle is None:
            if not self.transport.is_closing():
                super().on_message_complete()
            return
        self._receiving = None
        cycle.more_body = False
        if not cycle.queued:
            self._start(cycle)

    # --- hot requests -----------------------------------------------------------------------------------------------------
    def _start(self, cycle: HotReply) -> None:
        if cycle.disconnected or self.transport.is_closing():
            return
        if self._admitted():
            self._run_hot(cycle, cycle.body[0] if len(cycle.body) == 1 else b"".join(cycle.body))
            return
        cycle.response_complete = True
        self._busy(cycle.route, cycle.headers, keep_alive=cycle.keep_alive)
        self.on_response_complete()

    def _admitted(self) -> bool:
        front = self.front
        if front.turn_began is None:
            front.turn_began = front.now()
            self.loop.call_soon(_turn_half, front, self.loop)
        return front.admission.offer()

    def _busy(self, route: HotRoute, headers: dict[bytes, bytes], *, keep_alive: bool = True) -> None:
        """Refuse for load. Nothing is made that is not needed: a refusal must cost a fraction of a call."""
        self.front.shed += 1
        head, body = _busy_parts(route.dialect)
        head = head.replace(b"{id}", self.front.receiver.request_id(headers).encode())
        connection = b"" if keep_alive else b"connection: close\r\n"
        self.transport.write(b"".join((STATUS_LINE[OVERLOADED.status], self.date_line(), head, connection, body)))
        if not keep_alive:
            self.transport.close()

    def _run_hot(self, cycle: HotReply, body: bytes, *, bare: bool = False) -> None:
        route, front = cycle.route, self.front
        inbound = front.receiver.receive(route.door, cycle.headers, body, bare=bare)
        self._active = cycle
        if route.quick is not None and not self.stopping:
            front.departures.join(route.quick(inbound, front.services, cycle, route.dialect), alone=cycle.alone)
        else:
            self.run(cycle, route.handler(inbound, front.services, cycle))

    def run(self, cycle: HotReply, work: Coroutine[Any, Any, None]) -> None:
        """Answer, or go on answering, in a task."""
        cycle.task = task = self.loop.create_task(_answered(cycle, work))
        self.tasks.add(task)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if isinstance(cycle, HotReply):
            cycle.queued = False
            if not cycle.more_body:
                self._start(cycle)
                return
            self.waiting_since = self.loop.time()
            self._ask_for_body(cycle)
            return
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Next request of the pipeline, or idle; the sweep replaces uvicorn's timer per response."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self.waiting_since is None:
            self.idle_since = self.loop.time()
            if self.stopping:
                self.loop.call_later(LINGER_SECONDS, self._close_silent)

    def date_line(self) -> bytes:
        """``date: ...`` as uvicorn refreshes it once a second."""
        source = self.server_state.default_headers
        if source is not self._date_source:
            self._date_source = source
            self._date_line = b"".join([name + b": " + value + b"\r\n" for name, value in source])
        return self._date_line

    def _refuse_head(self) -> None:
        limits = self.front.limits
        self._refuse(
            HEADERS_TOO_LARGE, f"request headers exceed {limits.max_header_bytes} bytes or {limits.max_headers} fields"
        )

    def _refuse(self, kind: Kind, detail: str, *, retry_after: float | None = None, dialect: Dialect | None = None) -> None:
        """Answer what never became a request, and close; in ``dialect``, else that of the request being received, else chat."""
        if self.transport.is_closing():
            return
        error = GatewayError(kind, detail, retry_after=retry_after)
        cycle, receiving = cast("RequestResponseCycle | None", self.cycle), self._receiving
        unanswered = not self.pipeline and isinstance(cycle, RequestResponseCycle) and not cycle.response_started
        if cycle is None or cycle.response_complete or unanswered or (receiving is not None and not receiving.queued):
            inbound = self.front.receiver.receive("refused", {}, b"")
            dialect = dialect or (CHAT_DIALECT if receiving is None else receiving.route.dialect)
            body = dialect.problem(error, inbound.request_id)
            head = head_of(error, inbound.request_id, dialect)
            self.transport.write(
                b"".join(
                    (
                        STATUS_LINE[error.status],
                        self.date_line(),
                        head,
                        b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body),
                        body,
                    )
                )
            )
        self._receiving = None
        self.transport.close()


async def _answered(cycle: HotReply, work: Coroutine[Any, Any, None]) -> None:
    protocol = cycle.protocol
    front = protocol.front
    try:
        await work
    except GatewayError:
        pass  # the caller left while it was being told of a failure; the row is written
    finally:
        front.admission.done()
        if cycle.task is not None:
            protocol.tasks.discard(cycle.task)
        if not cycle.response_complete and not cycle.disconnected:
            protocol.transport.close()


def _turn_half(front: FrontDoor, loop: asyncio.AbstractEventLoop) -> None:
    """All readable sockets have been read; the calls that this started run next, and then the turn is over."""
    loop.call_soon(_turn_ended, front)


def _turn_ended(front: FrontDoor) -> None:
    began, front.turn_began = front.turn_began, None
    if began is not None:
        front.admission.turn_ended(front.now() - began)
