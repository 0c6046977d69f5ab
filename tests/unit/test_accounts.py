"""What the admin API tells of targets."""

import secrets

from gateway.accounts import survey
from gateway.control.targets.schemas import HereState, KeyState
from gateway.core.credentials import INSTALLATION
from gateway.core.documents import KeyDocument
from gateway.core.errors import UPSTREAM_ERROR, GatewayError
from gateway.pipeline.accounts import Accounts
from gateway.routing.breaker import BreakerRules
from gateway.routing.compile import compile_routes, target_names
from gateway.routing.failures import judge
from gateway.routing.health import Rules
from gateway.routing.table import RouteTable
from gateway.settings import Provider, Route, RouteTarget, Settings
from gateway.storage.vault import Vault
from gateway.telemetry.metrics import Meter, Table
from gateway.telemetry.targets import report

VAULT = Vault([bytes(32)], secrets.token_bytes)
SETTINGS = Settings(
    providers={"a": Provider("openai", "http://a", "k1", ("k2", "k3")), "b": Provider("openai", "https://api.openai.com/v1")},
    routes=(
        Route(("smart", "gpt-*"), (RouteTarget("a"), RouteTarget("b", "m", local=True))),
        Route(("other",), (RouteTarget("b", "m"),)),
    ),
)


def test_targets_are_told_as_this_worker_and_as_all_workers_have_them() -> None:
    routes = RouteTable(compile_routes(SETTINGS), Rules(breaker=BreakerRules(failures=1), concurrency=8))
    accounts = Accounts(SETTINGS, routes, VAULT.open)
    table = Table(3, SETTINGS.providers, target_names(SETTINGS))
    tell = survey(SETTINGS, accounts, table, lambda: 1.0)

    one, two = routes.plan("gpt-x").stops
    one.health.enter(0)
    one.health.failed(judge(GatewayError(UPSTREAM_ERROR, "no")), 0.5)
    two.health.succeeded(0.25, 1.0)
    one.account.keys.refused(0, 0)
    one.account.keys.limited(1, 0, 60)
    for slot in (0, 1):
        meter = Meter(table, slot)
        report(accounts.tables, target_names(SETTINGS), 1.0, meter.gauge)
        meter.flush()

    a, b = tell(None, None)
    assert (a.provider, a.model, a.routes, a.local) == ("a", None, ["smart", "gpt-*", "*"], False)
    assert (b.provider, b.model, b.routes, b.local) == ("b", "m", ["smart", "gpt-*", "other"], True)
    assert a.keys == KeyState(3, 1, 1, 1, stored=False)
    assert a.here == HereState("open", 1, 8, None, None)
    assert b.here == HereState("closed", 0, 8, 250.0, 250.0)
    assert a.fleet is not None
    assert b.fleet is not None
    assert (a.fleet.workers, a.fleet.open_breakers, a.fleet.in_flight, a.fleet.lowest_limit) == (2, 2, 2, 8)
    assert (a.fleet.most_keys_refused, a.fleet.most_keys_limited, a.fleet.slowest_first_byte_ms) == (1, 1, None)
    assert b.fleet.slowest_first_byte_ms == 250.0


def test_an_application_is_told_of_its_own_keys_and_routes() -> None:
    accounts = Accounts(SETTINGS, RouteTable(compile_routes(SETTINGS)), VAULT.open)
    tell = survey(SETTINGS, accounts, Table(1, SETTINGS.providers, target_names(SETTINGS)), lambda: 0.0)
    accounts.install([VAULT.seal("1", INSTALLATION, "b", "stored")])
    accounts.table_of(KeyDocument("k", "app", "app", "p", credentials=[VAULT.seal("2", "app", "a", "mine")]))
    assert [state.keys for state in tell(None, "app")] == [KeyState(1, 1, 0, 0, stored=True), KeyState(1, 1, 0, 0, stored=True)]
    assert [state.keys.stored for state in tell(None, "somebody else")] == [False, True]
    (own,) = tell([Route(("mine",), (RouteTarget("b", "elsewhere"),))], "app")
    assert (own.model, own.routes, own.fleet) == ("elsewhere", ["mine"], None)
