"""How many extra attempts may be made: a token bucket that ordinary calls fill (retry budget: "The Site Reliability Workbook", ch. 22).

Without it a provider in trouble gets its calls doubled or trebled by everybody's retries, and does not recover.
"""

from collections.abc import Callable

FIRST_BACKOFF = 0.1
"""Seconds: the longest first pause. A restart or a dropped connection is over by then."""
LONGEST_BACKOFF = 2.0
"""Seconds: a caller waits meanwhile."""


class Budget:
    """``ratio`` of the calls, and at least ``per_second``, may be repeated. Times are monotonic seconds."""

    __slots__ = ("_burst", "_per_second", "_ratio", "_since", "_tokens", "refused")

    def __init__(self, ratio: float, per_second: float) -> None:
        self._ratio = ratio
        self._per_second = per_second
        # What ten quiet seconds save up: enough for a provider's restart, too little for a storm.
        self._burst = max(per_second * 10, 1.0) if ratio or per_second else 0.0
        self._tokens = self._burst
        self._since: float | None = None
        self.refused = 0
        """Repetitions that there was no budget for."""

    @property
    def tokens(self) -> float:
        """Repetitions that are saved up, as of the last change."""
        return self._tokens

    def earn(self) -> None:
        """A call was made for its own sake."""
        tokens = self._tokens + self._ratio
        self._tokens = min(self._burst, tokens)

    def spend(self, now: float) -> bool:
        """Whether one more repetition may be made; it counts as made."""
        if self._since is not None:
            self._tokens = min(self._tokens + max(now - self._since, 0.0) * self._per_second, self._burst)
        self._since = now
        if self._tokens < 1.0:
            self.refused += 1
            return False
        self._tokens -= 1.0
        return True


def backoff(number: int, random: Callable[[], float]) -> float:
    """Seconds to wait before the repetition ``number`` (1 is the first): full jitter (Brooker 2015), ``random`` gives 0 to 1."""
    return random() * min(FIRST_BACKOFF * 2 ** min(number - 1, 10), LONGEST_BACKOFF)
