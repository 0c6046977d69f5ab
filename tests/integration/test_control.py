"""The admin API and the command line over HTTP, on a real Postgres: every route, every refusal, and what workers are told."""

import asyncio
import itertools
import re
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn
from click.testing import CliRunner, Result
from litestar import Litestar
from litestar.routes import HTTPRoute

from admin_cli.main import main
from admin_cli.seed import seed
from gateway.control.openapi import ContentSchema
from gateway.control.problems import HANDLERS
from gateway.control.routes import PATH, control_router, with_encoded_slashes
from gateway.control.services import ControlServices
from gateway.control.status.probes import Probe
from gateway.core import keys
from gateway.core.documents import Change, KeyDocument, ReleaseDocument
from gateway.core.ids import uuid7
from gateway.core.ledger import LedgerRow, State
from gateway.core.limits import MAX_RULES
from gateway.core.references import Reference
from gateway.pricing.table import load_prices
from gateway.storage.postgres.calls import CallReader, PostgresCallWriter
from gateway.storage.postgres.catalog import PostgresCatalog
from gateway.storage.postgres.pool import open_pool
from gateway.storage.postgres.prices import Prices
from gateway.storage.postgres.registry import Registry
from tests.integration.installed import SETTINGS, TARGETS, VAULT, counters

TOKEN = "an-admin-token"
PRICES = load_prices((Path(__file__).parents[2] / "config" / "prices.toml").read_bytes())
DEMOS = Path(__file__).parents[2] / "config" / "prompts"
_COUNT = itertools.count()


def new_id() -> str:
    return uuid7(time.time_ns() // 1_000_000, secrets.randbits(76))


class Workers:
    """A cache port that keeps what was announced, and a fleet of two workers that obey it or do not."""

    def __init__(self) -> None:
        self.announced: list[Change] = []
        self.registry: Registry | None = None
        self.obedient = True

    async def get_release(self, application_id: str, reference: Reference) -> ReleaseDocument | None:
        return None

    async def put_release(self, document: ReleaseDocument) -> None:
        return None

    async def get_keys(self, digests: Sequence[str]) -> dict[str, KeyDocument]:
        return {}

    async def put_key(self, digest: str, document: KeyDocument) -> None:
        return None

    async def announce(self, changes: list[Change]) -> None:
        self.announced += changes
        await self.report(changes[-1].generation)

    async def report(self, generation: int) -> None:
        assert self.registry is not None
        await self.registry.report_worker("worker-1", host="h", pid=1, slot=0, generation=generation)
        applied = generation if self.obedient else generation - 1
        await self.registry.report_worker("worker-2", host="h", pid=2, slot=1, generation=applied)


class Control:
    """A running admin API."""

    def __init__(self, url: str, app: Litestar, workers: Workers, database: str) -> None:
        self.url = url
        self.app = app
        self.workers = workers
        self.database = database
        self.http = httpx.Client(
            base_url=f"{url}{PATH}", headers={"authorization": f"Bearer {TOKEN}"}, timeout=20, trust_env=False
        )

    def ask(self, method: str, path: str, body: Any = None, status: int | None = None, **query: Any) -> Any:
        content = None if body is None else msgspec.json.encode(body)
        answer = self.http.request(method, path, content=content, params=query or None)
        assert status is None or answer.status_code == status, answer.text
        return answer.json()

    def refused(self, method: str, path: str, body: Any) -> tuple[int, str, str | None, str]:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        answer = self.http.request(method, path, content=content)
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "code", "param"}
        return answer.status_code, error["code"], error["param"], error["message"]

    def cli(self, *args: str, app: str | None = None, code: int = 0, **env: str) -> Result:
        settings = {"PROMPTGATE_URL": self.url, "PROMPTGATE_ADMIN_TOKEN": TOKEN, "PROMPTGATE_APP": app or "", **env}
        result = CliRunner().invoke(main, args, env=settings)
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def json(self, *args: str, app: str, code: int = 0) -> Any:
        return msgspec.json.decode(self.cli(*args, "--json", app=app, code=code).stdout)


@pytest.fixture(scope="module")
def control(module_database: str) -> Iterator[Control]:
    workers = Workers()
    ready = threading.Event()
    running: dict[str, Any] = {}

    async def serve() -> None:
        pool = await open_pool(module_database, 1, 4)
        try:
            registry = workers.registry = Registry(pool, new_id, lambda: datetime.now(UTC))

            async def generation() -> str:
                return str(await PostgresCatalog(pool).generation())

            services = ControlServices(
                registry=registry,
                calls=CallReader(pool),
                prices=PRICES,
                money=Prices(pool, new_id, lambda: datetime.now(UTC)),
                cache=workers,
                counters=counters(),
                probes=(Probe("generation", generation, "none"),),
                random_bytes=secrets.token_bytes,
                clock=lambda: datetime.now(UTC),
                monotonic=time.monotonic,
                vault=VAULT,
                providers=SETTINGS.providers,
                targets=TARGETS,
            )
            app = Litestar(
                [control_router(services, TOKEN)], exception_handlers=HANDLERS, plugins=[ContentSchema()], logging_config=None
            )
            server = uvicorn.Server(
                uvicorn.Config(with_encoded_slashes(app), port=0, log_level="warning", lifespan="off", ws="none")
            )
            serving = asyncio.create_task(server.serve())
            while not server.started:
                await asyncio.sleep(0.01)
            running.update(app=app, server=server, port=server.servers[0].sockets[0].getsockname()[1])
            ready.set()
            await serving
        finally:
            await pool.close()
            ready.set()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(20)
    assert thread.is_alive(), "the server did not start"
    control = Control(f"http://127.0.0.1:{running['port']}", running["app"], workers, module_database)
    yield control
    control.http.close()
    running["server"].should_exit = True
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def app(control: Control) -> str:
    """A fresh application's slug."""
    slug = f"app{next(_COUNT)}"
    control.ask("POST", "/applications", {"slug": slug}, 201)
    control.workers.obedient = True
    return slug


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"type": "message", "role": "system", "content": words}], **more}


