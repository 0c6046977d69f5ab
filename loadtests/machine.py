"""What the kernel says about processes: CPU time, memory, who is whose child, and how busy each core was."""

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_CORES = sorted(os.sched_getaffinity(0))
LOAD_CORE = _CORES[0]
"""Load generator, fake upstream and databases."""
TEST_CORE = _CORES[min(1, len(_CORES) - 1)]
"""The worker under test, alone (where there are two cores at all)."""

_TICK = os.sysconf("SC_CLK_TCK")
_DATABASES = ("postgres", "redis-server")


def _stat(pid: int) -> list[str]:
    """The fields of ``/proc/<pid>/stat`` after the command name; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of living processes, to the clock tick (10 ms)."""
    return sum((int(f[11]) + int(f[12])) / _TICK for f in map(_stat, pids) if f)


def resident_mb(pids: Iterable[int]) -> float:
    """Resident memory in MB (10**6); pages shared between several of the processes count several times."""
    page = os.sysconf("SC_PAGE_SIZE")
    return sum(int(f[21]) * page / 1e6 for f in map(_stat, pids) if f)


def name(pid: int) -> str:
    """The command name (cut to 15 characters); empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def descendants(root: int) -> list[int]:
    """``root`` and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, at = [root], 0
    while at < len(found):
        found += children.get(found[at], [])
        at += 1
    return [pid for pid in found if _stat(pid)]


@dataclass(frozen=True)
class Family:
    """A server's processes, told apart by what they are for."""

    workers: tuple[int, ...]
    others: tuple[int, ...]
    """Supervisors: part of the cost, not of the worker."""
    databases: tuple[int, ...]

    @property
    def own(self) -> tuple[int, ...]:
        """All but the databases."""
        return self.workers + self.others


def family(root: int) -> Family:
    """The processes below ``root``. A root without living children other than databases is its own worker."""
    everyone = descendants(root)
    databases = {pid for pid in everyone if name(pid) in _DATABASES}
    for pid in tuple(databases):
        databases.update(descendants(pid))
    own = [pid for pid in everyone if pid not in databases]
    parents = {int(f[1]) for f in map(_stat, own) if f}
    workers = [pid for pid in own if pid != root and pid not in parents] or [root]
    return Family(tuple(workers), tuple(pid for pid in own if pid not in workers), tuple(databases))


def pin(pids: Iterable[int], core: int) -> None:
    """Keep every thread of the processes on one core; threads and children made later inherit it."""
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {core})


def _busy_ticks() -> dict[int, int]:
    """Ticks each core spent on anything but idling, waiting for disks, or being kept from us by the host."""
    busy: dict[int, int] = {}
    for line in Path("/proc/stat").read_text().splitlines():
        label, *fields = line.split()
        if label.startswith("cpu") and label != "cpu":
            user, nice, system, _idle, _iowait, irq, softirq = map(int, fields[:7])
            busy[int(label[3:])] = user + nice + system + irq + softirq
    return busy


@dataclass(frozen=True)
class Used:
    """CPU time between two looks at the machine."""

    seconds: float
    """Wall clock."""
    cpu: Mapping[str, float]
    """Seconds of CPU by group."""
    foreign: float
    """Cores' worth of CPU that none of the groups accounts for: above about 0.1 the figures are not to be trusted."""


class Meter:
    """CPU time of named groups of processes and of everybody else, between ``start`` and ``stop``."""

    def __init__(self, groups: Mapping[str, Iterable[int]]) -> None:
        self._groups = {label: tuple(pids) for label, pids in groups.items()}
        self._at = 0.0
        self._busy = 0
        self._before: dict[str, float] = {}
        self._self = 0.0

    def start(self) -> None:
        self._before = {label: cpu_seconds(pids) for label, pids in self._groups.items()}
        self._busy = sum(_busy_ticks().values())
        self._self = time.process_time()
        self._at = time.monotonic()

    def stop(self, finished: float = 0.0) -> Used:
        """``finished``: CPU seconds of a child of ours that ran and ended meanwhile (the load generator)."""
        seconds = time.monotonic() - self._at
        busy = (sum(_busy_ticks().values()) - self._busy) / _TICK
        used = {label: cpu_seconds(pids) - self._before[label] for label, pids in self._groups.items()}
        known = sum(used.values()) + finished + time.process_time() - self._self
        return Used(seconds, used, max(0.0, busy - known) / seconds)
