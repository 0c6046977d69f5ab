"""Kept answers in memory: the twin of Redis, for one process."""

from collections.abc import Callable

from gateway.core.ports import Swap

MAX_ENTRIES = 10_000
"""The oldest goes beyond this: Redis has its own bound, a process must have one too."""


class MemoryAnswers:
    """An :class:`gateway.core.ports.AnswerStore`. ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.available = True
        """False: nobody gets an answer and nothing is kept."""
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[bytes, float]] = {}

    async def get(self, application_id: str, name: str) -> bytes | None:
        """What lies there."""
        return self._found((application_id, name)) if self.available else None

    async def swap(
        self, application_id: str, name: str, old: bytes | None, new: bytes | None, seconds: float = 0.0
    ) -> Swap | None:
        """Put ``new`` in the place of ``old``."""
        if not self.available:
            return None
        place = (application_id, name)
        found = self._found(place)
        if found != old:
            return Swap(done=False, found=found)
        if new is None:
            self._kept.pop(place, None)
        else:
            self._put(place, new, seconds)
        return Swap(done=True, found=None)

    async def put(self, application_id: str, name: str, value: bytes, seconds: float) -> None:
        """Keep a value, whatever lay there."""
        if self.available:
            self._put((application_id, name), value, seconds)

    def _put(self, place: tuple[str, str], value: bytes, seconds: float) -> None:
        self._kept.pop(place, None)
        if len(self._kept) >= MAX_ENTRIES:
            del self._kept[next(iter(self._kept))]
        self._kept[place] = (value, self._clock() + seconds)

    def _found(self, place: tuple[str, str]) -> bytes | None:
        value, ends = self._kept.get(place, (None, 0.0))
        if value is not None and self._clock() >= ends:
            del self._kept[place]
            return None
        return value
