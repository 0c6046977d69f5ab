"""The form a caller speaks, as the pipeline sees it: values and ports. The dialects themselves are in :mod:`gateway.dialects`."""

from typing import Protocol

from gateway.core.errors import GatewayError
from gateway.core.events import Event, Usage
from gateway.core.requests import ChatRequest, Inbound


class Framer(Protocol):
    """One streamed answer on its way to the caller: events to the bytes of the caller's stream. Holds the state of one answer."""

    def frames(self, events: list[Event]) -> bytes:
        """The frames that these events make; may be empty."""
        ...

    def end(self, usage: Usage | None, cost: int | None) -> bytes:
        """The frames that end a complete answer. ``cost`` is nano-dollars, None when unknown; ``usage`` may be our estimate."""
        ...

    def failure(self, error: GatewayError) -> bytes:
        """The frames that end an answer cut short: an error event, and never what ends a true stream."""
        ...


class Speech(Protocol):
    """What is needed of a form to answer a call again with what was kept."""

    def read(self, inbound: Inbound) -> ChatRequest:
        """Decode a body and its prompt headers. Raises ``malformed`` naming the field, ``contradiction``."""
        ...

    def problem_head(self, request_id: str) -> str:
        """Header lines of every answer, refusals too, that this form's SDKs read: the request's id under their name for it."""
        ...


class Dialect(Speech, Protocol):
    """A client format. Pure: one instance serves every call."""

    @property
    def name(self) -> str:
        """``chat``, ``responses``, ``messages``, ``completions``: the door, and what translators say they speak."""
        ...

    def whole(self, event: Event, request: ChatRequest, inbound: Inbound, *, native: bool) -> bytes:
        """The body of a whole answer. ``native``: the event is in this dialect already, not in the chat form.

        Raises ``upstream_invalid`` when it cannot be said in this dialect.
        """
        ...

    def framer(self, request: ChatRequest, inbound: Inbound, *, native: bool) -> Framer:
        """For one streamed answer; ``native`` as in :meth:`whole`."""
        ...

    def problem(self, error: GatewayError, request_id: str) -> bytes:
        """The JSON body of a refusal."""
        ...

    def problem_frames(self, error: GatewayError) -> bytes:
        """What ends a stream that has begun, where no framer is at hand."""
        ...
