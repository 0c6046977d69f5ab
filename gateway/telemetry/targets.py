"""What routing knows of its targets, as numbers for operators, folded to the targets that the configuration names."""

from collections.abc import Collection, Iterable
from typing import Protocol

from gateway.routing.table import RouteTable


class SetGauge(Protocol):
    """Sets one of a worker's gauges; ``label`` is the target or provider of those that have one."""

    def __call__(self, name: str, value: float, label: str = "") -> None:
        """``name`` is one of the metrics' gauges."""
        ...


def label_of(provider: str, model: str, names: Collection[str]) -> str:
    """The configured target that a provider's model belongs to."""
    name = f"{provider}/{model}"
    return name if name in names else f"{provider}/*"


def report(tables: Iterable[RouteTable], names: Collection[str], now: float, gauge: SetGauge) -> None:
    """Set the gauges of targets and accounts. ``names``: ``provider/model``, ``*`` where any is let through. Once a second.

    ``tables``: the installation's first, then those of applications.
    """
    states: dict[str, tuple[int, int, float, float]] = dict.fromkeys(names, (0, 0, 0.0, 0.0))
    openings = rejected = queued = 0
    tables = list(tables)
    for (provider, model), health in [item for table in tables for item in table.health.items()]:
        label = label_of(provider, model, states)
        is_open, in_flight, limit, first_byte = states.get(label, (0, 0, 0.0, 0.0))
        own = health.limiter.limit
        states[label] = (
            is_open + (not health.breaker.is_closed),
            in_flight + health.in_flight,
            min(limit, own) if limit else own,
            max(first_byte, health.latency.mean(now)),
        )
        openings += health.breaker.opened
        rejected += health.rejected
        queued += health.queued
    for label, (is_open, in_flight, limit, first_byte) in states.items():
        if label in names:
            gauge("target_open", is_open, label)
            gauge("target_in_flight", in_flight, label)
            gauge("target_limit", limit, label)
            gauge("target_first_byte_seconds", first_byte, label)
    for provider, account in tables[0].accounts.items():
        gauge("provider_keys_refused", account.keys.dead(now), provider)
        gauge("provider_keys_limited", account.keys.resting(now), provider)
    accounts = [account for table in tables for account in table.accounts.values()]
    gauge("breaker_openings", openings)
    gauge("target_rejected", rejected)
    gauge("target_queued", queued)
    gauge("retries", sum(account.retried for account in accounts))
    gauge("retries_refused", sum(account.retries.refused for account in accounts))
    gauge("key_rotations", sum(account.rotated for account in accounts))
    gauge("hedges", sum(account.hedged for account in accounts))
    gauge("dead_keys", sum(account.keys.dead(now) for account in accounts))
