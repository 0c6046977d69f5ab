"""The observer: every call is counted, recorded ones become spans, and nothing that goes wrong with them reaches a call."""

from typing import Any

import pytest

from gateway.settings import Traces
from gateway.telemetry.traces.tracing import Tracing, headers_of, open_tracing


class Counted:
    def __init__(self) -> None:
        self.calls: list[float] = []

    def observe(self, journal: Any, finished: float) -> None:
        self.calls.append(finished)


class Kept:
    exported, dropped = 3, 4

    def __init__(self) -> None:
        self.spans: list[Any] = []

    def put(self, spans: Any) -> None:
        self.spans.extend(spans)


def test_only_recorded_calls_become_spans(making: Any) -> None:
    counted, kept = Counted(), Kept()
    tracing = Tracing(counted, making.maker, kept)  # type: ignore[arg-type]
    journal = making.journal()
    tracing.observe(journal, 101.0)
    assert [span.name for span in kept.spans] == ["promptgate chat"]
    making.trace.span_id = 0
    tracing.observe(journal, 102.0)
    journal.inbound.trace = None
    tracing.observe(journal, 103.0)
    assert counted.calls == [101.0, 102.0, 103.0]
    assert len(kept.spans) == 1
    assert (tracing.exported, tracing.dropped) == (3, 4)


def test_a_call_does_not_fail_for_its_spans(making: Any, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no")

    counted = Counted()
    Tracing(counted, broken, Kept()).observe(making.journal(), 101.0)  # type: ignore[arg-type]
    assert counted.calls == [101.0]
    assert "no spans can be made of a call" in caplog.text


async def test_it_is_made_from_settings() -> None:
    settings = Traces(endpoint="http://127.0.0.1:9", headers="authorization=Basic%20eA==,x-a=1", service_name="mine")
    tracing = open_tracing(settings, Counted(), slot=2, version="1.0", vendors={})
    assert tracing._spans._resource.attributes["service.name"] == "mine"
    assert str(tracing._spans._resource.attributes["service.instance.id"]).endswith("-2")
    exporter: Any = tracing._outbox._exporter
    assert exporter._endpoint == "http://127.0.0.1:9/v1/traces"
    await tracing.close()


def test_headers_are_pairs_with_encoded_values() -> None:
    assert headers_of("") == {}
    assert headers_of("authorization=Basic%20eA==,x-a=") == {"authorization": "Basic eA==", "x-a": ""}
