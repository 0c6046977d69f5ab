"""Shared request counters in memory: the twin of Redis, for one process."""

from collections.abc import Callable

from gateway.core.ports import Lease

WINDOW_S = 60
"""A fixed minute, as in Redis."""


class MemoryLeases:
    """A :class:`gateway.core.ports.LeaseStore`. ``clock`` gives monotonic seconds and decides where minutes begin."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.available = True
        """False: every lease is refused an answer."""
        self._clock = clock
        self._used: dict[str, tuple[int, int]] = {}

    async def lease(self, key_id: str, limit: int, want: int) -> Lease | None:
        """Take up to ``want`` permits of this minute's ``limit``."""
        if not self.available:
            return None
        window = int(self._clock() // WINDOW_S)
        known, used = self._used.get(key_id, (window, 0))
        used = used if known == window else 0
        granted = max(0, min(want, limit - used))
        self._used[key_id] = (window, used + granted)
        return Lease(granted, max(0, limit - used - granted), float((window + 1) * WINDOW_S))