@pytest.fixture
def prompt(control: Control, app: str) -> str:
    """The slug of a prompt with versions 1 and 2, the first of them in production."""
    slug = "team/greet"
    control.ask("POST", "/prompts", {"slug": slug, "content": text("one")}, 201, application=app)
    control.ask("POST", "/prompts/team~greet/versions", {"content": text("two")}, 201, application=app)
    control.ask("POST", "/prompts/team~greet/versions/1/publish", {}, 200, application=app)
    return slug


# --- the door -----------------------------------------------------------------------------------------------------


def routes(app: Litestar) -> list[tuple[str, str]]:
    return [
        (method, re.sub(r"\{[^}]*\}", "x", route.path))
        for route in app.routes
        if isinstance(route, HTTPRoute) and route.path.startswith(PATH)
        for method in sorted(route.methods - {"OPTIONS"})
    ]


def test_every_route_asks_for_the_token(control: Control):
    found = routes(control.app)
    assert len(found) > 30
    for header in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}):
        with httpx.Client(trust_env=False) as stranger:
            for method, path in found:
                answer = stranger.request(method, control.url + path, headers=header)
                assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key"), (method, path)


def test_unknown_paths_and_methods_answer_in_the_same_form(control: Control):
    assert control.refused("GET", "/nothing", b"")[:2] == (404, "not_found")
    answer = control.http.patch("/prompts")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert "POST" in answer.headers["allow"]


def test_the_openapi_page_describes_every_route(control: Control):
    paths = httpx.get(f"{control.url}/schema/openapi.json", trust_env=False).json()["paths"]
    described = {
        (method.upper(), re.sub(r"\{[^}]*\}", "x", path))
        for path, item in paths.items()
        for method in item
        if method != "parameters"
    }
    assert set(routes(control.app)) <= described


# --- refusals name their field ------------------------------------------------------------------------------------

VALID = {"slug": "p", "content": text("hi")}


