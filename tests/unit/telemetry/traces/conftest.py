"""A journal of a call that ended, and spans by name."""

from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan

from gateway.core.journal import Journal
from gateway.core.requests import Caller, ChatRequest, Inbound
from gateway.core.trace import Trace
from gateway.telemetry.traces.spans import SpanMaker

STARTED_MS = 1_760_000_000_000


class Making:
    """``spans(**journal fields)``: what is made of a call that began at 100.0 and ended at 110.0."""

    def __init__(self) -> None:
        self.trace = Trace(0xABC, 0x1, 0x1000, sampled=True)
        self.door = "chat"
        self.stream = False
        self.maker = SpanMaker(Resource({"service.name": "test"}), "1.0", {"own": "gcp.gemini"})

    def journal(self, **fields: Any) -> Journal:
        inbound = Inbound(self.door, {}, b"", "call-1", "req-1", STARTED_MS, 100.0, 700.0, trace=self.trace)
        request = ChatRequest("m", None, {}, (), self.stream, False, 1, None, "user-1", "session-1", ("tag",), {})
        journal = Journal(inbound, Caller("app", "demo", "key", "pub", None, None), request)
        for name, value in fields.items():
            setattr(journal, name, value)
        return journal

    def spans(self, **fields: Any) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.maker(self.journal(**fields), self.trace, 110.0)}


@pytest.fixture
def making() -> Making:
    return Making()
