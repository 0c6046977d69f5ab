"""Whose keys a call goes out with, and by whose routes."""

import itertools
import secrets
from typing import Any

import pytest
from msgspec import structs

from gateway.core.credentials import INSTALLATION, SealedCredential
from gateway.core.documents import KeyDocument
from gateway.core.errors import GatewayError
from gateway.pipeline.accounts import Accounts
from gateway.pipeline.releases import Releases, decode_snapshot, encode_snapshot
from gateway.routing.compile import account_of, compile_routes
from gateway.routing.table import Route, RouteTable
from gateway.settings import Provider, RouteTarget, Settings
from gateway.settings import Route as RouteSettings
from gateway.storage.memory.cache import MemoryCache
from gateway.storage.memory.catalog import MemoryCatalog
from gateway.storage.vault import Vault
from tests.unit.pipeline.conftest import World, chat, completion

VAULT = Vault([bytes(32)], secrets.token_bytes)
SETTINGS = Settings(
    providers={
        "a": Provider("openai", "http://a", "configured", ("configured-too",)),
        "b": Provider("openai", "https://api.openai.com/v1"),
        "echo": Provider("echo", "echo:"),
    },
    routes=(RouteSettings(("smart",), (RouteTarget("a", "big"), RouteTarget("b", "bigger"))),),
)
APP = "0190-app"


def sealed(owner: str, provider: str, secret: str, name: str = "1") -> SealedCredential:
    return VAULT.seal(name, owner, provider, secret)


def document(generation: int = 1, app: str = APP, routes: list[dict[str, Any]] | None = None, **keys: str) -> KeyDocument:
    mine = [sealed(app, provider, secret) for provider, secret in keys.items()]
    return KeyDocument("k", app, app, "p", generation=generation, routes=routes, credentials=mine)


@pytest.fixture
def table() -> RouteTable:
    return RouteTable(compile_routes(SETTINGS))


@pytest.fixture
def accounts(table: RouteTable) -> Accounts:
    return Accounts(SETTINGS, table, VAULT.open)


def keys_at(table: RouteTable | None, model: str, stop: int = 0) -> list[str]:
    assert table is not None
    return [target.api_key for target in table.plan(model).stops[stop].targets]


def test_the_installations_stored_keys_go_before_the_configurations(accounts: Accounts, table: RouteTable) -> None:
    assert keys_at(table, "smart") == ["configured", "configured-too"]
    before = table.plan("smart").stops[0].account
    before.retried = 5
    accounts.install([sealed(INSTALLATION, "a", "one", "1"), sealed(INSTALLATION, "a", "two", "2")])
    assert keys_at(table, "smart") == ["one", "two"]
    after = table.plan("smart").stops[0].account
    assert (after.keys.size, after.retried) == (2, 5), "another ring of keys, and counts that do not fall"
    assert after is not before
    assert accounts.stored() == {"a"}
    accounts.install([])
    assert keys_at(table, "smart") == ["configured", "configured-too"]


def test_a_provider_with_nothing_but_a_stored_key_is_set_up(accounts: Accounts) -> None:
    bare = structs.replace(SETTINGS, providers={name: SETTINGS.providers[name] for name in ("b", "echo")}, routes=())
    table = RouteTable(compile_routes(bare))
    accounts = Accounts(bare, table, VAULT.open)
    assert table.plan("any").targets[0].provider == "echo"
    accounts.install([sealed(INSTALLATION, "b", "key")])
    assert (table.plan("any").targets[0].provider, keys_at(table, "any")) == ("b", ["key"])
    accounts.install([])
    own = accounts.table_of(document(b="mine"))
    assert own is not None
    assert (own.plan("any").targets[0].provider, table.plan("any").targets[0].provider) == ("b", "echo")


def test_an_application_without_anything_has_no_table(accounts: Accounts) -> None:
    assert accounts.table_of(document()) is None
    assert accounts.table_of(document(routes=[])) is None


def test_an_applications_key_goes_before_the_installations_and_shares_no_account(accounts: Accounts, table: RouteTable) -> None:
    accounts.install([sealed(INSTALLATION, "a", "ours")])
    own = accounts.table_of(document(a="mine"))
    assert own is not None
    assert (keys_at(own, "smart"), keys_at(table, "smart")) == (["mine"], ["ours"])
    mine, ours = own.plan("smart").stops, table.plan("smart").stops
    assert mine[0].account is not ours[0].account
    assert mine[0].health is not ours[0].health, "what its account is refused or limited for is not the others' affair"
    assert mine[1].account is ours[1].account
    assert mine[1].health is ours[1].health, "the provider that both use by the same account"
    assert own.met("a", "") == [mine[0].health]
    assert own.met("b", "bigger") == [ours[1].health]
    assert [own.has_stored(name) for name in ("a", "b")] == [True, False]


def test_what_the_installation_changes_reaches_the_applications_tables(accounts: Accounts) -> None:
    own = accounts.table_of(document(a="mine"))
    assert keys_at(own, "smart", 1) == [""]
    accounts.install([sealed(INSTALLATION, "b", "new")])
    assert (keys_at(own, "smart"), keys_at(own, "smart", 1)) == (["mine"], ["new"])