@pytest.mark.parametrize(
    ("method", "path", "body", "param"),
    [
        ("POST", "/applications", {"slug": "a b"}, "slug"),
        ("POST", "/applications", {"slug": "a/b"}, "slug"),
        ("POST", "/applications", {"slug": 5}, "slug"),
        ("POST", "/applications", {}, "slug"),
        ("POST", "/applications", {"slug": "zz", "requests_per_minute": 0}, "requests_per_minute"),
        ("POST", "/applications", {"slug": "zz", "colour": 1}, "colour"),
        ("POST", "/applications", b"", None),
        ("POST", "/applications", b"{", None),
        ("POST", "/applications", b"[]", None),
        ("PUT", "/applications/{app}", {"slug": "other"}, "slug"),
        ("PUT", "/applications/{app}", {"requests_per_minute": -1}, "requests_per_minute"),
        ("POST", "/applications/{app}/keys", {"expires_in_seconds": 0}, "expires_in_seconds"),
        ("POST", "/applications/{app}/keys", {"expires_in_seconds": 10**12}, "expires_in_seconds"),
        ("POST", "/applications/{app}/keys", {"requests_per_minute": 0}, "requests_per_minute"),
        ("POST", "/applications/{app}/regenerate-key", {"grace_seconds": -1}, "grace_seconds"),
        ("PUT", "/applications/{app}/limits/x", {"scope": "user", "metric": "tokens", "amount": 1}, "window"),
        ("PUT", "/applications/{app}/limits/x", {"scope": "user", "metric": "tokens", "amount": -1, "window": "day"}, "amount"),
        ("PUT", "/applications/{app}/limits/x", {"scope": "user", "metric": "tokens", "amount": 2**53, "window": "day"}, "amount"),
        ("PUT", "/applications/{app}/limits/x", {"scope": "team", "metric": "tokens", "amount": 1, "window": "day"}, "scope"),
        ("PUT", "/applications/{app}/limits/x", {"scope": "user", "metric": "concurrency", "amount": 1, "window": "day"}, "window"),
        ("PUT", "/applications/{app}/limits/x", {"scope": "user", "metric": "concurrency", "amount": 1, "mode": "leased"}, "mode"),
        ("PUT", "/applications/{app}/limits/x", {"scope": "application", "metric": "concurrency", "amount": 1, "match": "y"}, "match"),
        ("PUT", "/applications/{app}/limits/x", {"scope": "key", "metric": "tokens", "amount": 1, "window": "day", "on_store_error": "closed", "local_amount": 1}, "local_amount"),
        ("PUT", "/applications/{app}/limits/A B", {"scope": "key", "metric": "tokens", "amount": 1, "window": "day"}, "name"),
        ("GET", "/applications/{app}/limits/usage?" + "&".join(f"user={i}" for i in range(101)), b"", "user"),
        ("POST", "/prompts", {**VALID, "slug": "a b"}, "slug"),
        ("POST", "/prompts", {**VALID, "slug": "search"}, "slug"),
        ("POST", "/prompts", {**VALID, "labels": []}, "labels"),
        ("POST", "/prompts", {**VALID, "tags": "x"}, "tags"),
        ("POST", "/prompts", {"slug": "p"}, "content"),
        ("POST", "/prompts", {"slug": "p", "content": {}}, "content.messages"),
        ("POST", "/prompts", {"slug": "p", "content": text("x", modle="y")}, "content.modle"),
        ("POST", "/prompts", {"slug": "p", "content": text("x", format="latex")}, "content.format"),
        ("POST", "/prompts", {"slug": "p", "content": {"messages": [{"type": "message", "role": "boss", "content": ""}]}}, "content.messages[0].role"),
        ("POST", "/prompts", {"slug": "p", "content": text("x"), "system_prompt": "y"}, "system_prompt"),
        ("POST", "/prompts", {"slug": "p", "content": text("x", params={"messages": []})}, "params.messages"),
        ("POST", "/prompts", {"slug": "p", "content": text("{{ x | nofilter }}")}, "messages[0].content"),
        ("POST", "/prompts", {"slug": "p", "content": text("{% if %}")}, "messages[0].content"),
        ("POST", "/prompts", {"slug": "p", "content": text("x", variables={"type": "wrong"})}, "variables"),
        ("POST", "/prompts/team~greet/versions", {"content": 5}, "content"),
        ("POST", "/prompts/team~greet/versions", {"content": "x", "required_fields": [{"name": "a", "type": "date"}]}, "required_fields[0].type"),
        ("POST", "/prompts/a b/versions", {"content": "x"}, "slug"),
        ("POST", "/prompts/team~greet/versions/1/publish", {"wait_timeout_ms": 0}, "wait_timeout_ms"),
        ("POST", "/prompts/team~greet/versions/1/publish", {"expected_version": "x"}, "expected_version"),
        ("POST", "/prompts/team~greet/versions/0/publish", {}, "version"),
        ("POST", "/prompts/team~greet/versions/1/publish", {"alias": "LATEST!"}, "alias"),
        ("POST", "/prompts/team~greet/versions/1/publish", {"alias": "latest"}, "alias"),
        ("GET", "/prompts/team~greet/versions/!", b"", "version"),
        ("GET", "/prompts/team~greet/diff?from=1", b"", "to"),
        ("PUT", "/prompts/team~greet/aliases/x", {}, "version"),
        ("PUT", "/prompts/team~greet", {"content": "x"}, "content"),
        ("GET", "/prompts?limit=0", b"", "limit"),
        ("GET", "/prompts?limit=101", b"", "limit"),
        ("GET", "/prompts/search", b"", "q"),
        ("GET", "/calls?since=yesterday", b"", "since"),
        ("GET", "/calls?cursor=nonsense", b"", "cursor"),
        ("GET", "/calls?trace_id=4bf92f35", b"", "trace_id"),
        ("GET", "/calls/nonsense", b"", "call_id"),
    ],
)  # fmt: skip
def test_a_bad_request_names_its_field(
    control: Control, app: str, prompt: str, method: str, path: str, body: Any, param: str | None
):
    joint = "&" if "?" in path else "?"
    where = "" if path.startswith(("/applications", "/calls")) else f"{joint}application={app}"
    status, _, named, message = control.refused(method, path.replace("{app}", app) + where, body)
    assert (status, named) == (400, param), message
    assert param is None or param.split(".")[-1].split("[")[0] in message


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "param"),
    [
        ("GET", "/applications/nobody", b"", "not_found", "application"),
        ("GET", "/prompts/nobody", b"", "prompt_not_found", None),
        ("GET", "/prompts/team~greet/versions/9", b"", "not_found", "version"),
        ("GET", "/prompts/team~greet/versions/canary", b"", "not_found", "version"),
        ("POST", "/prompts/team~greet/versions/9/publish", {}, "not_found", "version"),
        ("POST", "/prompts/team~greet/aliases/canary/rollback", {}, "not_found", "alias"),
        ("DELETE", "/prompts/team~greet/aliases/canary", b"", "not_found", "alias"),
        ("DELETE", "/applications/{app}/keys/nokey", b"", "not_found", "key"),
        ("DELETE", "/applications/{app}/limits/none", b"", "not_found", "name"),
        ("GET", "/applications/{app}/limits/none", b"", "not_found", "name"),
        ("GET", "/applications/nobody/limits", b"", "not_found", "application"),
        ("GET", "/calls/00000000-0000-7000-8000-000000000000", b"", "not_found", "call_id"),
    ],
)
def test_what_is_not_there_is_a_404(
    control: Control, app: str, prompt: str, method: str, path: str, body: Any, code: str, param: str | None
):
    where = "" if path.startswith(("/applications", "/calls")) else f"?application={app}"
    status, found, named, _ = control.refused(method, path.replace("{app}", app) + where, body)
    assert (status, found) == (404, code)
    assert param is None or named == param


NASTY = [
    None, True, -1, 0, 10**30, 1.5, "", " ", "\0", "a\0b", "\ud800", "x" * 300, "../..", "a//b", "%2F", "😀", "'; drop table prompts; --",
    [], [[]], {}, {"": None}, {"a": {"a": {}}}, [None], ["\0"],
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "fields"),
    [
        ("POST", "/applications", ["slug", "name", "description", "default_model", "requests_per_minute"]),
        (
            "POST",
            "/applications/{app}/keys",
            ["name", "requests_per_minute", "expires_in_seconds", "scopes", "prompts", "models"],
        ),
        (
            "POST",
            "/prompts",
            ["slug", "content", "description", "tags", "message", "semver", "system_prompt", "required_fields"],
        ),
        ("POST", "/prompts/team~greet/versions", ["content", "message", "semver", "base_version", "model_params", "format"]),
        ("POST", "/prompts/team~greet/versions/1/publish", ["alias", "expected_version", "message", "wait_timeout_ms"]),
        ("PUT", "/prompts/team~greet/aliases/a", ["version", "expected_version", "message"]),
        ("PUT", "/prompts/team~greet", ["description", "tags", "is_active"]),
        ("PUT", "/applications/{app}/limits/n", ["scope", "match", "metric", "amount", "window", "local_amount", "shadow"]),
    ],
)
def test_no_value_is_our_fault(control: Control, app: str, prompt: str, method: str, path: str, fields: list[str]):
    good: dict[str, Any] = {"/applications": {"slug": f"n{app}"}, "/prompts": {"slug": "n", "content": "x"}}.get(path, {})
    if path.endswith("/versions"):
        good = {"content": "x"}
    if path.endswith("/a"):
        good = {"version": 1}
    if path.endswith("/n"):
        good = {"scope": "user", "metric": "tokens", "amount": 1, "window": "day"}
    for field in fields:
        for value in NASTY:
            body = escaped_json({**good, field: value})
            answer = control.http.request(method, path.replace("{app}", app), content=body, params={"application": app})
            assert answer.status_code < 500, (field, value, answer.text)
            assert answer.status_code < 300 or set(answer.json()["error"]) == {"message", "type", "code", "param"}


