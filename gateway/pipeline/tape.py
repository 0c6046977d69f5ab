"""What a caller was sent, as it can be sent again: a ``Reply`` that keeps a copy, and goes on when its caller has left."""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from gateway.core.errors import CLIENT_GONE, GatewayError
from gateway.pipeline.reply import Reply

ITS_OWN = (
    b"x-request-id", b"request-id", b"x-ratelimit-", b"anthropic-ratelimit-", b"x-attempts", b"x-cost-usd", b"server-timing",
    b"x-degraded", b"x-cache", b"age",
)  # fmt: skip
"""How header names begin that are about one call and not about its answer: a replay has its own, or none."""


class Sent(Struct, array_like=True, frozen=True):
    """A complete answer as it went out."""

    status: int
    head: bytes
    """Header lines, without those of :data:`ITS_OWN`."""
    body: bytes
    streamed: bool


class Tape:
    """The ``Reply`` of a call whose answer is kept. ``keep`` is awaited with the complete answer before its last byte goes out."""

    def __init__(self, reply: Reply, max_bytes: int, keep: Callable[[Sent], Awaitable[None]]) -> None:
        self._reply = reply
        self._room = max_bytes
        self._keep = keep
        self._status = 0
        self._head = b""
        self._pieces: list[bytes] = []

    @property
    def started(self) -> bool:
        """Whether a byte has been promised."""
        return self._reply.started or self._status > 0

    @property
    def gone(self) -> bool:
        """Whether the caller has left."""
        return self._reply.gone

    async def whole(self, status: int, head: bytes, body: bytes) -> None:
        """Keep and send a complete response."""
        self._status = status
        await self._complete(Sent(status, of_the_answer(head), body, streamed=False), len(body) <= self._room)
        await self._pass(self._reply.whole(status, head, body))

    async def start(self, status: int, head: bytes) -> None:
        """Begin a streamed response."""
        self._status, self._head = status, of_the_answer(head)
        await self._pass(self._reply.start(status, head))

    async def write(self, data: bytes) -> None:
        """Keep and send a piece of the stream."""
        self._add(data)
        await self._pass(self._reply.write(data))

    async def end(self, data: bytes = b"") -> None:
        """Keep the stream and send its last piece."""
        self._add(data)
        await self._complete(Sent(self._status, self._head, b"".join(self._pieces), streamed=True), self._room >= 0)
        await self._pass(self._reply.end(data))

    def _add(self, data: bytes) -> None:
        self._room -= len(data)
        if self._room >= 0:
            self._pieces.append(data)
        else:
            self._pieces.clear()

    async def _complete(self, sent: Sent, fits: bool) -> None:  # noqa: FBT001 - told where it is known
        if fits and sent.status == 200:
            await self._keep(sent)

    async def _pass(self, sending: Awaitable[None]) -> None:
        """Send, unless nobody listens: then the call goes on for the retry's sake."""
        try:
            await sending
        except GatewayError as error:
            if error.kind is not CLIENT_GONE:
                raise


def of_the_answer(head: bytes) -> bytes:
    """The header lines that a replay repeats."""
    return b"".join([line + b"\r\n" for line in head.split(b"\r\n") if line and not line.lower().startswith(ITS_OWN)])


async def play(sent: Sent, head: bytes, reply: Reply) -> None:
    """Send a kept answer again, under further header lines."""
    if not sent.streamed:
        await reply.whole(sent.status, sent.head + head, sent.body)
        return
    await reply.start(sent.status, sent.head + head)
    await reply.end(sent.body)
