"""Routing and resilience in the real program: a providers.toml of its own, two workers, a fault upstream behind each provider."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

ROOT = Path(__file__).parents[2]
PROVIDERS = """
[providers.a]
kind = "openai"
base_url = "{a}"
api_keys = ["key-one", "key-two"]
[providers.b]
kind = "openai"
base_url = "{b}"
[[routes]]
models = ["by-tag"]
tags = ["batch"]
targets = [{{ provider = "b", model = "mock-ok" }}]
[[routes]]
models = ["by-tag"]
targets = [{{ provider = "a", model = "mock-ok" }}]
[[routes]]
models = ["hanging"]
targets = [{{ provider = "a", model = "mock-hang", first_token_ms = 300 }}, {{ provider = "b", model = "mock-ok" }}]
[[routes]]
models = ["hedged"]
hedge_after_ms = 100
targets = [{{ provider = "a", model = "mock-slow-5000" }}, {{ provider = "b", model = "mock-ok" }}]
[[routes]]
models = ["local"]
placement = "prefer_local"
targets = [{{ provider = "a", model = "mock-ok" }}, {{ provider = "b", model = "mock-ok", local = true }}]
[[routes]]
models = ["embeddings"]
targets = [{{ provider = "a", model = "mock-500" }}, {{ provider = "b", model = "mock-vectors" }}]
[[routes]]
models = ["pictures"]
targets = [{{ provider = "a", model = "mock-503" }}, {{ provider = "b", model = "mock-vectors" }}]
[[routes]]
models = ["pictures-in-doubt"]
targets = [{{ provider = "a", model = "mock-504" }}, {{ provider = "b", model = "mock-vectors" }}]
[[routes]]
models = ["mock-*"]
targets = [{{ provider = "a" }}]
"""
PATIENCE = 60.0


@pytest.fixture(scope="module")
def upstreams() -> Iterator[dict[str, str]]:
    """Base URLs of the two providers."""
    running: list[subprocess.Popen[bytes]] = []
    urls: dict[str, str] = {}
    for name in ("a", "b"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        running.append(subprocess.Popen([sys.executable, "-m", "loadtests.faults", "--port", str(port)], cwd=ROOT))
        urls[name] = f"http://127.0.0.1:{port}/v1"
    for url in urls.values():
        eventually(lambda url=url: answers(url))
    yield urls
    for process in running:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def gateway(start_gateway: Callable[..., Any], upstreams: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("resilience") / "config"
    shutil.copytree(ROOT / "config", folder)
    (folder / "providers.toml").write_text(PROVIDERS.format(**upstreams))
    return start_gateway(
        workers=2,
        PROMPTGATE_CONFIG=str(folder),
        PROMPTGATE_RESILIENCE_BREAKER_FAILURES="4",
        PROMPTGATE_RESILIENCE_BREAKER_WAIT_MS="4000",
    )


def eventually(found: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    end = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)
    return answer


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/models", trust_env=False).is_success
    except httpx.TransportError:
        return False


def ask(
    gateway: Any, model: str, *, stream: bool = False, fresh: bool = False, user: str = "e2e", **headers: str
) -> httpx.Response:
    """One call; ``fresh`` on a connection of its own, which any worker may get."""
    body = {"model": model, "stream": stream, "user": user, "messages": [{"role": "user", "content": "Hi"}]}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if fresh:
        named["connection"] = "close"
    with gateway.client() as client:
        return client.post("/v1/chat/completions", json=body, headers=named)


def attempts(gateway: Any, request_id: str, count: int) -> list[tuple[int, str, str]]:
    query = "SELECT attempt, provider, outcome, cost_status FROM calls WHERE request_id = $1 ORDER BY attempt"
    eventually(lambda: len(gateway.rows(query, request_id)) >= count)
    return [(row["attempt"], row["provider"], row["outcome"]) for row in gateway.rows(query, request_id)]


@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_that_hangs_costs_its_first_token_timeout_and_no_more(gateway: Any, stream: bool) -> None:
    name = f"hanging-{stream}"
    answer = ask(gateway, "hanging", stream=stream, x_request_id=name)
    assert (answer.status_code, answer.headers["x-provider"], answer.headers["x-attempts"]) == (200, "b", "2")
    assert attempts(gateway, name, 2) == [(1, "a", "upstream_timeout"), (2, "b", "ok")]


def test_a_slow_first_token_is_hedged_and_the_losers_exchange_is_cancelled(gateway: Any, upstreams: dict[str, str]) -> None:
    answer = ask(gateway, "hedged", stream=True, user="hedged", x_request_id="hedged-1")
    assert answer.text.endswith("data: [DONE]\n\n")
    assert (answer.headers["x-provider"], answer.headers["x-attempts"]) == ("b", "2")
    assert attempts(gateway, "hedged-1", 2) == [(1, "a", "hedge_lost"), (2, "b", "ok")]

    def aborted() -> bool:
        book = httpx.get(f"{upstreams['a'].removesuffix('/v1')}/ledger", params={"user": "hedged"}, trust_env=False).json()
        return [call["aborted"] for call in book["hedged"]] == [True]

    eventually(aborted)


def test_tags_and_places_choose_the_provider(gateway: Any) -> None:
    assert ask(gateway, "by-tag").headers["x-provider"] == "a"
    assert ask(gateway, "by-tag", x_tags="batch").headers["x-provider"] == "b"
    assert ask(gateway, "local").headers["x-provider"] == "b"


def test_every_key_is_tried_and_then_the_caller_is_told(gateway: Any, upstreams: dict[str, str]) -> None:
    answer = ask(gateway, "mock-403", user="forbidden", x_request_id="forbidden-1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_auth_error")
    book = httpx.get(f"{upstreams['a'].removesuffix('/v1')}/ledger", params={"user": "forbidden"}, trust_env=False).json()
    keys = {call["headers"]["authorization"] for call in book["forbidden"]}
    assert keys == {"Bearer key-one", "Bearer key-two"}
    assert attempts(gateway, "forbidden-1", 2) == [(1, "a", "upstream_auth_error"), (2, "a", "upstream_auth_error")]


@pytest.fixture(scope="module")
def client(gateway: Any) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.api_key, max_retries=0, timeout=PATIENCE) as client:
        yield client


def test_embeddings_come_from_the_next_target_and_soon_from_it_alone(client: OpenAI, gateway: Any) -> None:
    made = client.embeddings.with_raw_response.create
    raw = made(model="embeddings", input="Hi", encoding_format="float", extra_headers={"x-request-id": "embed-1"})
    assert raw.parse().data[0].embedding == [0.25, -0.5]
    assert (raw.headers["x-provider"], raw.headers["x-attempts"]) == ("b", "2")
    assert attempts(gateway, "embed-1", 2) == [(1, "a", "upstream_error"), (2, "b", "ok")]

    def left_alone() -> bool:
        return made(model="embeddings", input="Hi", encoding_format="float").headers["x-attempts"] == "1"

    eventually(left_alone)


def test_every_key_of_a_forwarded_call_is_tried(client: OpenAI, gateway: Any, upstreams: dict[str, str]) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        client.embeddings.create(
            model="mock-403", input="Hi", user="embed-403", encoding_format="float", extra_headers={"x-request-id": "embed-2"}
        )
    assert caught.value.code == "upstream_auth_error"
    book = httpx.get(f"{upstreams['a'].removesuffix('/v1')}/ledger", params={"user": "embed-403"}, trust_env=False).json()
    assert {call["headers"]["authorization"] for call in book["embed-403"]} == {"Bearer key-one", "Bearer key-two"}
    assert attempts(gateway, "embed-2", 2) == [(1, "a", "upstream_auth_error"), (2, "a", "upstream_auth_error")]


def test_a_picture_is_drawn_by_the_next_target_only_if_the_first_surely_did_not(client: OpenAI, gateway: Any) -> None:
    raw = client.images.with_raw_response.generate(model="pictures", prompt="a cat")
    assert raw.parse().data[0].url == "http://pictures/1"  # type: ignore[index]
    assert (raw.headers["x-provider"], raw.headers["x-attempts"]) == ("b", "2")
    with pytest.raises(openai.InternalServerError):
        client.images.generate(model="pictures-in-doubt", prompt="a cat", extra_headers={"x-request-id": "doubt"})
    assert attempts(gateway, "doubt", 1) == [(1, "a", "upstream_error")]


BROKEN = (f"mock-{'0' * i}502" for i in range(9))
"""Models that answer 502, one for each try: what is open stays so for some seconds."""


def test_a_target_that_one_worker_finds_broken_is_left_alone_by_both(gateway: Any) -> None:
    model = next(BROKEN)
    with gateway.client() as client:  # one connection, so one worker
        body = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
        codes = [client.post("/v1/chat/completions", json=body).json()["error"]["code"] for _ in range(5)]
    assert codes == ["upstream_error"] * 4 + ["upstream_unavailable"]

    def everywhere() -> bool:
        asked = [ask(gateway, model, fresh=True).status_code for _ in range(12)]
        return asked == [503] * 12

    eventually(everywhere)
    refused = ask(gateway, model)
    assert refused.headers["retry-after"]
    with gateway.client() as client:
        assert 'promptgate_target_open{target="a/*"} ' in client.get("/metrics").text
    assert ask(gateway, "mock-ok", fresh=True).status_code == 200, "another model of the same provider is not affected"
