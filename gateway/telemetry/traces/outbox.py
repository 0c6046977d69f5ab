"""Spans on their way to the collector: a bounded queue, and a thread that sends batches. The event loop never waits for it."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

MAX_QUEUED = 4096
"""Spans that may wait: some 300 calls, or a few megabytes. More means that the collector cannot keep up, and are dropped."""
MAX_BATCH = 256
"""Spans per request: encoding them holds the interpreter some milliseconds, and a smaller batch shares it sooner."""
EVERY_S = 2.0
"""Between two looks at a queue that holds less than a batch: a trace is found soon after its call."""
_LOOK_S = 0.02
"""Between two looks at whether a closing queue is empty."""

_log = logging.getLogger("gateway.traces")


class Outbox:
    """Sends spans by ``exporter``, which may take its time: its thread is ours."""

    def __init__(self, exporter: SpanExporter, every_s: float = EVERY_S) -> None:
        self._exporter = exporter
        self._every_s = every_s
        self._waiting: deque[ReadableSpan] = deque()
        self._wake = threading.Event()
        self._closing = self._abandoned = False
        self._sent = self._failed = self._refused = 0
        self._well = True
        # A daemon: a collector that does not answer must not keep a worker from ending.
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    @property
    def exported(self) -> int:
        """Spans that the collector took."""
        return self._sent

    @property
    def dropped(self) -> int:
        """Spans that found the queue full, or that the collector could not be given."""
        return self._failed + self._refused

    def put(self, spans: Sequence[ReadableSpan]) -> None:
        """Take a call's spans, all or none: half a trace misleads."""
        if self._closing or len(self._waiting) + len(spans) > MAX_QUEUED:
            self._refused += len(spans)
            return
        self._waiting.extend(spans)
        if len(self._waiting) >= MAX_BATCH:
            self._wake.set()

    async def close(self, seconds: float) -> None:
        """Send what waits, for at most so many seconds; what is left then counts as dropped."""
        self._closing = True
        self._wake.set()
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        while self._thread.is_alive() and loop.time() < ends:  # noqa: ASYNC110 - the end of a thread, once per process
            await asyncio.sleep(_LOOK_S)
        self._abandoned = True
        self._exporter.shutdown()

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(self._every_s)
            self._wake.clear()
            self._empty()
        self._empty()  # what came between the last look and the wish to close

    def _empty(self) -> None:
        while self._waiting:
            self._send()

    def _send(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
        try:
            taken = not self._abandoned and self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception:  # noqa: BLE001 - whatever a library raises, the thread goes on
            _log.exception("spans cannot be sent")
            taken = False
        if taken:
            self._sent += len(batch)
        else:
            self._failed += len(batch)
        if taken is not self._well and not self._abandoned:
            self._well = taken
            _log.warning("the collector of traces takes spans again" if taken else "the collector of traces takes no spans")
