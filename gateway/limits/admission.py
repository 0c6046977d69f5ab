"""Overload: how many new requests to let in, so that those inside keep their latency.

Two limits. The cap on requests in flight bounds memory. The quota of new requests per turn of the event loop bounds latency: when
more arrive than can be served, turns get longer. The quota follows the length of the
turns as TCP's congestion window follows losses (additive increase, multiplicative decrease: Chiu and Jain 1989). Short turns let
it grow whether it is used or not: a burst after a quiet hour is served, and costs those inside a few long turns at most.
"""

TARGET = 0.010
"""Seconds a turn may take: a tenth of what people notice, ten times what a turn takes at half load."""

FLOOR = 4
"""New requests per turn that are always let in: a turn that is long for another reason must not starve the door."""

ALWAYS = 64
"""Requests in flight below which a new one is let in whatever the turns say: even if all of them came at once, the last is answered
within some 10 ms. It is what lets a client with dozens of connections saturate a core without being refused."""

CEILING = 512
"""New requests per turn: some 50 ms of work, the longest that a burst after a quiet hour may keep the others waiting."""

START = 256
"""New requests in the first turn: a batch job that opens its connections at once, some 20 ms of work."""

STEP = 8
"""Increase per short turn: back from the floor to the start in 32 turns, a third of a second under load."""

BACK_OFF = 0.5
"""Decrease per long turn, as TCP halves its window; what must always be let in is let in whatever the quota (ALWAYS)."""


class Admission:
    """The controller of one worker. Tell it about every arrival, every end, and every turn of the loop."""

    __slots__ = ("_admitted", "_quota", "cap", "in_flight", "target")

    def __init__(self, cap: int, target: float = TARGET) -> None:
        self.cap = cap
        """Requests in flight."""
        self.target = target
        """Seconds per turn."""
        self.in_flight = 0
        self._quota = float(START)
        self._admitted = 0

    @property
    def quota(self) -> int:
        """New requests that a turn may admit at present."""
        return int(self._quota)

    def offer(self) -> bool:
        """A request arrives: True lets it in (and :meth:`done` must follow), False means 503 at once."""
        if self.in_flight >= self.cap or (self._admitted >= self._quota and self.in_flight >= ALWAYS):
            return False
        self.in_flight += 1
        self._admitted += 1
        return True

    def done(self) -> None:
        """A request that was let in has ended."""
        self.in_flight -= 1

    def turn_ended(self, duration: float) -> None:
        """A turn of the loop is over; ``duration`` is its busy time in seconds, waiting for events left aside."""
        if duration > self.target:
            self._quota = max(self._quota * BACK_OFF, FLOOR)
        else:
            self._quota = min(self._quota + STEP, CEILING)
        self._admitted = 0