def test_all_api_keys_of_an_application_share_the_newest_of_it(accounts: Accounts) -> None:
    one = accounts.table_of(document(generation=5, a="first"))
    assert accounts.table_of(document(generation=7, a="second")) is one
    assert keys_at(one, "smart") == ["second"]
    assert accounts.table_of(document(generation=6, a="older")) is one
    assert keys_at(one, "smart") == ["second"]
    assert accounts.table_for(APP) is one
    assert accounts.table_of(document(generation=8)) is None
    assert accounts.table_for(APP) is accounts.table_for(None)
    assert list(accounts.tables) == [accounts.table_for(None)]


def test_its_routes_go_first_and_conditions_lead_on_to_the_installations(accounts: Accounts, table: RouteTable) -> None:
    routes = [
        {"models": ["smart"], "tags": ["batch"], "targets": [{"provider": "b", "model": "cheap"}]},
        {"models": ["mine"], "targets": [{"provider": "b", "model": "m"}], "strategy": "weighted"},
    ]
    own = accounts.table_of(document(routes=routes))
    assert own is not None
    plan = own.plan("smart")
    assert (plan.targets[0].model, plan.otherwise and plan.otherwise.targets[0].model) == ("cheap", "big")
    assert own.lists("mine")
    assert own.names == ["mine", "smart"]
    assert not table.lists("mine")
    assert own.plan("mine").stops[0].health is table.health_for(own.plan("mine").targets[0])


def test_a_route_that_fits_no_longer_takes_its_calls_and_no_others(
    accounts: Accounts, caplog: pytest.LogCaptureFixture
) -> None:
    routes = [{"models": ["gone-*"], "targets": [{"provider": "z"}]}, {"models": ["mine"], "targets": [{"provider": "b"}]}]
    own = accounts.table_of(document(routes=routes))
    assert own is not None
    with pytest.raises(GatewayError, match="leads to nobody who can be asked") as caught:
        own.plan("gone-1")
    assert caught.value.kind.name == "not_configured"
    assert own.plan("mine").targets[0].provider == "b"
    assert "a route of an application cannot be used" in caplog.text
    odd = accounts.table_of(document(generation=2, routes=[{"models": 3}]))
    assert odd is not None
    assert odd.plan("smart").targets[0].model == "big"


def test_a_key_that_does_not_open_is_left_out_alone(
    accounts: Accounts, table: RouteTable, caplog: pytest.LogCaptureFixture
) -> None:
    broken = structs.replace(sealed(INSTALLATION, "a", "canary"), provider="b")
    accounts.install([broken, sealed(INSTALLATION, "b", "good", "2")])
    assert keys_at(table, "smart", 1) == ["good"]
    assert accounts.locked == 1
    accounts.install([broken])
    assert keys_at(table, "smart", 1) == [""], "the configuration is the installation's own"
    assert "a stored credential does not open" in caplog.text
    assert "canary" not in caplog.text
    accounts.install([])
    assert accounts.locked == 0


def test_an_application_whose_keys_do_not_open_goes_out_on_nobody_elses(accounts: Accounts) -> None:
    stranger = document(app="other", a="key").credentials
    own = accounts.table_of(structs.replace(document(), credentials=stranger))
    assert own is not None
    assert [target.provider for target in own.plan("smart").targets] == ["b"], "the other target is still asked"
    assert accounts.locked == 1
    with pytest.raises(GatewayError) as caught:
        own.plan("anything else")
    assert caught.value.kind.name == "not_configured"
    assert keys_at(accounts.table_for("third"), "smart") == ["configured", "configured-too"]


def test_credentials_of_providers_that_are_gone_are_passed_over(accounts: Accounts, table: RouteTable) -> None:
    accounts.install([sealed(INSTALLATION, "former", "key")])
    assert keys_at(table, "smart") == ["configured", "configured-too"]
    assert accounts.locked == 0


TWO = Settings(
    providers={
        "files": Provider("openai", "http://files"),
        "more": Provider("openai", "http://more"),
        "chat": Provider("anthropic", "https://api.anthropic.com/v1"),
    },
    routes=(RouteSettings(("*",), (RouteTarget("chat"),)),),
)
TAKERS = ("files", "more")


def test_calls_that_no_model_routes_follow_the_installations_keys() -> None:
    settings = structs.replace(TWO, providers={**TWO.providers, "files": Provider("openai", "https://api.openai.com/v1")})
    table = RouteTable(compile_routes(settings))
    accounts = Accounts(settings, table, VAULT.open, TAKERS)
    assert table.passthrough == "more", "the first that is set up"
    accounts.install([sealed(INSTALLATION, "files", "key"), sealed(INSTALLATION, "chat", "key", "2")])
    assert table.passthrough == "files"
    accounts.install([])
    assert table.passthrough == "more"
    chosen = structs.replace(settings, providers={**TWO.providers, "more": Provider("openai", "http://more", passthrough=True)})
    table = RouteTable(compile_routes(chosen))
    accounts = Accounts(chosen, table, VAULT.open, TAKERS)
    accounts.install([sealed(INSTALLATION, "files", "key")])
    assert table.passthrough == "more", "what the configuration says is not changed by a key"
    assert RouteTable(compile_routes(TWO)).passthrough is None


