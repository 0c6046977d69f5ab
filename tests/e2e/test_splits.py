"""An alias that is split, on the real program: proportions, stickiness over workers and restarts, pins, headers, rows, propagation."""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from openai import OpenAI

UNITS = 2_000
LAND_SECONDS = 60
"""For rows to reach Postgres on a machine that does everything else as well."""
MESSAGES = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def gateway(start_gateway: Callable[..., Any]) -> Any:
    """Two workers; ``greet@production`` split among versions 1 (70 %) and 2 (30 %), and one that only a pin reaches."""
    gateway = start_gateway(workers=2)
    content = {"messages": [{"type": "message", "role": "system", "content": "Version one."}]}
    with gateway.admin() as admin:
        assert admin.post("/api/v1/prompts", json={"slug": "greet", "content": content}).status_code == 201
        content = {"messages": [{"type": "message", "role": "system", "content": "Version two."}]}
        assert admin.post("/api/v1/prompts/greet/versions", json={"content": content}).status_code == 201
        assert admin.post("/api/v1/prompts/greet/versions/1/publish", json={"alias": "staging"}).status_code == 200
    moved = split(gateway, control=7_000, concise=3_000)
    assert (moved["action"], moved["from_version"], moved["propagation"]["lagging"]) == ("split", None, [])
    return gateway


def split(gateway: Any, control: int, concise: int) -> Any:
    """Weigh the variants, and wait until both workers have it."""
    dark = {"name": "dark", "version": 2, "weight": 0, "model": "another-model", "params": {"temperature": 0.5}}
    variants = [
        {"name": "control", "version": 1, "weight": control},
        {"name": "concise", "version": "draft", "weight": concise},
        dark,
    ]
    with gateway.admin() as admin:
        path = "/api/v1/prompts/greet/aliases/production/split"
        answer = admin.put(path, json={"variants": variants, "wait": True, "wait_timeout_ms": 20_000})
    assert answer.status_code == 200, answer.text
    return answer.json()


def assigned(gateway: Any, units: list[str], run: str = "none") -> dict[str, str]:
    """Which variant answers each unit, by its header; many connections, so that all workers are asked."""
    with gateway.client() as client:

        def ask(unit: str) -> tuple[str, str]:
            body = {"model": "greet", "messages": MESSAGES, "user": unit}
            headers = {"x-session-id": run, "connection": "close"}
            answer = client.post("/v1/chat/completions", json=body, headers=headers)
            assert answer.status_code == 200, answer.text
            return unit, answer.headers["x-prompt-variant"]

        with ThreadPoolExecutor(8) as pool:
            return dict(pool.map(ask, units))


def wait_for_workers(gateway: Any, count: int) -> None:
    """Until so many report that they serve."""
    end = time.monotonic() + LAND_SECONDS
    with gateway.admin() as admin:
        while len(admin.get("/api/v1/workers").json()["items"]) != count:
            assert time.monotonic() < end, gateway.log
            time.sleep(0.1)


def rows(gateway: Any, run: str, count: int) -> list[Any]:
    end = time.monotonic() + LAND_SECONDS
    while True:
        found = gateway.rows('SELECT "user", prompt, alias, version, variant, outcome FROM calls WHERE session = $1', run)
        if len(found) >= count or time.monotonic() > end:
            return found
        time.sleep(0.1)


@pytest.fixture(scope="module")
def client(gateway: Any) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.api_key, max_retries=0, timeout=120) as client:
        yield client


def test_two_thousand_users_get_their_share_and_their_rows(gateway: Any) -> None:
    wait_for_workers(gateway, 2)
    units, run = [f"user-{i}" for i in range(UNITS)], str(uuid.uuid4())
    given = assigned(gateway, units, run)
    count = Counter(given.values())
    assert count.keys() == {"control", "concise"}
    # Five standard deviations of 2,000 draws at 30 %.
    assert abs(count["concise"] - 0.3 * UNITS) < 5 * (UNITS * 0.3 * 0.7) ** 0.5
    landed = rows(gateway, run, UNITS)
    assert {row["user"]: row["variant"] for row in landed} == given
    assert {(r["variant"], r["prompt"], r["alias"], r["version"], r["outcome"]) for r in landed} == {
        ("control", "greet", "production", 1, "ok"),
        ("concise", "greet", "production", 2, "ok"),
    }


