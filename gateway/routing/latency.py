"""How soon a target begins to answer. Pure; times are seconds."""

ALPHA = 0.2
"""Weight of the newest sample: the last ten answers make nine tenths of the mean."""
HALF_LIFE = 20.0
"""Seconds after which half of an old finding is forgotten: a target that was slow gets another chance though it gets no calls."""
STEP = 0.1
"""Of the quantile's estimate, per sample: settled after some hundred answers, and it follows a change of load."""
QUANTILE = 0.95
_UP, _DOWN = 1.0 + STEP * QUANTILE, 1.0 + STEP * (QUANTILE - 1.0)


class Latency:
    """The mean (EWMA) and the 95th percentile of the first byte of one target."""

    __slots__ = ("_mean", "_seen", "p95")

    def __init__(self) -> None:
        self._mean = 0.0
        self._seen = 0.0
        self.p95 = 0.0
        """0 until something was seen. A stochastic approximation (Robbins and Monro 1951): one number, no samples kept."""

    def saw(self, seconds: float, now: float) -> None:
        """A first byte came after so many seconds."""
        if self.p95 == 0.0:
            self._mean = self.p95 = seconds
        else:
            self._mean += ALPHA * (seconds - self._mean)
            self.p95 *= _UP if seconds > self.p95 else _DOWN
        self._seen = now

    def mean(self, now: float) -> float:
        """Seconds to be expected; 0 for a target that was never or long not asked."""
        if self._mean == 0.0:
            return 0.0
        return self._mean * 0.5 ** (max(now - self._seen, 0.0) / HALF_LIFE)
