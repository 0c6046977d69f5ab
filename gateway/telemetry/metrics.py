"""Metrics as rows of floats in shared memory: one row per worker, one writer per row, folded when somebody scrapes.

A call leaves a tuple of what is to be counted; many times a second those are added up and copied to the shared row. There are no
locks, no files and no names on the path. The layout is fixed when the supervisor starts, from names known by then (doors, outcomes,
providers), so no request can add a label. The memory is anonymous and shared by fork: a worker that dies leaves its counts behind, and
the one that replaces it goes on in the same row.
"""

import mmap
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, product
from math import fsum
from operator import sub

from msgspec import Struct
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from gateway.core.errors import KINDS
from gateway.core.events import Usage
from gateway.core.forward import FORWARDED
from gateway.core.journal import PHASES, Journal

LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds: whole calls and first bytes, from a cached answer to a long reasoning stream."""
OVERHEAD_BUCKETS = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25)
"""Seconds: our own share; the product's promise lives between 50 us and 1 ms."""

NANO = 1e9
"""Nano-dollars in a dollar."""

SAMPLED = 8
"""Phases are timed on every eighth call (and the first): a mean needs no more, and counting them all would cost a phase's worth."""

_OUTCOMES = ("ok", *KINDS)
_DOORS = ("chat", "completions", "messages", "responses", "execute", "test", "guard", "count_tokens", *FORWARDED)
STAGES: tuple[str, ...] = ("pre", "post", "tools")
ACTIONS: tuple[str, ...] = (
    *("block", "mask", "redact", "replace", "reask", "annotate", "fallback"),
    *("observe", "error_open", "error_closed"),
)
"""What came of a finding; ``observe`` whatever would have, of guards that only observe."""
_CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Gauge(Struct, frozen=True):
    """A number that a worker reports about itself about once a second."""

    name: str
    help: str
    fold: str = "sum"
    """How workers combine: ``sum``, ``max`` or ``min``."""
    counter: bool = False


GAUGES = (
    Gauge("in_flight", "Calls being answered."),
    Gauge("connections", "Open client connections."),
    Gauge("admission_quota", "New calls that a turn of the event loop may admit.", "min"),
    Gauge("shed", "Calls refused for load.", counter=True),
    Gauge("loop_lag_seconds", "Longest delay of a timer in the last second.", "max"),
    Gauge("generation", "Registry generation applied.", "min"),
    Gauge("degraded", "Workers that cannot ask the registry and serve last-known-good.", "sum"),
    Gauge("stale_served", "Lookups answered from the last-known-good shelf.", counter=True),
    Gauge("config_rejected", "Documents refused because they do not compile.", counter=True),
    Gauge("ledger_rows_shipped", "Rows committed to Postgres.", counter=True),
    Gauge("ledger_failures", "Batches that failed and were tried again.", counter=True),
    Gauge("ledger_dead_letters", "Rows that Postgres refused.", counter=True),
    Gauge("ledger_lag_seconds", "Age of the oldest row not yet in Postgres.", "max"),
    Gauge("ledger_spool_bytes", "Bytes of spool not yet shipped."),
    Gauge("ledger_alarm", "Workers whose spool is over 80 % full."),
    Gauge("ledger_refused", "Calls refused because the spool was full.", counter=True),
    Gauge("ledger_dropped_refusals", "Rows of refused calls that found no room in a full spool.", counter=True),
    Gauge("ledger_shortened", "Rows without labels and error texts, because the spool was full.", counter=True),
    Gauge("ledger_account_only", "Workers that write such rows now."),
    Gauge("ledger_mended", "Records that could not be stored word for word.", counter=True),
    Gauge("upstream_connections_opened", "Connections opened to providers.", counter=True),
    Gauge("upstream_connections_reused", "Requests sent on a kept connection.", counter=True),
    Gauge("upstream_stale_retries", "Requests repeated because a kept connection had died.", counter=True),
    Gauge("retries", "Attempts after another one of the same call.", counter=True),
    Gauge("retries_refused", "Repetitions that the retry budget did not allow.", counter=True),
    Gauge("key_rotations", "Attempts with another key of the same account.", counter=True),
    Gauge("hedges", "Attempts beside one that was slow to begin.", counter=True),
    Gauge("dead_keys", "Keys that their provider refuses; the worst worker.", "max"),
    Gauge("credentials_locked", "Stored keys of provider accounts that do not decrypt; the worst worker.", "max"),
    Gauge("breaker_openings", "Times that a target's breaker opened.", counter=True),
    Gauge("target_rejected", "Attempts not made because the target was open or full.", counter=True),
    Gauge("target_queued", "Calls that waited for a place at a full target.", counter=True),
    Gauge("limits_degraded", "Workers that count requests locally because Redis is away."),
    Gauge("limits_refused", "Calls refused by a limit rule.", counter=True),
    Gauge("limits_shadowed", "Times that a shadow rule would have refused a call.", counter=True),
    Gauge("limits_unsettled", "Settlements given up because Redis was away; their reservations expire.", counter=True),
    Gauge("limits_cancelled", "Reservations taken back because Redis answered too late for their calls.", counter=True),
    Gauge("limits_rebuilt", "Times that an application's lost counters were made again from the ledger.", counter=True),
    Gauge("limits_rebuild_failures", "Times that lost counters could not be made from the ledger.", counter=True),
    Gauge("limits_charged", "Calls of dead workers that were counted after the fact.", counter=True),
    Gauge("limits_summed", "Hours and days of the ledger that were summed up for limits.", counter=True),
    Gauge("limits_sum_failures", "Times that the ledger could not be summed up.", counter=True),
    Gauge("cache_rejected", "Cache entries refused (MAC, tenant or schema).", counter=True),
    Gauge("recall_hits", "Calls answered from kept answers.", counter=True),
    Gauge("recall_coalesced", "Calls that shared the answer of a running one.", counter=True),
    Gauge("recall_misses", "Calls of versions with a cache that asked a provider.", counter=True),
    Gauge("recall_replayed", "Retries answered by their idempotency key.", counter=True),
    Gauge("spans_exported", "Spans that the collector took.", counter=True),
    Gauge("spans_dropped", "Spans lost: the queue was full, or the collector could not be given them.", counter=True),
    Gauge("recall_outliving", "Calls that go on after their callers have left."),
)

