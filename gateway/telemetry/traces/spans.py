"""journal -> spans: the call, its phases, its attempts. Made when the call has ended, so nothing is made while it runs."""

from collections.abc import Mapping

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from gateway.core.errors import KINDS
from gateway.core.forward import FORWARDED
from gateway.core.journal import PHASES, Journal
from gateway.core.trace import Trace
from gateway.telemetry.traces.attributes import Attributes, failure_of, of_attempt, of_call, operation, safe

FORWARDED_PHASES = ("queue", "authenticate", "route")
"""What is timed of forwarded calls; the third is everything from reading the body to knowing where it goes."""
FIRST_PHASE = 4096
"""Number of the first phase's span, far above those of attempts, which are counted from 1."""
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_FINE, _FAILED = Status(StatusCode.UNSET), Status(StatusCode.ERROR)


class SpanMaker:
    """Makes the spans of calls. ``vendors``: what the conventions call the provider behind each account."""

    def __init__(self, resource: Resource, version: str, vendors: Mapping[str, str]) -> None:
        self._resource = resource
        self._scope = InstrumentationScope("promptgate", version)
        self._vendors = vendors

    def __call__(self, journal: Journal, trace: Trace, finished: float) -> list[ReadableSpan]:
        """The call's own span first. ``finished`` is monotonic seconds."""
        inbound = journal.inbound
        zero = inbound.started_ms * 1_000_000 - int(inbound.started * 1e9)
        root = _context(trace, trace.span_id, remote=False)
        parent = _context(trace, trace.parent_id, remote=True) if trace.parent_id else None

        def span(
            name: str,
            span_id: int,
            began: float,
            ended: float,
            kind: SpanKind,
            attributes: Attributes,
            *,
            failed: bool,
        ) -> ReadableSpan:
            own = span_id == trace.span_id
            return ReadableSpan(
                name,
                root if own else _context(trace, span_id, remote=False),
                parent if own else root,
                self._resource,
                attributes,
                kind=kind,
                status=_FAILED if failed else _FINE,
                start_time=zero + int(began * 1e9),
                end_time=zero + int(max(ended, began) * 1e9),
                instrumentation_scope=self._scope,
            )

        kind = KINDS.get(journal.outcome)
        failed = kind is not None and kind.status >= 500
        made = [
            span(
                f"promptgate {inbound.door}",
                trace.span_id,
                inbound.started,
                finished,
                SpanKind.SERVER,
                of_call(journal),
                failed=failed,
            )
        ]
        for number, (name, began, ended) in enumerate(_phases(journal, finished)):
            made.append(span(name, trace.child(FIRST_PHASE + number), began, ended, SpanKind.INTERNAL, {}, failed=False))
        streamed = journal.request is not None and journal.request.stream
        for attempt in trace.attempts:
            end = attempt.ended or (finished if streamed or attempt.answered is None else attempt.answered)
            made.append(
                span(
                    f"{operation(inbound.door)} {safe(attempt.model)}",
                    attempt.span_id,
                    attempt.began,
                    end,
                    SpanKind.CLIENT,
                    of_attempt(attempt, journal, self._vendors),
                    failed=failure_of(attempt, journal) is not None,
                )
            )
        return made


def _phases(journal: Journal, finished: float) -> list[tuple[str, float, float]]:
    """(name, began, ended) of every phase that was entered; the last one of a call that failed ends with the call."""
    names = FORWARDED_PHASES if journal.inbound.door in FORWARDED else PHASES
    ends = journal.laps[: len(names)]
    if journal.outcome in KINDS and len(ends) < len(names):
        ends = [*ends, finished]
    return list(zip(names, [journal.inbound.started, *ends], ends, strict=False))


def _context(trace: Trace, span_id: int, *, remote: bool) -> SpanContext:
    return SpanContext(trace.trace_id, span_id, remote, _SAMPLED, TraceState())
