"""Answers of providers that speak the Responses API: their bytes, except for what only the gateway knows of a response.

The provider is asked to store nothing, and gets the whole conversation as ``input``. So its response object does not know whether
the response is kept, which one it continues, or that a prompt was rendered: those fields are ours.
"""

from msgspec import Raw

from gateway.core.errors import UPSTREAM_INVALID, GatewayError
from gateway.core.events import Event, Usage
from gateway.core.requests import ChatRequest
from gateway.dialects.responses.objects import NANO, error_event, failure_object, frame, framed, usage_object
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
                fields = _fields(data)
                given = fields.get("response")
                if not isinstance(given, Raw):
                    raise GatewayError(UPSTREAM_INVALID, f"the provider sent {kind} without a response", cause=repr(data[:200]))
                fields["response"] = _ours(given, self._request)
                self._object = given
                if kind in wire.TERMINAL:
                    self._last = fields
                    continue
                data = chat.encode(fields)
            out.append(framed(kind, data))
        return b"".join(out)

    def response(self, usage: Usage | None, cost: int | None) -> bytes:
        """The finished response object: what a store keeps."""
        return chat.encode(self._finished(usage, cost))

    def end(self, usage: Usage | None, cost: int | None) -> bytes:
        """The provider's last event, with our cost in its usage."""
        assert self._last is not None
        self._last["response"] = self._finished(usage, cost)
        kind = wire.decode_event(self._seen).type
        return frame(kind, self._last)

    def failure(self, error: GatewayError) -> bytes:
        """``response.failed`` with what the provider has told so far, then ``error``, by which the SDKs raise."""
        number = _sequence(self._seen)
        if self._object is None:
            return error_event(error, number + 1)
        body = _ours(self._object, self._request)
        body |= {"status": "failed", "error": failure_object(error), "store": False}
        event: dict[str, object] = {"type": "response.failed", "sequence_number": number + 1, "response": body}
        return frame("response.failed", event) + error_event(error, number + 2)

    def _finished(self, usage: Usage | None, cost: int | None) -> dict[str, object]:
        assert self._object is not None
        body = _ours(self._object, self._request)
        given = body.get("usage")
        if isinstance(given, Raw) and chat.is_given(given) and cost is not None:
            body["usage"] = {**_fields(given), "cost_usd": cost / NANO}
        elif usage is not None and not (isinstance(given, Raw) and chat.is_given(given)):
            body["usage"] = usage_object(usage, cost)
        return body


def _ours(raw: Raw, request: ChatRequest) -> dict[str, object]:
    turn = request.turn
    assert turn is not None
    body = _fields(raw)
    body |= {"store": turn.keep, "previous_response_id": turn.previous, **turn.echo}
    return body


def _fields(raw: bytes | Raw) -> dict[str, object]:
    """The decoder that let the event pass looked at what it acts on only: other names in it may be no text at all."""
    try:
        return dict(chat.decode_fields(raw))
    except chat.DECODE_ERRORS as error:
        raise GatewayError(UPSTREAM_INVALID, "the provider's response cannot be read", cause=str(error)) from None


def _sequence(data: bytes) -> int:
    return wire.decode_event(data).sequence_number if data else -1
