"""The real program on a Redis Cluster: it serves, publishes, limits and revokes, also after a master has died."""

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import PATIENCE
from tests.e2e.conftest import GatewayProcess
from tests.redis_cluster import RedisCluster

FAQ = {"model": "faq-bot", "messages": [{"role": "user", "content": "hi"}]}
WORKERS = 2
LIMIT = 4
RULE = {"scope": "application", "metric": "requests", "amount": LIMIT, "window": "month", "on_store_error": "closed"}


@pytest.fixture(scope="module")
def own(server_folder: Path) -> Iterator[RedisCluster]:
    cluster = RedisCluster(server_folder / "e2e-cluster")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def gateway(own: RedisCluster, start_gateway: Callable[..., GatewayProcess]) -> GatewayProcess:
    settings = {"PROMPTGATE_REDIS_URL": own.url, "PROMPTGATE_LIMITS_TIMEOUT_MS": "5000"}
    return start_gateway(workers=WORKERS, **settings)


def ask(gateway: GatewayProcess, key: str, **fields: Any) -> int:
    """The status of one call on a connection of its own, so that any worker may get it."""
    with gateway.client() as client:
        body = {"model": "echo", "messages": FAQ["messages"], **fields}
        return client.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}).status_code


def until(found: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < end
        time.sleep(0.05)


def application(api: httpx.Client) -> tuple[dict[str, Any], str]:
    """A new one that may make :data:`LIMIT` calls a month, and its key."""
    made = api.post("/api/v1/applications", json={"slug": f"app-{uuid.uuid4().hex}"}).raise_for_status().json()
    api.put(f"/api/v1/applications/{made['slug']}/limits/calls", json=RULE).raise_for_status()
    return made, made["api_key"]


def test_it_serves_publishes_limits_and_revokes(gateway: GatewayProcess, own: RedisCluster) -> None:
    with gateway.admin() as api:
        assert ask(gateway, gateway.api_key, **FAQ) == 200
        assert api.get("/readyz").json()["checks"]["redis"] == "ok"
        found = {check["name"]: check for check in api.get("/api/v1/status").json()["checks"]}
        assert found["redis"]["ok"]

        published = api.post("/api/v1/prompts/faq-bot/versions/1/publish?application=demo", json={"wait": True})
        assert published.status_code == 200, published.text
        published = published.json()
        assert published["propagation"]["workers"] == WORKERS
        assert published["propagation"]["lagging"] == []

        made, key = application(api)
        assert [ask(gateway, key) for _ in range(LIMIT + 3)] == [200] * LIMIT + [429] * 3
        report = api.get(f"/api/v1/applications/{made['slug']}/limits/usage").raise_for_status().json()
        assert [item["used"] for item in report["items"]] == [LIMIT]

        spare = api.post("/api/v1/applications/demo/keys", json={}).raise_for_status().json()
        assert ask(gateway, spare["api_key"], **FAQ) == 200
        api.delete(f"/api/v1/applications/demo/keys/{spare['public_id']}").raise_for_status()
        until(lambda: ask(gateway, spare["api_key"], **FAQ) == 401)


def test_a_master_dies_and_calls_go_on(gateway: GatewayProcess, own: RedisCluster) -> None:
    with gateway.admin() as api:
        made, key = application(api)
        master = own.owner(f"{{{made['id']}}}")
        replica = own.add_replica(master)
        assert [ask(gateway, key) for _ in range(2)] == [200, 200]
        assert own.tell(master, "WAIT", 1, 5000) == 1
        own.kill(master)
        # Calls without that counter are served all the time; the rule that wants to be exact refuses, as it says.
        assert {ask(gateway, gateway.api_key, **FAQ) for _ in range(10)} == {200}
        assert ask(gateway, key) == 503
        own.tell(replica, "CLUSTER", "FAILOVER", "TAKEOVER")
        answers: list[int] = []
        until(lambda: answers.append(ask(gateway, key)) or answers.count(200) == LIMIT - 2)
        assert {ask(gateway, key) for _ in range(3)} <= {429, 503}
        assert answers.count(200) == LIMIT - 2
        until(lambda: ask(gateway, key) == 429)
        assert ask(gateway, gateway.api_key, **FAQ) == 200
        published = api.post("/api/v1/prompts/faq-bot/versions/1/publish?application=demo", json={"wait": True})
        assert published.status_code == 200, published.text
        published = published.json()
        assert published["propagation"]["lagging"] == []
