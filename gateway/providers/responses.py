"""The Responses API of an upstream: our call to its request, its answers and streams to events.

It is asked to store nothing. Conversations are kept by the gateway, per application, because all applications share the account.
"""

from msgspec import Raw

from gateway.core.conversation import Message
from gateway.core.errors import MALFORMED, UPSTREAM_ERROR, UPSTREAM_INCOMPLETE, UPSTREAM_INVALID, GatewayError
from gateway.core.events import Event
from gateway.core.upstream import UpstreamCall
from gateway.providers.stored import stored_under
from gateway.wire import openai as chat
from gateway.wire import responses as wire
from gateway.wire.sse import SseParser

PATH = "/responses"
RESPONSES = "responses"
"""The dialect's name."""
_ROLES = frozenset({"system", "developer", "user", "assistant"})
_FALSE = Raw(b"false")
_TRUE = Raw(b"true")
_LARGEST_ERROR_TEXT = 2_000
"""Characters of a provider's message passed on: enough for every real one, too few to leak a page of HTML."""
_MOST_PARTS = 4096
"""Content parts whose length is followed in one stream; a response has a handful."""


def body_of(call: UpstreamCall) -> bytes:
    """The request. Raises ``malformed`` naming a stored parameter that has no form in the Responses API."""
    body = stored_under(call.stored, call.native)
    body["model"] = call.model
    body["input"] = Raw(b"[" + b",".join([_item(message) for message in call.conversation]) + b"]")
    body["store"] = _FALSE
    if call.stream:
        body["stream"] = _TRUE
    return chat.encode(body)


def answer(body: bytes) -> Event:
    """A whole response as one event, its bytes untouched. Raises ``upstream_invalid``, and ``upstream_error`` when it failed."""
    try:
        response = wire.decode_response(body)
        text = wire.text_of(response)
    except wire.DECODE_ERRORS as error:
        raise GatewayError(
            UPSTREAM_INVALID, "the provider's answer is not a response object", cause=f"{error}: {body[:200]!r}"
        ) from None
    if response.status == "failed":
        raise _failed(response.error)
    if response.status not in {"completed", "incomplete"}:
        raise GatewayError(UPSTREAM_INVALID, f"the provider answered with a response that is {response.status!r:.40}")
    return Event(body, ((0, text),) if text else (), wire.finish_of(response), wire.read_usage(response.usage))


class EventDecoder:
    """``StreamDecoder``: complete once ``response.completed`` or ``response.incomplete`` was read.

    Text counts once. It comes as deltas, again when a part is done, and again at the end; what an earlier event has left out is
    taken from the later one, so that nothing passes the guards unread.
    """

    __slots__ = ("_feed", "_read", "_seen", "done", "failure")

    def __init__(self, max_event_bytes: int) -> None:
        self._feed = SseParser(max_event_bytes).feed
        self._seen: dict[tuple[int, int], int] = {}
        """Characters of each content part that have come as deltas."""
        self._read = 0
        """The sum of them."""
        self.done = False
        self.failure: GatewayError | None = None

    def feed(self, data: bytes) -> list[Event]:
        """Events that ``data`` completes; whatever follows the end or a failure is ignored."""
        events: list[Event] = []
        if self.done or self.failure is not None:
            return events
        try:
            for payload in self._feed(data):
                if payload == chat.DONE:
                    continue  # some compatible servers end with it; the true end has come before
                events.append(self._event(payload))
                if self.done:
                    break
        except GatewayError as error:
            self.failure = error
        return events

    def end(self) -> None:
        """Raises ``upstream_incomplete`` when the connection ended before the true end."""
        if not self.done:
            raise GatewayError(UPSTREAM_INCOMPLETE, "the provider's stream ended before it was complete")

    def _event(self, payload: bytes) -> Event:
        try:
            event = wire.decode_event(payload)
            kind = event.type
            if kind in {"response.output_text.delta", "response.refusal.delta"}:
                return self._delta(payload, event)
            if kind in {"response.output_text.done", "response.refusal.done"}:
                return self._part_done(payload, event)
            if kind in wire.TERMINAL:
                return self._end(payload, event)
            if kind == "response.failed":
                raise _failed(wire.decode_response(event.response).error)
            if kind == "error":
                raise _failed(event.error or wire.Problem(event.message or ""))
        except wire.DECODE_ERRORS as error:
            raise GatewayError(
                UPSTREAM_INVALID, "the provider sent a broken stream event", cause=f"{error}: {payload[:200]!r}"
            ) from None
        return Event(payload)

    def _delta(self, payload: bytes, event: wire.StreamEvent) -> Event:
        text = wire.decode_string(event.delta)
        place = (event.output_index, event.content_index)
        if place not in self._seen and len(self._seen) >= _MOST_PARTS:
            raise GatewayError(UPSTREAM_INVALID, f"the provider sent more than {_MOST_PARTS} content parts")
        self._seen[place] = self._seen.get(place, 0) + len(text)
        self._read += len(text)
        return Event(payload, ((0, text),) if text else ())

    def _part_done(self, payload: bytes, event: wire.StreamEvent) -> Event:
        raw = event.text if chat.is_given(event.text) else event.refusal
        text = wire.decode_string(raw)
        place = (event.output_index, event.content_index)
        rest = text[self._seen.get(place, 0) :]
        if rest:
            self._seen[place] = len(text)
            self._read += len(rest)
        return Event(payload, ((0, rest),) if rest else ())

    def _end(self, payload: bytes, event: wire.StreamEvent) -> Event:
        response = wire.decode_response(event.response)
        rest = wire.text_of(response)[self._read :]
        self.done = True
        return Event(payload, ((0, rest),) if rest else (), wire.finish_of(response), wire.read_usage(response.usage))


def _failed(problem: wire.Problem | None) -> GatewayError:
    message = problem.message[:_LARGEST_ERROR_TEXT] if problem else ""
    return GatewayError(UPSTREAM_ERROR, message or "the provider failed", cause=problem.code if problem else None)


def _item(message: Message) -> bytes:
    """A message as items: the caller's own bytes, or a stored message in the short form."""
    if message.native is not None:
        return message.native
    if message.role not in _ROLES:
        raise GatewayError(
            MALFORMED,
            f"messages: a stored message of the role {message.role!r} has no form in the Responses API",
            param="prompt",
        )
    return b'{"type":"message","role":%b,"content":%b}' % (chat.encode(message.role), chat.encode(message.text))
