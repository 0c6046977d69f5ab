"""An answer being received on a connection of ours, as the pipeline holds it."""

from collections.abc import Coroutine
from typing import Any

from gateway.transport.http1 import Connection


class Answer:
    """An ``Exchange``: the head is in. It owns its connection until ``close``, and cannot touch it afterwards."""

    __slots__ = ("_connection", "headers", "status")

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection
        self.status = connection.status
        self.headers = connection.headers

    # No frames of their own: the connection's coroutine is what the caller awaits.

    def read(self, limit: int) -> Coroutine[Any, Any, bytes]:
        """The whole body; see ``Exchange.read``."""
        return self._held().whole(limit)

    def chunk(self) -> Coroutine[Any, Any, bytes]:
        """What has come since the last call; see ``Exchange.chunk``."""
        return self._held().some()

    def close(self) -> None:
        """Let go of the connection; further calls do nothing."""
        connection = self._connection
        if connection is not None:
            self._connection = None
            connection.release()

    def _held(self) -> Connection:
        if self._connection is None:
            raise RuntimeError("this answer has been closed")
        return self._connection
