"""How long a publish takes until every worker serves it, and the proof that none serves the old version afterwards.

    python -m loadtests.propagation [--workers 4] [--publishes 50]

Starts an installation of its own and moves an alias between two versions: by publishing, by rolling back, and by publishing with
Redis away. All the while, fresh connections (each lands on a worker of the kernel's choice) ask which version is served; after
``publish?wait`` has returned, every one of them must be told the new version. Ends with 1 when one is not, or on a missed bar.
"""

import argparse
import asyncio
import contextlib
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import msgspec

from loadtests.figures import table
from loadtests.tools import free_port

BAR_MS = 100.0
"""The promise: the median publish is proved to be everywhere within this."""
BAR_WITHOUT_REDIS_MS = 1500.0
"""One poll of a second, and some air for a machine that is busy with workers, database and us."""
PROOFS = 40
"""Fresh connections after each move. The chance that they all miss one of four workers is 0.75**40, one in 100,000."""
AT_ONCE = 4
"""Fresh connections at a time: more would measure the machine's two cores, not the gateway."""
_WATCH_SECONDS = 0.005
"""Between two looks while a move is under way: well below what is measured, and little load."""
APPLICATION = "propagation"
_PROMPT = "moving"
_START_SECONDS = 90.0
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR")


@dataclass(frozen=True)
class Site:
    """A gateway with a prompt to move."""

    url: str
    admin_token: str
    api_key: str = ""
    redis_url: str = ""


@dataclass(frozen=True)
class Move:
    """One change of what is served. Milliseconds."""

    waited_ms: float
    """From the commit until every worker had reported it, by the gateway's own clock."""
    round_trip_ms: float
    """The whole admin call, as its caller saw it."""
    stale_ms: float
    """From sending the admin call to the newest request that was still answered with the old version; 0 if none was."""
    workers: int
    lagging: int
    proofs: int
    """Fresh connections that asked after the admin call had returned."""
    wrong: int
    """Those of them that were not told the new version."""


def admin(site: Site) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {site.admin_token}", "x-application": APPLICATION}
    return httpx.AsyncClient(base_url=f"{site.url}/api/v1", headers=headers, timeout=60, trust_env=False)


async def prepare(site: Site) -> Site:
    """Make an application with a key and a prompt with two published versions; version 1 is in production."""
    async with admin(site) as api:
        key = await post(api, "/applications", {"slug": APPLICATION})
        await post(api, "/prompts", {"slug": _PROMPT, "content": _content(1)})
        await post(api, f"/prompts/{_PROMPT}/versions", {"content": _content(2)})
        for version in (2, 1):
            await publish(api, version)
    return replace(site, api_key=key["api_key"])


async def publish(api: httpx.AsyncClient, version: int) -> dict[str, Any]:
    return await post(api, f"/prompts/{_PROMPT}/versions/{version}/publish", {"wait": True})


async def rollback(api: httpx.AsyncClient) -> dict[str, Any]:
    return await post(api, f"/prompts/{_PROMPT}/aliases/production/rollback", {"wait": True})


async def publishing(site: Site, count: int) -> list[Move]:
    """Publish so many times, alternating between the two versions."""
    async with admin(site) as api:
        return [await _measured(site, 2 - number % 2, lambda v=2 - number % 2: publish(api, v)) for number in range(count)]


async def rolling_back(site: Site, count: int) -> list[Move]:
    """Publish version 2 and measure the way back to version 1, so many times. Begins and ends with version 1."""
    moves: list[Move] = []
    async with admin(site) as api:
        for _ in range(count):
            await publish(api, 2)
            moves.append(await _measured(site, 1, lambda: rollback(api)))
    return moves