def escaped_json(value: Any) -> bytes:
    """JSON with escapes, so that even a lone surrogate travels."""
    import json

    return json.dumps(value).encode()


@pytest.mark.parametrize("text", ["%00", "%FF", "%F0%9F%98%80", "..", "%2E%2E", "x" * 5000, "a%0Ab", "%25", "~", "%2F"])
def test_no_path_or_query_is_our_fault(control: Control, app: str, prompt: str, text: str):
    for path in (
        f"/prompts/{text}", f"/prompts/{text}/versions", f"/prompts/team~greet/versions/{text}", f"/applications/{text}",
        f"/prompts/team~greet/aliases/{text}/history", f"/calls/{text}", f"/prompts?cursor={text}", f"/prompts?q={text}",
        f"/prompts?tag={text}", f"/prompts?folder={text}", f"/applications?cursor={text}", f"/calls?prompt={text}",
        f"/calls?cursor={text}", f"/calls?until={text}", f"/prompts/team~greet/versions?cursor={text}", f"/prompts?application={text}",
    ):  # fmt: skip
        answer = control.http.get(
            path, headers={} if "application=" in path or path.startswith("/calls") else {"x-application": app}
        )
        assert answer.status_code < 500, (path, answer.text)


def test_the_application_must_be_clear(control: Control, app: str):
    control.ask("POST", "/applications", {"slug": f"{app}-second"}, 201)
    status, _, param, message = control.refused("GET", "/prompts", b"")
    assert (status, param) == (400, "application")
    assert "several" in message
    answer = control.http.get("/prompts", params={"application": app}, headers={"x-application": "other"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "contradictory_reference")
    assert control.http.get("/prompts", headers={"x-application": app}).json() == {"items": [], "next_cursor": None}


# --- applications and keys ----------------------------------------------------------------------------------------


def test_an_application_is_born_with_a_key_shown_once(control: Control):
    made = control.ask("POST", "/applications", {"slug": "born", "default_model": "gpt", "requests_per_minute": 5}, 201)
    assert keys.well_formed(made["api_key"])
    assert made["public_id"] in made["api_key"]
    listed = control.ask("GET", "/applications/born/keys", None, 200)["items"]
    assert [key["public_id"] for key in listed] == [made["public_id"]]
    everything = msgspec.json.encode([listed, control.ask("GET", "/applications/born")]).decode()
    assert made["api_key"] not in everything
    assert keys.digest(made["api_key"]) not in everything
    assert control.refused("POST", "/applications", {"slug": "born"})[:3] == (409, "conflict", "slug")


def test_an_application_is_changed_archived_and_restored(control: Control, app: str):
    changed = control.ask("PUT", f"/applications/{app}", {"default_model": "gpt", "name": "New"}, 200)
    assert (changed["default_model"], changed["name"], changed["description"]) == ("gpt", "New", "")
    assert control.ask("DELETE", f"/applications/{app}", None, 200)["archived_at"] is not None
    assert app not in [a["slug"] for a in control.ask("GET", "/applications", limit=100)["items"]]
    assert control.ask("POST", f"/applications/{app}/restore", None, 200)["archived_at"] is None


def test_keys_are_made_revoked_and_replaced(control: Control, app: str):
    made = control.ask(
        "POST", f"/applications/{app}/keys", {"name": "ci", "requests_per_minute": 7, "expires_in_seconds": 60}, 201
    )
    assert (made["name"], made["requests_per_minute"]) == ("ci", 7)
    assert made["expires_at"] is not None
    control.workers.announced.clear()
    control.ask("DELETE", f"/applications/{app}/keys/{made['public_id']}", None, 200)
    digest = keys.digest(made["api_key"])
    assert [(c.kind, c.name) for c in control.workers.announced] == [("key", digest)]
    replaced = control.ask("POST", f"/applications/{app}/regenerate-key", None, 201)
    assert [k["public_id"] for k in control.ask("GET", f"/applications/{app}/keys")["items"]] == [replaced["public_id"]]
    graced = control.ask("POST", f"/applications/{app}/regenerate-key", {"grace_seconds": 60}, 201)
    listed = {k["public_id"]: k["expires_at"] for k in control.ask("GET", f"/applications/{app}/keys")["items"]}
    assert listed[graced["public_id"]] is None
    assert listed[replaced["public_id"]] is not None


def test_what_a_key_may_do_is_kept_changed_and_inherited(control: Control, app: str):
    keys_of = f"/applications/{app}/keys"
    rights = {"scopes": ["chat", "models"], "prompts": ["faq*"], "models": []}
    made = control.ask("POST", keys_of, {"name": "ci", "requests_per_minute": 7, "expires_in_seconds": 600, **rights}, 201)
    assert {name: made[name] for name in rights} == rights
    read = control.ask("GET", f"{keys_of}/{made['public_id']}", None, 200)
    assert {name: read[name] for name in rights} == rights
    assert (read["lifetime_seconds"], read["replaced_by"], read["last_used_on"]) == (600, None, None)
    control.workers.announced.clear()
    changed = control.ask("PUT", f"{keys_of}/{made['public_id']}", {"models": None, "expires_in_seconds": 60}, 200)
    assert (changed["models"], changed["scopes"], changed["lifetime_seconds"]) == (None, ["chat", "models"], 60)
    assert changed["expires_at"] < read["expires_at"]
    assert [c.name for c in control.workers.announced] == [keys.digest(made["api_key"])]
    control.workers.announced.clear()
    control.ask("PUT", f"{keys_of}/{made['public_id']}", {"name": "ci 2"}, 200)
    assert control.workers.announced == [], "serving knows no names"
    rotated = control.ask("POST", f"{keys_of}/{made['public_id']}/rotate", {"grace_seconds": 30}, 201)
    assert {c.name for c in control.workers.announced} == {keys.digest(made["api_key"]), keys.digest(rotated["api_key"])}
    new, old = (control.ask("GET", f"{keys_of}/{k['public_id']}", None, 200) for k in (rotated, made))
    for name in ("name", "scopes", "prompts", "models", "requests_per_minute", "lifetime_seconds"):
        assert new[name] == old[name], name
    assert (old["replaced_by"], old["revoked_at"]) == (new["id"], None)
    assert (old["ancestors"], new["ancestors"]) == ([], [made["public_id"]])
    assert old["expires_at"] < new["expires_at"]
    control.ask("POST", f"{keys_of}/{rotated['public_id']}/rotate", None, 201)
    assert control.ask("GET", f"{keys_of}/{rotated['public_id']}", None, 200)["revoked_at"] is not None
    for method, path, body in (("PUT", "", {"name": "x"}), ("POST", "/rotate", {})):
        assert control.refused(method, f"{keys_of}/{rotated['public_id']}{path}", body)[:3] == (409, "conflict", "key")


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("scopes", [], "give at least one"),
        ("scopes", ["chats"], "'chats' is no scope; there are *, audio"),
        ("prompts", ["a b"], "'a b' is not a prompt or pattern"),
        ("models", ["gpt?"], "'gpt?' is not the name of a model"),
        ("models", ["m"] * 101, "at most 100"),
        ("requests_per_minute", 0, "at least 1"),
        ("expires_in_seconds", 0, "1 to "),
    ],
)
def test_rights_that_are_none_are_refused_by_name(control: Control, app: str, field: str, value: Any, told: str):
    made = control.ask("POST", f"/applications/{app}/keys", {}, 201)
    for method, path in (("POST", ""), ("PUT", f"/{made['public_id']}")):
        status, _, param, message = control.refused(method, f"/applications/{app}/keys{path}", {field: value})
        assert (status, param) == (400, field)
        assert message.startswith(f"{field}: ")
        assert told in message
    assert (
        control.refused("POST", f"/applications/{app}/keys/{made['public_id']}/rotate", {"grace_seconds": -1})[2]
        == "grace_seconds"
    )


