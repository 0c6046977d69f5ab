"""A journal as spans: ids, times, what they say, and what they never say."""

from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.trace import SpanKind

from gateway.core.events import Usage
from gateway.core.journal import PHASES, Bill, PromptFacts
from gateway.core.limits import Spent
from gateway.core.upstream import Target
from gateway.telemetry.traces.attributes import LONGEST, vendor

TARGET = Target("own", "gemini-x", "https://example.test/v1", "sk-secret")
LAPS = [100.5 + number for number in range(len(PHASES))]


def began(making: Any, number: int = 1, at: float = 102.0, target: Target = TARGET) -> Any:
    return making.trace.begin(number, target, at)


def test_a_call_and_its_phases(making: Any) -> None:
    spans = making.spans(laps=LAPS)
    root = spans["promptgate chat"]
    assert (root.kind, root.context.span_id, root.parent.span_id) == (SpanKind.SERVER, 0x1000, 0x1)
    assert (root.start_time, root.end_time) == (1_760_000_000_000_000_000, 1_760_000_010_000_000_000)
    assert set(spans) == {"promptgate chat", *PHASES}
    assert {spans[name].parent.span_id for name in PHASES} == {0x1000}
    assert len({span.context.span_id for span in spans.values()}) == len(PHASES) + 1
    assert spans["queue"].end_time - spans["queue"].start_time == 500_000_000
    assert spans["authenticate"].start_time == spans["queue"].end_time


def test_a_call_without_a_caller_of_its_trace_has_no_parent(making: Any) -> None:
    making.trace.parent_id = 0
    assert making.spans()["promptgate chat"].parent is None


def test_the_phase_in_which_a_call_failed_ends_with_it(making: Any) -> None:
    spans = making.spans(laps=LAPS[:2], outcome="unknown_prompt", status=404)
    assert [name for name in PHASES if name in spans] == ["queue", "authenticate", "resolve"]
    assert spans["resolve"].end_time == spans["promptgate chat"].end_time
    root = spans["promptgate chat"]
    assert root.status.is_ok  # it is the caller's own fault, so the server did not fail (semantic conventions of HTTP)
    assert (root.attributes["error.type"], root.attributes["http.response.status_code"]) == ("unknown_prompt", 404)
    assert not making.spans(outcome="internal", status=500)["promptgate chat"].status.is_ok


def test_forwarded_calls_have_their_own_phases(making: Any) -> None:
    making.door = "embeddings"
    began(making)
    spans = making.spans(laps=LAPS[:3], attempts=1)
    assert set(spans) == {"promptgate embeddings", "queue", "authenticate", "route", "embeddings gemini-x"}


@pytest.mark.parametrize("stream", [False, True])
def test_the_attempt_that_answered_says_what_was_used(making: Any, stream: bool) -> None:
    making.stream = stream
    began(making).answered = 104.0
    usage = Usage(11, 5, cached=3, reasoning=2, cache_write=1)
    span = making.spans(attempts=1, attempt=1, usage=usage, finish="stop")["chat gemini-x"]
    assert (span.kind, span.parent.span_id, span.context.span_id) == (SpanKind.CLIENT, 0x1000, 0x1001)
    said = dict(span.attributes)
    assert (span.end_time - span.start_time) / 1e9 == (8.0 if stream else 2.0)
    assert said.get("gen_ai.response.time_to_first_chunk") == (2.0 if stream else None)
    assert (
        said
        | {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "gcp.gemini",
            "gen_ai.request.model": "gemini-x",
            "gen_ai.response.finish_reasons": ("stop",),
            "gen_ai.usage.input_tokens": 11,
            "gen_ai.usage.output_tokens": 5,
            "gen_ai.usage.cache_read.input_tokens": 3,
            "gen_ai.usage.cache_creation.input_tokens": 1,
            "gen_ai.usage.reasoning.output_tokens": 2,
            "server.address": "example.test",
            "server.port": 443,
            "http.response.status_code": 200,
        }
        == said
    )
    assert "error.type" not in said


def test_failed_lost_and_cut_attempts(making: Any) -> None:
    first, lost, last = (began(making, number, target=Target("own", f"m{number}", "echo:", "")) for number in (1, 2, 3))
    first.ended, first.error, first.status = 103.0, "upstream_rate_limited", 429
    lost.ended = 104.0
    last.answered = 103.5
    spans = making.spans(attempts=3, attempt=3, outcome="upstream_incomplete", usage=Usage(1, 1))
    said = {name: spans[name].attributes for name in ("chat m1", "chat m2", "chat m3")}
    assert [each["error.type"] for each in said.values()] == ["upstream_rate_limited", "hedge_lost", "upstream_incomplete"]
    assert said["chat m1"]["http.response.status_code"] == 429
    assert "http.response.status_code" not in said["chat m2"]
    assert "server.address" not in said["chat m1"]
    assert ["gen_ai.usage.input_tokens" in each for each in said.values()] == [False, False, True]
    assert not any(spans[name].status.is_ok for name in said)


def test_an_attempt_whose_caller_left_has_the_calls_end(making: Any) -> None:
    began(making).ended = 105.0
    assert making.spans(attempts=1, attempt=1, outcome="client_gone")["chat gemini-x"].attributes["error.type"] == "client_gone"


def test_what_the_call_says(making: Any) -> None:
    prompt = PromptFacts(
        prompt_id="p", slug="faq", version=7, alias="production", content_hash="h", generation=1, variant="blue"
    )
    root = making.spans(
        prompt=prompt,
        bill=Bill(1_500_000_000, "exact"),
        aside=Spent(cost_nano=500_000_000),
        guard="pre:pii",
        usage_source="upstream",
    )
    assert dict(root["promptgate chat"].attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.request.stream": False,
        "gen_ai.prompt.name": "faq",
        "http.response.status_code": 200,
        "promptgate.call_id": "call-1",
        "promptgate.outcome": "ok",
        "promptgate.attempts": 0,
        "promptgate.application": "demo",
        "promptgate.prompt.version": 7,
        "promptgate.prompt.alias": "production",
        "promptgate.prompt.variant": "blue",
        "promptgate.guard": "pre:pii",
        "promptgate.usage_source": "upstream",
        "promptgate.cost_usd": 2.0,
    }
    plain = PromptFacts(prompt_id="p", slug="faq", version=7, alias=None, content_hash="h", generation=1)
    said = making.spans(prompt=plain, caller=None, request=None)["promptgate chat"].attributes
    assert not {"promptgate.prompt.alias", "promptgate.application", "gen_ai.request.model"} & set(said)


def test_texts_from_outside_are_bounded_and_can_always_be_sent(making: Any) -> None:
    began(making, target=Target("own", "x" * 500 + "\ud800", "http://[bad", "")).answered = 103.0
    journal = making.journal(attempts=1, finish="stop\ud800", error="nobody may read this")
    journal.request.model = "\ud800" + "m" * 500
    spans = making.maker(journal, making.trace, 110.0)
    sent = encode_spans(spans).SerializeToString()
    assert b"x" * LONGEST in sent
    assert b"x" * (LONGEST + 1) not in sent
    for private in (b"sk-secret", b"nobody may read", b"user-1", b"session-1"):
        assert private not in sent


def test_vendors_have_the_names_of_the_conventions() -> None:
    assert [vendor(kind) for kind in ("openai", "azure", "bedrock", "vllm")] == [
        "openai",
        "azure.ai.openai",
        "aws.bedrock",
        "vllm",
    ]
