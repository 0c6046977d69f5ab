"""What the benchmark makes of its measurements: ratios within a round, bars, phases."""

import math

import pytest

from loadtests import phases, work
from loadtests.figures import Verdict, added_ms, cpu_ratio, judge, latency_table, saturation_table
from loadtests.measure import Classed, LoadResult, Run


def _run(peer: str, cpu_us: float, p50: float = 100.0, p99: float = 200.0) -> Run:
    none = Classed(0)
    admitted = Classed(10, p50, p50, p99, p99, p99, p99)
    load = LoadResult(10, 1.0, 10.0, 10.0, admitted, none, none, none, {"200": 10}, 0, 0, 0, 0, 0, 0, 1, 10, 1, 0.1)
    return Run(peer, load, cpu_us, cpu_us, 0.0, 0.1, 0.1, 1.0, 0.0, 50.0)


def _verdict(name: str, figures: dict[str, float]) -> Verdict:
    return next(v for v in judge(figures) if v.name == name)


def test_a_ratio_is_taken_within_each_round_before_the_median() -> None:
    rounds = [
        {"nginx": _run("nginx", 10), "gateway": _run("gateway", 20)},
        {"nginx": _run("nginx", 100), "gateway": _run("gateway", 100)},
        {"nginx": _run("nginx", 10), "gateway": _run("gateway", 40)},
    ]
    assert cpu_ratio(rounds) == pytest.approx(0.5)


def test_added_latency_is_a_difference_within_each_round() -> None:
    rounds = [{"direct": _run("direct", 1, p50=50), "gateway": _run("gateway", 1, p50=base)} for base in (150, 250, 1050)]
    assert added_ms(rounds, "gateway", "p50_us") == pytest.approx(0.2)


@pytest.mark.parametrize(("value", "met"), [(0.25, True), (0.24, False), (math.nan, False)])
def test_a_bar_from_below(value: float, met: bool) -> None:
    assert _verdict("small.cpu_ratio", {"small.cpu_ratio": value}).met is met


@pytest.mark.parametrize(("value", "met"), [(0.40, True), (0.41, False), (math.nan, False)])
def test_a_bar_from_above(value: float, met: bool) -> None:
    assert _verdict("added.p50_ms", {"added.p50_ms": value}).met is met


def test_what_was_not_measured_is_not_missed() -> None:
    verdict = _verdict("rows.after_kill", {})
    assert verdict.met
    assert verdict.value is None


def test_tables_have_a_row_for_every_peer() -> None:
    rounds = [{"nginx": _run("nginx", 10), "gateway": _run("gateway", 20)}]
    for text in (saturation_table("t", rounds), latency_table("t", rounds)):
        lines = text.splitlines()
        assert lines[0] == "### t"
        assert [line.split("|")[1].strip() for line in lines[4:]] == ["nginx", "gateway"]
        assert len({line.count("|") for line in lines[2:]}) == 1


def test_phases_are_the_difference_of_two_readings() -> None:
    line = 'promptgate_phase_seconds_{0}{{door="chat",phase="{1}"}} {2}'
    before = "\n".join([line.format("sum", "render", 1.0), line.format("count", "render", 100)])
    after = "\n".join(
        [
            line.format("sum", "render", 1.5),
            line.format("count", "render", 200),
            line.format("sum", "call", 2),
            line.format("count", "call", 4),
        ]
    )
    found = phases.between(phases.read(before), phases.read(after))
    assert found["render"].mean_us == pytest.approx(5000)
    assert found["call"].count == 4


@pytest.mark.parametrize("load", work.SATURATING)
def test_forwarders_get_as_many_bytes_as_the_gateway_sends(load: work.Workload) -> None:
    size = load.question_bytes + 1500
    assert len(work.forwarded_body(load, size)) == size
    assert b'"stream":true' in work.forwarded_body(load, size) if load.stream else True


def test_the_bench_prompt_renders_to_a_kilobyte_of_five_variables() -> None:
    (message,) = work.prompt_content()["messages"]
    assert 900 <= len(message["content"]) <= 1200
    assert all(f"{{{{ {name} }}}}" in message["content"] for name in work.VARIABLES)
    assert len(work.VARIABLES) == 5
    assert len(work.prompt_content()["guardrails"]["pre_validation"]["prohibited_terms"]) == 20


def test_the_variants_of_the_bench_weigh_the_same() -> None:
    texts = list(work.VARIANTS.values())
    assert len(set(texts)) == len(texts) == 2
    assert len({len(text) for text in texts}) == 1
