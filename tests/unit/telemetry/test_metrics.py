"""Metrics: rows of several workers folded into one exposition, with labels that no request can add to."""

import os

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.core.errors import KINDS
from gateway.core.events import Usage
from gateway.core.journal import PHASES, Journal
from gateway.core.ledger import Bill
from gateway.core.requests import Caller, Inbound
from gateway.core.upstream import Target
from gateway.telemetry.metrics import GAUGES, Meter, Table, exposition

CALLER = Caller("app", "demo", "key", "pub", None, None)
OPENAI = Target("openai", "m", "http://x", "")


def journal(door: str = "chat", **fields: object) -> Journal:
    made = Journal(Inbound(door, {}, b"", "id", "id", 0, 100.0, 700.0), caller=CALLER)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def scrape(table: Table) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    content_type, body = exposition(table)
    assert content_type.startswith(b"text/plain; version=0.0.4")
    families = text_string_to_metric_families(body.decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


@pytest.fixture
def table() -> Table:
    return Table(2, ["openai", "echo"])


def test_workers_are_folded_into_one(table: Table) -> None:
    for slot, count in ((0, 3), (1, 4)):
        meter = Meter(table, slot)
        for _ in range(count):
            meter.observe(journal(), 100.2)
        meter.flush()
    assert scrape(table)["promptgate_calls_total", (("door", "chat"), ("outcome", "ok"))] == 7


def test_nothing_is_shown_before_a_flush_and_a_new_meter_goes_on_in_its_row(table: Table) -> None:
    meter = Meter(table, 0)
    meter.observe(journal(), 100.2)
    key = ("promptgate_calls_total", (("door", "chat"), ("outcome", "ok")))
    assert key not in scrape(table)
    meter.flush()
    after = Meter(table, 0)
    after.observe(journal(), 100.2)
    after.flush()
    assert scrape(table)[key] == 2


def test_a_call_is_counted_in_every_way(table: Table) -> None:
    meter = Meter(table, 0)
    meter.observe(
        journal(
            laps=[100.0, 100.001, 100.003],
            target=OPENAI,
            first_byte=100.3,
            upstream=0.5,
            usage=Usage(100, 20, 40, 5),
            bill=Bill(2_500_000_000, "exact", "v"),
        ),
        100.6,
    )
    meter.flush()
    seen = scrape(table)
    assert seen["promptgate_phase_seconds_sum", (("phase", "authenticate"),)] == pytest.approx(0.001)
    assert seen["promptgate_phase_seconds_sum", (("phase", "resolve"),)] == pytest.approx(0.002)
    assert seen["promptgate_phase_seconds_count", (("phase", "resolve"),)] == 1
    assert seen["promptgate_phase_seconds_count", (("phase", "render"),)] == 0
    tokens = {kind: seen["promptgate_tokens_total", (("kind", kind),)] for kind in ("input", "cached", "output", "reasoning")}
    assert tokens == {"input": 100, "cached": 40, "output": 20, "reasoning": 5}
    assert seen["promptgate_cost_usd_total", ()] == 2.5
    assert seen["promptgate_unpriced_calls_total", ()] == 0
    assert seen["promptgate_latency_seconds_sum", ()] == pytest.approx(0.6)
    assert seen["promptgate_latency_seconds_bucket", (("le", "0.5"),)] == 0
    assert seen["promptgate_latency_seconds_bucket", (("le", "1.0"),)] == 1
    assert seen["promptgate_latency_seconds_bucket", (("le", "+Inf"),)] == 1
    assert seen["promptgate_overhead_seconds_sum", ()] == pytest.approx(0.1)
    assert seen["promptgate_first_byte_seconds_sum", (("provider", "openai"),)] == pytest.approx(0.3)
    assert seen["promptgate_upstream_errors_total", (("provider", "openai"),)] == 0


def test_the_bounds_of_a_bucket_belong_to_it_and_the_slowest_are_counted(table: Table) -> None:
    meter = Meter(table, 0)
    for total in (0.005, 61.0, 0.0):
        meter.observe(journal(), 100.0 + total)
    meter.flush()
    seen = scrape(table)
    assert seen["promptgate_latency_seconds_bucket", (("le", "0.005"),)] >= 1
    assert seen["promptgate_latency_seconds_bucket", (("le", "60.0"),)] == 2
    assert seen["promptgate_latency_seconds_count", ()] == 3


def test_a_provider_is_blamed_for_its_failures_only(table: Table) -> None:
    meter = Meter(table, 0)
    meter.observe(journal(outcome="upstream_timeout", target=OPENAI), 101.0)
    meter.observe(journal(outcome="client_gone", target=OPENAI), 101.0)
    meter.observe(journal(outcome="upstream_incomplete", target=OPENAI, first_byte=100.5), 101.0)
    meter.flush()
    seen = scrape(table)
    assert seen["promptgate_upstream_errors_total", (("provider", "openai"),)] >= 1
    assert seen["promptgate_upstream_errors_total", (("provider", "echo"),)] == 0


def test_unpriced_and_unledgered_calls_are_told(table: Table) -> None:
    meter = Meter(table, 0)
    meter.observe(journal(usage=Usage(1, 1), bill=Bill(None, "unpriced", "v"), target=OPENAI), 101.0)
    meter.observe(journal(caller=None, outcome="unauthenticated"), 101.0)
    meter.flush()
    seen = scrape(table)
    assert seen["promptgate_unpriced_calls_total", ()] == 1
    assert seen["promptgate_unledgered_total", ()] == 1


def test_an_unknown_door_or_outcome_adds_no_label(table: Table) -> None:
    meter = Meter(table, 0)
    meter.observe(journal(door="made-up"), 101.0)
    meter.observe(journal(outcome="made-up"), 101.0)
    meter.flush()
    assert "made-up" not in repr(scrape(table))


def test_every_failure_has_a_cell(table: Table) -> None:
    meter = Meter(table, 0)
    for name in KINDS:
        meter.observe(journal(outcome=name), 101.0)
    meter.flush()
    seen = scrape(table)
    assert all(seen["promptgate_calls_total", (("door", "chat"), ("outcome", name))] == 1 for name in KINDS)


@pytest.mark.parametrize(
    ("name", "values", "folded"), [("in_flight", (2, 3), 5), ("loop_lag_seconds", (0.5, 0.1), 0.5), ("generation", (7, 4), 4)]
)
def test_gauges_fold_as_they_say(table: Table, name: str, values: tuple[float, float], folded: float) -> None:
    for slot, value in enumerate(values):
        meter = Meter(table, slot)
        meter.gauge(name, value)
        meter.flush()
    assert scrape(table)[f"promptgate_{name}", ()] == folded


def test_every_gauge_and_phase_is_exposed(table: Table) -> None:
    names = {name for name, _ in scrape(table)}
    for gauge in GAUGES:
        assert f"promptgate_{gauge.name}{'_total' if gauge.counter else ''}" in names
    assert len(PHASES) == 10


def test_a_dead_workers_counts_stay(table: Table) -> None:
    pid = os.fork()
    if pid == 0:
        meter = Meter(table, 1)
        meter.observe(journal(), 100.1)
        meter.flush()
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    assert scrape(table)["promptgate_calls_total", (("door", "chat"), ("outcome", "ok"))] == 1
