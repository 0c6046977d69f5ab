"""The way back to the caller, as the pipeline sees it. The front door implements it twice: on the socket, and over ASGI."""

from typing import Protocol


class Reply(Protocol):
    r"""One response. Head lines are ``name: value\\r\\n`` bytes without status line, framing and connection headers."""

    @property
    def started(self) -> bool:
        """Whether a byte has been promised: after that a failure can only be an event in the stream."""
        ...

    @property
    def gone(self) -> bool:
        """Whether the caller has left."""
        ...

    async def whole(self, status: int, head: bytes, body: bytes) -> None:
        """Send a complete response; ``content-length`` is added."""
        ...

    async def start(self, status: int, head: bytes) -> None:
        """Begin a streamed response."""
        ...

    async def write(self, data: bytes) -> None:
        """Send a piece of the stream; waits while the caller reads too slowly. Raises ``client_gone``."""
        ...

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece and finish the response."""
        ...