TARGET_GAUGES = (
    Gauge("target_open", "Breakers that are open or half open, all workers and models of the target."),
    Gauge("target_in_flight", "Attempts under way."),
    Gauge("target_limit", "Attempts that may be under way at one time; the lowest of all workers and models.", "min"),
    Gauge(
        "target_first_byte_seconds", "Mean of late until an answer begins; the slowest worker and model, 0 if unknown.", "max"
    ),
)
"""By configured target (``provider/model``, ``*`` where any model is let through)."""

PROVIDER_GAUGES = (
    Gauge("provider_keys_refused", "Keys of the account that the provider refuses; the worst worker.", "max"),
    Gauge("provider_keys_limited", "Keys of the account that rest at their limit; the worst worker.", "max"),
)
"""By provider: the installation's account, not those of applications."""


Ended = tuple[str, str, float, float, float, float | None, Usage | None, int | None, list[float]]
"""What is counted of a call: door, outcome, start, end, seconds spent waiting for the provider, first byte, usage, cost in
nano-dollars, ends of phases. Start, end, first byte and ends of phases are monotonic seconds."""


class _Histogram:
    """Cells of one histogram: sum, then one count per bucket and one for the rest."""

    def __init__(self, start: int, bounds: Sequence[float]) -> None:
        self.start = start
        self.bounds = bounds
        self.width = len(bounds) + 2


