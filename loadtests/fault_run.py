"""What callers see while a provider is in trouble.

    python -m loadtests.fault_run [--calls 4000] [--callers 16]

Starts an installation of its own with two routes: ``calm`` leads to a healthy provider, ``stormy`` to one that fails 30 % and hangs 5 %
of its calls, and then to the healthy one. Both are called at the same time, half of the calls are streams. Ends with 1 when a bar of
``thresholds.toml`` is missed.
"""

import argparse
import asyncio
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec

from loadtests import figures
from loadtests.faults import FaultServer
from loadtests.propagation import Site, admin, installation

FIRST_TOKEN_MS = 1000
"""What the sick provider is given: far above what a healthy answer takes here."""
CALM_EVERY = 8
"""Each eighth call goes to the healthy provider alone: under the same load, it says what the machine adds to every call."""
LONGEST_SECONDS = 300.0
"""Of the whole load: a run that hangs is a run that failed."""
SETTLE_SECONDS = 30.0
"""For the last rows to reach Postgres; healthy lag is below 2 s."""
_ROOT = Path(__file__).parents[1]
_CALL = re.compile(r'^promptgate_(\w+?)(?:_total)?(?:\{target="([^"]+)"\})? (\S+)$', re.MULTILINE)


@dataclass
class Seen:
    """The callers' book."""

    first_content_ms: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    providers: Counter[str] = field(default_factory=Counter)
    attempts: int = 0

    @property
    def calls(self) -> int:
        return len(self.first_content_ms) + self.failures.total()

    def quantile(self, share: float) -> float:
        ordered = sorted(self.first_content_ms)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else float("nan")


async def ask(client: httpx.AsyncClient, model: str, seen: Seen, *, stream: bool) -> None:
    """One call; its first content, or why it failed."""
    began = time.perf_counter()
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "How do I return a parcel?"}]}
    try:
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            seen.attempts += int(answer.headers.get("x-attempts", "0"))
            if answer.status_code != 200:
                code = msgspec.json.decode(await answer.aread())["error"]["code"]
                seen.failures[f"{answer.status_code} {code}"] += 1
                return
            first, rest = 0.0, b""
            async for piece in answer.aiter_raw():
                rest += piece
                if not first and b"tok0" in rest:
                    first = (time.perf_counter() - began) * 1000
            if not first or not (rest.endswith(b"data: [DONE]\n\n") if stream else b'"message"' in rest):
                seen.failures["cut"] += 1
                return
    except httpx.HTTPError as error:
        seen.failures[type(error).__name__] += 1
        return
    seen.providers[answer.headers["x-provider"]] += 1
    seen.first_content_ms.append(first)


