"""Keys of provider accounts in the database, routes of applications and the list of targets, in the real program with two workers."""

import base64
import itertools
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import redis
from click.testing import CliRunner

from admin_cli.main import main
from gateway.storage.redis.outages import OWN_KEYS
from tests.e2e.conftest import ROOT, GatewayProcess, free_port

PATIENCE_S = 40
CANARY = "sk-canary-0f1e2d3c4b5a69788796"
CREDENTIALS_KEY = base64.b64encode(bytes(range(32))).decode()
PROVIDERS = """
[providers.a]
kind = "openai"
base_url = "{url}"
api_key = "configured-key"
[providers.b]
kind = "openai"
base_url = "{url}"
[[routes]]
models = ["smart"]
targets = [{{ provider = "a", model = "mock-ok" }}]
[[routes]]
models = ["mock-*"]
targets = [{{ provider = "a" }}]
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    """The base URL of a fake upstream that keeps a book of what it was sent."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "loadtests.faults", "--port", str(port)], cwd=ROOT)
    url = f"http://127.0.0.1:{port}"
    eventually(lambda: answers(url))
    yield f"{url}/v1"
    process.terminate()
    process.wait(10)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ledger", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def eventually(found: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not found():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


class Site:
    """A gateway, what stands behind it, and the commands of its operator."""

    def __init__(self, gateway: GatewayProcess, upstream: str) -> None:
        self.gateway = gateway
        self.book = f"{upstream.removesuffix('/v1')}/ledger"
        self.http = httpx.Client(trust_env=False, timeout=60, limits=httpx.Limits(max_keepalive_connections=0))
        """Every request has a connection of its own, so that all workers are met."""

    def cli(self, *args: str, text: str | None = None, code: int = 0) -> str:
        done = CliRunner().invoke(main, args, input=text, env=self.gateway.env, catch_exceptions=False)
        assert done.exit_code == code, (args, done.exit_code, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def application(self, slug: str) -> str:
        """The key of an application, which is new unless this test is repeated."""
        with self.gateway.admin() as admin:
            made = admin.post("/api/v1/applications", json={"slug": slug})
            if made.status_code == 409:
                made = admin.post(f"/api/v1/applications/{slug}/regenerate-key")
            return made.json()["api_key"]

    def call(self, key: str, model: str = "mock-ok") -> tuple[int, str, str]:
        """One call on a fresh connection: its status, the key that the provider was given, and the provider's name."""
        body = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
        self.http.delete(self.book)
        url, head = f"{self.gateway.url}/v1/chat/completions", {"authorization": f"Bearer {key}"}
        answer = self.http.post(url, json=body, headers=head)
        calls = self.http.get(self.book).json().get("", [])
        used = calls[-1]["headers"].get("authorization", "").removeprefix("Bearer ") if calls else ""
        return answer.status_code, used, answer.headers.get("x-provider", "")

    def keys_used(self, key: str, model: str) -> tuple[int, list[str]]:
        """One call on a fresh connection: its status, and the keys that the provider was given, in order."""
        status, _, _ = self.call(key, model)
        calls = self.http.get(self.book).json().get("", [])
        return status, [call["headers"].get("authorization", "").removeprefix("Bearer ") for call in calls]

    def keys_of(self, application: str) -> Any:
        """What the worker that answers knows of the keys of an application's account ``a``."""
        listed = msgspec.json.decode(self.cli("targets", "--app", application, "--json"))
        return next(target["keys"] for target in listed if target["provider"] == "a")

    def attempts(self, application: str) -> list[dict[str, Any]]:
        """The rows of an application's calls, by name of the stored key that each attempt went out with."""
        sql = """select c.attempt, c.outcome, c.status, k.name from calls c join applications a on a.id = c.application_id
                 left join provider_credentials k on k.id = c.credential_id where a.slug = $1 order by c.call_id, c.attempt"""
        return [dict(row) for row in self.gateway.rows(sql, application)]

    def everywhere(self, key: str, wanted: tuple[int, str, str], model: str = "mock-ok") -> None:
        """Wait until a row of calls on fresh connections, more than there are workers, all end so."""
        eventually(lambda: all(self.call(key, model) == wanted for _ in range(6)))


@pytest.fixture(scope="module")
def site(
    start_gateway: Callable[..., GatewayProcess], upstream: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("accounts") / "config"
    shutil.copytree(ROOT / "config", folder)
    (folder / "providers.toml").write_text(PROVIDERS.format(url=upstream))
    gateway = start_gateway(
        workers=2,
        PROMPTGATE_CONFIG=str(folder),
        PROMPTGATE_SECURITY_CREDENTIALS_KEY=CREDENTIALS_KEY,
        PROMPTGATE_REGISTRY_SNAPSHOT_SECONDS="1",
        PROMPTGATE_RESILIENCE_BREAKER_WAIT_MS="300000",
    )
    made = Site(gateway, upstream)
    yield made
    made.http.close()


def test_a_kept_key_is_used_replaced_and_deleted(site: Site) -> None:
    key = site.gateway.api_key
    site.everywhere(key, (200, "configured-key", "a"))
    said = site.cli("credentials", "set", "a", text=f"{CANARY}\n")
    assert "kept the key default of a for the installation" in said
    site.everywhere(key, (200, CANARY, "a"))
    (listed,) = msgspec.json.decode(site.cli("credentials", "list", "--json"))
    assert (listed["last4"], listed["opens"], listed["application"]) == (CANARY[-4:], True, None)
    assert "replaced" in site.cli("credentials", "set", "a", text="sk-second-key-of-the-installation")
    site.everywhere(key, (200, "sk-second-key-of-the-installation", "a"))
    stored = {"total": 1, "alive": 1, "refused": 0, "limited": 0, "stored": True}
    eventually(lambda: target_a(site)["keys"] == stored)
    eventually(lambda: target_a(site)["fleet"]["slowest_first_byte_ms"])
    assert (target_a(site)["here"]["breaker"], target_a(site)["fleet"]["workers"]) == ("closed", 2)
    site.cli("credentials", "delete", "a")
    site.everywhere(key, (200, "configured-key", "a"))
    eventually(lambda: not target_a(site)["keys"]["stored"])
    assert "no key" in site.cli("credentials", "delete", "a", code=1)


def target_a(site: Site) -> Any:
    """The state of the target that the calls of these tests are counted under."""
    listed = msgspec.json.decode(site.cli("targets", "--json"))
    return next(target for target in listed if (target["provider"], target["model"]) == ("a", "mock-ok"))


def test_an_applications_key_goes_before_the_installations_and_is_its_own_affair(site: Site) -> None:
    demo, tenant = site.gateway.api_key, site.application("tenant")
    site.cli("credentials", "set", "a", text="sk-of-the-installation")
    site.everywhere(tenant, (200, "sk-of-the-installation", "a"))
    site.cli("credentials", "set", "a", "--app", "tenant", text="sk-of-the-tenant")
    site.everywhere(tenant, (200, "sk-of-the-tenant", "a"))
    site.everywhere(demo, (200, "sk-of-the-installation", "a"))
    site.cli("credentials", "set", "a", "--app", "tenant", "--name", "second", text="sk-of-the-tenant-too")
    eventually(lambda: {site.call(tenant)[1] for _ in range(8)} == {"sk-of-the-tenant", "sk-of-the-tenant-too"})
    site.cli("credentials", "delete", "a", "--app", "tenant", "--name", "second")

    # Its row copied to the neighbour, by somebody who can write to Postgres, opens nothing: only the neighbour's own calls stop.
    other = site.application("other")
    site.cli("credentials", "set", "a", "--app", "other", text="sk-of-the-other")
    site.everywhere(other, (200, "sk-of-the-other", "a"))
    moved = "update provider_credentials o set wrapped_key = t.wrapped_key, ciphertext = t.ciphertext"
    moved += " from provider_credentials t, applications oa, applications ta where oa.slug = 'other' and ta.slug = 'tenant'"
    site.gateway.rows(f"{moved} and o.application_id = oa.id and t.application_id = ta.id")
    with site.gateway.admin() as admin:
        admin.put("/api/v1/applications/other", json={"requests_per_minute": 1000})
    eventually(lambda: site.call(other)[0] == 501)
    assert [c["opens"] for c in msgspec.json.decode(site.cli("credentials", "list", "--app", "other", "--json"))] == [False]
    site.everywhere(tenant, (200, "sk-of-the-tenant", "a"))
    assert "a stored credential does not open" in site.gateway.log
    site.cli("credentials", "delete", "a", "--app", "other")
    site.everywhere(other, (200, "sk-of-the-installation", "a"))


def test_routes_of_an_application_go_before_the_installations(site: Site, tmp_path: Path) -> None:
    demo, routed = site.gateway.api_key, site.application("routed")
    file = tmp_path / "routes.toml"
    file.write_text('[[routes]]\nmodels = ["smart", "own"]\ntargets = [{ provider = "b", model = "mock-ok" }]\n')
    assert "nothing is wrong" in site.cli("routes", "check", str(file), "--app", "routed")
    assert site.call(routed, "own")[2] == "a", "checked, not stored"
    site.cli("routes", "set", str(file), "--app", "routed")
    site.everywhere(routed, (200, "", "b"), "own")
    assert site.call(routed, "smart")[2] == "b"
    assert site.call(routed, "mock-ok")[2] == "a", "what it does not route goes by the installation's"
    assert site.call(demo, "smart")[2] == "a"
    with site.gateway.client(headers={"authorization": f"Bearer {routed}"}) as client:
        assert "own" in [model["id"] for model in client.get("/v1/models").json()["data"]]
        asked = {"model": "own", "messages": [{"role": "user", "content": "Hi"}]}
        assert client.post("/v1/explain", json=asked).json()["route"][0]["provider"] == "b"
    with site.gateway.client() as client:
        assert "own" not in [model["id"] for model in client.get("/v1/models").json()["data"]]
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("routes: [{models: [x], targets: [{provider: bb}]}]")
    said = site.cli("routes", "set", str(wrong), "--app", "routed", code=1)
    assert "[[routes]] number 1: provider 'bb' is unknown; did you mean b?" in said
    site.cli("routes", "reset", "--app", "routed")
    site.everywhere(routed, (200, site.call(demo, "smart")[1], "a"), "smart")


def test_forwarded_calls_that_no_model_routes_follow_the_applications_account(site: Site) -> None:
    key = site.application("forwarded")

    def placed() -> tuple[int, str, str]:
        site.http.delete(site.book)
        url, head = f"{site.gateway.url}/v1/images/generations", {"authorization": f"Bearer {key}"}
        answer = site.http.post(url, json={"prompt": "a cat"}, headers=head)
        (call,) = site.http.get(site.book).json()[""]
        return answer.status_code, call["headers"].get("authorization", ""), answer.headers["x-provider"]

    def everywhere(wanted: tuple[int, str, str]) -> None:
        eventually(lambda: all(placed() == wanted for _ in range(6)))

    usual = placed()
    assert (usual[0], usual[2]) == (200, "a")
    site.cli("credentials", "set", "b", "--app", "forwarded", text="sk-of-b")
    everywhere((200, "Bearer sk-of-b", "b"))
    site.cli("credentials", "delete", "b", "--app", "forwarded")
    everywhere(usual)


def test_a_stored_key_that_is_refused_is_set_aside_and_the_other_serves(site: Site) -> None:
    app = "refused"
    key = site.application(app)
    site.cli("credentials", "set", "a", "--app", app, "--name", "dead", text="sk-dead-401")
    site.cli("credentials", "set", "a", "--app", app, "--name", "good", text="sk-good")
    eventually(lambda: site.keys_used(key, "mock-by-key") == (200, ["sk-dead-401", "sk-good"]))
    # A failed attempt has a row of its own, and each row names the key.
    failed = {"attempt": 1, "outcome": "upstream_auth_error", "status": 502, "name": "dead"}
    served = {"attempt": 2, "outcome": "ok", "status": 200, "name": "good"}
    eventually(lambda: (failed, served) in itertools.pairwise(site.attempts(app)))
    aside = {"total": 2, "alive": 1, "refused": 1, "limited": 0, "stored": True}
    eventually(lambda: site.keys_used(key, "mock-by-key") == (200, ["sk-good"]) and site.keys_of(app) == aside)
    assert "a provider refuses a key" in site.gateway.log
    listed = {
        c["name"]: c["last_used_on"] for c in msgspec.json.decode(site.cli("credentials", "list", "--app", app, "--json"))
    }
    assert all(listed.values()), listed
    assert listed.keys() == {"dead", "good"}

    # None is left: the caller is told so, and not by a 401, which would be about its own key.
    site.cli("credentials", "set", "a", "--app", app, "--name", "good", text="sk-dead-too-401")
    eventually(lambda: site.call(key, "mock-by-key")[0] == 502)
    with site.gateway.client(headers={"authorization": f"Bearer {key}"}) as client:
        asked = {"model": "mock-by-key", "messages": [{"role": "user", "content": "Hi"}]}
        told = client.post("/v1/chat/completions", json=asked).json()["error"]
    assert told["code"] == "upstream_auth_error"
    assert "every one of the gateway's 2 keys" in told["message"]


def test_a_stored_key_at_its_limit_rests_for_as_long_as_it_was_asked_to(site: Site) -> None:
    app = "limited"
    key = site.application(app)
    site.cli("credentials", "set", "a", "--app", app, "--name", "busy", text="sk-busy-429-110")
    site.cli("credentials", "set", "a", "--app", app, "--name", "free", text="sk-free")
    eventually(lambda: site.keys_used(key, "mock-by-key") == (200, ["sk-busy-429-110", "sk-free"]))
    failed = {"attempt": 1, "outcome": "upstream_rate_limited", "status": 429, "name": "busy"}
    served = {"attempt": 2, "outcome": "ok", "status": 200, "name": "free"}
    eventually(lambda: (failed, served) in itertools.pairwise(site.attempts(app)))

    # Whoever asked the busy one tells the others, and not by the key itself.
    def told() -> bytes:
        with redis.Redis.from_url(site.gateway.redis_url) as server:
            return b" ".join(server.zrange(OWN_KEYS, 0, -1))

    eventually(lambda: b" a limited " in told())
    assert b"sk-busy" not in told()
    eventually(lambda: all(site.keys_used(key, "mock-by-key") == (200, ["sk-free"]) for _ in range(6)))
    assert site.keys_of(app) == {"total": 2, "alive": 1, "refused": 0, "limited": 1, "stored": True}


def test_workers_hear_what_is_wrong_with_an_applications_own_account(site: Site) -> None:
    broken, beside = site.application("broken"), site.application("beside")
    site.cli("credentials", "set", "a", "--app", "broken", text="sk-broken")
    site.cli("credentials", "set", "a", "--app", "beside", text="sk-beside")
    body = {"model": "mock-500", "messages": [{"role": "user", "content": "Hi"}]}

    def breakers(key: str, app: str) -> set[str]:
        """What a row of workers, which have met the target, say of it."""
        found: set[str] = set()
        for _ in range(6):
            url, head = f"{site.gateway.url}/v1/explain", {"authorization": f"Bearer {key}"}
            assert site.http.post(url, json=body, headers=head).status_code == 200
            listed = msgspec.json.decode(site.cli("targets", "--app", app, "--json"))
            found |= {target["here"]["breaker"] for target in listed if (target["provider"], target["model"]) == ("a", None)}
        return found

    site.everywhere(broken, (200, "sk-broken", "a"))
    site.everywhere(beside, (200, "sk-beside", "a"))
    assert breakers(broken, "broken") == breakers(beside, "beside") == {"closed"}
    with site.gateway.client(headers={"authorization": f"Bearer {broken}"}) as client:
        eventually(lambda: client.post("/v1/chat/completions", json=body).status_code == 503)
    asked = len(site.http.get(site.book).json().get("", []))
    eventually(lambda: breakers(broken, "broken") == {"open"})
    assert len(site.http.get(site.book).json().get("", [])) == asked, "the other worker has not asked for itself"
    assert breakers(beside, "beside") == {"closed"}
    assert site.call(beside, "mock-500")[0] == 502


def test_a_secret_is_nowhere_but_in_memory(site: Site) -> None:
    site.cli("credentials", "set", "a", text=CANARY)
    site.cli("credentials", "set", "a", "--app", "demo", text=f"{CANARY}-demo")
    key = site.gateway.api_key
    site.everywhere(key, (200, f"{CANARY}-demo", "a"))
    found = CANARY.encode()
    snapshot = site.gateway.folder / "snapshot"
    eventually(lambda: snapshot.exists() and b"ciphertext" in snapshot.read_bytes())
    files = [path for path in site.gateway.folder.rglob("*") if path.is_file()]
    assert [str(path) for path in files if found in path.read_bytes()] == []
    with redis.Redis.from_url(site.gateway.redis_url) as client:
        held = [client.dump(name) or b"" for name in client.scan_iter()]
        assert any(b"ciphertext" in (client.hget(name, "key") or b"") for name in client.scan_iter("pg:key:*"))
    assert held
    assert [value for value in held if found in value] == []
    tables = [
        row["name"]
        for row in site.gateway.rows("select format('%I', tablename) as name from pg_tables where schemaname = 'public'")
    ]
    for table in tables:
        texts = [row["row"] for row in site.gateway.rows(f"select t::text as row from {table} t")]
        assert [text for text in texts if CANARY in text or found.hex() in text] == [], table
