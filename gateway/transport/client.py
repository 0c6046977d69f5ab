"""The gateway's own upstream client: HTTP/1.1 with keep-alive pools, on the running loop (uvloop in production).

Forwarding is what a gateway exists for, and general clients cost 70 to 7,000 us of CPU per exchange at 64 in flight where
this one costs about 12. It does only what providers need: POST, GET and DELETE, one answer, no redirects, no cookies, no environment
proxies. ``httpx_twin`` is the same port for everything odd.
"""

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import cast

from gateway.core.errors import GatewayError
from gateway.core.upstream import HttpRequest, Sent, Target, Transport
from gateway.transport.answer import Answer
from gateway.transport.deadlines import Wheel
from gateway.transport.dial import Dialer
from gateway.transport.failures import draining, late, slow, unconnected, unreachable
from gateway.transport.gathering import Outbox
from gateway.transport.http1 import Connection, Ends
from gateway.transport.origin import Key, Origin
from gateway.transport.pool import Pool
from gateway.transport.tls import trust

MAX_CONNECTIONS = 512
"""Per origin and worker: more calls than one core can have in flight; providers' own limits come first."""
IDLE_SECONDS = 55.0
"""Below the 60 s after which common load balancers drop a quiet connection, so that most are closed by us, not by them."""
DRAIN_SECONDS = 5.0
"""``close`` comes after the pipeline has drained; what is still under way then gets this long, not for ever."""
_DRAIN_STEP_SECONDS = 0.02
"""How promptly a drained transport is noticed."""


