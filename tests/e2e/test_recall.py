"""Recall on the real process: two workers, a Redis, a fake upstream that counts what it was asked, and the official SDK."""

import asyncio
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import redis
from openai import AsyncOpenAI, OpenAI

from tests.conftest import PATIENCE

ROOT = Path(__file__).parents[2]
START_SECONDS = PATIENCE
CALLERS = 8
"""Each on a connection of its own: that all of them reach one of two workers happens once in 128 runs."""
SLOW = "mock-slow-1500"
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def faults() -> Iterator[str]:
    """A fake upstream; its base URL without ``/v1``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "loadtests.faults", "--port", str(port)], cwd=ROOT)
    url = f"http://127.0.0.1:{port}"
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            httpx.get(f"{url}/ledger", trust_env=False)
            break
        except httpx.TransportError:
            time.sleep(0.05)
    yield url
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="module")
def gateway(start_gateway: Callable[..., Any], faults: str) -> Any:
    """Two workers, and the prompts ``shared``, whose answers are kept and shared, and ``joined``, where they are only shared."""
    gateway = start_gateway(workers=2, upstream=f"{faults}/v1")
    with gateway.admin(base_url=f"{gateway.url}/api/v1") as api:
        content = {
            "messages": [{"type": "message", "role": "user", "content": "{{ q }}"}],
            "overridable": ["*"],
        }
        for slug, seconds in (("shared", 300), ("joined", 0)):
            cached = {**content, "cache": {"ttl_seconds": seconds, "coalesce": True}}
            api.post("/prompts", json={"slug": slug, "content": cached}).raise_for_status()
            api.post(f"/prompts/{slug}/versions/1/publish", json={"wait": True}).raise_for_status()
    return gateway


def asked(faults: str, user: str) -> int:
    """How often the upstream was asked for a user."""
    return len(httpx.get(f"{faults}/ledger", trust_env=False).json().get(user, []))


def rows(gateway: Any, user: str, number: int) -> list[Any]:
    """The ledger's rows of a user, once there are so many."""
    end = time.monotonic() + START_SECONDS
    found: list[Any] = []
    while time.monotonic() < end and len(found) < number:
        found = gateway.rows('SELECT * FROM calls WHERE "user" = $1 ORDER BY call_id', user)
        time.sleep(0.05)
    assert len(found) == number, found
    return found


def sdk(gateway: Any) -> OpenAI:
    return OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.api_key, max_retries=0, timeout=PATIENCE)


def once(key: str) -> dict[str, Any]:
    return {"extra_headers": {"idempotency-key": key}}


async def at_once(gateway: Any, number: int, **call: Any) -> list[Any]:
    """So many equal calls at one time, each on its own connection; their raw answers."""

    async def one() -> Any:
        async with AsyncOpenAI(
            base_url=f"{gateway.url}/v1", api_key=gateway.api_key, max_retries=0, timeout=PATIENCE
        ) as client:
            return await client.chat.completions.with_raw_response.create(**call)

    return await asyncio.gather(*(one() for _ in range(number)))


@pytest.mark.parametrize("stream", [False, True])
def test_a_retry_gets_the_first_answer_from_whatever_worker(gateway: Any, faults: str, stream: bool) -> None:
    user, key = str(uuid.uuid4()), str(uuid.uuid4())
    answers: list[Any] = []
    for _ in range(4):
        with sdk(gateway) as client:
            raw = client.chat.completions.with_raw_response.create(
                model="gpt-4o-mini", messages=HELLO, user=user, stream=stream, **once(key)
            )
            answers.append((raw.headers, [c.model_dump() for c in raw.parse()] if stream else raw.parse().model_dump()))
    assert asked(faults, user) == 1
    (first, said), *retries = answers
    for headers, repeated in retries:
        assert repeated == said
        assert headers["idempotent-replayed"] == "true"
        assert headers["x-original-request-id"] == first["x-request-id"] != headers["x-request-id"]
    paid, *free = rows(gateway, user, 4)
    assert paid["cost_nano"] > 0
    assert {(r["usage_source"], r["cost_nano"], r["provider"]) for r in free} == {("replayed", 0, None)}


async def test_retries_join_the_running_call_on_both_workers(gateway: Any, faults: str) -> None:
    user, key = str(uuid.uuid4()), str(uuid.uuid4())
    answers = await at_once(gateway, CALLERS, model=SLOW, messages=HELLO, user=user, **once(key))
    assert asked(faults, user) == 1
    assert len({answer.content for answer in answers}) == 1
    assert sum(answer.headers.get("idempotent-replayed") == "true" for answer in answers) == CALLERS - 1


def test_the_same_key_with_another_body_is_the_sdks_conflict_error(gateway: Any) -> None:
    key = str(uuid.uuid4())
    with sdk(gateway) as client:
        client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, **once(key))
        with pytest.raises(openai.ConflictError) as caught:
            client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, temperature=0, **once(key))
    assert caught.value.param == "idempotency-key"
    assert caught.value.response.headers["x-should-retry"] == "false"


