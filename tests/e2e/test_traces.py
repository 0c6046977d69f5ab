"""Traces in the real program: a collector that reads what it is sent, and two providers of which the first fails."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway.core.journal import PHASES
from tests.e2e.collector import Collector, Span, collecting
from tests.e2e.openai_upstream import OpenAIUpstream
from tests.e2e.test_resilience import eventually

ROOT = Path(__file__).parents[2]
CHAT = "/v1/chat/completions"
PARENT = "00f067aa0ba902b7"
SECRET = "nobody-may-read-this"
PROVIDERS = """
[providers.broken]
kind = "openai"
base_url = "{broken}"
api_key = "sk-upstream"
[providers.works]
kind = "mistral"
base_url = "{works}"
api_key = "sk-upstream"
[[routes]]
models = ["lost"]
targets = [{{ provider = "broken" }}]
[[routes]]
models = ["embed"]
targets = [{{ provider = "works" }}]
[[routes]]
models = ["*"]
targets = [{{ provider = "broken" }}, {{ provider = "works" }}]
"""
SERVER, CLIENT, INTERNAL = 2, 3, 1


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def upstreams() -> Iterator[tuple[OpenAIUpstream, OpenAIUpstream]]:
    with OpenAIUpstream() as broken, OpenAIUpstream() as works:
        broken.fail[CHAT] = (500, {})
        frame = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        works.chat = lambda body: [
            {**frame, "choices": [{"index": 0, "delta": {"role": "assistant", "content": SECRET}, "finish_reason": None}]},
            {**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {**frame, "choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}},
        ]
        yield broken, works


@pytest.fixture(scope="module")
def gateway(
    start_gateway: Callable[..., Any],
    upstreams: tuple[OpenAIUpstream, OpenAIUpstream],
    collector: Collector,
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    folder = tmp_path_factory.mktemp("traces") / "config"
    shutil.copytree(ROOT / "config", folder)
    broken, works = upstreams
    (folder / "providers.toml").write_text(PROVIDERS.format(broken=broken.url, works=works.url))
    return start_gateway(
        PROMPTGATE_CONFIG=str(folder),
        PROMPTGATE_TRACES_ENDPOINT=collector.url,
        PROMPTGATE_TRACES_HEADERS="x-tenant=one%20two",
        PROMPTGATE_TRACES_SAMPLE_RATIO="0",
        PROMPTGATE_TRACES_SERVICE_NAME="gateway-under-test",
    )


def ask(gateway: Any, trace: str, body: dict[str, Any], path: str = CHAT, flags: str = "01", **headers: str) -> httpx.Response:
    with gateway.client() as client:
        return client.post(path, json=body, headers={"traceparent": f"00-{trace}-{PARENT}-{flags}", **headers})


def collected(collector: Collector, trace: str, root: str) -> dict[str, Span]:
    """The spans of a trace, once the call's own is there: it travels with the others."""
    eventually(lambda: root in collector.of(trace))
    return collector.of(trace)


def test_a_streamed_prompt_call_is_a_span_of_the_callers_trace(
    gateway: Any, collector: Collector, upstreams: tuple[OpenAIUpstream, OpenAIUpstream]
) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    body = {"model": "faq-bot", "stream": True, "prompt": {"id": "faq-bot", "variables": {"question": SECRET}}, "messages": []}
    answer = ask(gateway, trace, body, tracestate="vendor=1")
    assert answer.text.endswith("data: [DONE]\n\n"), answer.text
    spans = collected(collector, trace, "promptgate chat")
    root = spans["promptgate chat"]
    assert (root.kind, root.parent_id, root.failed) == (SERVER, PARENT, False)
    assert answer.headers["traceresponse"] == f"00-{trace}-{root.span_id}-01"
    told = root.attributes
    assert told["gen_ai.prompt.name"] == "faq-bot"
    assert (told["promptgate.prompt.alias"], told["promptgate.application"]) == ("production", "demo")
    assert (told["promptgate.prompt.version"], told["promptgate.attempts"], told["http.response.status_code"]) == (1, 2, 200)
    assert root.resource["service.name"] == "gateway-under-test"

    phases = [span for span in collector.spans if span.trace_id == trace and span.kind == INTERNAL]
    assert sorted(span.name for span in phases) == sorted(PHASES)
    assert all(span.parent_id == root.span_id and root.began <= span.began <= span.ended <= root.ended for span in phases)

    attempts = [span for span in collector.spans if span.trace_id == trace and span.kind == CLIENT]
    first, second = sorted(attempts, key=lambda span: span.attributes["promptgate.attempt"])
    assert {first.parent_id, second.parent_id} == {root.span_id}
    assert (first.failed, first.attributes["error.type"]) == (True, "upstream_error")
    assert (first.attributes["promptgate.provider"], first.attributes["http.response.status_code"]) == ("broken", 500)
    assert (
        second.attributes
        | {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "mistral_ai",
            "gen_ai.usage.input_tokens": 11,
            "gen_ai.usage.output_tokens": 5,
            "gen_ai.response.finish_reasons": ["stop"],
            "server.port": upstreams[1].port,
        }
        == second.attributes
    )
    assert second.attributes["gen_ai.response.time_to_first_chunk"] > 0
    for upstream, span in zip(upstreams, (first, second), strict=True):
        sent = upstream.last.headers
        assert sent["traceparent"] == f"00-{trace}-{span.span_id}-01"
        assert sent["tracestate"] == "vendor=1"

    path, headers, _ = collector.requests[0]
    assert (path, headers["x-tenant"], headers["content-encoding"]) == ("/v1/traces", "one two", "gzip")
    everything = b"".join(payload for _, _, payload in collector.requests)
    assert SECRET.encode() not in everything
    assert gateway.api_key.encode() not in everything
    assert b"sk-upstream" not in everything