def test_limits_are_set_replaced_and_deleted_and_every_key_carries_them(control: Control, app: str):
    where = f"/applications/{app}/limits"
    made = control.ask("POST", f"/applications/{app}/keys", {}, 201)
    body = {"scope": "tag", "match": "batch", "metric": "tokens", "amount": 1000, "window": "day", "hard": True}
    control.workers.announced.clear()
    first = control.ask("PUT", f"{where}/batch-tokens", body, 200)
    moved = {(c.kind, c.name) for c in control.workers.announced}
    assert {("application", app), ("key", keys.digest(made["api_key"]))} <= moved
    assert (first["mode"], first["on_store_error"], first["local_amount"], first["shadow"]) == ("exact", "open", None, False)
    control.workers.announced.clear()
    assert control.ask("PUT", f"{where}/batch-tokens", body, 200) == first
    assert control.workers.announced == []
    replaced = control.ask("PUT", f"{where}/batch-tokens", {**body, "amount": 5, "local_amount": 2}, 200)
    assert (replaced["id"], replaced["amount"], replaced["local_amount"]) == (first["id"], 5, 2)
    control.ask("PUT", f"{where}/per-user", {"scope": "user", "metric": "concurrency", "amount": 3}, 200)
    assert [rule["name"] for rule in control.ask("GET", where)["items"]] == ["batch-tokens", "per-user"]
    assert control.ask("GET", f"{where}/batch-tokens") == replaced
    report = control.ask("GET", f"{where}/usage")
    assert [(u["name"], u["value"], u["used"], u["remaining"]) for u in report["items"]] == [("batch-tokens", "batch", 0, 5)]
    assert 0 < report["items"][0]["resets_in_ms"] <= 86_400_000
    assert report["unnamed"] == ["per-user"]
    named = control.ask("GET", f"{where}/usage", user="ann")
    assert [u["value"] for u in named["items"]] == ["batch", "ann"]
    assert control.ask("DELETE", f"{where}/batch-tokens", None, 200) == replaced
    assert [rule["name"] for rule in control.ask("GET", where)["items"]] == ["per-user"]


def test_an_application_has_only_so_many_limits(control: Control, app: str):
    body = {"scope": "user", "metric": "concurrency", "amount": 3}
    for number in range(MAX_RULES):
        control.ask("PUT", f"/applications/{app}/limits/r{number}", body, 200)
    assert control.refused("PUT", f"/applications/{app}/limits/more", body)[:2] == (409, "conflict")
    control.ask("PUT", f"/applications/{app}/limits/r0", {**body, "amount": 4}, 200)


# --- prompts and versions -----------------------------------------------------------------------------------------


def test_a_slug_with_folders_can_be_written_three_ways(control: Control, app: str, prompt: str):
    for path in ("/prompts/team~greet", "/prompts/team%2Fgreet", "/prompts/team%2fgreet"):
        assert control.ask("GET", path, None, 200, application=app)["slug"] == "team/greet"
    hashed = control.ask("GET", "/prompts/team%2Fgreet/versions/1", None, 200, application=app)["content_hash"]
    assert control.ask("GET", f"/prompts/team%2Fgreet/versions/%23{hashed[:12]}", None, 200, application=app)["number"] == 1