async def test_a_caller_who_leaves_finds_the_answer(gateway: Any, faults: str) -> None:
    user, key = str(uuid.uuid4()), str(uuid.uuid4())
    call: dict[str, Any] = {"model": SLOW, "messages": HELLO, "user": user, **once(key)}
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.api_key, max_retries=0) as client:
        impatient = asyncio.ensure_future(client.chat.completions.create(**call))
        while not await asyncio.to_thread(asked, faults, user):
            await asyncio.sleep(0.02)
        impatient.cancel()
        await asyncio.gather(impatient, return_exceptions=True)
    with sdk(gateway) as client:
        raw = client.chat.completions.with_raw_response.create(**call)
    assert raw.headers["idempotent-replayed"] == "true"
    assert asked(faults, user) == 1


def test_an_equal_request_is_a_hit_with_an_age_whole_or_streamed(gateway: Any, faults: str) -> None:
    user = str(uuid.uuid4())
    call: dict[str, Any] = {"model": "shared", "messages": [], "user": user, "extra_body": {"variables": {"q": user}}}
    with sdk(gateway) as client:
        first = client.chat.completions.with_raw_response.create(**call)
    assert first.headers["x-cache"] == "miss"
    said = first.parse().choices[0].message.content
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:  # kept after the last byte was sent
        with sdk(gateway) as client:
            again = client.chat.completions.with_raw_response.create(**call)
        if again.headers["x-cache"] == "hit":
            break
    assert again.headers["x-cache"] == "hit"
    assert int(again.headers["age"]) >= 0
    assert again.headers["x-cost-usd"] == "0.000000000"
    assert again.parse().choices[0].message.content == said
    before = asked(faults, user)
    with sdk(gateway) as client:
        stream = client.chat.completions.with_raw_response.create(**call, stream=True)
        assert stream.headers["x-cache"] == "hit"
        assert "".join(c.choices[0].delta.content or "" for c in stream.parse() if c.choices) == said
        fresh = client.chat.completions.with_raw_response.create(**call, extra_headers={"cache-control": "no-cache"})
    assert fresh.headers["x-cache"] == "miss"
    assert asked(faults, user) == before + 1
    sources = [r["usage_source"] for r in rows(gateway, user, before + 3)]
    assert sources.count("cache") == 2


@pytest.mark.parametrize(("prompt", "stream"), [("shared", True), ("joined", False)])
async def test_equal_calls_at_one_time_are_one_call_of_all_workers(
    gateway: Any, faults: str, prompt: str, stream: bool
) -> None:
    user = str(uuid.uuid4())
    model = {"model": SLOW, "extra_headers": {"x-prompt": prompt}, "extra_body": {"variables": {"q": user}}}
    answers = await at_once(gateway, CALLERS, messages=[], user=user, stream=stream, **model)
    states = [answer.headers["x-cache"] for answer in answers]
    assert asked(faults, user) == 1
    assert sorted(states) == ["coalesced"] * (CALLERS - 1) + ["miss"]
    if not stream:
        assert all(answer.parse().choices[0].message.content for answer in answers)
    sources = [(r["usage_source"], r["cost_nano"], r["output_tokens"] is None) for r in rows(gateway, user, CALLERS)]
    assert sources.count(("coalesced", 0, True)) == CALLERS - 1
    assert sources.count(("upstream", None, False)) == 1  # the slow model has no price


async def test_a_stream_that_workers_share_comes_to_all_callers_before_it_ends(gateway: Any, faults: str) -> None:
    user = str(uuid.uuid4())
    call: dict[str, Any] = {
        "model": "mock-stall-3",  # three tokens, and then nothing for as long as anybody waits
        "messages": [],
        "user": user,
        "stream": True,
        "extra_headers": {"x-prompt": "joined"},
        "extra_body": {"variables": {"q": user}},
    }

    async def beginning() -> tuple[str, int]:
        async with AsyncOpenAI(
            base_url=f"{gateway.url}/v1", api_key=gateway.api_key, max_retries=0, timeout=PATIENCE
        ) as client:
            raw = await client.chat.completions.with_raw_response.create(**call)
            tokens = 0
            async for chunk in raw.parse():
                tokens += bool(chunk.choices and chunk.choices[0].delta.content)
                if tokens == 3:
                    break
            begun.append(raw.headers["x-cache"])
            while len(begun) < CALLERS:
                await asyncio.sleep(0.01)
            return raw.headers["x-cache"], tokens

    begun: list[str] = []
    answers = await asyncio.gather(*(beginning() for _ in range(CALLERS)))
    assert sorted(answers) == [("coalesced", 3)] * (CALLERS - 1) + [("miss", 3)]
    assert asked(faults, user) == 1


def test_what_is_forged_in_redis_is_a_miss_and_without_redis_calls_go_on(gateway: Any, faults: str) -> None:
    user, key = str(uuid.uuid4()), str(uuid.uuid4())
    call: dict[str, Any] = {"model": "gpt-4o-mini", "messages": HELLO, "user": user, **once(key)}
    with sdk(gateway) as client, redis.Redis.from_url(gateway.redis_url) as server:
        client.chat.completions.create(**call)
        for name in server.scan_iter("pg:*:answer:*"):
            server.set(name, b"forged" * 20)
        again = client.chat.completions.with_raw_response.create(**call)
        assert "idempotent-replayed" not in again.headers
        assert asked(faults, user) == 2
        server.shutdown(nosave=True)
        last = client.chat.completions.with_raw_response.create(**{**call, **once(str(uuid.uuid4()))})
        assert last.headers["x-idempotency"] == "unavailable"
        cached = client.chat.completions.with_raw_response.create(
            model="shared", messages=[], user=user, extra_body={"variables": {"q": user}}
        )
        assert cached.headers["x-cache"] == "miss"
