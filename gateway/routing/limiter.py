"""How many calls a target gets at one time: additive increase, multiplicative decrease (Chiu and Jain 1989; Netflix' AIMDLimit).

What a target cannot take shows as 429, 503 and timeouts. Latency is no signal here, unlike in gradient limiters: an answer of a model
takes as long as it is.
"""

FLOOR = 4
"""Calls that are always let through: a target that recovers must be able to show it."""
BACK_OFF = 0.7
"""Decrease; TCP CUBIC's, between the half of TCP Reno, too much for one slow answer of hundreds, and Netflix' 0.9."""
PAUSE = 1.0
"""Seconds between two decreases: the failures of one burst are one signal, as TCP counts losses once per window."""


class Limiter:
    """The limit of one target, starting at its ``ceiling``. Times are monotonic seconds."""

    __slots__ = ("_again", "ceiling", "limit")

    def __init__(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self.limit = float(ceiling)
        self._again = 0.0

    def succeeded(self, in_flight: int) -> None:
        """An answer began: one call more per round of answers, if the limit was of any matter."""
        if self.limit < self.ceiling and in_flight * 2 >= self.limit:
            self.limit = min(self.limit + 1.0 / self.limit, float(self.ceiling))

    def overloaded(self, now: float) -> None:
        """The target said that it is too much, or was too slow."""
        if now >= self._again:
            self._again = now + PAUSE
            self.limit = max(self.limit * BACK_OFF, min(FLOOR, self.ceiling))