async def load(site: Site, calls: int, callers: int) -> tuple[Seen, Seen]:
    """So many calls by so many callers, each asking again as soon as it was answered: the calm ones and the stormy ones."""
    calm, stormy = Seen(), Seen()
    numbers = iter(range(calls))

    async def caller(client: httpx.AsyncClient) -> None:
        for number in numbers:
            model, seen = ("calm", calm) if number % CALM_EVERY == 0 else ("stormy", stormy)
            await ask(client, model, seen, stream=number // CALM_EVERY % 2 == 0)

    headers = {"authorization": f"Bearer {site.api_key}"}
    limits = httpx.Limits(max_connections=callers, max_keepalive_connections=callers)
    async with (
        httpx.AsyncClient(base_url=site.url, headers=headers, timeout=60, trust_env=False, limits=limits) as client,
        asyncio.timeout(LONGEST_SECONDS),
    ):
        await asyncio.gather(*(caller(client) for _ in range(callers)))
    return calm, stormy


def configuration(sick: str, well: str) -> Path:
    """A config folder with the two routes."""
    folder = Path(tempfile.mkdtemp(prefix="pg-faults-")) / "config"
    shutil.copytree(_ROOT / "config", folder)
    (folder / "providers.toml").write_text(
        f"""
[providers.sick]
kind = "openai"
base_url = "{sick}"
first_token_ms = {FIRST_TOKEN_MS}
[providers.well]
kind = "openai"
base_url = "{well}"
[[routes]]
models = ["stormy"]
targets = [{{ provider = "sick", model = "mock-sick-30" }}, {{ provider = "well", model = "mock-ok" }}]
[[routes]]
models = ["calm"]
targets = [{{ provider = "well", model = "mock-ok" }}]
"""
    )
    return folder


async def rows_of(site: Site, wanted: int) -> int:
    """Attempts that Postgres holds, once they are all there or time is up."""
    give_up = time.monotonic() + SETTLE_SECONDS
    async with admin(site) as api:
        while True:
            text = (await api.get(f"{site.url}/metrics")).text
            shipped = next(float(value) for name, _, value in _CALL.findall(text) if name == "ledger_rows_shipped")
            if shipped >= wanted or time.monotonic() > give_up:
                return int(shipped)
            await asyncio.sleep(0.2)


async def run(calls: int, callers: int) -> int:
    """The whole run; the exit code."""
    async with FaultServer() as sick, FaultServer() as well:
        folder = configuration(sick.url, well.url)
        try:
            return await _measured(folder, sick, well, calls, callers)
        finally:
            shutil.rmtree(folder.parent, ignore_errors=True)


async def _measured(folder: Path, sick: FaultServer, well: FaultServer, calls: int, callers: int) -> int:
    entered = installation(1, PROMPTGATE_CONFIG=str(folder))
    site = await asyncio.to_thread(entered.__enter__)
    try:
        async with admin(site) as api:
            made = (await api.post("/applications", json={"slug": "faults"})).raise_for_status().json()
        site = Site(site.url, site.admin_token, made["api_key"])
        began = time.monotonic()
        calm, stormy = await load(site, calls, callers)
        seconds = time.monotonic() - began
        attempts = calm.attempts + stormy.attempts
        rows = await rows_of(site, attempts)
        async with admin(site) as api:
            metrics = {f"{n} {t}".strip(): float(v) for n, t, v in _CALL.findall((await api.get(f"{site.url}/metrics")).text)}
    finally:
        await asyncio.to_thread(entered.__exit__, None, None, None)
    asked = {name: sum(map(len, server.calls.values())) for name, server in (("sick", sick), ("well", well))}
    failures = stormy.failures + calm.failures
    print(f"{calls} calls by {callers} callers in {seconds:.0f} s; failed for the caller: {dict(failures) or 'none'}")
    print(
        f"attempts {attempts}, as told by x-attempts; providers saw {asked}; stormy calls were answered by {dict(stormy.providers)}"
    )
    names = ("retries", "target_rejected", "breaker_openings", "target_limit sick/mock-sick-30", "dead_keys")
    print("the gateway counted " + ", ".join(f"{name} {metrics[name]:.0f}" for name in names))
    print(
        figures.table(
            ["first content, ms", "p50", "p90", "p99", "longest"],
            [
                [name, *(f"{seen.quantile(q):.0f}" for q in (0.5, 0.9, 0.99, 1.0))]
                for name, seen in (("calm", calm), ("stormy", stormy))
            ],
        )
    )
    verdicts = figures.judge(
        {
            "faults.error_percent": 100 * failures.total() / calls,
            "faults.first_content_p99": stormy.quantile(0.99) / (FIRST_TOKEN_MS + calm.quantile(0.99)),
            "faults.attempts_per_call": stormy.attempts / stormy.calls,
            "faults.rows_difference": abs(rows - attempts),
        }
    )
    print(figures.verdict_table([verdict for verdict in verdicts if verdict.value is not None]))
    return 0 if all(verdict.met for verdict in verdicts) else 1


def main() -> int:
    parser = argparse.ArgumentParser(description="Load a route whose first provider fails and hangs.")
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--callers", type=int, default=16)
    asked = parser.parse_args()
    return asyncio.run(run(asked.calls, asked.callers))


if __name__ == "__main__":
    sys.exit(main())