class Http1Transport(Transport):
    """``Transport`` over our own connections. Use it within one event loop.

    ``ca_file``: PEM of authorities trusted besides the machine's. ``clock`` gives monotonic seconds.
    """

    def __init__(
        self,
        *,
        max_connections: int = MAX_CONNECTIONS,
        idle_seconds: float = IDLE_SECONDS,
        drain_seconds: float = DRAIN_SECONDS,
        ca_file: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_connections = max_connections
        self._idle_seconds = idle_seconds
        self._drain_seconds = drain_seconds
        self._ca_file = ca_file
        self._clock = clock
        self._wheel = Wheel(clock)
        self._outbox = Outbox()
        self._dialer = Dialer(clock)
        self._origins: dict[str, tuple[Origin, Pool[Connection]]] = {}
        self._pools: dict[Key, Pool[Connection]] = {}
        self._tls: ssl.SSLContext | None = None
        self._closed = False
        self.opened = 0
        """Connections made."""
        self.retried_stale = 0
        """Requests sent a second time because the kept connection turned out to be closed."""

    @property
    def reused(self) -> int:
        """Requests that found an open connection."""
        return sum(pool.reused for pool in self._pools.values())

    @property
    def in_use(self) -> int:
        """Connections with an exchange on them, or being opened for one."""
        return sum(pool.in_use for pool in self._pools.values())

    @property
    def waiting(self) -> int:
        """Requests that wait for a connection."""
        return sum(pool.waiting for pool in self._pools.values())

    async def send(self, target: Target, request: HttpRequest, deadline: float) -> Answer:
        """See ``Transport.send``."""
        known = self._origins.get(target.base_url)
        origin, pool = known if known is not None else self._know(target)
        payload = (origin.head(target, request), request.body)
        now = self._clock()
        ends = _ends(target, now, deadline)
        if now >= ends[0]:
            raise self._overdue(target, ends, "no answer", target.timeouts.total)
        connection = pool.take()
        if connection is None:
            connection = await self._claim(target, origin, pool, ends)
            now = self._clock()
        try:
            await connection.start(target.provider, target.timeouts, payload, now, ends)
        except BaseException:
            connection.release()
            raise
        if connection.failure is None:
            return Answer(connection, connection.status, connection.headers)
        return await self._once_more(connection, target, origin, pool, payload, ends)

    def is_ready(self, target: Target) -> bool:
        """See ``Transport.is_ready``."""
        known = self._origins.get(target.base_url)
        return known is not None and known[1].has_idle

    def prepare(self, target: Target, request: HttpRequest, deadline: float) -> Connection | None:
        """See ``Transport.prepare``."""
        known = self._origins.get(target.base_url)
        if known is None:
            return None
        origin, pool = known
        head = origin.head(target, request)
        connection = pool.take()
        if connection is not None:
            now = self._clock()
            connection.prepare(target.provider, target.timeouts, (head, request.body), now, _ends(target, now, deadline))
        return connection

    async def take_up(self, sent: Sent, target: Target, request: HttpRequest, deadline: float) -> Answer:
        """See ``Transport.take_up``."""
        connection = cast("Connection", sent)
        if connection.failure is None:
            return Answer(connection, connection.status, connection.headers)
        known = self._origins.get(target.base_url)
        if known is None:  # closed by now
            connection.release()
            raise connection.failure
        origin, pool = known
        payload = (origin.head(target, request), request.body)
        return await self._once_more(connection, target, origin, pool, payload, _ends(target, self._clock(), deadline))

    async def _once_more(
        self,
        connection: Connection,
        target: Target,
        origin: Origin,
        pool: Pool[Connection],
        payload: tuple[bytes, bytes],
        ends: Ends,
    ) -> Answer:
        """The failure of ``connection``, unless it is that of a stale one: then the request is sent again on another."""
        if not connection.stale:
            connection.release()
            assert connection.failure is not None
            raise connection.failure
        # The slot of the dead connection stays ours.
        self.retried_stale += 1
        connection = await self._connect(target, origin, pool, ends)
        try:
            await connection.start(target.provider, target.timeouts, payload, self._clock(), ends)
            if connection.failure is not None:
                raise connection.failure
        except BaseException:
            connection.release()
            raise
        return Answer(connection, connection.status, connection.headers)

    async def close(self) -> None:
        """Take no more requests, let those under way end for ``drain_seconds``, close every connection."""
        self._closed = True
        # The memory of base URLs is what requests enter by.
        self._origins.clear()
        for pool in self._pools.values():
            pool.close()
        ends = self._clock() + self._drain_seconds
        while self.in_use and self._clock() < ends:  # noqa: ASYNC110 - once per process; an event would cost each exchange
            await asyncio.sleep(_DRAIN_STEP_SECONDS)
        self._wheel.stop()

    def _know(self, target: Target) -> tuple[Origin, Pool[Connection]]:
        if self._closed:
            raise draining()
        origin = Origin(target)
        pool = self._pools.get(origin.key)
        if pool is None:
            pool = self._pools[origin.key] = Pool(self._max_connections, self._idle_seconds, self._clock)
        known = self._origins[target.base_url] = (origin, pool)
        return known

    async def _claim(self, target: Target, origin: Origin, pool: Pool[Connection], ends: Ends) -> Connection:
        try:
            connection = await pool.claim(ends[0] - self._clock())
        except TimeoutError:
            raise unconnected(self._overdue(target, ends, "no free connection", target.timeouts.total)) from None
        return connection if connection is not None else await self._connect(target, origin, pool, ends)

    async def _connect(self, target: Target, origin: Origin, pool: Pool[Connection], ends: Ends) -> Connection:
        """A new connection in a slot that is already ours; the slot is given up if there will be none."""
        seconds = target.timeouts.connect
        left = ends[0] - self._clock()
        try:
            async with asyncio.timeout(min(seconds, left)):
                connection = await self._dial(origin, pool)
        except TimeoutError:
            pool.vacate()
            raise unconnected(
                slow(target.provider, "no connection", seconds)
                if seconds < left
                else self._overdue(target, ends, "no connection", target.timeouts.total)
            ) from None
        except OSError as error:
            pool.vacate()
            raise unconnected(unreachable(target.provider, f"{origin.authority}: {error}")) from error
        except BaseException:
            pool.vacate()
            raise
        self.opened += 1
        return connection

    async def _dial(self, origin: Origin, pool: Pool[Connection]) -> Connection:
        loop = asyncio.get_running_loop()
        tls = self._trust() if origin.scheme == "https" else None
        name = origin.host if tls is not None else None
        made: list[Connection] = []

        def make() -> Connection:
            made.append(Connection(pool, self._wheel, self._outbox, self._clock))
            return made[-1]

        async def connect(address: str) -> Connection:
            _, connection = await loop.create_connection(make, address, origin.port, ssl=tls, server_hostname=name)
            return connection

        try:
            return await self._dialer.dial(origin.host, connect)
        except BaseException:
            # One may have been established in the very turn in which its dialer was cancelled.
            for connection in made:
                connection.abort()
            raise

    def _trust(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = trust(self._ca_file)
        return self._tls

    @staticmethod
    def _overdue(target: Target, ends: Ends, what: str, seconds: float) -> GatewayError:
        return late(target.provider) if ends[1] else slow(target.provider, what, seconds)


def _ends(target: Target, now: float, deadline: float) -> Ends:
    total = now + target.timeouts.total
    return (deadline, True) if deadline <= total else (total, False)
