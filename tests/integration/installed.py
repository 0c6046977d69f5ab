"""What the admin API of these tests knows: provider accounts, and the counters of limits."""

import secrets
import time

from gateway.accounts import survey
from gateway.pipeline.accounts import Accounts
from gateway.pipeline.seeding import Seeding
from gateway.routing.table import RouteTable
from gateway.settings import Provider, Settings
from gateway.storage.memory.limits import MemoryLimits
from gateway.storage.memory.spending import MemorySpending
from gateway.storage.vault import Vault
from gateway.telemetry.metrics import Table

OLD_VAULT = Vault([bytes([1]) * 32], secrets.token_bytes)
VAULT = Vault([bytes(32), bytes([1]) * 32], secrets.token_bytes)
"""Opens what the old one has sealed, and seals with a newer key."""
SETTINGS = Settings(providers={"openai": Provider(kind="openai"), "echo": Provider(kind="echo")})
TARGETS = survey(SETTINGS, Accounts(SETTINGS, RouteTable([]), VAULT.open), Table(1, ["openai"]), time.monotonic)


def counters() -> Seeding:
    """Those of limits, with a ledger that is empty."""
    return Seeding(MemoryLimits(time.monotonic, lambda: 0), MemorySpending(tuple), "w", time.monotonic)