class Table:
    """The shared memory and its layout. Make it before forking workers."""

    def __init__(self, workers: int, providers: Iterable[str], targets: Iterable[str] = (), guards: Iterable[str] = ()) -> None:
        self.providers = tuple(sorted(providers))
        self.targets = tuple(sorted(set(targets)))
        position = 0

        def take(count: int) -> int:
            nonlocal position
            start = position
            position += count
            return start

        self.calls = {(door, outcome): take(1) for door in _DOORS for outcome in _OUTCOMES}
        self.phases = {phase: take(2) for phase in PHASES}
        self.tokens = {kind: take(1) for kind in ("input", "cached", "output", "reasoning")}
        self.cost = take(1)
        self.unledgered = take(1)
        self.unpriced = take(1)
        self.latency = _Histogram(take(len(LATENCY_BUCKETS) + 2), LATENCY_BUCKETS)
        self.overhead = _Histogram(take(len(OVERHEAD_BUCKETS) + 2), OVERHEAD_BUCKETS)
        self.first_byte = {p: _Histogram(take(len(LATENCY_BUCKETS) + 2), LATENCY_BUCKETS) for p in self.providers}
        self.upstream_errors = {p: take(1) for p in self.providers}
        self.gauges = {gauge.name: take(1) for gauge in GAUGES}
        self.target_gauges = {(gauge.name, target): take(1) for gauge in TARGET_GAUGES for target in self.targets}
        self.provider_gauges = {(gauge.name, provider): take(1) for gauge in PROVIDER_GAUGES for provider in self.providers}
        self.findings = {place: take(1) for place in product(STAGES, sorted(set(guards)), ACTIONS)}
        """By stage, type of the guard and action; a plug-in's types are known before workers start, so they are there too."""
        self.alive = take(1)
        """1 in the row of a worker that runs: gauges of the others say nothing."""
        self.columns = position
        self.workers = workers
        self._memory = mmap.mmap(-1, max(1, workers * position * 8))
        self._cells = memoryview(self._memory).cast("d")

    def row(self, slot: int) -> "memoryview[float]":
        """A worker's own cells; only that worker writes them."""
        return self._cells[slot * self.columns : (slot + 1) * self.columns]

    def retire(self, row: int) -> None:
        """The worker of a row has ended: its counts stay, its gauges no longer count."""
        self.row(row)[self.alive] = 0.0

    def fold(self, cell: int) -> float:
        """The sum of all workers' cells, ended ones included: a counter never falls."""
        return sum(self._cells[cell :: self.columns].tolist())

    def fold_gauge(self, cell: int, how: str) -> float:
        """One number from the cells of the workers that run."""
        alive = self._cells[self.alive :: self.columns].tolist()
        values = [value for value, runs in zip(self._cells[cell :: self.columns].tolist(), alive, strict=True) if runs]
        return 0.0 if not values else max(values) if how == "max" else min(values) if how == "min" else sum(values)

    def of_label(self, name: str, label: str) -> float | None:
        """One of :data:`TARGET_GAUGES` or :data:`PROVIDER_GAUGES`, folded; None: there is no row for that label."""
        fold = next(gauge.fold for gauge in (*TARGET_GAUGES, *PROVIDER_GAUGES) if gauge.name == name)
        cell = self.target_gauges.get((name, label), self.provider_gauges.get((name, label)))
        return None if cell is None else self.fold_gauge(cell, fold)

    @property
    def running(self) -> int:
        """Workers that run."""
        return int(sum(self._cells[self.alive :: self.columns].tolist()))


