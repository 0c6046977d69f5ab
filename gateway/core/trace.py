"""The trace that a call is part of: W3C Trace Context (Recommendation of November 2021), and what is remembered for its spans.

A call has a :class:`Trace` if its caller sent a ``traceparent``, or if it was sampled; all others have none, and pay for a test.
"""

import re
from collections.abc import Callable, Mapping

from msgspec import Struct, structs

from gateway.core.upstream import HttpRequest, Target

TRACEPARENT, TRACESTATE = b"traceparent", b"tracestate"
MAX_STATE = 512
"""Bytes of a ``tracestate`` that are passed on: what the Recommendation asks for at least. A longer one is left out as a whole."""
_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?")
_STATE = re.compile(rb"[\x20-\x7e\t]+")
SPAN_BITS = 63
"""Of the id of a call's own span: one fewer than it may have, so that those counted from it have no more than they may."""


class TracedAttempt(Struct, gc=False):
    """One attempt at a provider, as its span will tell of it. Times are monotonic seconds."""

    number: int
    provider: str
    """The account's name."""
    model: str
    base_url: str
    span_id: int
    began: float
    answered: float | None = None
    """When the first content was there, or the whole answer that was not streamed."""
    ended: float | None = None
    """When it failed or was cancelled; None for an attempt that answered."""
    error: str | None = None
    """The error's name; None for one that was cancelled."""
    status: int | None = None
    """The provider's HTTP status, where a failure has one."""


class Trace(Struct, gc=False):
    """What a call knows of the trace that it is part of."""

    trace_id: int
    parent_id: int
    """The caller's span; 0: the call begins the trace."""
    span_id: int
    """The call's own span; 0 where no spans are recorded of it."""
    sampled: bool
    """What those who are asked are told: that the trace is recorded somewhere."""
    state: bytes = b""
    """The caller's ``tracestate``, passed on as it came."""
    attempts: list[TracedAttempt] = []

    @property
    def recorded(self) -> bool:
        """Whether spans are made of this call."""
        return self.span_id != 0

    @property
    def name(self) -> str:
        """The trace id as 32 hex digits."""
        return f"{self.trace_id:032x}"

    @property
    def head(self) -> bytes:
        """The response header line ``traceresponse`` (W3C Trace Context level 2, draft): in which trace the call's span is found."""
        return b"traceresponse: %b\r\n" % self._parent(self.span_id)

    def child(self, number: int) -> int:
        """The id of the call's span with this number: the next ones of its own, so that chance is asked once per call."""
        return self.span_id + number

    def within(self, span_id: int) -> "Trace":
        """The trace of a call that this one makes for its own purposes, such as asking a model for a verdict."""
        if not self.recorded:
            return structs.replace(self, attempts=[])
        return Trace(self.trace_id, self.span_id, span_id or 1, self.sampled, self.state)

    def begin(self, number: int, target: Target, now: float) -> TracedAttempt:
        """Note an attempt that is about to be made."""
        span_id = self.child(len(self.attempts) + 1)
        begun = TracedAttempt(number, target.provider, target.model, target.base_url, span_id, now)
        self.attempts.append(begun)
        return begun

    def carried(self, request: HttpRequest) -> HttpRequest:
        """The request of the attempt that was begun last, with the headers that make its provider's spans part of the trace.

        A request that is no attempt, and so has no span, belongs to the caller's.
        """
        return self._under(self.attempts[-1].span_id if self.recorded and self.attempts else self.parent_id, request)

    def asked(self, request: HttpRequest) -> HttpRequest:
        """A question of the call itself to somebody who is no provider: under the call's own span, whatever attempts are under way."""
        return self._under(self.span_id or self.parent_id, request)

    def _under(self, parent: int, request: HttpRequest) -> HttpRequest:
        if not parent:
            return request
        headers = (*request.headers, (TRACEPARENT, self._parent(parent)))
        if self.state:
            headers = (*headers, (TRACESTATE, self.state))
        return structs.replace(request, headers=headers)

    def _parent(self, span_id: int) -> bytes:
        return b"00-%032x-%016x-%02x" % (self.trace_id, span_id, self.sampled)


class Sampler:
    """Decides which calls are recorded: what the caller's trace says, else a share of the calls.

    ``ratio`` from 0 to 1. As OpenTelemetry's ``ParentBased(TraceIdRatioBased)``: the share is decided by the trace id's low 64 bits.
    """

    def __init__(self, ratio: float, random_bits: Callable[[int], int]) -> None:
        self._bound = round(ratio * (1 << 64))
        self._random_bits = random_bits

    def trace(self, headers: Mapping[bytes, bytes]) -> Trace | None:
        """The call's trace. None: it is not sampled, and nobody asked."""
        trace = given(headers)
        if trace is not None:
            if trace.sampled:
                trace.span_id = self._random_bits(SPAN_BITS) or 1
            return trace
        low = self._random_bits(64)
        if low >= self._bound:
            return None
        trace_id = self._random_bits(64) << 64 | low
        return Trace(trace_id or 1, 0, self._random_bits(SPAN_BITS) or 1, sampled=True)


def given(headers: Mapping[bytes, bytes]) -> Trace | None:
    """The trace that the caller's headers name, for passing on. A broken ``traceparent`` counts as absent: so the W3C wants it."""
    found = _PARENT.fullmatch(headers.get(TRACEPARENT, b"").strip())
    if found is None:
        return None
    version, trace_id, parent_id, more = found[1], int(found[2], 16), int(found[3], 16), found[5]
    if version == b"ff" or not trace_id or not parent_id or (version == b"00" and more is not None):
        return None
    state = headers.get(TRACESTATE, b"")
    state = state if len(state) <= MAX_STATE and _STATE.fullmatch(state) else b""
    return Trace(trace_id, parent_id, 0, bool(int(found[4], 16) & 1), state)
