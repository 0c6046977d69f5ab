"""From runs to figures: ratios within a round, medians over rounds, bars and aims, Markdown tables."""

import statistics
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.measure import Classed, Run

THRESHOLDS = Path(__file__).with_name("thresholds.toml")

Round = Mapping[str, Run]
"""The runs of one round, by peer."""


def median(values: Iterable[float | None]) -> float:
    known = [v for v in values if v is not None]
    return statistics.median(known) if known else float("nan")


def spread(values: Sequence[float]) -> str:
    """Median with the range over the rounds."""
    return f"{median(values):,.0f} ({min(values):,.0f}-{max(values):,.0f})"


def cpu_ratio(rounds: Sequence[Round]) -> float:
    """How nginx compares with us (nginx / ours) in CPU time per request: the median of the rounds' own ratios."""
    return median(r["nginx"].cpu_us / r["gateway"].cpu_us for r in rounds if {"nginx", "gateway"} <= r.keys())


def added_ms(rounds: Sequence[Round], peer: str, quantile: str) -> float:
    """Latency over calling the upstream directly, milliseconds: the median of the rounds' own differences."""

    def of(run: Run) -> float:
        return getattr(run.load.admitted, quantile) or 0.0

    return median((of(r[peer]) - of(r["direct"])) / 1000 for r in rounds if {peer, "direct"} <= r.keys())


def _not_200(run: Run) -> int:
    """Calls that did not end in a whole 200: refused, failed, cut, never sent."""
    load = run.load
    return load.refused.count + load.other.count + load.broken + load.incomplete + load.unsent


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def saturation_table(title: str, rounds: Sequence[Round]) -> str:
    rows: list[list[str]] = []
    for peer in rounds[0]:
        runs = [r[peer] for r in rounds]
        ratio = median(r["nginx"].cpu_us / r[peer].cpu_us for r in rounds)
        speed = median(r[peer].load.admitted_rps / r["nginx"].load.admitted_rps for r in rounds)
        rows.append(
            [
                peer,
                spread([r.load.admitted_rps for r in runs]),
                spread([r.cpu_us for r in runs]),
                f"{ratio:.2f}",
                f"{speed:.2f}",
                f"{median(r.peer_cores for r in runs):.2f}",
                f"{median(r.load_cores + r.upstream_cores for r in runs):.2f}",
                f"{median(r.databases_cpu_us for r in runs):,.0f}",
                f"{median(r.rss_mb for r in runs):.0f}",
                str(sum(_not_200(r) for r in runs)),
                f"{max(r.foreign_cores for r in runs):.2f}",
            ]
        )
    head = [
        "",
        "req/s",
        "CPU us",
        "nginx CPU / its",
        "req/s / nginx's",
        "cores",
        "load cores",
        "databases us",
        "RSS MB",
        "not 200",
        "foreign",
    ]
    return f"### {title}\n\n{table(head, rows)}"


def latency_table(title: str, rounds: Sequence[Round]) -> str:
    rows: list[list[str]] = []
    for peer in rounds[0]:
        runs = [r[peer] for r in rounds]
        admitted: list[Classed] = [r.load.admitted for r in runs]
        rows.append(
            [
                peer,
                f"{median(c.p50_us for c in admitted):,.0f}",
                f"{median(c.p90_us for c in admitted):,.0f}",
                f"{median(c.p99_us for c in admitted):,.0f}",
                f"{median(c.p999_us for c in admitted):,.0f}",
                f"{median(r.load.admitted_rps for r in runs):,.0f}",
                f"{median(r.cpu_us for r in runs):,.0f}",
                f"{median(r.load.connections for r in runs):,.0f}",
                str(sum(_not_200(r) for r in runs)),
                f"{max(r.foreign_cores for r in runs):.2f}",
            ]
        )
    head = ["", "p50 us", "p90 us", "p99 us", "p99.9 us", "answers/s", "CPU us", "connections", "not 200", "foreign"]
    return f"### {title}\n\n{table(head, rows)}"


@dataclass(frozen=True)
class Verdict:
    """A figure beside what it is held to."""

    name: str
    what: str
    value: float | None
    """None: not measured in this run."""
    bar: str
    aim: str
    met: bool


def judge(figures: Mapping[str, float]) -> list[Verdict]:
    """Every line of ``thresholds.toml`` with its figure. A NaN misses its bar."""
    verdicts: list[Verdict] = []
    for line in tomllib.loads(THRESHOLDS.read_text())["figure"]:
        sign, at_least = (">=", True) if "at_least" in line else ("<=", False)
        bar: float = line["at_least" if at_least else "at_most"]
        value = figures.get(line["name"])
        met = value is None or (value >= bar if at_least else value <= bar)
        verdicts.append(Verdict(line["name"], line["what"], value, f"{sign} {bar:g}", f"{sign} {line['aim']:g}", met))
    return verdicts


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    rows = [
        [
            v.what,
            "-" if v.value is None else f"{v.value:.3g}",
            v.bar,
            v.aim,
            "-" if v.value is None else "yes" if v.met else "**NO**",
        ]
        for v in verdicts
    ]
    return "### Bars\n\n" + table(["", "measured", "bar", "aim", "met"], rows)
