"""Settings -> tracing, where it is set up: who samples calls, and who makes spans of them when they have ended."""

import logging
import socket
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import unquote

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource

from gateway.core.journal import Journal
from gateway.settings import Traces
from gateway.telemetry.traces.outbox import Outbox
from gateway.telemetry.traces.spans import SpanMaker

EXPORT_S = 5.0
"""Of one batch with its repetitions: longer only lets the queue run over."""
FLUSH_S = 3.0
"""How long an ending worker goes on sending; the ledger drains beside it."""

_log = logging.getLogger("gateway.traces")


class Counting(Protocol):
    """Who is told of ended calls: the metrics."""

    def observe(self, journal: Journal, finished: float) -> None:
        """A call has ended at ``finished`` (monotonic seconds)."""
        ...


class Tracing:
    """An observer that tells another one, and then makes spans of the calls that are recorded."""

    def __init__(self, counting: Counting, spans: SpanMaker, outbox: Outbox) -> None:
        self._counting = counting
        self._spans = spans
        self._outbox = outbox

    @property
    def exported(self) -> int:
        """Spans that the collector took."""
        return self._outbox.exported

    @property
    def dropped(self) -> int:
        """Spans that were lost."""
        return self._outbox.dropped

    def observe(self, journal: Journal, finished: float) -> None:
        """See ``Observer.observe``. Never raises."""
        self._counting.observe(journal, finished)
        trace = journal.inbound.trace
        if trace is None or not trace.recorded:
            return
        try:
            self._outbox.put(self._spans(journal, trace, finished))
        except Exception:  # noqa: BLE001 - a trace is not worth a call
            _log.exception("no spans can be made of a call", extra={"call_id": journal.inbound.call_id, "trace_id": trace.name})

    async def close(self) -> None:
        """Send what waits, within a bound."""
        await self._outbox.close(FLUSH_S)


def open_tracing(traces: Traces, counting: Counting, *, slot: int, version: str, vendors: Mapping[str, str]) -> Tracing:
    """Tracing to the collector of the settings. ``vendors``: the kind's name by the conventions, per provider account."""
    resource = Resource.create(
        {
            "service.name": traces.service_name,
            "service.version": version,
            "service.instance.id": f"{socket.gethostname()}-{slot}",
        }
    )
    return Tracing(counting, SpanMaker(resource, version, vendors), Outbox(_exporter(traces)))


def _exporter(traces: Traces) -> OTLPSpanExporter:
    session = requests.Session()
    session.trust_env = False  # no proxies, no .netrc: the collector is where the settings say
    return OTLPSpanExporter(
        endpoint=f"{traces.endpoint.rstrip('/')}/v1/traces",
        certificate_file=traces.ca_file or None,
        headers=headers_of(traces.headers),
        timeout=EXPORT_S,
        compression=Compression.Gzip,
        session=session,
    )


def headers_of(text: str) -> dict[str, str]:
    """``name=value`` pairs with commas between, values percent-encoded."""
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    return {name: unquote(value) for name, _, value in pairs}
