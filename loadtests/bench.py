"""``make bench``: the gateway, nginx and an aiohttp forwarder side by side, in one run, interleaved.

    python -m loadtests.bench [--quick] [--rounds N] [--only SECTION,...] [--without-gateway]

Load generator and fake upstream on core 0, the process under test on core 1. It prints Markdown tables, writes
``loadtests/.bench/results.json``, and ends with 1 when a bar of ``thresholds.toml`` is missed.
"""

import argparse
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import FrameType
from typing import Any

import msgspec

from loadtests import books, figures, guarding, phases
from loadtests.gateway_peer import Gateway
from loadtests.machine import LOAD_CORE, TEST_CORE, resident_mb
from loadtests.measure import Load, Run, command, once, parse, quiet
from loadtests.peers import Aiohttp, Nginx, Peer, Upstream
from loadtests.tools import BUILD, build, check_machine
from loadtests.work import DIALECTS, EVENTS, LARGE, SATURATING, SMALL, STREAM, Workload

SECTIONS = ("saturation", "dialects", "guards", "sequential", "open", "overload", "rows", "kill")
OPEN_RATES = (1000, 5000)
"""Poisson arrivals a second: an idle server and a busy one."""
OPEN_CONNECTIONS = 1024


@dataclass
class Bench:
    """The run: who takes part, how long, and what was found."""

    upstream: Upstream
    peers: Sequence[Peer]
    gateway: Gateway | None
    rounds: int
    seconds: float
    warm: float
    figures: dict[str, float] = field(default_factory=dict[str, float])
    rounds_by_section: dict[str, list[dict[str, Run]]] = field(default_factory=dict[str, list[dict[str, Run]]])
    notes: dict[str, Any] = field(default_factory=dict[str, Any])

    def interleave(self, section: str, peers: Sequence[Peer], load: Callable[[int], Load]) -> list[dict[str, Run]]:
        """``rounds`` rounds, each with one run of every peer, each round beginning with another peer."""
        rounds: list[dict[str, Run]] = []
        for number in range(self.rounds):
            turn = number % len(peers)
            runs = {p.label: quiet(p, load(number), self.upstream.pid) for p in [*peers[turn:], *peers[:turn]]}
            rounds.append({p.label: runs[p.label] for p in peers})
            progress(f"{section}, round {number + 1} of {self.rounds}: " + ", ".join(map(_brief, rounds[-1].values())))
        self.rounds_by_section[section] = rounds
        return rounds

    def saturation(self, work: Workload) -> None:
        before = phases.read(self.gateway.metrics()) if self.gateway else {}
        rounds = self.interleave(work.name, self.peers, lambda _: Load(work, self.seconds, self.warm))
        show(figures.saturation_table(work.title, rounds))
        if self.gateway:
            self.figures[f"{work.name}.cpu_ratio"] = figures.cpu_ratio(rounds)
            worker = figures.median(r["gateway"].worker_cpu_us for r in rounds)
            show(f"The gateway's worker alone: {worker:.1f} us; the rest of its CPU is the supervisor's.")
            if work is SMALL:
                self.figures["capacity"] = figures.median(r["gateway"].load.admitted_rps for r in rounds)
                spent = phases.between(before, phases.read(self.gateway.metrics()))
                self.notes["phases_us"] = {name: phase.mean_us for name, phase in spent.items()}
                show(phases.phase_table(spent))

    def compare(self, section: str, gateway: Gateway, works: Sequence[Workload]) -> list[dict[str, Run]]:
        """``rounds`` rounds, each with one run of every kind of call, each round beginning with another one."""
        rounds: list[dict[str, Run]] = []
        for number in range(self.rounds):
            turn = number % len(works)
            order = [*works[turn:], *works[:turn]]
            rounds.append({w.name: quiet(gateway, Load(w, self.seconds, self.warm), self.upstream.pid) for w in order})
            progress(f"{section}, round {number + 1} of {self.rounds}: " + ", ".join(map(_brief, rounds[-1].values())))
        return rounds

    def dialects(self, gateway: Gateway) -> None:
        """The same call in each client format, interleaved; the cost of a translation is the difference."""
        rounds = self.compare("dialects", gateway, DIALECTS)
        spent = {w.name: figures.median(r[w.name].cpu_us for r in rounds) for w in DIALECTS}
        rows: list[list[object]] = [
            [
                w.title,
                f"{figures.median(r[w.name].load.admitted_rps for r in rounds):,.0f}",
                f"{spent[w.name]:.0f}",
                f"{figures.median(r[SMALL.name].cpu_us / r[w.name].cpu_us for r in rounds):.2f}",
            ]
            for w in DIALECTS
        ]
        show("### Client formats\n\n" + figures.table(["work", "req/s", "CPU us", "CPU, chat / this"], rows))

    def guards(self, gateway: Gateway) -> None:
        """The same calls with and without guards, interleaved, and streams listened to token by token."""
        guarding.publish(gateway)
        for work in guarding.WORKS:
            gateway.ask(work).raise_for_status()
        rounds = self.compare("guards", gateway, guarding.WORKS)
        spent = {w.name: figures.median(r[w.name].cpu_us for r in rounds) for w in guarding.WORKS}
        rows: list[list[object]] = []
        for bare, guarded in guarding.CALLS:
            added = figures.median(r[guarded.name].cpu_us - r[bare.name].cpu_us for r in rounds)
            for work in (bare, guarded):
                answers = figures.median(r[work.name].load.admitted_rps for r in rounds)
                rows.append(
                    [work.title, f"{answers:,.0f}", f"{spent[work.name]:.0f}", f"{added:.0f}" if work is guarded else "-"]
                )
        show("### Guards\n\n" + figures.table(["work", "req/s", "CPU us", "added by the guards, us"], rows))
        show(f"Per KB of prompt beyond a small call's: {guarding.per_kb_us(spent):.1f} us of CPU.")
        self.upstream.control(gap_us=guarding.GAP_US)
        try:
            heard = guarding.listen(gateway)
        finally:
            self.upstream.control(gap_us=0)
        bare, guarded = (heard[work.name] for work in guarding.CALLS[-1])
        late = [b - a for a, b in zip(bare.tokens_ms, guarded.tokens_ms, strict=True)]
        self.notes["guards"] = {name: times.tokens_ms for name, times in heard.items()}
        cells = [
            f"{bare.first_ms:.2f}",
            f"{guarded.first_ms:.2f}",
            *(f"{x:.2f}" for x in (late[0], figures.median(late), max(late))),
        ]
        head = ["first token, no guards", "with guards", "added", "added to a token, median", "the most"]
        show(f"### A stream with {guarding.GAP_US / 1000:.0f} ms between events, ms\n\n{figures.table(head, [cells])}")

    def sequential(self) -> None:
        rounds = self.interleave(
            "sequential", [self.upstream, *self.peers], lambda _: Load(SMALL, self.seconds, self.warm, connections=1)
        )
        show(figures.latency_table("One connection, one call at a time", rounds))
        names = [peer.label for peer in self.peers]
        added = [[n, *(f"{figures.added_ms(rounds, n, q):.3f}" for q in ("p50_us", "p99_us"))] for n in names]
        show("Added over calling the upstream directly (ms):\n\n" + figures.table(["", "p50", "p99"], added))
        if self.gateway:
            self.figures["added.p50_ms"] = figures.added_ms(rounds, "gateway", "p50_us")
            self.figures["added.p99_ms"] = figures.added_ms(rounds, "gateway", "p99_us")

    def open_loop(self) -> None:
        peers = [self.upstream, *(p for p in self.peers if p.label != "aiohttp")]
        for rate in OPEN_RATES:
            rounds = self.interleave(
                f"open-{rate}",
                peers,
                lambda n, rate=rate: Load(SMALL, self.seconds, self.warm, OPEN_CONNECTIONS, rate=rate, seed=n + 1),
            )
            show(figures.latency_table(f"Poisson arrivals, {rate:,} a second (latency from the intended arrival)", rounds))

    def overload(self, gateway: Gateway) -> None:
        """Twice the capacity, twice: in the first run buffers and pools grow to their bound, the second must not add to it.

        Then once more with a connection per call, which costs more than the refusal itself, at twice what is served that way.
        """
        capacity = self.figures.get("capacity") or self.capacity(gateway)
        load = Load(SMALL, max(3.0, self.seconds), 0.5, OPEN_CONNECTIONS, rate=2 * capacity)
        idle = resident_mb(gateway.family().workers)
        first = once(gateway, load, self.upstream.pid)
        second = quiet(gateway, load, self.upstream.pid)
        single = quiet(gateway, replace(load, close=True, rate=2 * self.capacity(gateway, close=True)), self.upstream.pid)
        after = resident_mb(gateway.family().workers)
        wrong = sum(r.load.no_retry_after + r.load.other.count + r.load.broken + r.load.unsent for r in (first, second))
        rows: list[list[object]] = []
        for label, run in (("first", first), ("second", second), ("a connection per call", single)):
            a, r = run.load.admitted, run.load.refused
            cells = [
                f"{a.count / run.load.seconds:,.0f}",
                *map(_ms, (a.p50_us, a.p99_us, a.max_us)),
                f"{r.count / run.load.seconds:,.0f}",
            ]
            rows.append(
                [
                    label,
                    *cells,
                    *map(_ms, (r.p50_us, r.p99_us)),
                    run.load.unsent + run.load.broken,
                    f"{run.rss_mb:.0f}",
                    f"{run.foreign_cores:.2f}",
                ]
            )
        head = ["", "admitted/s", "p50 ms", "p99 ms", "max ms", "refused/s", "p50 ms", "p99 ms", "lost", "RSS MB", "foreign"]
        show(f"### Overload: {2 * capacity:,.0f} a second, twice the capacity\n\n{figures.table(head, rows)}")
        show(f"Resident memory before {idle:.0f} MB, after {after:.0f} MB.")
        self.figures |= {
            "overload.admitted_p99_ms": (second.load.admitted.p99_us or float("nan")) / 1000,
            "overload.refused_p99_ms": (second.load.refused.p99_us or 0.0) / 1000,
            "overload.goodput": second.load.admitted_rps / capacity,
            "overload.without_retry_after": wrong,
            "overload.growth_mb": second.rss_mb - first.rss_mb,
        }

    def capacity(self, gateway: Gateway, *, close: bool = False) -> float:
        return quiet(gateway, Load(SMALL, 2, 0.5, close=close), self.upstream.pid).load.admitted_rps

    def rows(self, gateway: Gateway) -> None:
        found = books.compare_totals(gateway.database_url(), gateway.run_id, gateway.answers)
        self.figures["rows.difference"] = found.wrong if found.answers else float("nan")  # an empty book proves nothing
        self.notes["rows"] = asdict(found)
        show(
            f"### Rows\n\n{found.answers:,} answers counted by the load generator, {found.rows:,} rows in Postgres "
            f"({_statuses(found.by_status)}); missing {found.missing}, too many {found.ghosts}; "
            f"all there {found.lag_seconds:.1f} s after the run."
        )

    def kill(self, gateway: Gateway) -> None:
        """``kill -9`` of the worker a third into a load."""
        prefix = gateway.new_book()
        ids = BUILD / "ids.txt"
        seconds = max(6.0, self.seconds)
        back: list[float] = []

        def strike() -> None:
            time.sleep(seconds / 3)
            back.append(gateway.wait_for_new_worker(gateway.kill_worker()))

        striker = threading.Thread(target=strike)
        striker.start()
        done = subprocess.run(command(gateway, Load(SMALL, seconds, ids=ids)), capture_output=True, check=True)
        striker.join()
        load = parse(done.stdout)
        found = books.compare_ids(gateway.database_url(), prefix, ids)
        ends = found.wrong + (not back) + max(0, found.unanswered - load.broken_total)
        self.figures["rows.after_kill"] = ends if found.answers else float("nan")
        self.notes["kill"] = asdict(found)
        show(
            "### `kill -9` of the worker in mid-load\n\n"
            f"A new worker answered {back[0] if back else float('nan'):.2f} s later. {found.answers:,} answers, "
            f"{found.rows:,} rows ({_statuses(found.by_status)}). Answers without a row: {found.missing}; calls with two rows: "
            f"{found.doubled}; rows of calls never sent: {found.ghosts}. Calls cut off: {load.broken_total}, of which "
            f"{found.unanswered} have a row. All there {found.lag_seconds:.1f} s after the load."
        )


