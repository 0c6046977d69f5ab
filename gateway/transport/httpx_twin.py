"""The same port over httpx: the contract's second witness, and the way out when an upstream needs what our client lacks.

Never on the default path: an exchange costs some 50 times the CPU of ours. Every call has a connection of its own, for
httpcore leaves bytes that follow an answer in its parser and gives them to the next call as its answer; nor does it say
whether a connection was used before, without which a request that met a stale one must not be sent again.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import httpx

from gateway.core.errors import GatewayError
from gateway.core.upstream import HttpRequest, Target, Timeouts, Transport
from gateway.transport.client import MAX_CONNECTIONS
from gateway.transport.failures import draining, incomplete, invalid, late, slow, too_large, unconnected, unreachable
from gateway.transport.heads import fault
from gateway.transport.http1 import Ends
from gateway.transport.origin import Origin
from gateway.transport.tls import trust

T = TypeVar("T")
_ENDED = ("Server disconnected", "peer closed connection")


class HttpxTransport(Transport):
    """``Transport`` over httpx: no environment, no redirects, no reuse. Parameters as for ``Http1Transport``.

    ``max_connections`` holds for all origins together.
    """

    def __init__(
        self,
        *,
        max_connections: int = MAX_CONNECTIONS,
        ca_file: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._origins: dict[str, Origin] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False
        self._client = httpx.AsyncClient(
            verify=trust(ca_file),
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=max_connections, max_keepalive_connections=0),
        )

    async def send(self, target: Target, request: HttpRequest, deadline: float) -> "HttpxAnswer":
        """See ``Transport.send``."""
        if self._closed:
            raise draining()
        origin = self._origins.get(target.base_url)
        if origin is None:
            origin = self._origins[target.base_url] = Origin(target)
        origin.head(target, request)
        total = self._clock() + target.timeouts.total
        ends = (deadline, True) if deadline <= total else (total, False)
        first_byte = target.timeouts.first_byte
        waits: dict[str, float | None] = {"connect": target.timeouts.connect, "read": first_byte, "write": None, "pool": None}
        asked = httpx.Request(
            request.method.decode(),
            target.base_url + request.path,
            headers=[*request.headers, (b"accept-encoding", b"identity"), (b"connection", b"close")],
            content=request.body,
            extensions={"timeout": waits},
        )
        answer = await self._bounded(target, ends, self._client.send(asked, stream=True), head=True)
        # httpx takes the limit anew when the body is begun.
        waits["read"] = target.timeouts.idle
        exchange = HttpxAnswer(self, target, ends, answer)
        reason = fault(exchange.headers, sys.maxsize) if answer.status_code >= 200 else "upgrade not asked for"
        if reason is not None:
            exchange.close()
            raise invalid(target.provider, reason)
        return exchange

    async def close(self) -> None:
        """Take no more requests and close every connection."""
        self._closed = True
        await asyncio.gather(*self._closing)
        await self._client.aclose()

    async def bounded(self, target: Target, ends: Ends, step: Coroutine[Any, Any, bytes]) -> bytes:
        """Wait for a step of the body, with httpx's exceptions and our clock translated."""
        return await self._bounded(target, ends, step, head=False)

    def finish(self, answer: httpx.Response) -> None:
        """Close in the background, for the port closes without waiting; ``close`` waits for these."""
        task = asyncio.ensure_future(answer.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _bounded(self, target: Target, ends: Ends, step: Coroutine[Any, Any, T], *, head: bool) -> T:
        try:
            async with asyncio.timeout(ends[0] - self._clock()):
                return await step
        except TimeoutError:
            raise (
                late(target.provider) if ends[1] else slow(target.provider, "no complete answer", target.timeouts.total)
            ) from None
        except httpx.HTTPError as error:
            raise _translate(target.provider, target.timeouts, error, head=head) from error


def _translate(provider: str, timeouts: Timeouts, error: httpx.HTTPError, *, head: bool) -> GatewayError:
    if isinstance(error, httpx.ConnectTimeout):
        return unconnected(slow(provider, "no connection", timeouts.connect))
    if isinstance(error, httpx.ConnectError):
        return unconnected(unreachable(provider, repr(error)))
    if isinstance(error, httpx.TimeoutException):
        if head:
            return slow(provider, "no answer", timeouts.first_byte)
        return slow(provider, "nothing more of the answer", timeouts.idle)
    # The parser's refusals and a mere end of the connection share one class; only the text, httpcore's and h11's own, differs.
    if isinstance(error, httpx.RemoteProtocolError) and not any(text in str(error) for text in _ENDED):
        return invalid(provider, repr(error))
    return (unreachable if head else incomplete)(provider, repr(error))


class HttpxAnswer:
    """An ``Exchange`` over an httpx response."""

    __slots__ = ("_answer", "_ends", "_pieces", "_target", "_transport", "headers", "status")

    def __init__(self, transport: HttpxTransport, target: Target, ends: Ends, answer: httpx.Response) -> None:
        self._transport = transport
        self._target = target
        self._ends = ends
        self._answer = answer
        self._pieces: AsyncIterator[bytes] = answer.aiter_raw()
        self.status = answer.status_code
        self.headers = {name.lower(): value for name, value in answer.headers.raw}

    async def read(self, limit: int) -> bytes:
        """The whole body; see ``Exchange.read``."""
        return await self._transport.bounded(self._target, self._ends, self._read(limit))

    async def chunk(self) -> bytes:
        """What has come since the last call; see ``Exchange.chunk``."""
        return await self._transport.bounded(self._target, self._ends, self._chunk())

    def close(self) -> None:
        """Let go of the connection."""
        self._transport.finish(self._answer)

    async def _chunk(self) -> bytes:
        return await anext(self._pieces, b"")

    async def _read(self, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for piece in self._pieces:
            parts.append(piece)
            size += len(piece)
            if size > limit:
                raise too_large(self._target.provider, limit)
        return b"".join(parts)
