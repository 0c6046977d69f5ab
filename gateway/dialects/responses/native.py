"""Answers of providers that speak the Responses API: their bytes, except for what only the gateway knows of a response.

The provider is asked to store nothing, and gets the whole conversation as ``input``. So its response object does not know whether
the response is kept, which one it continues, or that a prompt was rendered: those fields are ours.
"""

from msgspec import Raw

from gateway.core.errors import UPSTREAM_INVALID, GatewayError
from gateway.core.events import Event, Usage
from gateway.core.requests import ChatRequest
from gateway.dialects.responses.objects import NANO, error_event, failure_object, usage_object
from gateway.wire import openai as chat
from gateway.wire import responses as wire

_OBJECT_EVENTS = frozenset({"response.created", "response.in_progress", "response.queued", *wire.TERMINAL})
"""Events that carry the response object."""


def whole(event: Event, request: ChatRequest) -> bytes:
    """The provider's response object with our fields."""
    return chat.encode(_ours(Raw(event.data), request))


class NativeFramer:
    """``Framer`` of one stream whose provider speaks the Responses API. The last event waits for :meth:`end`."""

    def __init__(self, request: ChatRequest) -> None:
        self._request = request
        self._last: dict[str, object] | None = None
        """The fields of the terminal event."""
        self._object: Raw | None = None
        """The response object as it was last seen."""
        self._seen = b""
        """The newest event, for its sequence number."""

    def frames(self, events: list[Event]) -> bytes:
        """The events as they are, but for their response object."""
        out: list[bytes] = []
        for event in events:
            data = self._seen = event.data
            kind = wire.decode_event(data).type
            if kind in _OBJECT_EVENTS:
                fields: dict[str, object] = dict(chat.decode_fields(data))
                given = fields.get("response")
                if not isinstance(given, Raw):
                    raise GatewayError(UPSTREAM_INVALID, f"the provider sent {kind} without a response", cause=repr(data[:200]))
                self._object = given
                fields["response"] = _ours(given, self._request)
                if kind in wire.TERMINAL:
                    self._last = fields
                    continue
                data = chat.encode(fields)
            out.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), data))
        return b"".join(out)

    def response(self, usage: Usage | None, cost: int | None) -> bytes:
        """The finished response object: what a store keeps."""
        return chat.encode(self._finished(usage, cost))

    def end(self, usage: Usage | None, cost: int | None) -> bytes:
        """The provider's last event, with our cost in its usage."""
        assert self._last is not None
        self._last["response"] = self._finished(usage, cost)
        kind = wire.decode_event(self._seen).type
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), chat.encode(self._last))

    def failure(self, error: GatewayError) -> bytes:
        """``response.failed`` with what the provider has told so far, then ``error``, by which the SDKs raise."""
        number = _sequence(self._seen)
        if self._object is None:
            return error_event(error, number + 1)
        body = _ours(self._object, self._request)
        body |= {"status": "failed", "error": failure_object(error), "store": False}
        event = {"type": "response.failed", "sequence_number": number + 1, "response": body}
        return b"event: response.failed\ndata: %b\n\n" % chat.encode(event) + error_event(error, number + 2)

    def _finished(self, usage: Usage | None, cost: int | None) -> dict[str, object]:
        assert self._object is not None
        body = _ours(self._object, self._request)
        given = body.get("usage")
        if isinstance(given, Raw) and chat.is_given(given) and cost is not None:
            body["usage"] = {**chat.decode_fields(given), "cost_usd": cost / NANO}
        elif usage is not None and not (isinstance(given, Raw) and chat.is_given(given)):
            body["usage"] = usage_object(usage, cost)
        return body


def _ours(raw: Raw, request: ChatRequest) -> dict[str, object]:
    turn = request.turn
    assert turn is not None
    body: dict[str, object] = dict(chat.decode_fields(raw))
    body |= {"store": turn.keep, "previous_response_id": turn.previous, **turn.echo}
    return body


def _sequence(data: bytes) -> int:
    return wire.decode_event(data).sequence_number if data else -1
