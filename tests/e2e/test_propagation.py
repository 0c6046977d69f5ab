"""A publish is everywhere when it says so: four workers, fresh connections, with Redis, without it, and with it back."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import redis

from loadtests.propagation import (
    APPLICATION,
    AT_ONCE,
    PROOFS,
    Site,
    admin,
    post,
    prepare,
    proof,
    publish,
    publishing,
    quantile,
    rolling_back,
)
from loadtests.revocation import opens
from tests.conftest import PATIENCE, new_redis

POLL_MS = 5000
"""Far longer than a push takes on any machine: what arrives well before it was pushed."""


async def opened(site: Site) -> int:
    """How many of :data:`PROOFS` fresh connections the key opens."""
    return sum([sum(await asyncio.gather(*(opens(site) for _ in range(AT_ONCE)))) for _ in range(PROOFS // AT_ONCE)])


async def revoke_and_rotate(site: Site) -> None:
    """A key that every worker knows ends on every worker, once it is revoked; with one that took its place nothing changes."""
    async with admin(site) as api:
        keys = f"/applications/{APPLICATION}/keys"
        made = await post(api, keys, {"scopes": ["chat"]})
        old = replace(site, api_key=made["api_key"])
        assert await opened(old) == PROOFS
        rotated = await post(api, f"{keys}/{made['public_id']}/rotate", {"grace_seconds": 600})
        new = replace(site, api_key=rotated["api_key"])
        assert await opened(new) == await opened(old) == PROOFS, "grace"
        (await api.delete(f"{keys}/{made['public_id']}")).raise_for_status()
        end = time.monotonic() + 40
        while await opened(old):
            assert time.monotonic() < end, "a revoked key opens"
        assert await opened(new) == PROOFS


async def test_a_publish_is_on_all_four_workers_when_it_says_so(start_gateway: Callable[..., Any]) -> None:
    gateway = start_gateway(workers=4, seed=False, PROMPTGATE_REGISTRY_POLL_MS=str(POLL_MS))
    site = await prepare(Site(gateway.url, gateway.admin_token))

    published, returned = await publishing(site, 8), await rolling_back(site, 4)
    for move in published + returned:
        assert (move.workers, move.lagging, move.wrong) == (4, 0, 0), move
    assert quantile([move.waited_ms for move in published], 0.5) < POLL_MS / 2
    assert quantile([move.waited_ms for move in returned], 0.5) < POLL_MS / 2

    await revoke_and_rotate(site)

    with redis.Redis.from_url(gateway.redis_url) as client:
        client.shutdown(nosave=True)
    for move in await publishing(site, 2):
        assert (move.workers, move.lagging, move.wrong) == (4, 0, 0), move
    await revoke_and_rotate(site)

    # Without the push, and with less patience than a poll takes, the answer names those that have not applied it yet.
    async with admin(site) as api:
        made = await api.post("/prompts/moving/versions/2/publish", json={"wait": True, "wait_timeout_ms": 1})
    found = made.raise_for_status().json()["propagation"]
    assert found["workers"] == 4
    assert found["lagging"]
    assert all(worker["generation"] < found["generation"] for worker in found["lagging"])

    back = new_redis(gateway.folder / "redis")
    assert back.start() == gateway.redis_url
    try:
        end = time.monotonic() + PATIENCE
        async with admin(site) as api:
            while (await publish(api, 1))["propagation"]["waited_ms"] > POLL_MS / 2:
                assert time.monotonic() < end, "the push never came back"
                await publish(api, 2)
        assert await proof(site, 1) == 0
    finally:
        back.stop()
