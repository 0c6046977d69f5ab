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
_PARTS = frozenset({"response.content_part.added", "response.content_part.done"})
_ITEMS = frozenset({"response.output_item.added", "response.output_item.done"})
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
    return Event(
        body, ((0, text),) if text else (), wire.finish_of(response), wire.read_usage(response.usage, response.service_tier)
    )


class EventDecoder:
    """``StreamDecoder``: complete once ``response.completed`` or ``response.incomplete`` was read.

    Text counts once. It comes as deltas, again when a part is done, again with its item, and again at the end. What an earlier event
    has left out is taken from the later one, and what a later one says otherwise is another text: so nothing passes the guards unread.
    """

    __slots__ = ("_feed", "_said", "_seen", "done", "failure")

    def __init__(self, max_event_bytes: int) -> None:
        self._feed = SseParser(max_event_bytes).feed
        self._seen: dict[tuple[int, int], list[str]] = {}
        """The pieces of each content part that have come."""
        self._said: list[str] = []
        """All of them, in the order in which they came."""
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
                raw = event.text if chat.is_given(event.text) else event.refusal
                return Event(payload, self._rest(event.output_index, event.content_index, wire.decode_string(raw)))
            if kind in _PARTS:
                return Event(payload, self._rest(event.output_index, event.content_index, wire.part_text(event.part)))
            if kind in _ITEMS:
                return Event(payload, self._item(event))
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
        if text:
            self._pieces(event.output_index, event.content_index).append(text)
            self._said.append(text)
        return Event(payload, ((0, text),) if text else ())

    def _pieces(self, output_index: int, content_index: int) -> list[str]:
        place = (output_index, content_index)
        pieces = self._seen.get(place)
        if pieces is None:
            if len(self._seen) >= _MOST_PARTS:
                raise GatewayError(UPSTREAM_INVALID, f"the provider sent more than {_MOST_PARTS} content parts")
            pieces = self._seen[place] = []
        return pieces

    def _rest(self, output_index: int, content_index: int, text: str) -> tuple[tuple[int, str], ...]:
        """What a text of a part says that has not come yet."""
        if not text:
            return ()
        pieces = self._pieces(output_index, content_index)
        rest = _unread("".join(pieces), text)
        if rest:
            pieces[:] = [text]
            self._said.append(rest)
        return ((0, rest),) if rest else ()

    def _item(self, event: wire.StreamEvent) -> tuple[tuple[int, str], ...]:
        texts = wire.item_texts(event.item)
        return tuple([said for i, text in enumerate(texts) for said in self._rest(event.output_index, i, text)])

    def _end(self, payload: bytes, event: wire.StreamEvent) -> Event:
        response = wire.decode_response(event.response)
        # By what came: parts may have come in another order than they stand in.
        text, read = wire.text_of(response), "".join(self._said)
        rest = "" if text == "".join(["".join(self._seen[place]) for place in sorted(self._seen)]) else _unread(read, text)
        self.done = True
        return Event(
            payload,
            ((0, rest),) if rest else (),
            wire.finish_of(response),
            wire.read_usage(response.usage, response.service_tier),
        )


def _unread(read: str, text: str) -> str:
    """What is new in a text: what follows what was read, or all of it where it is another one."""
    return text.removeprefix(read)


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