def _ms(us: float | None) -> str:
    return "-" if us is None else f"{us / 1000:,.1f}"


def _statuses(by_status: Mapping[str, int]) -> str:
    return ", ".join(f"{status}: {n:,}" for status, n in sorted(by_status.items()))


def _brief(run: Run) -> str:
    noise = f" (foreign {run.foreign_cores:.2f})" if run.foreign_cores > 0.1 else ""
    return f"{run.peer} {run.load.admitted_rps:,.0f}/s {run.cpu_us:.0f} us p99 {_ms(run.load.admitted.p99_us)} ms{noise}"


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def show(text: str) -> None:
    print(f"\n{text}", flush=True)


def preflight(upstream: Upstream, gateway: Gateway | None) -> None:
    """Learn what the gateway sends upstream, and that what it answers is what the upstream said."""
    for work in dict.fromkeys((*SATURATING, *(DIALECTS if gateway else ()))):
        if gateway is None:  # a stand-in of the usual proportion: the rendered kilobyte and the call's own message
            upstream.sizes[work.name] = work.question_bytes + 1400
            continue
        before = upstream.stats()
        answer = gateway.ask(work)
        after = upstream.stats()
        if answer.status_code != 200 or after["requests"] != before["requests"] + 1:
            raise RuntimeError(f"{work.name}: the gateway answers {answer.status_code} {answer.text[:500]}")
        if "x-prompt-variant" not in answer.headers:
            raise RuntimeError(f"{work.name}: no variant was chosen: {dict(answer.headers)}")
        if work.stream and not (answer.text.endswith("data: [DONE]\n\n") and f"token{EVENTS - 1}" in answer.text):
            raise RuntimeError(f"{work.name}: not a whole stream: ...{answer.text[-300:]!r}")
        upstream.sizes[work.name] = after["body_bytes"] - before["body_bytes"]
    progress(f"bodies sent upstream: {upstream.sizes} bytes")


