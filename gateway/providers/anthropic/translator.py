"""``Translator`` for Anthropic and every server that speaks its Messages API."""

from collections.abc import Callable, Mapping

from gateway.core.errors import GatewayError
from gateway.core.events import Event
from gateway.core.upstream import CHAT, MESSAGES, HttpRequest, StreamDecoder, Target, UpstreamCall
from gateway.providers.anthropic import answers, failures, requests
from gateway.providers.anthropic.streams import ChatDecoder, NativeDecoder
from gateway.wire import anthropic as wire
from gateway.wire.openai import DECODE_ERRORS
from gateway.wire.sse import MAX_EVENT_BYTES

_JSON = (b"content-type", b"application/json")


class AnthropicTranslator:
    """Pure. ``max_event_bytes`` bounds one event of a stream; ``now`` tells the seconds since the epoch, which chat answers carry."""

    speaks = frozenset({CHAT, MESSAGES})
    stream_type = b"text/event-stream"

    def __init__(self, now: Callable[[], int], max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._now = now
        self._max_event_bytes = max_event_bytes

    def request(self, target: Target, call: UpstreamCall) -> HttpRequest:
        """``POST /messages``. Raises ``malformed`` naming a field that has no form there."""
        return HttpRequest("/messages", _headers(target, call), requests.encoded(call))

    def count_request(self, target: Target, call: UpstreamCall) -> HttpRequest:
        """``POST /messages/count_tokens`` for the input of a call."""
        return HttpRequest("/messages/count_tokens", _headers(target, call), requests.encoded_for_counting(call))

    def counted(self, body: bytes) -> int:
        """The answer to :meth:`count_request`. Raises ``upstream_invalid``."""
        try:
            return wire.decode_token_count(body).input_tokens
        except DECODE_ERRORS as error:
            raise failures.broken("gave no token count", error, body) from None

    def answer(self, body: bytes, dialect: str, model: str = "") -> Event:
        """The whole answer: its bytes untouched, or as a chat completion."""
        del model
        return answers.event_of(body, dialect, self._now())

    def decoder(self, dialect: str, model: str = "") -> StreamDecoder:
        """A reader for one stream."""
        del model
        if dialect == CHAT:
            return ChatDecoder(self._max_event_bytes, self._now())
        return NativeDecoder(self._max_event_bytes)

    def failure(self, target: Target, status: int, headers: Mapping[bytes, bytes], body: bytes) -> GatewayError:
        """By status and structured fields only."""
        return failures.refusal(target, status, headers, body)


def _headers(target: Target, call: UpstreamCall) -> tuple[tuple[bytes, bytes], ...]:
    made = [_JSON, (b"anthropic-version", call.headers.get(b"anthropic-version", wire.VERSION))]
    if b"anthropic-beta" in call.headers:
        made.append((b"anthropic-beta", call.headers[b"anthropic-beta"]))
    if target.api_key:
        made.append((b"x-api-key", target.api_key.encode()))
    return tuple(made)
