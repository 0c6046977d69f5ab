r"""One HTTP/1.1 connection to an upstream.

    idle --start--> head --headers complete--> body --message complete--> done --release--> idle
                      \________________________\______ failure, cancellation, close before the end ___> closed

Theory of operation. The loop calls ``data_received``; llhttp (through httptools) calls back into bound C methods for
header fields and body pieces, so that Python runs three times per answer and not once per piece. The task that waits is
woken once per read at most, and only if what it waits for (head, some body, whole body) is there: an answer that came in
one read is read without suspending again. There is one future per wait, no task, and no timer: the deadline wheel calls
``check``. Whatever goes wrong is kept in ``failure`` and raised in the waiting task's own frame.

A connection has one ``Answer`` at a time. What comes after the end of that answer, or while there is none, closes it.

Limits: no pipelining, no upgrade, no HTTP/2, no trailers, no compressed bodies (we ask for ``identity``).
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from operator import setitem
from typing import Any, cast

import httptools

from gateway.core.errors import UPSTREAM_UNREACHABLE, GatewayError
from gateway.core.upstream import Timeouts
from gateway.transport.deadlines import Wheel
from gateway.transport.failures import incomplete, invalid, late, slow, too_large, unreachable
from gateway.transport.gathering import JOIN_BYTES, Gathered, Outbox
from gateway.transport.heads import MAX_HEAD_BYTES, MAX_HEADERS, fault
from gateway.transport.pool import Pool

MAX_UNREAD_BYTES = 256 * 1024
"""Wire bytes that may wait for a slow reader before we stop taking more: one full read of uvloop's buffer."""
STALE_SECONDS = 1.0
"""A kept connection that the upstream had closed shows itself within a round trip. One that dies later has probably
carried the request to somebody who worked on it, and a silent second POST would pay for it twice."""
_HEAD, _SOME, _WHOLE = 0, 1, 2
_NEVER = float("inf")
_NOTHING = (b"", b"")

Ends = tuple[float, bool]
"""When an exchange has to be over (monotonic seconds), and whether that is the call's own deadline rather than the
target's total timeout."""


