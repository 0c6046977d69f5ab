"""Where the time goes: the gateway's own histogram of its phases, read before and after a load."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from loadtests.figures import table

_LINE = re.compile(r'^promptgate_phase_seconds_(sum|count)\{[^}]*phase="(\w+)"[^}]*\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True)
class Phase:
    """One phase over a load."""

    count: int
    seconds: float

    @property
    def mean_us(self) -> float:
        return self.seconds / self.count * 1e6 if self.count else 0.0


def read(exposition: str) -> dict[str, Phase]:
    """Count and sum of ``promptgate_phase_seconds``, by phase, in the order in which they are exposed."""
    sums: dict[str, float] = {}
    counts: dict[str, float] = {}
    for kind, phase, value in _LINE.findall(exposition):
        into = sums if kind == "sum" else counts
        into[phase] = into.get(phase, 0.0) + float(value)
    return {phase: Phase(int(counts[phase]), sums.get(phase, 0.0)) for phase in counts}


def between(before: Mapping[str, Phase], after: Mapping[str, Phase]) -> dict[str, Phase]:
    zero = Phase(0, 0.0)
    return {
        name: Phase(phase.count - before.get(name, zero).count, phase.seconds - before.get(name, zero).seconds)
        for name, phase in after.items()
    }


def phase_table(phases: Mapping[str, Phase]) -> str:
    rows = [[name, f"{p.mean_us:,.1f}", f"{p.count:,}"] for name, p in phases.items() if p.count]
    return "### Time per phase, small chat at 64 connections (wall clock: `call` holds the upstream and the queue)\n\n" + table(
        ["phase", "mean us", "calls"], rows
    )
