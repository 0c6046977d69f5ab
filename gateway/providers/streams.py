"""The reading of a stream in a provider's own form: what all such translators share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from gateway.core.errors import UPSTREAM_INCOMPLETE, GatewayError
from gateway.core.events import Event

P = TypeVar("P")
"""One framed piece of the stream: an SSE payload, an event-stream message."""


class StreamReader(ABC, Generic[P]):
    """``StreamDecoder`` over a framing; a provider says what a piece means.

    Same bytes, same events, however they were cut into reads.
    """

    def __init__(self, frame: Callable[[bytes], Iterable[P]]) -> None:
        self._frame = frame
        self.done = False
        self.failure: GatewayError | None = None
        self.finished = False
        """Whether the model said why it ended: without that, the end of the connection is no end of the answer."""

    @abstractmethod
    def read(self, piece: P) -> list[Event]:
        """What a piece means. Sets ``finished`` and, after the last piece that counts, ``done``. Raises what ends the stream."""

    def feed(self, data: bytes) -> list[Event]:
        """Events that ``data`` completes; whatever follows the end or a failure is ignored."""
        events: list[Event] = []
        if self.done or self.failure is not None:
            return events
        try:
            for piece in self._frame(data):
                events += self.read(piece)
                if self.done:
                    break
        except GatewayError as error:
            self.failure = error
        return events

    def end(self) -> None:
        """Raises ``upstream_incomplete`` when the connection ended before the model did."""
        if not self.finished:
            raise GatewayError(UPSTREAM_INCOMPLETE, "the provider's stream ended before it was complete")
