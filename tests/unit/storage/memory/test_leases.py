"""What the memory leases do beside the contract: minutes by an injected clock."""

from gateway.core.ports import Lease
from gateway.storage.memory.leases import MemoryLeases


async def test_a_minute_by_the_given_clock() -> None:
    now = [59.0]
    leases = MemoryLeases(lambda: now[0])
    assert await leases.lease("k", 5, 9) == Lease(5, 0, 60.0)
    now[0] = 60.0
    assert await leases.lease("k", 5, 2) == Lease(2, 3, 120.0)
    leases.available = False
    assert await leases.lease("k", 5, 2) is None
