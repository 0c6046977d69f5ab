"""Limits in the real program after Redis lost everything, and after workers died: what was spent stays spent."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import redis

from tests.conftest import in_own_loop
from tests.e2e.conftest import GatewayProcess
from tests.e2e.openai_upstream import OpenAIUpstream
from tests.e2e.test_limits import COST, MODEL, OUTPUT, TEXT, Model, application, settled, usage

PATIENCE = 40
BUDGET = 16
"""Calls that the budget pays for."""


@pytest.fixture(scope="module")
def model() -> Model:
    return Model()


@pytest.fixture(scope="module")
def gateway(start_gateway: Callable[..., GatewayProcess], model: Model) -> Iterator[GatewayProcess]:
    with OpenAIUpstream(chat=model) as upstream:
        yield start_gateway(
            workers=2,
            upstream=upstream.url,
            seed=False,
            PROMPTGATE_REDIS_TIMEOUT_MS="5000",
            PROMPTGATE_LIMITS_TIMEOUT_MS="5000",
            PROMPTGATE_LIMITS_REBUILD_MS="40000",
            PROMPTGATE_LIMITS_RESERVATION_SECONDS="2",
        )
        model.go.set()


def calls(gateway: GatewayProcess, key: str, number: int, **fields: Any) -> list[int]:
    """So many calls at a time, each on a connection of its own; their statuses."""
    body = {"model": MODEL, "max_tokens": OUTPUT, "messages": [{"role": "user", "content": TEXT}], **fields}

    async def one() -> int:
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=60) as http:
            answer = await http.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})
            return answer.status_code

    async def all_of_them() -> list[int]:
        return await asyncio.gather(*(one() for _ in range(number)))

    return in_own_loop(all_of_them)


def shipped(gateway: GatewayProcess, user: str, number: int, outcome: str = "ok") -> None:
    """Wait until so many rows are in the ledger."""
    end = time.monotonic() + PATIENCE
    sql = 'SELECT count(*) AS rows FROM calls WHERE "user" = $1 AND outcome = $2'
    while (found := gateway.rows(sql, user, outcome)[0]["rows"]) != number:
        assert time.monotonic() < end, found
        time.sleep(0.05)


def test_half_a_budget_is_spent_and_after_a_flush_the_other_half_is_all_that_is_left(gateway: GatewayProcess) -> None:
    rules: dict[str, Any] = {
        "money": {"scope": "application", "metric": "cost_nano", "amount": BUDGET * COST, "window": "month"},
        "calls": {"scope": "user", "metric": "requests", "amount": BUDGET + 3, "window": "day"},
        "ghost": {"scope": "key", "metric": "requests", "amount": 1, "window": "hour", "shadow": True},
    }
    slug, key = application(gateway, **{name: {**rule, "on_store_error": "closed"} for name, rule in rules.items()})
    assert calls(gateway, key, BUDGET // 2, user="half") == [200] * (BUDGET // 2)
    settled(gateway, slug, "money", BUDGET // 2 * COST)
    shipped(gateway, "half", BUDGET // 2)
    with redis.Redis.from_url(gateway.redis_url) as client:
        client.flushall()
    statuses = calls(gateway, key, 16, user="half")
    assert sorted(statuses) == [200] * (BUDGET // 2) + [429] * (16 - BUDGET // 2)
    settled(gateway, slug, "money", BUDGET * COST)
    assert usage(gateway, slug, user="half")["calls:half"]["used"] == BUDGET
    shipped(gateway, "half", BUDGET)
    rows = gateway.rows("SELECT shadowed, route FROM calls WHERE \"user\" = 'half' AND outcome = 'ok'")
    assert {row["route"] for row in rows} == {MODEL}
    assert sorted(str(row["shadowed"]) for row in rows).count("['ghost']") == BUDGET - 1


def test_what_calls_of_dead_workers_cost_is_in_the_counters_when_it_is_in_the_ledger(
    gateway: GatewayProcess, model: Model
) -> None:
    rule = {"scope": "application", "metric": "input_tokens", "amount": 1000, "window": "month"}
    slug, key = application(gateway, words=rule)
    assert calls(gateway, key, 1, user="well") == [200]
    settled(gateway, slug, "words", 10)
    model.waiting.clear()
    model.go.clear()

    async def cut() -> None:
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=PATIENCE) as http:
            body = {"model": MODEL, "user": "slow", "messages": [{"role": "user", "content": TEXT}]}
            headers = {"authorization": f"Bearer {key}"}
            call = asyncio.ensure_future(http.post("/v1/chat/completions", json=body, headers=headers))
            assert await asyncio.to_thread(model.waiting.wait, PATIENCE)
            for pid in gateway.worker_pids:
                os.kill(pid, signal.SIGKILL)
            with pytest.raises(httpx.HTTPError):
                await call

    in_own_loop(cut)
    model.go.set()
    gateway.wait_ready()
    shipped(gateway, "slow", 1, "interrupted")
    # The reservation has run out by then or runs out later; what stays is the truth: the call before, and the estimated input.
    settled(gateway, slug, "words", 10 + len(TEXT) // 4)