async def answered(site: Site) -> bytes:
    """What one fresh connection gets when it asks for the prompt."""
    host, _, port = site.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        body = msgspec.json.encode({"model": _PROMPT})
        writer.write(
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {site.api_key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
            + body
        )
        return await reader.read()
    finally:
        writer.close()


async def served_version(site: Site) -> int:
    """The version that one fresh connection is served."""
    answer = await answered(site)
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    label = next((line.partition(": ")[2] for line in head if line.startswith("x-prompt: ")), None)
    if label is None:
        raise RuntimeError(f"not an answer of the prompt: {answer[:500]!r}")
    return int(label.rpartition(":")[2])


async def proof(site: Site, version: int) -> int:
    """How many of :data:`PROOFS` fresh connections are not served ``version``."""
    wrong = 0
    for _ in range(PROOFS // AT_ONCE):
        wrong += sum(seen != version for seen in await asyncio.gather(*(served_version(site) for _ in range(AT_ONCE))))
    return wrong


async def _measured(site: Site, version: int, change: Callable[[], Coroutine[Any, Any, dict[str, Any]]]) -> Move:
    stale = [0.0]
    began = time.perf_counter()

    async def watch() -> None:
        while True:
            asked = time.perf_counter()
            if await served_version(site) != version:
                stale.append(asked - began)
            await asyncio.sleep(_WATCH_SECONDS)

    watching = asyncio.create_task(watch())
    done = await change()
    round_trip = time.perf_counter() - began
    wrong = await proof(site, version)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    found = done["propagation"]
    return Move(
        waited_ms=found["waited_ms"],
        round_trip_ms=round_trip * 1000,
        stale_ms=max(stale) * 1000,
        workers=found["workers"],
        lagging=len(found["lagging"]),
        proofs=PROOFS,
        wrong=wrong,
    )


async def post(api: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await api.post(path, json=body)
    if answer.is_error:
        raise RuntimeError(f"POST {path}: {answer.status_code} {answer.text}")
    return answer.json()


def _content(version: int) -> dict[str, Any]:
    return {"messages": [{"type": "message", "role": "user", "content": f"This is version {version}."}]}


def quantile(values: Sequence[float], share: float) -> float:
    """The nearest-rank quantile (0.5 is the median)."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def summary(label: str, moves: Sequence[Move]) -> list[str]:
    """One line of the table."""

    def pair(values: Sequence[float]) -> str:
        return f"{quantile(values, 0.5):.1f} / {quantile(values, 0.99):.1f}"

    proofs, wrong = sum(m.proofs for m in moves), sum(m.wrong for m in moves)
    return [
        label,
        str(len(moves)),
        str(min(m.workers for m in moves)),
        pair([m.waited_ms for m in moves]),
        pair([m.round_trip_ms for m in moves]),
        pair([m.stale_ms for m in moves]),
        f"{proofs - wrong} of {proofs}",
    ]


_HEAD = [
    "change",
    "times",
    "workers",
    "proved everywhere after, ms (p50 / p99)",
    "admin call, ms (p50 / p99)",
    "last old answer, ms (p50 / p99)",
    "new version on fresh connections after the wait",
]


@contextlib.contextmanager
def installation(workers: int, **settings: str) -> Generator[Site]:
    """A gateway as ``make up`` starts it, with data of its own that is thrown away."""
    home = Path(tempfile.mkdtemp(prefix="pg-propagation-"))
    home.chmod(0o755)
    port, token = free_port(), secrets.token_hex(16)
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | {
        "PROMPTGATE_PORT": str(port),
        "PROMPTGATE_WORKERS": str(workers),
        "PROMPTGATE_STORAGE_DIRECTORY": str(home / "data"),
        "PROMPTGATE_SECURITY_ADMIN_TOKEN": token,
        **settings,
    }
    log = home / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "up"], env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        env_file = home / "data" / "env"  # written last
        give_up = time.monotonic() + _START_SECONDS
        while not env_file.exists():
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"the gateway did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        exported = _exported(env_file) | _exported(home / "data" / "services")
        yield Site(exported["PROMPTGATE_URL"], token, redis_url=exported["PROMPTGATE_REDIS_URL"])
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(home, ignore_errors=True)


def _exported(file: Path) -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(file.read_text()) if "=" in word)


async def _with_redis(site: Site, publishes: int) -> tuple[list[Move], list[Move]]:
    site = await prepare(site)
    return await publishing(site, publishes), await rolling_back(site, publishes)


async def _without_redis(site: Site, publishes: int) -> list[Move]:
    return await publishing(await prepare(site), publishes)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure how fast a publish reaches every worker.")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--publishes", type=int, default=50)
    asked = parser.parse_args()
    workers: int = asked.workers
    publishes: int = asked.publishes
    with installation(workers) as site:
        published, returned = asyncio.run(_with_redis(site, publishes))
    with installation(workers, PROMPTGATE_REDIS_URL="unix:///nowhere/redis.sock") as site:
        polled = asyncio.run(_without_redis(site, max(1, publishes // 5)))
    everything = {"publish": published, "rollback": returned, "publish, no Redis": polled}
    print(table(_HEAD, [summary(label, moves) for label, moves in everything.items()]))
    bars = {"publish": BAR_MS, "rollback": BAR_MS, "publish, no Redis": BAR_WITHOUT_REDIS_MS}
    late = [label for label, moves in everything.items() if quantile([m.waited_ms for m in moves], 0.5) > bars[label]]
    false = [label for label, moves in everything.items() if any(m.wrong or m.lagging or m.workers != workers for m in moves)]
    for label in late:
        print(f"{label}: the median is above {bars[label]:.0f} ms")
    for label in false:
        print(f"{label}: an old version was served after the wait, or not every worker reported")
    return 1 if late or false else 0


if __name__ == "__main__":
    sys.exit(main())