def route_to(*providers: str, model: str = "*", **more: object) -> dict[str, Any]:
    return {"models": [model], "targets": [{"provider": name, "model": "m"} for name in providers], **more}


@pytest.mark.parametrize(
    ("routes", "keys", "expected"),
    [
        (None, {"chat": "k"}, "files"),
        (None, {"more": "k"}, "more"),
        (None, {"more": "k", "files": "k"}, "files"),
        ([route_to("more")], {}, "more"),
        ([route_to("more")], {"files": "k"}, "more"),
        ([route_to("chat", "more")], {}, "more"),
        ([route_to("chat")], {}, "files"),
        ([route_to("chat")], {"more": "k"}, "more"),
        ([route_to("more", model="gpt-*")], {}, "files"),
        ([route_to("more", tags=["x"])], {}, "files"),
        ([route_to("more", max_input_tokens=10), route_to("more", "files")], {}, "more"),
        ([{"models": "*", "targets": "?"}, {"models": ["*"]}, {"models": ["*"], "targets": ["more"]}], {}, "files"),
        ([route_to("gone")], {}, "files"),
    ],
)
def test_calls_that_no_model_routes_go_where_the_application_goes(
    routes: list[dict[str, Any]] | None, keys: dict[str, str], expected: str
) -> None:
    accounts = Accounts(TWO, RouteTable(compile_routes(TWO)), VAULT.open, TAKERS)
    table = accounts.table_of(document(routes=routes, **keys))
    assert table is not None
    assert table.passthrough == expected
    accounts.install([sealed(INSTALLATION, "more", "key")])
    assert table.passthrough == expected
    assert accounts.table_of(document(2, routes=[route_to("files", model="x")])) is table
    assert table.passthrough == "files"


def test_an_own_account_that_does_not_open_is_not_replaced_by_another() -> None:
    accounts = Accounts(TWO, RouteTable(compile_routes(TWO)), VAULT.open, TAKERS)
    stranger = sealed("somebody else", "more", "k")
    table = accounts.table_of(structs.replace(document(), credentials=[stranger]))
    assert table is not None
    assert table.passthrough == "more"
    with pytest.raises(GatewayError, match="has no key that opens"):
        table.direct(account_of("more", TWO.providers["more"]), "/v1/files")


async def test_a_worker_hears_of_them_and_keeps_them_sealed_on_disk(accounts: Accounts, table: RouteTable) -> None:
    catalog = MemoryCatalog()
    seconds = itertools.count(0.0, 10.0)
    releases = Releases(catalog, MemoryCache(), lambda: next(seconds), accounts=accounts)
    await releases.catch_up()
    assert not accounts.due, "the first look reads them, moved or not"
    changes = catalog.set_credentials([sealed(INSTALLATION, "a", "canary-key")])
    releases.apply(changes)
    catalog.available = False
    with pytest.raises(GatewayError):
        await releases.settle()
    assert accounts.due, "asked again by the next round"
    assert keys_at(table, "smart")[0] == "configured"
    catalog.available = True
    await releases.settle()
    assert keys_at(table, "smart") == ["canary-key"]
    await releases.settle()

    shelf = encode_snapshot(releases.snapshot())
    assert b"canary-key" not in shelf
    fresh = Accounts(SETTINGS, RouteTable(compile_routes(SETTINGS)), VAULT.open)
    alone = Releases(catalog, MemoryCache(), lambda: 0.0, accounts=fresh)
    alone.restore(decode_snapshot(shelf))
    assert keys_at(fresh.table_for(None), "smart") == ["canary-key"], "without any store"
    assert fresh.due
    kept = decode_snapshot(shelf)
    assert alone.snapshot(kept).credentials == kept.credentials, "what was not read yet does not push out what others know"


async def test_calls_go_by_the_applications_routes_and_its_keys_lists_still_hold() -> None:
    world = World()
    world.table = RouteTable([Route(("*",), world.targets)])
    providers = {"openai": Provider("openai", "http://one", "sk-1")}
    accounts = Accounts(Settings(providers=providers), world.table, VAULT.open)
    world.releases = Releases(world.catalog, world.cache, world.clock, accounts=accounts)
    routes = [{"models": ["allowed", "denied"], "targets": [{"provider": "openai", "model": "up"}]}]
    world.allow(models=["allowed"], routes=routes, credentials=[sealed("app-1", "openai", "mine")])
    world.script(completion())
    await world.call(chat(model="allowed"))
    ((target, _),) = world.transport.requests
    assert (target.model, target.api_key) == ("up", "mine")
    error = await world.fail("forbidden", chat(model="denied"))
    assert "denied" in error.detail