def test_prompts_are_listed_filtered_found_and_paged(control: Control, app: str):
    for slug, tags in (("a", ["x"]), ("b", []), ("sub/c", ["x"])):
        control.ask("POST", "/prompts", {"slug": slug, "content": text(f"words of {slug}"), "tags": tags}, 201, application=app)

    def slugs(path: str = "/prompts", **query: Any) -> list[str]:
        return [p["slug"] for p in control.ask("GET", path, None, 200, application=app, **query)["items"]]

    assert slugs() == ["a", "b", "sub/c"]
    assert slugs(tag="x") == ["a", "sub/c"]
    assert slugs(folder="sub") == ["sub/c"]
    assert slugs(q="sub") == slugs("/prompts/search", q="sub") == ["sub/c"]
    page = control.ask("GET", "/prompts", None, 200, application=app, limit=2)
    assert [p["slug"] for p in page["items"]] == ["a", "b"]
    rest = control.ask("GET", "/prompts", None, 200, application=app, limit=2, cursor=page["next_cursor"])
    assert ([p["slug"] for p in rest["items"]], rest["next_cursor"]) == (["sub/c"], None)


def test_a_prompt_is_described_archived_and_restored(control: Control, app: str, prompt: str):
    changed = control.ask("PUT", "/prompts/team~greet", {"description": "d", "tags": ["t"]}, 200, application=app)
    assert (changed["description"], changed["tags"]) == ("d", ["t"])
    control.workers.announced.clear()
    control.ask("DELETE", "/prompts/team~greet", None, 200, application=app)
    assert [(c.kind, c.name) for c in control.workers.announced] == [("prompt", prompt)]
    assert control.ask("GET", "/prompts", None, 200, application=app)["items"] == []
    control.ask("POST", "/prompts/team~greet/restore", None, 200, application=app)
    assert len(control.ask("GET", "/prompts", None, 200, application=app)["items"]) == 1


def test_a_version_with_equal_content_is_not_made_twice(control: Control, app: str, prompt: str):
    again = control.ask("POST", "/prompts/team~greet/versions", {"content": text("two")}, 200, application=app)
    assert (again["number"], again["created"]) == (2, False)
    stale = control.refused("POST", f"/prompts/team~greet/versions?application={app}", {"content": "x", "base_version": 1})
    assert stale[:3] == (409, "conflict", "base_version")


def test_content_may_come_in_the_flat_form(control: Control, app: str):
    body = {
        "slug": "flat",
        "content": "Explain {{ topic }}",
        "system_prompt": "Be brief",
        "required_fields": [{"name": "topic"}],
        "model_params": {"temperature": 0},
    }
    control.ask("POST", "/prompts", body, 201, application=app)
    content = control.ask("GET", "/prompts/flat/versions/draft", None, 200, application=app)["content"]
    assert [m["role"] for m in content["messages"]] == ["system", "user"]
    assert content["variables"]["required"] == ["topic"]


def test_versions_are_read_by_any_selector_and_compared(control: Control, app: str, prompt: str):
    for selector, number in (("1", 1), ("draft", 2), ("latest", 1), ("production", 1), ("@production", 1), (":2", 2)):
        assert control.ask("GET", f"/prompts/team~greet/versions/{selector}", None, 200, application=app)["number"] == number
    found = control.ask("GET", "/prompts/team~greet/diff", None, 200, application=app, **{"from": "production", "to": "draft"})
    assert (found["from"], found["to"], found["identical"]) == (1, 2, False)
    assert "-one\n+two" in found["messages"][0]["diff"]
    assert [v["number"] for v in control.ask("GET", "/prompts/team~greet/versions", None, 200, application=app)["items"]] == [
        2,
        1,
    ]


# --- publishing ---------------------------------------------------------------------------------------------------


def test_publish_tells_the_workers_and_proves_propagation(control: Control, app: str, prompt: str):
    control.workers.announced.clear()
    body = {"wait": True, "expected_version": 1, "message": "go"}
    moved = control.ask("POST", "/prompts/team~greet/versions/2/publish", body, 200, application=app)
    assert (moved["from_version"], moved["to_version"], moved["changed"], moved["message"]) == (1, 2, True, "go")
    assert moved["propagation"]["lagging"] == []
    assert moved["propagation"]["workers"] == 2
    assert moved["propagation"]["generation"] == moved["generation"]
    assert 0 < moved["propagation"]["waited_ms"] < 5000
    assert [(c.kind, c.name, c.generation) for c in control.workers.announced] == [("prompt", prompt, moved["generation"])]
    assert {w["generation"] for w in control.ask("GET", "/workers")["items"]} == {moved["generation"]}


def test_a_worker_that_lags_is_named(control: Control, app: str, prompt: str):
    control.workers.obedient = False
    body = {"wait": True, "wait_timeout_ms": 50}
    moved = control.ask("POST", "/prompts/team~greet/versions/2/publish", body, 200, application=app)
    assert [w["worker_id"] for w in moved["propagation"]["lagging"]] == ["worker-2"]
    assert moved["propagation"]["waited_ms"] >= 50
    result = control.cli("rollback", prompt, "--wait", "--timeout", "0.1", app=app, code=1)
    assert "worker-2" in result.stderr


def test_a_stale_expectation_is_a_conflict_and_moves_nothing(control: Control, app: str, prompt: str):
    refused = control.refused("POST", f"/prompts/team~greet/versions/2/publish?application={app}", {"expected_version": 2})
    assert refused[:3] == (409, "conflict", "expected_version")
    assert control.ask("GET", "/prompts/team~greet", None, 200, application=app)["aliases"] == {"production": 1}


def test_aliases_move_back_and_keep_their_history(control: Control, app: str, prompt: str):
    control.ask("POST", "/prompts/team~greet/versions/2/publish", {}, 200, application=app)
    back = control.ask("POST", "/prompts/team~greet/aliases/production/rollback", None, 200, application=app)
    assert (back["action"], back["from_version"], back["to_version"]) == ("rollback", 2, 1)
    control.ask("PUT", "/prompts/team~greet/aliases/staging", {"version": "latest"}, 200, application=app)
    listed = control.ask("GET", "/prompts/team~greet/aliases", None, 200, application=app)["items"]
    assert [(a["name"], a["version"]) for a in listed] == [("production", 1), ("staging", 2)]
    history = control.ask("GET", "/prompts/team~greet/aliases/production/history", None, 200, application=app)["items"]
    assert [(m["action"], m["to_version"]) for m in history] == [("rollback", 1), ("publish", 2), ("publish", 1)]
    gone = control.ask("DELETE", "/prompts/team~greet/aliases/staging", None, 200, application=app, message="done")
    assert (gone["action"], gone["to_version"], gone["message"]) == ("delete", None, "done")


