"""An answer being received on a connection of ours, as the pipeline holds it."""

from collections.abc import Coroutine, Mapping
from typing import Any

from msgspec import Struct

from gateway.transport.http1 import Connection


class Answer(Struct):
    """An ``Exchange``: the head is in. It owns its connection until ``close``, and cannot touch it afterwards."""

    connection: Connection | None
    status: int
    headers: Mapping[bytes, bytes]

    # No frames of their own: the connection's coroutine is what the caller awaits.

    def read(self, limit: int) -> Coroutine[Any, Any, bytes]:
        """The whole body; see ``Exchange.read``."""
        return self._held().whole(limit)

    def chunk(self) -> Coroutine[Any, Any, bytes]:
        """What has come since the last call; see ``Exchange.chunk``."""
        return self._held().some()

    def close(self) -> None:
        """Let go of the connection; further calls do nothing."""
        connection = self.connection
        if connection is not None:
            self.connection = None
            connection.release()

    def _held(self) -> Connection:
        if self.connection is None:
            raise RuntimeError("this answer has been closed")
        return self.connection