class Meter:
    """One worker's writer: the pipeline's ``Observer``."""

    def __init__(self, table: Table, slot: int) -> None:
        self._table = table
        self._shared = table.row(slot)
        # A row may be one that an ended worker counted in: its counters go on from there.
        self._row = array("d", self._shared)
        self._row[table.alive] = 1.0
        self._before = {g.name: self._row[table.gauges[g.name]] for g in GAUGES if g.counter}
        self._seen = 0
        """Calls counted."""
        self._phases = [table.phases[phase] for phase in PHASES]
        self._ended: dict[str | None, list[Ended]] = {provider: [] for provider in (None, *table.providers)}
        """The calls since the last fold, by the provider that was asked."""

    def observe(self, journal: Journal, finished: float) -> None:
        """Note a finished call; the next :meth:`flush` counts it. ``finished`` is monotonic seconds."""
        inbound, target = journal.inbound, journal.target
        self._ended[None if target is None else target.provider].append(
            (
                inbound.door,
                journal.outcome,
                inbound.started,
                finished,
                journal.upstream,
                journal.first_byte,
                journal.usage,
                journal.bill.cost_nano,
                journal.laps,
            )
        )
        if journal.caller is None:
            self._row[self._table.unledgered] += 1.0
        if journal.notes:
            self._count_findings(journal)

    def _count_findings(self, journal: Journal) -> None:
        findings = self._table.findings
        for note in journal.notes:
            kind = journal.guard_types.get(note.guard, note.guard)
            cell = findings.get((note.stage, kind, "observe" if note.mode == "observe" else note.action))
            if cell is not None:
                self._row[cell] += 1.0

    def _fold(self, provider: str | None, calls: list[Ended]) -> None:
        """Count what was noted. By whole columns: sums are made by C loops, not call by call."""
        table, row = self._table, self._row
        doors, outcomes, starts, ends, upstream, first_bytes, usages, costs, laps = zip(*calls, strict=True)
        for place, count in Counter(zip(doors, outcomes, strict=True)).items():
            cell = table.calls.get(place)
            if cell is not None:
                row[cell] += count
        totals = [*map(sub, ends, starts)]
        _count(row, table.latency, totals)
        _count(row, table.overhead, [*map(sub, totals, upstream)])
        sample = slice(-self._seen % SAMPLED, None, SAMPLED)
        self._count_phases(starts[sample], laps[sample])
        self._seen += len(calls)
        if provider is None:
            return
        if None in first_bytes:
            failed = [o for o, first in zip(outcomes, first_bytes, strict=True) if first is None and o.startswith("upstream")]
            row[table.upstream_errors[provider]] += len(failed)
            begun = [(first, start) for first, start in zip(first_bytes, starts, strict=True) if first is not None]
            _count(row, table.first_byte[provider], [first - start for first, start in begun])
        else:
            _count(row, table.first_byte[provider], [*map(sub, first_bytes, starts)])
        used, tokens = [*filter(None, usages)], table.tokens
        row[tokens["input"]] += sum([usage.input for usage in used])
        row[tokens["cached"]] += sum([usage.cached for usage in used])
        row[tokens["output"]] += sum([usage.output for usage in used])
        row[tokens["reasoning"]] += sum([usage.reasoning for usage in used])
        if None in costs:
            row[table.unpriced] += [cost for cost, usage in zip(costs, usages, strict=True) if usage is not None].count(None)
        row[table.cost] += sum(filter(None, costs)) / NANO

    def _count_phases(self, starts: Sequence[float], laps: Sequence[list[float]]) -> None:
        row = self._row
        calls = sorted([(start, *ends) for start, ends in zip(starts, laps, strict=True)], key=len)
        # The mean of differences is the difference of means; calls that came equally far are added up together.
        for _, alike in groupby(calls, len):
            columns = list(zip(*alike, strict=True))
            ends = [fsum(column) for column in columns]
            for start, before, end in zip(self._phases, ends, ends[1:], strict=False):
                row[start] += end - before
                row[start + 1] += len(columns[0])

    def gauge(self, name: str, value: float, label: str = "") -> None:
        """Set one of :data:`GAUGES`; for a counter, what this worker has counted since it started.

        ``label``: a target's, or a provider's.
        """
        if label:
            table = self._table
            cell = table.target_gauges.get((name, label))
            self._row[table.provider_gauges[name, label] if cell is None else cell] = value
            return
        self._row[self._table.gauges[name]] = self._before.get(name, 0.0) + value

    def flush(self) -> None:
        """Count the calls since the last time, for whoever scrapes; called many times a second, which spares every call the detour."""
        for provider, calls in self._ended.items():
            if calls:
                self._fold(provider, calls)
                calls.clear()
        self._shared[:] = memoryview(self._row)


def _count(row: "array[float]", histogram: _Histogram, values: Sequence[float]) -> None:
    start = histogram.start
    row[start] += sum(values)
    ranked = sorted(values)
    below = 0
    for cell, bound in enumerate(histogram.bounds, start + 1):
        reached = bisect_right(ranked, bound, below)
        row[cell] += reached - below
        below = reached
        if below == len(ranked):
            return
    row[start + 1 + len(histogram.bounds)] += len(ranked) - below