def test_revert_makes_a_new_version_with_old_content(control: Control, app: str, prompt: str):
    made = control.ask("POST", "/prompts/team~greet/versions/1/revert", {"message": "undo"}, 201, application=app)
    assert (made["number"], made["created"], made["message"]) == (3, True, "undo")
    old, new = (control.ask("GET", f"/prompts/team~greet/versions/{n}", None, 200, application=app) for n in (1, 3))
    assert (new["content"], new["content_hash"]) == (old["content"], old["content_hash"])


def test_the_actor_is_kept_in_the_history(control: Control, app: str, prompt: str):
    headers = {"x-actor": "ann@example.org", "x-application": app}
    control.http.post("/prompts/team~greet/versions/2/publish", json={}, headers=headers).raise_for_status()
    history = control.ask("GET", "/prompts/team~greet/aliases/production/history", None, 200, application=app)["items"]
    assert [m["actor"] for m in history] == ["admin:ann@example.org", "admin"]


# --- operations ---------------------------------------------------------------------------------------------------


def row(application_id: str, prompt: str, outcome: str) -> LedgerRow:
    values: dict[str, Any] = dict.fromkeys(LedgerRow.__struct_fields__)
    values.update(
        call_id=new_id(), attempt=1, state=State.FINAL, application_id=application_id, request_id="r", door="chat", prompt=prompt,
        version=1, stream=False, provider="echo", model="echo", outcome=outcome, status=200, input_tokens=3, output_tokens=4,
        cost_nano=5, latency_us=1500, attempts=1, tags=("t",),
    )  # fmt: skip
    return LedgerRow(**values)