def run(bench: Bench, sections: Sequence[str]) -> None:
    gateway = bench.gateway
    if "saturation" in sections:
        for work in (SMALL, LARGE, STREAM):
            bench.saturation(work)
    if "dialects" in sections and gateway is not None:
        bench.dialects(gateway)
    if "guards" in sections and gateway is not None:
        bench.guards(gateway)
    if "sequential" in sections:
        bench.sequential()
    if "open" in sections:
        bench.open_loop()
    if gateway is None:
        return
    bench.figures["rss.worker_mb"] = resident_mb(gateway.family().workers)
    if "overload" in sections:
        bench.overload(gateway)
    if "rows" in sections:
        bench.rows(gateway)
    if "kill" in sections:
        bench.kill(gateway)


def save(bench: Bench, verdicts: Sequence[figures.Verdict]) -> None:
    machine = {
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": os.getloadavg(),
    }
    runs = {
        name: [{label: asdict(r) | {"load": msgspec.structs.asdict(r.load)} for label, r in rnd.items()} for rnd in rounds]
        for name, rounds in bench.rounds_by_section.items()
    }
    everything = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine,
        "rounds": bench.rounds,
        "seconds": bench.seconds,
        "figures": bench.figures,
        "verdicts": [asdict(v) for v in verdicts],
        "notes": bench.notes,
        "runs": runs,
    }
    (BUILD / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(everything), indent=2))


