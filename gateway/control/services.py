"""What the control plane works with."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeVar

from msgspec import Struct

from gateway.control.status.probes import Probe
from gateway.control.targets.schemas import Survey
from gateway.core.keys import PLAIN, Peppers
from gateway.core.ports import Cache
from gateway.pipeline.seeding import Seeding
from gateway.pricing.table import PriceTable
from gateway.settings import Provider
from gateway.storage.postgres.calls import CallReader
from gateway.storage.postgres.prices import Prices
from gateway.storage.postgres.registry import Registry
from gateway.storage.postgres.rows import Written
from gateway.storage.vault import Vault

T = TypeVar("T")


class ControlServices(Struct, frozen=True):
    """Stores and sources of what is not computed: made once by the composition root."""

    registry: Registry
    calls: CallReader
    prices: PriceTable
    money: Prices
    cache: Cache
    counters: Seeding
    probes: tuple[Probe, ...]
    random_bytes: Callable[[int], bytes]
    """``secrets.token_bytes``."""
    clock: Callable[[], datetime]
    """Aware, UTC."""
    monotonic: Callable[[], float]
    """Seconds."""
    vault: Vault
    """Seals the keys of provider accounts."""
    providers: Mapping[str, Provider]
    """Those of the configuration, by name."""
    targets: Survey
    """Tells how it goes at targets."""
    guard_endpoints: frozenset[str] = frozenset()
    """The services that guards may ask, by name."""
    peppers: Peppers = PLAIN
    """What digests of new keys are made with."""

    async def announce(self, written: Written[T]) -> T:
        """Tell every worker what a committed write moved; gives what was written. Never raises: workers also poll, a second later."""
        if written.changes:
            await self.cache.announce(written.changes)
        return written.value