class _Fold(Collector):
    """The table as Prometheus families."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def collect(self) -> Iterator[Metric]:
        table = self._table
        calls = CounterMetricFamily("promptgate_calls", "Calls by door and outcome.", labels=["door", "outcome"])
        for (door, outcome), cell in table.calls.items():
            value = table.fold(cell)
            if value:
                calls.add_metric([door, outcome], value)
        yield calls
        phases = SummaryMetricFamily(
            "promptgate_phase_seconds", "Time per phase of the pipeline, of every eighth call.", labels=["phase"]
        )
        for phase, cell in table.phases.items():
            phases.add_metric([phase], int(table.fold(cell + 1)), table.fold(cell))
        yield phases
        tokens = CounterMetricFamily(
            "promptgate_tokens", "Tokens by kind; input includes cached, output includes reasoning.", labels=["kind"]
        )
        for kind, cell in table.tokens.items():
            tokens.add_metric([kind], table.fold(cell))
        yield tokens
        yield CounterMetricFamily(
            "promptgate_cost_usd", "Money spent at providers, priced calls only.", value=table.fold(table.cost)
        )
        yield CounterMetricFamily(
            "promptgate_unpriced_calls", "Calls whose model has no price.", value=table.fold(table.unpriced)
        )
        yield CounterMetricFamily(
            "promptgate_unledgered",
            "Calls that ended before a caller was known, so no row names them.",
            value=table.fold(table.unledgered),
        )
        yield self._histogram("promptgate_latency_seconds", "Whole calls.", [((), table.latency)], ())
        yield self._histogram(
            "promptgate_overhead_seconds", "Whole calls less the time spent waiting for providers.", [((), table.overhead)], ()
        )
        yield self._histogram(
            "promptgate_first_byte_seconds",
            "Until the first event of the answer.",
            [((p,), h) for p, h in table.first_byte.items()],
            ("provider",),
        )
        errors = CounterMetricFamily("promptgate_upstream_errors", "Calls that a provider failed.", labels=["provider"])
        for provider, cell in table.upstream_errors.items():
            errors.add_metric([provider], table.fold(cell))
        yield errors
        findings = CounterMetricFamily(
            "promptgate_guard_findings",
            "Verdicts of guards that found something or could not judge, by stage, type and action.",
            labels=["stage", "guard", "action"],
        )
        for place, cell in table.findings.items():
            value = table.fold(cell)
            if value:
                findings.add_metric(list(place), value)
        yield findings
        for gauge in GAUGES:
            family = CounterMetricFamily if gauge.counter else GaugeMetricFamily
            cell = table.gauges[gauge.name]
            value = table.fold(cell) if gauge.counter else table.fold_gauge(cell, gauge.fold)
            yield family(f"promptgate_{gauge.name}", gauge.help, value=value)

        for gauge in TARGET_GAUGES:
            by_target = GaugeMetricFamily(f"promptgate_{gauge.name}", gauge.help, labels=["target"])
            for target in table.targets:
                by_target.add_metric([target], table.fold_gauge(table.target_gauges[gauge.name, target], gauge.fold))
            yield by_target
        for gauge in PROVIDER_GAUGES:
            by_provider = GaugeMetricFamily(f"promptgate_{gauge.name}", gauge.help, labels=["provider"])
            for provider in table.providers:
                cell = table.provider_gauges[gauge.name, provider]
                by_provider.add_metric([provider], table.fold_gauge(cell, gauge.fold))
            yield by_provider

    def _histogram(
        self, name: str, text: str, rows: Sequence[tuple[tuple[str, ...], _Histogram]], labels: tuple[str, ...]
    ) -> HistogramMetricFamily:
        family = HistogramMetricFamily(name, text, labels=list(labels))
        for values, histogram in rows:
            seen, buckets = 0.0, list[tuple[str, float]]()
            for index, bound in enumerate((*histogram.bounds, float("inf"))):
                seen += self._table.fold(histogram.start + 1 + index)
                buckets.append(("+Inf" if bound == float("inf") else repr(bound), seen))
            family.add_metric(list(values), buckets, self._table.fold(histogram.start))
        return family


def exposition(table: Table) -> tuple[bytes, bytes]:
    """(content type, body) of ``/metrics``: every worker's counts, whichever worker is asked."""
    registry = CollectorRegistry()
    registry.register(_Fold(table))
    return _CONTENT_TYPE, generate_latest(registry)