def test_a_user_stays_with_a_variant_over_workers_restarts_and_weights(gateway: Any) -> None:
    units = [f"sticky-{i}" for i in range(200)]
    given = assigned(gateway, units)
    assert assigned(gateway, units) == given
    assert gateway.stop() == 0
    gateway.start()
    assert assigned(gateway, units) == given, "after a restart"
    moved = split(gateway, control=5_000, concise=5_000)
    assert moved["propagation"]["lagging"] == []
    now = assigned(gateway, units)
    changed = {(given[unit], now[unit]) for unit in units if given[unit] != now[unit]}
    assert changed == {("control", "concise")}, "who moved, moved to the variant that grew"
    with gateway.admin() as admin:
        back = admin.post("/api/v1/prompts/greet/aliases/production/rollback", json={"wait": True}).json()
    assert back["to_split"]["variants"][0]["weight"] == 7_000
    assert assigned(gateway, units) == given, "and back"


def test_a_publish_over_a_split_and_back_is_seen_at_once(gateway: Any) -> None:
    units = [f"moved-{i}" for i in range(20)]
    given = assigned(gateway, units)
    with gateway.admin() as admin, gateway.client() as client:
        path = "/api/v1/prompts/greet/aliases/production/promote"
        assert admin.post(path, json={"variant": "concise", "wait": True}).json()["propagation"]["lagging"] == []
        for _ in range(10):
            headers = {"connection": "close"}
            answer = client.post("/v1/chat/completions", json={"model": "greet", "messages": MESSAGES}, headers=headers)
            assert answer.headers["x-prompt"] == "greet@production:2"
            assert "x-prompt-variant" not in answer.headers
        admin.post("/api/v1/prompts/greet/aliases/production/rollback", json={"wait": True})
    assert assigned(gateway, units) == given


@pytest.mark.parametrize("variant", ["control", "concise", "dark"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_pin_reaches_every_variant(gateway: Any, client: OpenAI, variant: str, stream: bool) -> None:
    user = str(uuid.uuid4())
    raw = client.chat.completions.with_raw_response.create(
        model="greet", messages=MESSAGES, user=user, stream=stream, extra_headers={"x-prompt-variant": variant}
    )
    if stream:
        assert list(raw.parse())
    assert raw.headers["x-prompt-variant"] == variant
    assert raw.headers["x-prompt"] == f"greet@production:{1 if variant == 'control' else 2}"
    assert (raw.headers["x-model"] == "another-model") == (variant == "dark")


def test_the_unit_header_goes_before_the_user(gateway: Any, client: OpenAI) -> None:
    units = [f"unit-{i}" for i in range(10)]
    given = assigned(gateway, units)
    for unit in units:
        raw = client.chat.completions.with_raw_response.create(
            model="greet", messages=MESSAGES, user=str(uuid.uuid4()), extra_headers={"x-prompt-unit": unit}
        )
        assert raw.headers["x-prompt-variant"] == given[unit]
    one = {
        client.chat.completions.with_raw_response.create(model="greet", messages=MESSAGES).headers["x-prompt-variant"]
        for _ in units
    }
    assert len(one) == 1, "without a unit, the key is the unit"


@pytest.mark.parametrize(
    ("model", "headers", "code", "told"),
    [
        ("greet", {"x-prompt-variant": "nobody"}, "invalid_request", "it has control, concise, dark"),
        ("greet@staging", {"x-prompt-variant": "control"}, "invalid_request", "greet@staging:1 is not split into variants"),
        ("greet:1", {"x-prompt-variant": "control"}, "contradictory_reference", "greet:1 is a version"),
        ("greet", {"x-prompt-variant": "control", "x-prompt-version": "1"}, "contradictory_reference", "give one"),
    ],
)
def test_a_pin_that_leads_nowhere_is_a_bad_request(
    client: OpenAI, model: str, headers: dict[str, str], code: str, told: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=model, messages=MESSAGES, extra_headers=headers)
    error = caught.value
    assert (error.code, error.param) == (code, "x-prompt-variant")
    assert told in str(error)


def test_rendering_shows_the_variant(gateway: Any) -> None:
    with gateway.client() as client:
        answer = client.post("/v1/prompts/greet/render", json={}, headers={"x-prompt-variant": "concise"})
    assert (answer.status_code, answer.json()["variant"], answer.json()["version"]) == (200, "concise", 2)
    assert answer.json()["messages"] == [{"role": "system", "content": "Version two."}]