def _leave(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM as an exception, so that what was started is stopped."""
    sys.exit(128 + signal.SIGTERM)


def main() -> int:
    parser = argparse.ArgumentParser(description="The gateway beside nginx and an aiohttp forwarder.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 1 s: whether it works, not how fast it is")
    parser.add_argument("--only", default="", help="sections, with commas: " + ", ".join(SECTIONS))
    parser.add_argument("--without-gateway", action="store_true", help="only the peers: to look at the machine")
    given = parser.parse_args()
    sections = [s for s in given.only.split(",") if s] or list(SECTIONS)
    if unknown := set(sections) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    if LOAD_CORE == TEST_CORE:
        progress("this machine has one core: load and server share it, and the figures mean little")
    check_machine()
    build()
    signal.signal(signal.SIGTERM, _leave)
    rounds, seconds, warm = (2, 1.0, 0.3) if given.quick else (given.rounds, given.seconds, 0.5)
    started: list[Peer] = []
    try:
        upstream = Upstream()
        started.append(upstream)
        gateway = None
        if not given.without_gateway:
            gateway = Gateway(upstream)
            started.append(gateway)
        nginx = Nginx(upstream)
        started.append(nginx)
        forwarder = Aiohttp(upstream)
        started.append(forwarder)
        preflight(upstream, gateway)
        bench = Bench(upstream, [nginx, forwarder, *([gateway] if gateway else [])], gateway, rounds, seconds, warm)
        run(bench, sections)
    finally:
        for peer in reversed(started):
            peer.stop()
    verdicts = figures.judge(bench.figures)
    show(figures.verdict_table(verdicts))
    save(bench, verdicts)
    return 0 if all(v.met for v in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
