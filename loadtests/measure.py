"""One measurement: load on one peer, with what it cost in CPU and memory, repeated when the machine was not quiet."""

import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from loadtests.machine import LOAD_CORE, Family, Meter, resident_mb
from loadtests.peers import Peer
from loadtests.tools import BUILD, find
from loadtests.work import CHAT_PATH, Workload

NOISE = 0.10
"""Cores' worth of foreign CPU above which a run is done again: a tenth moves req/s by about as much."""
REPEATS = 2
"""How often at most; the quietest run is kept."""
SETTLE = 1.0
"""Seconds after the load in which work put off (rows to ship, connections to close) is still counted."""


class Classed(msgspec.Struct):
    """Latency in microseconds of one class of answers; None when there was none."""

    count: int
    mean_us: float | None = None
    p50_us: float | None = None
    p90_us: float | None = None
    p99_us: float | None = None
    p999_us: float | None = None
    max_us: float | None = None


class LoadResult(msgspec.Struct):
    """What the load generator reports: see the head of ``native/loadgen.c``."""

    requests: int
    seconds: float
    rps: float
    admitted_rps: float
    admitted: Classed
    refused: Classed
    other: Classed
    first_byte: Classed
    answers: dict[str, int]
    broken: int
    broken_total: int
    incomplete: int
    unsent: int
    no_retry_after: int
    connect_failures: int
    connections: int
    sent_total: int
    bytes_in: int
    cpu_seconds: float


@dataclass(frozen=True)
class Load:
    """How to ask: closed loop over ``connections``, or open loop at ``rate`` with at most so many."""

    work: Workload
    seconds: float
    warm: float = 0.0
    connections: int = 64
    rate: float = 0.0
    seed: int = 1
    ids: Path | None = None
    close: bool = False
    """Whether every call has a connection of its own."""


@dataclass(frozen=True)
class Run:
    """One measurement of one peer."""

    peer: str
    load: LoadResult
    cpu_us: float
    """CPU per 200 of the peer's own processes, microseconds."""
    worker_cpu_us: float
    databases_cpu_us: float
    upstream_cores: float
    load_cores: float
    peer_cores: float
    foreign_cores: float
    rss_mb: float
    """Of the workers, when the load had ended."""
    repeats: int = 0


def command(peer: Peer, load: Load) -> list[str]:
    """The load generator's command line; the body goes through a file."""
    body = BUILD / f"body-{peer.label}-{load.work.name}.json"
    body.write_bytes(peer.body(load.work))
    words = [
        find("taskset", "util-linux"),
        "-c",
        str(LOAD_CORE),
        str(BUILD / "loadgen"),
        "--url",
        peer.url.removesuffix(CHAT_PATH) + load.work.path,
        "--body",
        str(body),
    ]
    words += [
        "--connections",
        str(load.connections),
        "--seconds",
        str(load.seconds),
        "--warm",
        str(load.warm),
        "--seed",
        str(load.seed),
    ]
    if load.rate:
        words += ["--rate", str(load.rate)]
    if load.ids is not None:
        words += ["--ids", str(load.ids)]
    headers = {**peer.headers(), "connection": "close"} if load.close else peer.headers()
    for name, value in headers.items():
        words += ["-H", f"{name}: {value}"]
    return words


def parse(output: bytes) -> LoadResult:
    return msgspec.json.decode(output, type=LoadResult)


def once(peer: Peer, load: Load, upstream_pid: int) -> Run:
    """Run the load and read the meters around it."""
    family: Family = peer.family()
    groups = {"workers": family.workers, "others": family.others, "databases": family.databases, "upstream": (upstream_pid,)}
    if upstream_pid in family.own:  # the direct peer: the upstream itself is under test
        groups["workers"] = groups["others"] = ()
    meter = Meter(groups)
    meter.start()
    done = subprocess.run(command(peer, load), capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the load generator failed: {done.stderr.decode()}")
    result = parse(done.stdout)
    rss = resident_mb(family.workers)
    time.sleep(SETTLE)
    used = meter.stop(finished=result.cpu_seconds)
    peer.count(result)
    answers = max(1, result.answers.get("200", 0))  # a refusal is work too, but not what was asked for
    seconds = load.seconds + load.warm
    return Run(
        peer.label,
        result,
        cpu_us=(used.cpu["workers"] + used.cpu["others"]) * 1e6 / answers,
        worker_cpu_us=used.cpu["workers"] * 1e6 / answers,
        databases_cpu_us=used.cpu["databases"] * 1e6 / answers,
        upstream_cores=used.cpu["upstream"] / seconds,
        load_cores=result.cpu_seconds / seconds,
        peer_cores=(used.cpu["workers"] + used.cpu["others"]) / seconds,
        foreign_cores=used.foreign,
        rss_mb=rss,
    )


def quiet(peer: Peer, load: Load, upstream_pid: int) -> Run:
    """As :func:`once`, again while something else used the machine; the quietest run."""
    best = once(peer, load, upstream_pid)
    for again in range(1, REPEATS + 1):
        if best.foreign_cores <= NOISE:
            break
        run = once(peer, load, upstream_pid)
        if run.foreign_cores < best.foreign_cores:
            best = run
        best = replace(best, repeats=again)
    return best
