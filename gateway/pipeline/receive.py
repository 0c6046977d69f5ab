"""bytes, headers -> Inbound: ids and the deadline are fixed, the body is still raw."""

from collections.abc import Callable

from gateway.core.errors import MALFORMED, UNSUPPORTED, GatewayError
from gateway.core.ids import IdSequence
from gateway.core.requests import Inbound
from gateway.core.trace import TRACEPARENT, TRACESTATE, Sampler, given

KNOWN_HEADERS = frozenset(
    {
        b"anthropic-beta",
        b"anthropic-version",
        b"authorization",
        b"cache-control",
        b"content-type",
        b"content-encoding",
        b"idempotency-key",
        TRACEPARENT,
        TRACESTATE,
        b"x-api-key",
        b"x-first-token-timeout-ms",
        b"x-prompt",
        b"x-prompt-alias",
        b"x-prompt-unit",
        b"x-prompt-variant",
        b"x-prompt-version",
        b"x-request-id",
        b"x-request-timeout-ms",
        b"x-session-id",
        b"x-tags",
    }
)
"""Request headers that mean something to the data plane; all others are dropped at the door."""

_SAYING = KNOWN_HEADERS - {b"anthropic-version", b"authorization", b"content-type", b"x-api-key"}
"""Those that nearly no call has."""
_JSON = b"application/json"
_TIMEOUTS = (b"x-request-timeout-ms", b"x-first-token-timeout-ms")
_OWN = frozenset((b"x-request-id", b"x-request-timeout-ms", TRACEPARENT))
"""What callers may fix of what :meth:`Receiver.receive` fixes."""
_JUDGED = frozenset((b"content-encoding", *_TIMEOUTS))
"""Headers that may be wrong whatever the body is."""

MAX_REQUEST_ID = 128
"""Bytes of a caller's request id; a longer or odd one is replaced, never cut."""


class Receiver:
    """Makes Inbounds: holds the clocks, the randomness and the longest time a call may take (seconds).

    ``sampler`` decides which calls are traced; None: none is, and what callers send is only passed on.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        wall_ms: Callable[[], int],
        random_bits: Callable[[int], int],
        longest: float,
        sampler: Sampler | None = None,
    ) -> None:
        self._clock = clock
        self._wall_ms = wall_ms
        self._ids = IdSequence(random_bits)
        self._longest = longest
        self._sampler = sampler

    def request_id(self, headers: dict[bytes, bytes]) -> str:
        """The id to answer with when no call is made of a request."""
        return _given_id(headers) or self._ids.next(self._wall_ms())

    def receive(self, door: str, headers: dict[bytes, bytes], body: bytes, query: str = "", *, bare: bool = False) -> Inbound:
        """Fix ids, start and deadline. Never raises: what is wrong with the headers is told by :func:`check`.

        ``bare``: :func:`is_bare` has been asked, and they are.
        """
        started = self._clock()
        started_ms = self._wall_ms()
        request_id = call_id = self._ids.next(started_ms)
        longest = self._longest
        trace = None if self._sampler is None else self._sampler.trace(headers)
        if not bare and not _OWN.isdisjoint(headers):
            request_id = _given_id(headers) or call_id
            asked = headers.get(b"x-request-timeout-ms")
            if asked is not None and asked.isdigit() and len(asked) < 10:
                longest = min(longest, int(asked) / 1000)
            if self._sampler is None:
                trace = given(headers)
        return Inbound(door, headers, body, call_id, request_id, started_ms, started, started + longest, query, trace, bare)


def _given_id(headers: dict[bytes, bytes]) -> str | None:
    given = headers.get(b"x-request-id")
    if given is None or not 0 < len(given) <= MAX_REQUEST_ID or not given.isascii():
        return None
    text = given.decode()
    return text if text.isprintable() and " " not in text else None


def is_bare(headers: dict[bytes, bytes]) -> bool:
    """Whether headers say nothing of a call but who makes it and that its body is JSON."""
    return headers.get(b"content-type", _JSON) == _JSON and _SAYING.isdisjoint(headers)


def check(inbound: Inbound) -> None:
    """Headers that forbid reading the body. Raises ``unsupported``, ``malformed``."""
    if inbound.bare:
        return
    if not inbound.headers.get(b"content-type", _JSON).startswith(_JSON):
        raise GatewayError(UNSUPPORTED, "content-type: send application/json", param="content-type")
    if not _JUDGED.isdisjoint(inbound.headers):
        check_any(inbound)


def check_any(inbound: Inbound) -> None:
    """The same where a body may be something else than JSON."""
    headers = inbound.headers
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise GatewayError(
            UNSUPPORTED, "content-encoding: compressed request bodies are not accepted", param="content-encoding"
        )
    for name in _TIMEOUTS:
        asked = headers.get(name)
        if asked is not None and not (asked.isdigit() and 0 < len(asked) < 10 and int(asked) > 0):
            raise GatewayError(MALFORMED, f"{name.decode()}: a positive whole number of milliseconds", param=name.decode())