def test_what_the_caller_does_not_record_is_passed_on_and_not_recorded(
    gateway: Any, collector: Collector, upstreams: tuple[OpenAIUpstream, OpenAIUpstream]
) -> None:
    trace = "1" * 32
    answer = ask(gateway, trace, {"model": "embed", "input": "x"}, "/v1/embeddings", flags="00")
    assert answer.is_success, answer.text
    assert "traceresponse" not in answer.headers
    assert upstreams[1].last.headers["traceparent"] == f"00-{trace}-{PARENT}-00"
    with gateway.client() as client:
        assert client.post("/v1/embeddings", json={"model": "embed", "input": "x"}).is_success
    assert "traceparent" not in upstreams[1].last.headers
    ask(gateway, "2" * 32, {"model": "embed", "input": "x"}, "/v1/embeddings")
    collected(collector, "2" * 32, "promptgate embeddings")
    assert collector.of(trace) == {}


def test_a_forwarded_call_has_its_spans(
    gateway: Any, collector: Collector, upstreams: tuple[OpenAIUpstream, OpenAIUpstream]
) -> None:
    trace = "3" * 32
    answer = ask(gateway, trace, {"model": "embed", "input": SECRET}, "/v1/embeddings")
    spans = collected(collector, trace, "promptgate embeddings")
    assert {"queue", "authenticate", "route", "embeddings embed"} <= set(spans)
    asked = spans["embeddings embed"]
    assert (asked.kind, asked.failed, asked.attributes["gen_ai.usage.input_tokens"]) == (CLIENT, False, 8)
    assert upstreams[1].last.headers["traceparent"] == f"00-{trace}-{asked.span_id}-01"
    assert answer.headers["traceresponse"].split("-")[1] == trace


def test_a_call_that_fails_says_where_and_its_log_line_names_the_trace(gateway: Any, collector: Collector) -> None:
    trace = "5" * 32
    answer = ask(gateway, trace, {"model": "lost", "messages": [{"role": "user", "content": SECRET}]})
    assert (answer.status_code, answer.headers["traceresponse"].split("-")[1]) == (502, trace)
    spans = collected(collector, trace, "promptgate chat")
    root = spans["promptgate chat"]
    assert (root.failed, root.attributes["error.type"], root.attributes["http.response.status_code"]) == (
        True,
        "upstream_error",
        502,
    )
    assert spans["chat lost"].failed
    assert spans["call"].ended == root.ended
    assert "respond" not in spans
    lines = [msgspec.json.decode(line) for line in gateway.log.splitlines() if '"call failed"' in line]
    assert [line["kind"] for line in lines if line.get("trace_id") == trace] == ["upstream_error"]
    refused = ask(gateway, "6" * 32, {"model": "lost"}, authorization="Bearer nobody")
    assert refused.status_code == 401
    spans = collected(collector, "6" * 32, "promptgate chat")
    assert (spans["promptgate chat"].failed, spans["promptgate chat"].attributes["error.type"]) == (False, "unauthenticated")


def test_what_waits_is_sent_when_the_gateway_ends_and_is_counted(gateway: Any, collector: Collector) -> None:
    sent = len(collector.spans)

    def metric(name: str) -> float:
        text = httpx.get(f"{gateway.url}/metrics", trust_env=False).text
        return float(text.partition(f"\npromptgate_{name}_total ")[2].partition("\n")[0])

    eventually(lambda: metric("spans_exported") >= sent)
    assert metric("spans_dropped") == 0
    collector.status = 401
    assert ask(gateway, "8" * 32, {"model": "embed", "input": "x"}, "/v1/embeddings").is_success
    eventually(lambda: metric("spans_dropped") > 0)
    assert "code: 401" in gateway.log
    collector.status = 200
    ask(gateway, "7" * 32, {"model": "embed", "input": "x"}, "/v1/embeddings")
    assert gateway.stop() == 0
    assert "promptgate embeddings" in collector.of("7" * 32)
