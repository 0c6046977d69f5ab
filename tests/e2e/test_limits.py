"""Limits in the real program: sixteen clients at a time on four workers, and not one call more than the rules allow."""

import asyncio
import os
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI, OpenAI, OpenAIError, RateLimitError

from tests.e2e.conftest import GatewayProcess, in_own_loop
from tests.e2e.openai_upstream import OpenAIUpstream

MODEL = "gpt-4o-mini"
TEXT = "forty characters make ten tokens of text"
INPUT, OUTPUT = 10, 5
COST = INPUT * 150 + OUTPUT * 600
"""Nano-dollars of one call: $0.15 and $0.60 per million tokens."""
CLIENTS, CALLS, LIMIT = 16, 10, 100
WORKERS = 4
LARGEST_BUNDLE = LIMIT // 10
"""Of a leased limit: a tenth."""
CHUNKS = 3000
PATIENCE = 40


class Model:
    """What the provider answers: whole answers of a known price, endless streams, and one that waits until it is told."""

    def __init__(self) -> None:
        self.waiting = threading.Event()
        self.go = threading.Event()

    def __call__(self, body: dict[str, Any]) -> dict[str, Any] | list[dict[str, Any]]:
        frame = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
        usage = {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT}
        if body.get("user") == "slow":
            self.waiting.set()
            self.go.wait(PATIENCE)
        if not body.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": "x" * 20}, "finish_reason": "stop"}
            return {**frame, "object": "chat.completion", "choices": [choice], "usage": usage}
        chunk = {**frame, "object": "chat.completion.chunk"}
        return [{**chunk, "choices": [{"index": 0, "delta": {"content": "word"}, "finish_reason": None}]}] * CHUNKS + [
            {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        ]


@pytest.fixture(scope="module")
def model() -> Model:
    return Model()


@pytest.fixture(scope="module")
def gateway(start_gateway: Callable[..., GatewayProcess], model: Model) -> Iterator[GatewayProcess]:
    with OpenAIUpstream(chat=model) as upstream:
        yield start_gateway(
            workers=WORKERS,
            upstream=upstream.url,
            seed=False,
            PROMPTGATE_REDIS_TIMEOUT_MS="5000",
            PROMPTGATE_LIMITS_TIMEOUT_MS="5000",
            PROMPTGATE_LIMITS_RESERVATION_SECONDS="2",
        )
        model.go.set()


def application(gateway: GatewayProcess, **limits: dict[str, Any]) -> tuple[str, str]:
    """A new application with these limits: slug and key. Nobody has seen the key before, so all workers serve the limits at once."""
    slug = f"app-{uuid.uuid4().hex}"
    with gateway.admin() as admin:
        made = admin.post("/api/v1/applications", json={"slug": slug}).raise_for_status().json()
        for name, body in limits.items():
            admin.put(f"/api/v1/applications/{slug}/limits/{name}", json=body).raise_for_status()
    return slug, made["api_key"]


def usage(gateway: GatewayProcess, slug: str, **values: str) -> dict[str, Any]:
    """The report by limit and value."""
    with gateway.admin() as admin:
        report = admin.get(f"/api/v1/applications/{slug}/limits/usage", params=values).raise_for_status().json()
    return {f"{item['name']}:{item['value']}".rstrip(":"): item for item in report["items"]}


def settled(gateway: GatewayProcess, slug: str, name: str, used: int) -> None:
    """Wait until a counter has come to ``used``: settlements are sent after the answers."""
    end = time.monotonic() + PATIENCE
    while (found := usage(gateway, slug)[name]["used"]) != used:
        assert time.monotonic() < end, found
        time.sleep(0.02)


def burst(gateway: GatewayProcess, key: str, calls: int = CALLS, **fields: Any) -> list[httpx.Response]:
    """Sixteen clients, each with connections of its own so that the kernel spreads them, each making so many calls in turn."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": TEXT}], **fields}

    async def client() -> list[httpx.Response]:
        got: list[httpx.Response] = []
        for _ in range(calls):
            async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=60) as http:
                got.append(await http.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}))
        return got

    async def all_of_them() -> list[httpx.Response]:
        return [answer for answers in await asyncio.gather(*(client() for _ in range(CLIENTS))) for answer in answers]

    return in_own_loop(all_of_them)


def statuses(answers: list[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


def test_an_exact_limit_admits_exactly_what_it_says(gateway: GatewayProcess) -> None:
    rule = {"scope": "application", "metric": "requests", "amount": LIMIT, "window": "month", "on_store_error": "closed"}
    slug, key = application(gateway, calls=rule)
    answers = burst(gateway, key)
    assert statuses(answers) == {200: LIMIT, 429: CLIENTS * CALLS - LIMIT}
    assert usage(gateway, slug)["calls"]["used"] == LIMIT
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert "this application: the limit 'calls' allows 100 requests per month" in refused.json()["error"]["message"]
    assert refused.headers["x-ratelimit-scope"] == "application"
    assert refused.headers["x-ratelimit-rule"] == "calls"
    assert refused.headers["x-ratelimit-limit-requests"] == str(LIMIT)
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert 0 < int(refused.headers["retry-after"]) < 120
    assert sorted(int(a.headers["x-ratelimit-remaining-requests"]) for a in answers if a.status_code == 200) == list(
        range(LIMIT)
    )


def test_a_leased_limit_never_admits_more_and_leaves_at_most_the_bundles(gateway: GatewayProcess) -> None:
    rule = {"scope": "key", "metric": "requests", "amount": LIMIT, "window": "month", "mode": "leased"}
    _, key = application(gateway, calls={**rule, "on_store_error": "closed"})
    admitted = statuses(burst(gateway, key))[200]
    assert LIMIT - WORKERS * LARGEST_BUNDLE <= admitted <= LIMIT


def test_a_budget_is_spent_to_the_last_call_and_no_further(gateway: GatewayProcess) -> None:
    rule = {"scope": "application", "metric": "cost_nano", "amount": 50 * COST, "window": "month", "on_store_error": "closed"}
    slug, key = application(gateway, money=rule)
    answers = burst(gateway, key, calls=5, max_tokens=OUTPUT)
    assert statuses(answers) == {200: 50, 429: CLIENTS * 5 - 50}
    settled(gateway, slug, "money", 50 * COST)
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=key) as client:
        started = time.monotonic()
        with pytest.raises(RateLimitError) as caught:
            client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": TEXT}])
        # The SDK does not try again what cannot succeed.
        assert (caught.value.code, caught.value.type) == ("insufficient_quota", "insufficient_quota")
        assert caught.value.response.headers["x-should-retry"] == "false"
        assert caught.value.response.request.headers["x-stainless-retry-count"] == "0", time.monotonic() - started


def test_reservations_above_the_truth_never_let_a_budget_be_overspent(gateway: GatewayProcess) -> None:
    rule = {"scope": "application", "metric": "tokens", "amount": 20 * (INPUT + OUTPUT), "window": "month"}
    slug, key = application(gateway, words={**rule, "on_store_error": "closed"})
    admitted = statuses(burst(gateway, key, calls=4, max_tokens=50))[200]
    settled(gateway, slug, "words", admitted * (INPUT + OUTPUT))
    assert admitted <= 20
    # One at a time the rest goes, as far as an estimate still fits.
    body = {"model": MODEL, "max_tokens": 50, "messages": [{"role": "user", "content": TEXT}]}
    with httpx.Client(base_url=gateway.url, headers={"authorization": f"Bearer {key}"}, trust_env=False, timeout=60) as http:
        while http.post("/v1/chat/completions", json=body).status_code == 200:
            admitted += 1
            settled(gateway, slug, "words", admitted * (INPUT + OUTPUT))
    left = 20 * (INPUT + OUTPUT) - admitted * (INPUT + OUTPUT)
    assert 0 <= left < INPUT + 50


def test_a_hard_budget_ends_a_stream_cleanly(gateway: GatewayProcess) -> None:
    rule = {"scope": "user", "metric": "output_tokens", "amount": 100, "window": "month", "hard": True}
    _, key = application(gateway, words=rule)
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=key) as client:
        chunks = list(
            client.chat.completions.create(
                model=MODEL, user="ann", stream=True, messages=[{"role": "user", "content": TEXT}]
            )
        )  # fmt: skip
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"
    assert sum(len(c.choices[0].delta.content or "") for c in chunks) == 4 * 101
    with gateway.client(headers={"authorization": f"Bearer {key}", "x-prompt-unit": "u"}) as http:
        ended = http.post(
            "/v1/messages",
            json={
                "model": MODEL,
                "max_tokens": 4000,
                "stream": True,
                "metadata": {"user_id": "bob"},
                "messages": [{"role": "user", "content": TEXT}],
            },
        ).text
        assert '"stop_reason":"max_tokens"' in ended
        assert ended.rstrip().endswith('{"type":"message_stop"}')
        other = {"model": MODEL, "input": TEXT, "stream": True, "user": "eve"}
        assert "event: response.incomplete" in http.post("/v1/responses", json=other).text
    end = time.monotonic() + PATIENCE
    sql = "SELECT outcome, finish_reason, usage_source FROM calls WHERE \"user\" = 'ann'"
    while not (rows := gateway.rows(sql)):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert (rows[0]["outcome"], rows[0]["finish_reason"], rows[0]["usage_source"]) == (
        "budget_exhausted",
        "length",
        "estimated",
    )


async def test_places_of_killed_workers_get_free_by_themselves(gateway: GatewayProcess, model: Model) -> None:
    rule = {"scope": "key", "metric": "concurrency", "amount": 1, "on_store_error": "closed"}
    _, key = application(gateway, places=rule)
    body: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": TEXT}]}
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0, timeout=PATIENCE) as client:
        slow = asyncio.ensure_future(client.chat.completions.create(**body, user="slow"))
        assert await asyncio.to_thread(model.waiting.wait, PATIENCE)
        # Longer than a reservation lives by itself: the worker renews it.
        await asyncio.sleep(2.5)
        with pytest.raises(RateLimitError, match="calls at one time"):
            await client.chat.completions.create(**body)
        for pid in gateway.worker_pids:
            os.kill(pid, signal.SIGKILL)
        await asyncio.gather(slow, return_exceptions=True)
        model.go.set()
        async with asyncio.timeout(PATIENCE):
            while not await answered(client, body):
                await asyncio.sleep(0.1)


async def answered(client: AsyncOpenAI, body: dict[str, Any]) -> bool:
    """Whether a call goes: it is refused while the place is taken, and fails until the workers are back."""
    try:
        await client.chat.completions.create(**body)
    except OpenAIError:
        return False
    return True
