"""Kept answers in memory: the twin of Redis, for one process."""

from collections.abc import Callable

from gateway.core.ports import PIECES, Swap

MAX_ENTRIES = 10_000
"""The oldest goes beyond this: Redis has its own bound, a process must have one too."""

MAX_ROWS = 100
"""Of pieces, each of many: as the entries."""


class MemoryAnswers:
    """An :class:`gateway.core.ports.AnswerStore`. ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.available = True
        """False: nobody gets an answer and nothing is kept."""
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[bytes, float]] = {}
        self._rows: dict[tuple[str, str], tuple[dict[int, bytes], float]] = {}

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

    async def append(self, application_id: str, name: str, number: int, value: bytes, seconds: float, *, oldest: int) -> bool:
        """Put one more piece into a row of numbered ones."""
        if not self.available:
            return False
        row = self._row((application_id, name))
        if number > max(row, default=0):
            row[number] = value
        row = {its: piece for its, piece in row.items() if its >= oldest}
        self._rows.pop((application_id, name), None)
        if len(self._rows) >= MAX_ROWS:
            del self._rows[next(iter(self._rows))]
        self._rows[application_id, name] = row, self._clock() + seconds
        return True

    async def after(self, application_id: str, name: str, number: int) -> list[tuple[int, bytes]]:
        """Pieces of a row above a number."""
        row = self._row((application_id, name)) if self.available else {}
        return [(its, piece) for its, piece in row.items() if its > number][:PIECES]

    def _row(self, place: tuple[str, str]) -> dict[int, bytes]:
        row, ends = self._rows.get(place, ({}, 0.0))
        if row and self._clock() >= ends:
            del self._rows[place]
            return {}
        return row

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