def test_calls_are_listed_filtered_paged_and_read(control: Control, app: str):
    application_id = control.ask("GET", f"/applications/{app}")["id"]
    rows: list[LedgerRow] = []
    for prompt, outcome in (("a", "ok"), ("b", "ok"), ("a", "blocked")):
        rows.append(row(application_id, prompt, outcome))
        time.sleep(0.002)

    async def land() -> None:
        writer = PostgresCallWriter(control.database)
        await writer.prepare(time.time_ns() // 1_000_000)
        await writer.write(rows)
        await writer.close()

    rows[1].trace_id = rows[2].trace_id = trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    asyncio.run(land())

    def ids(**query: Any) -> list[str]:
        return [c["call_id"] for c in control.ask("GET", "/calls", None, 200, application=app, **query)["items"]]

    newest_first = [r.call_id for r in reversed(rows)]
    assert ids() == newest_first
    assert ids(prompt="a") == [newest_first[0], newest_first[2]]
    assert ids(outcome="blocked") == newest_first[:1]
    assert (ids(trace_id=trace.upper()), ids(trace_id=trace, prompt="a")) == (newest_first[:2], newest_first[:1])
    call = (first := control.ask("GET", "/calls", None, 200, application=app, limit=1))["items"][0]
    assert (call["outcome"], call["cost_nano"], call["ended"], call["finish_reason"]) == ("blocked", 5, True, None)
    assert (ids(until=call["started_at"]), ids(since=call["started_at"])) == (newest_first[1:], newest_first[:1])
    assert ids(cursor=first["next_cursor"]) == newest_first[1:]
    assert [c["call_id"] for c in control.ask("GET", f"/calls/{newest_first[1]}", None, 200)["items"]] == [newest_first[1]]
    tail = control.json("calls", "tail", "--prompt", "a", app=app)
    assert [c["call_id"] for c in tail if c["application_id"] == application_id] == [newest_first[2], newest_first[0]]
    assert control.cli("calls", "tail", "--trace", trace, app=app).stdout.count(trace) == 2


def test_status_asks_every_probe(control: Control):
    found = control.ask("GET", "/status", None, 200)
    assert found["ok"] is True
    assert [c["name"] for c in found["checks"]] == ["generation"]


# --- the command line ---------------------------------------------------------------------------------------------


def test_a_prompt_from_draft_to_rollback_on_the_command_line(control: Control, app: str):
    control.cli("create", "faq", "--text", "Answer {{ q }}", "--tag", "x", app=app)
    control.cli("update", "faq", "--text", "Answer {{ q }} kindly", "-m", "kinder", app=app)
    assert "unchanged" in control.cli("update", "faq", "--text", "Answer {{ q }} kindly", app=app).stdout
    control.cli("publish", "faq", "1", app=app)
    result = control.cli("publish", "faq", "draft", "--wait", "--expect", "1", app=app)
    assert "served by all 2 workers" in result.stdout
    assert f"undo: promptgate rollback faq --app {app}" in result.stderr
    control.cli("publish", "faq", "1", "--expect", "1", app=app, code=3)
    control.cli("create", "faq", "--text", "again", app=app, code=3)
    assert "+Answer {{ q }} kindly" in control.cli("diff", "faq", "1", "production", app=app).stdout
    assert [v["number"] for v in control.json("history", "faq", app=app)] == [2, 1]
    control.cli("rollback", "faq", app=app)
    assert control.json("get", "faq", app=app)["number"] == 1
    assert "Answer {{ q }}" in control.cli("get", "faq:1", app=app).stdout
    assert control.json("revert", "faq", "1", app=app)["number"] == 3
    control.cli("alias", "set", "faq", "canary", "2", app=app)
    assert {a["name"]: a["version"] for a in control.json("alias", "list", "faq", app=app)} == {"production": 1, "canary": 2}
    assert [m["action"] for m in control.json("alias", "history", "faq", app=app)] == ["rollback", "publish", "publish"]
    control.cli("alias", "delete", "faq", "canary", app=app)
    control.cli("archive", "faq", app=app)
    assert control.json("list", app=app) == []
    control.cli("restore", "faq", app=app)
    assert [p["slug"] for p in control.json("list", "--tag", "x", app=app)] == ["faq"]


def test_applications_and_keys_on_the_command_line(control: Control):
    made = msgspec.json.decode(control.cli("app", "create", "cli-app", "--json").stdout)
    assert keys.well_formed(made["api_key"])
    second = control.json("key", "create", "--name", "ci", "--days", "1", app="cli-app")
    assert {k["public_id"] for k in control.json("key", "list", app="cli-app")} == {made["public_id"], second["public_id"]}
    control.cli("key", "revoke", second["public_id"], app="cli-app")
    control.cli("key", "rotate", app="cli-app", code=2)
    rotated = control.json("key", "rotate", "--all", app="cli-app")
    assert [k["public_id"] for k in control.json("key", "list", app="cli-app")] == [rotated["public_id"]]
    args = ("--scope", "chat", "--prompt", "a/*", "--prompt", "b@staging", "--no-models", "--name", "narrow")
    narrow = control.json("key", "create", *args, app="cli-app")["public_id"]
    control.cli("key", "update", narrow, "--model", "gpt-4o*", "--days", "2", "--rpm", "9", app="cli-app")
    control.cli("key", "update", narrow, "--scope", "*", "--forever", "--app-rpm", app="cli-app")
    control.cli("key", "update", narrow, app="cli-app", code=2)
    new = control.json("key", "rotate", narrow, "--grace", "60", app="cli-app")["public_id"]
    lines = [line.split() for line in control.cli("key", "list", app="cli-app").stdout.splitlines()]
    for public_id in (narrow, new):
        line = next(line for line in lines if line[0] == public_id)
        assert line[1:5] == ["narrow", "*", "a/*,b@staging", "gpt-4o*"]
    control.cli("app", "create", "cli-app", code=3)
    control.cli("app", "archive", "cli-app")
    control.cli("app", "restore", "cli-app")
    assert "cli-app" in control.cli("app", "list").stdout


def test_push_and_pull_are_idempotent_and_lose_nothing(control: Control, app: str, tmp_path: Path):
    def state() -> dict[str, tuple[int, dict[str, int]]]:
        return {p["slug"]: (p["latest_version"], p["aliases"]) for p in control.json("list", app=app)}

    control.cli("push", str(DEMOS), app=app)
    assert state() == {name: (1, {}) for name in ("faq-bot", "summarize", "translate")}
    again = control.cli("push", str(DEMOS), app=app)
    assert state() == {name: (1, {}) for name in ("faq-bot", "summarize", "translate")}
    assert "undo" not in again.stderr
    control.cli("push", str(DEMOS), "--publish", app=app)
    published = {name: (1, {"production": 1}) for name in ("faq-bot", "summarize", "translate")}
    assert state() == published
    generation = control.ask("GET", "/workers")["items"][0]["generation"]
    control.cli("push", str(DEMOS), "--publish", app=app)
    assert state() == published
    assert control.ask("GET", "/workers")["items"][0]["generation"] == generation

    control.cli("create", "unpublished", "--text", "x", app=app)
    latest = control.json("pull", str(tmp_path), "--alias", "latest", app=app)
    assert (len(latest["written"]), latest["skipped"]) == (3, ["unpublished"])
    control.cli("archive", "unpublished", app=app)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.yaml")}
    assert len(before) == 3
    assert "every file is as the registry has it" in control.cli("pull", str(tmp_path), app=app).stdout
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.yaml")} == before
    control.cli("push", str(tmp_path), "--publish", app=app)
    assert state() == published

    changed = tmp_path / "translate.prompt.yaml"
    changed.write_text(changed.read_text().replace("Translate the", "Carefully translate the"))
    result = control.cli("push", str(tmp_path), app=app)
    assert state()["translate"] == (2, {"production": 1})
    assert f"undo: promptgate revert translate 1 --app {app}" in result.stderr


def test_push_of_a_bad_file_sends_nothing(control: Control, app: str, tmp_path: Path):
    (tmp_path / "a.prompt.yaml").write_text("messages: [{role: system, content: fine}]\n")
    (tmp_path / "b.prompt.yaml").write_text("messages: [{role: system, contents: wrong}]\n")
    result = control.cli("push", str(tmp_path), app=app, code=1)
    assert "b.prompt.yaml: messages[0].contents: unknown key" in result.stderr
    assert control.json("list", app=app) == []


def test_the_server_judges_what_files_mean(control: Control, app: str, tmp_path: Path):
    (tmp_path / "a.prompt.yaml").write_text("messages: [{role: system, content: '{% for %}'}]\n")
    result = control.cli("push", str(tmp_path), app=app, code=1)
    assert "messages[0].content" in result.stderr


def test_seeding_twice_makes_nothing_the_second_time(control: Control):
    first = seed(control.url, TOKEN, DEMOS, None)
    assert first.prompts == ["faq-bot", "summarize", "translate"]
    assert len(first.created) == 4
    assert keys.well_formed(first.api_key)

    def both(request: httpx.Request) -> httpx.Response:
        """The data plane is another part's business: here it knows one key."""
        if request.url.path == "/v1/models":
            return httpx.Response(200 if request.headers["authorization"] == f"Bearer {first.api_key}" else 401)
        with httpx.Client(trust_env=False) as client:
            return client.send(request)

    again = seed(control.url, TOKEN, DEMOS, first.api_key, httpx.MockTransport(both))
    assert (again.api_key, again.created) == (first.api_key, [])
    renewed = seed(control.url, TOKEN, DEMOS, "pg_stale", httpx.MockTransport(both))
    assert (renewed.created, renewed.api_key != first.api_key) == (["key"], True)
