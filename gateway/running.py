"""A worker's parts while it serves: what they tell about themselves, and the order in which they are given back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from gateway.core.upstream import Transport
from gateway.pipeline.charging import Charging
from gateway.pipeline.receive import Receiver
from gateway.pipeline.services import Services
from gateway.routing.compile import target_names
from gateway.settings import Settings
from gateway.storage.ledger.worker import WorkerLedger
from gateway.storage.postgres.sums import Sums
from gateway.telemetry.targets import SetGauge
from gateway.telemetry.targets import report as report_targets
from gateway.transport.client import Http1Transport

if TYPE_CHECKING:
    from gateway.telemetry.traces.tracing import Tracing

LEDGER_DRAIN_SECONDS = 10.0
"""How long a stopping worker goes on shipping rows; what is left stays on disk for the next worker."""


class Running:
    """A worker's parts while it serves."""

    def __init__(  # noqa: PLR0913, PLR0917 - all that has to be told of and closed
        self,
        settings: Settings,
        services: Services,
        receiver: Receiver,
        litestar: Callable[..., Awaitable[None]],
        ledger: WorkerLedger,
        transports: list[Transport],
        rejected: Callable[[], int],
        charging: Charging,
        sums: Sums,
        stop: Callable[[], Awaitable[None]],
        tracing: "Tracing | None",
    ) -> None:
        self.settings = settings
        self.services = services
        self.receiver = receiver
        self.litestar = litestar
        self.ledger = ledger
        self._transports = transports
        self._rejected = rejected
        self._charging = charging
        self._sums = sums
        self._stop = stop
        self._tracing = tracing
        self._targets = frozenset(target_names(settings))

    def refresh(self, gauge: SetGauge) -> None:
        """Report what the parts know about themselves. Called about once a second."""
        releases, ledger = self.services.releases, self.ledger.counters()
        gauge("generation", releases.generation)
        gauge("degraded", releases.degraded)
        gauge("stale_served", releases.stale_served)
        gauge("config_rejected", releases.rejected)
        gauge("ledger_rows_shipped", ledger.rows_shipped + ledger.rows_recovered)
        gauge("ledger_failures", ledger.failures)
        gauge("ledger_dead_letters", ledger.dead_letters)
        gauge("ledger_lag_seconds", ledger.lag_s)
        gauge("ledger_spool_bytes", ledger.spool_bytes)
        gauge("ledger_alarm", ledger.spool_alarm)
        gauge("ledger_refused", ledger.refused)
        gauge("ledger_dropped_refusals", ledger.dropped_refusals)
        gauge("ledger_shortened", ledger.shortened)
        gauge("ledger_account_only", ledger.accounts_only)
        gauge("ledger_mended", ledger.mended)
        limits = self.services.limits
        gauge("limits_degraded", self.services.permits.degraded or limits.degraded)
        gauge("limits_refused", limits.refused)
        gauge("limits_shadowed", limits.shadowed)
        gauge("limits_unsettled", limits.after.unsettled)
        gauge("limits_cancelled", limits.after.cancelled)
        gauge("limits_rebuilt", limits.seeding.done)
        gauge("limits_rebuild_failures", limits.seeding.failed)
        gauge("limits_charged", self._charging.charged)
        gauge("limits_summed", self._sums.made)
        gauge("limits_sum_failures", self._sums.failures)
        gauge("cache_rejected", self._rejected())
        memory = self.services.memory
        gauge("recall_hits", memory.hits)
        gauge("recall_coalesced", memory.coalesced)
        gauge("recall_misses", memory.misses)
        gauge("recall_replayed", memory.replayed)
        gauge("recall_outliving", memory.outliving)
        if self._tracing is not None:
            gauge("spans_exported", self._tracing.exported)
            gauge("spans_dropped", self._tracing.dropped)
        accounts = self.services.releases.accounts
        assert accounts is not None
        gauge("credentials_locked", accounts.locked)
        report_targets(accounts.tables, self._targets, self.services.clock(), gauge)
        own = [t for t in self._transports if isinstance(t, Http1Transport)]
        gauge("upstream_connections_opened", sum(t.opened for t in own))
        gauge("upstream_connections_reused", sum(t.reused for t in own))
        gauge("upstream_stale_retries", sum(t.retried_stale for t in own))

    async def close(self) -> None:
        """Give everything back in reverse order, the ledger's last rows first: they are what must not be lost."""
        await self.services.memory.close()
        flush = () if self._tracing is None else (self._tracing.close(),)
        await asyncio.gather(self.ledger.drain(LEDGER_DRAIN_SECONDS), *flush)
        await self._stop()
