"""How long a revoked key still opens anything, on any worker, under load.

    python -m loadtests.revocation [--workers 4] [--keys 50]

Starts an installation of its own and revokes keys one after the other: as usual, with the announcement lost (the workers'
subscriptions are cut just before), and with Redis away. Each key is in use on fresh connections (each lands on a worker of the
kernel's choice) before, while and after it is revoked; beside it another key makes calls all the time. What counts is the last
request that was sent after the answer to the revocation and was still let in. Ends with 1 when one was sent later than the bar,
or when the key opened in the proof.
"""

# pyright: reportUnknownMemberType=false

import argparse
import asyncio
import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import httpx
from redis import Redis

from loadtests.figures import table
from loadtests.propagation import APPLICATION, AT_ONCE, PROOFS, Site, admin, answered, installation, post, prepare, quantile

BAR_MS = 1000.0
"""The promise: served everywhere within a second."""
BAR_POLLED_MS = 1500.0
"""Where only the poll of a second tells: and some air for a machine that is busy with workers, database and us."""
_WARM = 40
"""Requests that are let in before a key is revoked. The chance that they all miss one of four workers is 0.75**40."""
_WATCH_SECONDS = 2.0
"""After the revocation: past every bar."""
_LOAD = 2
"""Connections at a time of the key that stays."""


@dataclass(frozen=True)
class Revocation:
    """The end of one key."""

    round_trip_ms: float
    """The admin call, as its caller saw it."""
    late_ms: float
    """From its answer to the sending of the last request that was let in; 0 if none was."""
    asked: int
    """Requests of the key after the answer."""
    let_in: int
    """Those of them that were answered with anything but a 401."""
    wrong: int
    """Fresh connections at the end, of :data:`PROOFS`, that the key still opened."""


async def opens(site: Site) -> bool:
    """Whether one fresh connection is let in."""
    status = (await answered(site)).partition(b"\r\n")[0]
    if b" 200 " not in status and b" 401 " not in status:
        raise RuntimeError(f"neither let in nor refused: {status!r}")
    return b" 200 " in status


async def _revoked(site: Site, api: httpx.AsyncClient, *, deaf: bool) -> Revocation:
    made = await post(api, f"/applications/{APPLICATION}/keys", {})
    doomed = replace(site, api_key=made["api_key"])
    for _ in range(_WARM // AT_ONCE):
        assert all(await asyncio.gather(*(opens(doomed) for _ in range(AT_ONCE))))
    sent: list[tuple[float, bool]] = []

    async def watch() -> None:
        while True:
            at = time.perf_counter()
            sent.append((at, await opens(doomed)))

    watching = [asyncio.create_task(watch()) for _ in range(AT_ONCE)]
    await asyncio.sleep(0.05)
    if deaf:
        with Redis.from_url(site.redis_url) as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    began = time.perf_counter()
    answer = await api.delete(f"/applications/{APPLICATION}/keys/{made['public_id']}")
    ended = time.perf_counter()
    answer.raise_for_status()
    done, _ = await asyncio.wait(watching, timeout=_WATCH_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
    for task in watching:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*(done or watching))
    after = [(at, let_in) for at, let_in in sent if at >= ended]
    late = [at for at, let_in in after if let_in]
    wrong = 0
    for _ in range(PROOFS // AT_ONCE):
        wrong += sum(await asyncio.gather(*(opens(doomed) for _ in range(AT_ONCE))))
    return Revocation((ended - began) * 1000, (max(late) - ended) * 1000 if late else 0.0, len(after), len(late), wrong)


async def revoking(site: Site, count: int, *, deaf: bool = False) -> list[Revocation]:
    """Revoke so many keys, one after the other, while another key is in use."""

    async def load() -> None:
        while True:
            assert await opens(site)

    busy = [asyncio.create_task(load()) for _ in range(_LOAD)]
    try:
        async with admin(site) as api:
            return [await _revoked(site, api, deaf=deaf) for _ in range(count)]
    finally:
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)


def summary(label: str, ends: Sequence[Revocation]) -> list[str]:
    """One line of the table."""
    late = [end.late_ms for end in ends]
    return [
        label,
        str(len(ends)),
        f"{quantile([end.round_trip_ms for end in ends], 0.5):.1f} / {quantile([end.round_trip_ms for end in ends], 0.99):.1f}",
        f"{quantile(late, 0.5):.1f} / {quantile(late, 0.99):.1f} / {max(late):.1f}",
        f"{sum(end.let_in for end in ends)} of {sum(end.asked for end in ends)}",
        f"{sum(end.wrong for end in ends)} of {len(ends) * PROOFS}",
    ]


_HEAD = [
    "revocation",
    "keys",
    "admin call, ms (p50 / p99)",
    "last request let in after its answer, ms (p50 / p99 / max)",
    "let in after the answer",
    "let in 2 s later",
]


async def _with_redis(site: Site, count: int) -> tuple[list[Revocation], list[Revocation]]:
    site = await prepare(site)
    return await revoking(site, count), await revoking(site, max(1, count // 5), deaf=True)


async def _without_redis(site: Site, count: int) -> list[Revocation]:
    return await revoking(await prepare(site), count)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure how long a revoked key still opens anything.")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--keys", type=int, default=50)
    asked = parser.parse_args()
    workers: int = asked.workers
    count: int = asked.keys
    with installation(workers) as site:
        told, deaf = asyncio.run(_with_redis(site, count))
    with installation(workers, PROMPTGATE_REDIS_URL="unix:///nowhere/redis.sock") as site:
        polled = asyncio.run(_without_redis(site, max(1, count // 5)))
    everything = {"as usual": (told, BAR_MS), "announcement lost": (deaf, BAR_POLLED_MS), "no Redis": (polled, BAR_POLLED_MS)}
    print(table(_HEAD, [summary(label, ends) for label, (ends, _) in everything.items()]))
    failed = [label for label, (ends, bar) in everything.items() if any(end.late_ms > bar or end.wrong for end in ends)]
    for label in failed:
        print(f"{label}: a revoked key opened later than {everything[label][1]:.0f} ms after the answer")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