class Connection(asyncio.Protocol):
    """The protocol object of one TCP or TLS connection. Made by the loop, owned by the pool, driven by one answer."""

    __slots__ = (
        "_arrived",
        "_body",
        "_clock",
        "_done",
        "_ends",
        "_fields",
        "_head_bytes",
        "_headers",
        "_keep_alive",
        "_loop",
        "_lost",
        "_outbox",
        "_parser",
        "_paused",
        "_payload",
        "_pool",
        "_quiet_since",
        "_started",
        "_timeouts",
        "_touched",
        "_transport",
        "_unread",
        "_uses",
        "_waiter",
        "_want",
        "_wheel",
        "busy",
        "failure",
        "idle_since",
        "on_body",
        "on_header",
        "provider",
        "status",
    )

    def __init__(self, pool: "Pool[Connection]", wheel: Wheel, outbox: Outbox, clock: Callable[[], float]) -> None:
        self._pool = pool
        self._outbox = outbox
        self._wheel = wheel
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._transport = cast("asyncio.Transport", None)
        self._lost = True
        """Whether it is of no more use: not yet made, closed, or being closed."""
        self._uses = 0
        self.idle_since = 0.0
        self.busy = False
        """Whether an answer owns it."""
        self._waiter: asyncio.Future[None] | None = None
        self._want = _HEAD
        self._arrived: Callable[[], None] | None = None
        """Called instead of waking anybody, where nobody waits."""
        self._fields: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        # Called by the parser for each field and piece; C functions cost no Python frame, and this costs less than ``__setitem__``.
        self.on_header: Callable[[bytes, bytes], Any] = partial(setitem, self._fields)
        self.on_body: Callable[[bytes], Any] = self._body.append
        self._parser = httptools.HttpResponseParser(self)
        self._reset()
        self.provider = ""
        self._timeouts = Timeouts()
        self._started = _NEVER
        self._ends: Ends = (_NEVER, False)
        self._keep_alive = False
        self._paused = False
        self._quiet_since = 0.0
        self._payload = _NOTHING

    def _reset(self) -> None:
        self.failure: GatewayError | None = None
        self.status = 0
        self._headers: Mapping[bytes, bytes] | None = None
        self._done = False
        self._head_bytes = 0
        self._unread = 0
        self._touched = True

    # --- the exchange ---------------------------------------------------------------------------------------------

    def start(
        self, provider: str, timeouts: Timeouts, payload: tuple[bytes, bytes], now: float, ends: Ends
    ) -> "asyncio.Future[None]":
        """Send a request, of which ``payload`` is head and body. ``now``: monotonic seconds.

        The future is done when ``status`` and ``headers`` are in, or there is a ``failure``; whoever is cancelled waiting for it has to
        ``release``. The first-byte timeout runs from here to the end of the answer's head, so that a dripping head cannot stretch it.
        """
        self.prepare(provider, timeouts, payload, now, ends)
        self._send()
        waiter = self._wait(_HEAD)
        if self.failure is not None:
            self._wake()
        return waiter

    def prepare(self, provider: str, timeouts: Timeouts, payload: tuple[bytes, bytes], now: float, ends: Ends) -> None:
        """As :meth:`start`, to be sent by :meth:`dispatch`."""
        self._reset()
        self.busy = True
        self._uses += 1
        self.provider = provider
        self._timeouts = timeouts
        self._payload = payload
        self._started = now
        self._ends = ends

    def dispatch(self, arrived: Callable[[], None]) -> None:
        """See ``Sent.dispatch``."""
        self._arrived = arrived
        self._send()
        if self.failure is not None:
            self._loop.call_soon(self._wake)

    def _send(self) -> None:
        (head, body), self._payload = self._payload, _NOTHING
        if self._lost:
            self.failure = unreachable(self.provider, "connection lost while idle")
            return
        if len(body) <= JOIN_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)
        self._wheel.wind()

    def _wait(self, want: int) -> "asyncio.Future[None]":
        self._want = want
        waiter = self._waiter = self._loop.create_future()
        return waiter

    @property
    def stale(self) -> bool:
        """Whether it failed as a kept connection fails that the upstream had closed: nothing of the answer came, at once."""
        return (
            self._uses > 1
            and self.failure is not None
            and self.failure.kind is UPSTREAM_UNREACHABLE
            and self._clock() - self._started < STALE_SECONDS
        )

    def body_now(self, limit: int) -> bytes | None:
        """See ``Sent.body_now``."""
        if self.status != 200 or not self._done or self.failure is not None:
            return None
        body = self._body
        if len(body) != 1:
            body[:] = [b"".join(body)]
        return body[0] if len(body[0]) <= limit else None

    def drop(self) -> None:
        """See ``Sent.drop``."""
        self._arrived = None
        self.release()

    async def some(self) -> bytes:
        """See ``Exchange.chunk``."""
        while not self._body:
            if self.failure is not None:
                raise self.failure
            if self._done:
                return b""
            self._touched = True
            await self._wait(_SOME)
        return self._take()

    async def whole(self, limit: int) -> bytes:
        """See ``Exchange.read``."""
        if self._done and len(self._body) == 1 and not self._paused:
            # Nearly every answer: it came with its head, in one piece.
            body = self._body.pop()
            if len(body) > limit:
                raise too_large(self.provider, limit)
            return body
        parts: list[bytes] = []
        size = 0
        while True:
            if self._body:
                parts.append(self._take())
                size += len(parts[-1])
                if size > limit:
                    self.abort()
                    raise too_large(self.provider, limit)
            if self._done:
                return parts[0] if len(parts) == 1 else b"".join(parts)
            if self.failure is not None:
                raise self.failure
            self._touched = True
            await self._wait(_WHOLE)

    def _take(self) -> bytes:
        body = self._body
        data = body[0] if len(body) == 1 else b"".join(body)
        body.clear()
        self._unread = 0
        if self._paused:
            self._paused = False
            if not self._lost:
                self._transport.resume_reading()
        return data

    def release(self) -> None:
        """The owner is done with it: back to the pool if the answer came to its end, else closed."""
        self._body.clear()
        self.busy = False
        if self._done and self._keep_alive and not self._lost and not self._transport.get_write_buffer_size():
            if self._paused:
                self._paused = False
                self._transport.resume_reading()
            self._pool.give(self)
        else:
            self.abort()
            self._pool.vacate()

    def abort(self) -> None:
        """Close at once, unsent bytes and all: the upstream sees it and can stop working."""
        self._keep_alive = False
        if not self._lost:
            self._lost = True
            self._wheel.remove(self)
            self._transport.abort()

    def dismiss(self) -> None:
        """Close in peace; nothing is under way."""
        self._lost = True
        self._wheel.remove(self)
        self._transport.close()

    # --- the wheel ------------------------------------------------------------------------------------------------

    def check(self, now: float) -> bool:
        """See ``Timed``. Silence counts only while somebody waits: a slow reader is not a slow upstream."""
        if not self.busy or self._done or self.failure is not None:
            return self.busy
        timeouts, (ends, by_deadline) = self._timeouts, self._ends
        if now >= ends:
            self._fail(late(self.provider) if by_deadline else slow(self.provider, "no complete answer", timeouts.total))
        elif not self.status:
            if now >= self._started + timeouts.first_byte:
                self._fail(slow(self.provider, "no answer", timeouts.first_byte))
        elif (self._waiter is None and self._arrived is None) or self._touched:
            self._touched = False
            self._quiet_since = now
        elif now - self._quiet_since >= timeouts.idle:
            self._fail(slow(self.provider, "nothing more of the answer", timeouts.idle))
        return True

    # --- the loop -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop, before anybody uses the connection."""
        self._transport = Gathered(cast("asyncio.Transport", transport), self._outbox)
        self._lost = False
        self._wheel.add(self)

    def data_received(self, data: bytes) -> None:
        """Called by the loop. What comes when nothing was asked for closes the connection."""
        if not self.busy or self._done or self._lost:
            self.abort()
            self._pool.forget(self)
            return
        self._touched = True
        if not self.status:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._done:
                self._fail(invalid(self.provider, str(error)))
                return
            self._keep_alive = False
        if self.failure is not None:
            self._fail(self.failure)
            return
        if self._done:
            self._wake()
            return
        if not self.status and self._head_bytes > MAX_HEAD_BYTES:
            self._fail(invalid(self.provider, "head too large"))
            return
        self._unread += len(data)
        if self._unread > MAX_UNREAD_BYTES:
            self._hold_back()
        elif self._waiter is not None:
            want = self._want
            if self.status if want == _HEAD else self._body if want == _SOME else False:
                self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop, once, last."""
        self._lost = True
        self._wheel.remove(self)
        if not self.busy:
            self._pool.forget(self)
        elif not self._done and self.failure is None:
            if not self._head_bytes:
                self.failure = unreachable(self.provider, f"connection lost before the answer: {exc!r}")
            elif self.status and exc is None and self._ends_with_connection():
                self._done = True
            else:
                self.failure = incomplete(self.provider, f"connection lost: {exc!r}")
            self._wake()

    def _ends_with_connection(self) -> bool:
        return b"content-length" not in self.headers and b"transfer-encoding" not in self.headers

    def _hold_back(self) -> None:
        if not self.status or not self._body:
            # Chunk extensions or trailers without end: nothing to hand out, so holding back would never end.
            self._fail(invalid(self.provider, "framing without content"))
            return
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def _fail(self, failure: GatewayError) -> None:
        self.failure = failure
        self.abort()
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
        arrived = self._arrived
        if arrived is not None:
            self._arrived = None
            arrived()

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """Of the answer, once it has a :attr:`status`: lower-case names; of repeated headers the last."""
        headers = self._headers
        if headers is None:
            fields = self._fields
            headers = self._headers = dict(zip(map(bytes.lower, fields), fields.values(), strict=True))
        return headers

    # --- the parser -----------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Called by the parser at the first byte of an answer; after the end of ours, nothing more may be taken for ours."""
        if self._done:
            raise httptools.HttpParserError("bytes after the answer")
        self._fields.clear()

    def on_headers_complete(self) -> None:
        """Called by the parser; interim answers (1xx) are passed over."""
        status = self._parser.get_status_code()
        if status < 200:
            return
        self.status = status
        fields = self._fields
        # Only codings and size are refused, so most heads need not be read; and only a coded body can end in further fields (trailers).
        if b"-encoding" in b" ".join(fields).lower() or len(fields) > MAX_HEADERS or self._head_bytes > MAX_HEAD_BYTES:
            reason = fault(self.headers, self._head_bytes)
            if reason is not None:
                self.failure = invalid(self.provider, reason)

    def on_message_complete(self) -> None:
        """Called by the parser at the last byte of the body; llhttp knows 204, 304, chunked and content-length."""
        if self.status:
            self._done = True
            self._keep_alive = self._parser.should_keep_alive()
