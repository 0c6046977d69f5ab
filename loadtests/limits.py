"""What limits cost: calls without rules, with an exact one and with a leased one, and how many of a burst each admits.

    PYTHONPATH=. python -m loadtests.limits --url http://127.0.0.1:8080 --admin-token TOKEN

Makes three applications, calls each in turn from one client for the latency (the order is mixed, so that the machine's moods hit all
alike), and then with sixteen clients against a limit of a hundred.
"""

import argparse
import asyncio
import statistics
import time
import uuid

import httpx

LIMIT = 100
CLIENTS = 16
BODY = {"model": "echo", "messages": [{"role": "user", "content": "What is a limit?"}], "max_tokens": 8}
RULE = {"scope": "application", "metric": "requests", "window": "month", "on_store_error": "closed"}
MODES = ("none", "leased", "exact")


async def application(admin: httpx.AsyncClient, mode: str, amount: int) -> str:
    """A new application under a rule of this mode; its key."""
    slug = f"limits-{uuid.uuid4().hex[:12]}"
    made = (await admin.post("/applications", json={"slug": slug})).raise_for_status().json()
    if mode != "none":
        rule = {**RULE, "amount": amount, "mode": mode}
        (await admin.put(f"/applications/{slug}/limits/calls", json=rule)).raise_for_status()
    return made["api_key"]


async def once(http: httpx.AsyncClient, key: str) -> int:
    """One call; its status."""
    return (await http.post("/v1/chat/completions", json=BODY, headers={"authorization": f"Bearer {key}"})).status_code


async def latencies(url: str, keys: dict[str, str], calls: int) -> dict[str, list[float]]:
    """Microseconds of each call, by mode."""
    took: dict[str, list[float]] = {mode: [] for mode in keys}
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
        for number in range(calls):
            for mode, key in keys.items():
                began = time.perf_counter()
                status = await once(http, key)
                if status != 200:
                    raise SystemExit(f"a call of {mode} was answered with {status}")
                if number >= calls // 10:
                    took[mode].append((time.perf_counter() - began) * 1e6)
    return took


async def admitted(url: str, key: str) -> int:
    """How many calls of a burst get through."""

    async def client() -> int:
        passed = 0
        for _ in range(2 * LIMIT // CLIENTS):
            async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
                passed += await once(http, key) == 200
        return passed

    return sum(await asyncio.gather(*(client() for _ in range(CLIENTS))))


async def main() -> None:
    """Measure and print one line per mode."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--admin-token", required=True)
    parser.add_argument("--calls", type=int, default=1000)
    given = parser.parse_args()
    headers = {"authorization": f"Bearer {given.admin_token}"}
    async with httpx.AsyncClient(base_url=f"{given.url}/api/v1", headers=headers, trust_env=False, timeout=30) as admin:
        free = {mode: await application(admin, mode, 10**9) for mode in MODES}
        tight = {mode: await application(admin, mode, LIMIT) for mode in MODES if mode != "none"}
    took = await latencies(given.url, free, given.calls)
    base = statistics.median(took["none"])
    print("mode    p50 us  p99 us  added  admitted of a limit of 100")
    for mode in MODES:
        median, worst = statistics.median(took[mode]), statistics.quantiles(took[mode], n=100)[98]
        passed = await admitted(given.url, tight[mode]) if mode in tight else "-"
        print(f"{mode:6} {median:7.0f} {worst:7.0f} {median - base:+6.0f}  {passed}")


if __name__ == "__main__":
    asyncio.run(main())
