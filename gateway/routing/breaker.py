"""When to stop asking a target that fails (circuit breaker: Nygard, "Release It!"). Pure: times are monotonic seconds, as arguments.

closed --failures--> open --wait is over--> half open --probes succeed--> closed
                      ^_______a probe fails, the wait doubles______/
"""

from msgspec import Struct


class BreakerRules(Struct, frozen=True):
    """When a breaker opens, and for how long."""

    enabled: bool = True
    failures: int = 8
    """In a row: what opens it at low traffic. Eight by chance at an error rate of 30 % is one in 15,000."""
    error_rate: float = 0.5
    """Share of failed calls in the window: above one half a target costs more attempts than it answers."""
    min_calls: int = 20
    """In the window before a rate means something."""
    window: float = 10.0
    """Seconds looked back over: two half windows, so between 5 and 10."""
    wait: float = 1.0
    """Seconds to the first probe; one second of failing fast is shorter than most timeouts it saves."""
    longest_wait: float = 4.0
    """Seconds: a healed target is found within 5 s (reliability F48)."""
    probes: int = 2
    """Successes in a row that close it: one may be chance at a target that fails half its calls."""
    patience: float = 10.0
    """Seconds after which a probe that told nothing (a long stream, a caller that left) makes way for another."""


class Breaker:
    """The state of one target. Tell it every end of a call that was the target's doing."""

    __slots__ = (
        "_bad",
        "_bad_before",
        "_good",
        "_good_before",
        "_half_ends",
        "_passed",
        "_probe_by",
        "_row",
        "_rules",
        "_until",
        "_wait",
        "heard",
        "is_closed",
        "opened",
        "told",
        "tripped",
    )

    def __init__(self, rules: BreakerRules) -> None:
        self._rules = rules
        self._good = self._bad = self._good_before = self._bad_before = 0
        self._half_ends = 0.0
        self._row = 0
        self._until: float | None = None
        self.is_closed = True
        """Whether calls pass freely."""
        self._wait = 0.0
        self._probe_by = 0.0
        self._passed = 0
        self.opened = 0
        """Times it opened by what this worker saw, after probes that failed too."""
        self.tripped = 0
        """Times it opened after having been closed: what other workers should hear."""
        self.told = False
        """Whether they know of this opening. Whoever tells them sets it."""
        self.heard = False
        """Whether it is open on another worker's word."""

    def state(self, now: float) -> str:
        """``closed``, ``open`` or ``half_open``."""
        return "closed" if self._until is None else "open" if now < self._until else "half_open"

    def reopens_in(self, now: float) -> float:
        """Seconds until it lets the next call through; 0 when it would now."""
        return 0.0 if self._until is None else max(self._until - now, self._probe_by - now, 0.0)

    def allows(self, now: float) -> bool:
        """Whether to ask. True while not closed means: this is a probe, so tell how it went."""
        if self._until is None:
            return True
        if not self._may_probe(now):
            return False
        self._probe_by = now + self._rules.patience
        return True

    def _may_probe(self, now: float) -> bool:
        return self._until is not None and now >= self._until and now >= self._probe_by

    def succeeded(self, now: float) -> None:
        """An answer began to come."""
        if self._until is None:
            self._row = 0
            if now >= self._half_ends:
                self._roll(now)
            self._good += 1
        elif now >= self._until and self._probe_by:
            self._probe_by = 0.0
            self._passed += 1
            if self._passed >= self._rules.probes:
                self._close()

    def failed(self, now: float) -> None:
        """The target failed, or was too slow."""
        rules = self._rules
        if not rules.enabled:
            return
        if self._until is None:
            if now >= self._half_ends:
                self._roll(now)
            self._bad += 1
            self._row += 1
            bad = self._bad + self._bad_before
            calls = bad + self._good + self._good_before
            if self._row >= rules.failures or (calls >= rules.min_calls and bad >= calls * rules.error_rate):
                self.tripped += 1
                self._open(now, rules.wait)
        elif now >= self._until and self._probe_by:
            self._open(now, min(self._wait * 2, rules.longest_wait))

    def abandoned(self) -> None:
        """A call that was let through told nothing: its caller left, or it was refused for a fault of its own."""
        self._probe_by = 0.0

    def hear(self, seconds: float, now: float) -> None:
        """Another worker opened its own for so many more seconds."""
        if self._rules.enabled and self._until is None and seconds > 0:
            self._until = now + min(seconds, self._rules.longest_wait)
            self.is_closed = False
            self._wait = self._rules.wait
            self._passed = 0
            self._probe_by = 0.0
            self.heard = True

    def _open(self, now: float, wait: float) -> None:
        self._wait = wait
        self._until = now + wait
        self.is_closed = False
        self._probe_by = 0.0
        self._passed = 0
        self.opened += 1
        self.heard = False

    def _close(self) -> None:
        self._until = None
        self.is_closed = True
        self._row = self._good = self._bad = self._good_before = self._bad_before = 0
        self.heard = self.told = False

    def _roll(self, now: float) -> None:
        half = self._rules.window / 2
        fresh = now < self._half_ends + half
        self._good_before, self._bad_before = (self._good, self._bad) if fresh else (0, 0)
        self._good = self._bad = 0
        self._half_ends = now + half
