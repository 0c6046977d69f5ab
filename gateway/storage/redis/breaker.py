"""When to stop asking something that does not answer. Pure: the clock is an argument, in monotonic seconds."""

THRESHOLD = 3
"""Failures in a row that open it: one may be chance, and each costs a caller a full time-out."""
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 5.0
"""A revoked key must be refused within 5 s with Redis away and back again, so this is how long "back" may go unnoticed."""


class Breaker:
    """Closed: ask. Open: do not. After a wait one probe is let through; its success closes, its failure doubles the wait."""

    def __init__(self) -> None:
        self._failures = 0
        self._wait = 0.0
        self._probe_at: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether calls are being refused."""
        return self._probe_at is not None

    def allows(self, now: float) -> bool:
        """Whether to ask. True while open means: this is the probe, so tell how it went."""
        if self._probe_at is None:
            return True
        if now < self._probe_at:
            return False
        # A probe whose caller was cancelled reports nothing; another may go after the same wait.
        self._probe_at = now + self._wait
        self._probing = True
        return True

    def succeeded(self) -> None:
        """An answer came. While open only the probe's counts: others were asked before it opened."""
        if self._probe_at is None:
            self._failures = 0
        elif self._probing:
            self._failures, self._probe_at, self._probing = 0, None, False

    def failed(self, now: float) -> None:
        """No answer came, or too late."""
        if self._probe_at is None:
            self._failures += 1
            if self._failures >= THRESHOLD:
                self._wait = FIRST_WAIT_S
                self._probe_at = now + self._wait
        elif self._probing:
            self._probing = False
            self._wait = min(self._wait * 2, LONGEST_WAIT_S)
            self._probe_at = now + self._wait
