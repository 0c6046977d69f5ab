"""A way back whose answer has further header lines, of what stands around the sentence."""

from gateway.pipeline.reply import Reply


class Marked:
    r"""A ``Reply`` that adds header lines (``name: value\r\n``) to whatever is answered."""

    def __init__(self, reply: Reply, lines: bytes) -> None:
        self._reply = reply
        self._lines = lines
        self.write = reply.write
        self.end = reply.end

    @property
    def started(self) -> bool:
        """Whether a byte has been promised."""
        return self._reply.started

    @property
    def gone(self) -> bool:
        """Whether the caller has left."""
        return self._reply.gone

    async def whole(self, status: int, head: bytes, body: bytes) -> None:
        """Send a complete response."""
        await self._reply.whole(status, head + self._lines, body)

    async def start(self, status: int, head: bytes) -> None:
        """Begin a streamed response."""
        await self._reply.start(status, head + self._lines)
