"""What workers tell each other of targets that fail, in memory: the twin of Redis, for one process."""

from collections.abc import Callable, Mapping


class MemoryOutages:
    """A :class:`gateway.core.ports.Outages`. ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.available = True
        """False: nobody is told and nobody hears."""
        self._clock = clock
        self._until: dict[str, float] = {}

    async def exchange(self, opened: Mapping[str, float]) -> dict[str, float] | None:
        """Tell and hear; see the port."""
        if not self.available:
            return None
        now = self._clock()
        for name, seconds in opened.items():
            self._until[name] = max(self._until.get(name, 0.0), now + seconds)
        self._until = {name: until for name, until in self._until.items() if until > now}
        return {name: until - now for name, until in self._until.items()}
