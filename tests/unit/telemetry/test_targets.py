"""What operators see of targets."""

import re

from gateway.core.credentials import AccountKey
from gateway.core.errors import UPSTREAM_ERROR, UPSTREAM_TIMEOUT, GatewayError
from gateway.core.upstream import Target
from gateway.routing.breaker import BreakerRules
from gateway.routing.failures import judge
from gateway.routing.health import Rules
from gateway.routing.policy import Candidate
from gateway.routing.table import Route, RouteTable
from gateway.telemetry.metrics import Meter, Table, exposition
from gateway.telemetry.targets import label_of, report

NAMES = ["a/*", "b/m"]


def test_models_that_callers_name_are_counted_under_the_pattern_that_let_them_in() -> None:
    assert [label_of("a", "x", NAMES), label_of("b", "m", NAMES)] == ["a/*", "b/m"]


def test_the_state_of_targets_and_accounts_is_shown() -> None:
    routes = RouteTable(
        [Route(("*",), (Candidate(Target("a", "", "http://a", "k"), ("k2",)), Target("b", "m", "http://b", "k")))],
        Rules(breaker=BreakerRules(failures=1), concurrency=10),
    )
    for model in ("x", "y"):
        stop = routes.plan(model).stops[0]
        stop.health.enter(0)
        stop.health.failed(judge(GatewayError(UPSTREAM_ERROR, "no")), 0)
    routes.plan("z").stops[0].health.failed(judge(GatewayError(UPSTREAM_TIMEOUT, "no")), 0)
    routes.accounts["a"].keys.refused(0, 0)
    routes.accounts["a"].retried = 3
    routes.accounts["b"].hedged = 2
    routes.plan("b").stops[1].health.succeeded(0.5, 0.5)
    own = routes.over([Route(("*",), (Target("a", "", "http://a", "k"),))], {"a": (AccountKey("mine"), AccountKey("mine-too"))})
    own.plan("x").stops[0].health.enter(0)
    own.accounts["a"].keys.limited(0, 0, 60)
    table = Table(2, ["a", "b"], NAMES)
    meters = [Meter(table, slot) for slot in (0, 1)]
    for meter in meters:
        report([routes, own], NAMES, 0.5, meter.gauge)
        meter.flush()
    found = dict(re.findall(r"^promptgate_(\S+) (\S+)$", exposition(table)[1].decode(), re.MULTILINE))
    assert found['target_open{target="a/*"}'] == "6.0"
    assert found['target_open{target="b/m"}'] == "0.0"
    assert found['target_in_flight{target="a/*"}'] == "6.0", "applications' own accounts too"
    assert found['target_first_byte_seconds{target="b/m"}'] == "0.5"
    assert found['target_first_byte_seconds{target="a/*"}'] == "0.0"
    assert found['provider_keys_refused{provider="a"}'] == "1.0"
    assert found['provider_keys_limited{provider="a"}'] == "0.0", "the installation's account alone"
    assert own.accounts["a"].keys.resting(0.5) == 1
    assert (table.running, table.of_label("target_in_flight", "a/*"), table.of_label("target_in_flight", "c/*")) == (
        2,
        6.0,
        None,
    )
    assert found['target_limit{target="a/*"}'] == "7.0"
    assert found['target_limit{target="b/m"}'] == "10.0"
    assert [found[name] for name in ("breaker_openings_total", "dead_keys", "retries_total", "hedges_total")] == [
        "6.0", "1.0", "6.0", "4.0",
    ]  # fmt: skip
