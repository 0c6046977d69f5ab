"""The way to the collector: batches, a bounded queue, and an end that waits for nobody."""

import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from gateway.telemetry.traces.outbox import MAX_BATCH, MAX_QUEUED, Outbox
from tests.conftest import PATIENCE, until

NEVER_S = 3600.0


class Exporter(SpanExporter):
    """Takes batches while ``open`` is set; ``fails`` says how it answers."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.batches: list[int] = []
        self.fails: Exception | bool = False
        self.ended = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.open.wait()
        self.batches.append(len(spans))
        if isinstance(self.fails, Exception):
            raise self.fails
        return SpanExportResult.FAILURE if self.fails else SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.ended = True
        self.open.set()


@pytest.fixture
def exporter() -> Exporter:
    return Exporter()


@pytest.fixture
async def outbox(exporter: Exporter) -> AsyncIterator[Outbox]:
    outbox = Outbox(exporter, NEVER_S)
    yield outbox
    await outbox.close(0.0)
    outbox._thread.join(PATIENCE)
    assert not outbox._thread.is_alive()


def some(count: int) -> list[ReadableSpan]:
    return [ReadableSpan("span")] * count


async def test_a_full_batch_goes_at_once_and_the_rest_with_the_end(exporter: Exporter, outbox: Outbox) -> None:
    outbox.put(some(MAX_BATCH + 3))
    await until(lambda: outbox.exported == MAX_BATCH + 3)
    outbox.put(some(2))
    await outbox.close(PATIENCE)
    assert exporter.ended
    assert exporter.batches == [MAX_BATCH, 3, 2]
    assert (outbox.exported, outbox.dropped) == (MAX_BATCH + 5, 0)


async def test_less_than_a_batch_goes_when_it_is_time(exporter: Exporter) -> None:
    outbox = Outbox(exporter, 0.01)
    outbox.put(some(1))
    await until(lambda: outbox.exported == 1)
    await outbox.close(PATIENCE)


async def test_a_queue_that_is_full_takes_no_half_traces(exporter: Exporter, outbox: Outbox) -> None:
    exporter.open.clear()
    outbox.put(some(MAX_BATCH))
    await until(lambda: not outbox._waiting)  # the thread holds them, and waits for the collector
    outbox.put(some(MAX_QUEUED - 1))
    outbox.put(some(2))
    assert outbox.dropped == 2
    outbox.put(some(1))
    assert outbox.dropped == 2
    exporter.open.set()
    await until(lambda: outbox.exported == MAX_BATCH + MAX_QUEUED)


@pytest.mark.parametrize("how", [True, RuntimeError("no")])
async def test_what_the_collector_does_not_take_is_counted_and_told_once(
    exporter: Exporter, outbox: Outbox, how: Any, caplog: pytest.LogCaptureFixture
) -> None:
    exporter.fails = how
    for count in (1, 2):
        outbox.put(some(MAX_BATCH))
        await until(lambda count=count: outbox.dropped == count * MAX_BATCH)
    exporter.fails = False
    outbox.put(some(MAX_BATCH))
    await until(lambda: outbox.exported == MAX_BATCH)
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert told == ["the collector of traces takes no spans", "the collector of traces takes spans again"]


async def test_the_end_waits_for_no_collector(exporter: Exporter, outbox: Outbox) -> None:
    exporter.open.clear()
    outbox.put(some(MAX_BATCH))
    await until(lambda: not outbox._waiting)
    outbox.put(some(5))
    await outbox.close(0.0)
    assert exporter.ended
    await until(lambda: outbox.dropped == 5)
    outbox.put(some(1))
    assert outbox.dropped == 6
