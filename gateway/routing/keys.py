"""Which of a provider's keys to use: the next one that is neither refused nor at its limit. Pure; times are monotonic seconds."""

FIRST_OUT = 5.0
"""Seconds a refused key is left alone at first: providers have refused good keys for moments."""
LONGEST_OUT = 300.0
"""Seconds: a key that was mended is found within five minutes."""
COOLING = 1.0
"""Seconds a rate-limited key rests when the provider did not say how long."""
LONGEST_COOLING = 120.0
"""Seconds: a longer ``retry-after`` is about a quota for the day, and other calls may still pass."""


class KeyRing:
    """The keys of one provider, by number. A lone key is never taken out: there is nothing to use in its place."""

    __slots__ = ("_cool_until", "_dead_until", "_next", "_out", "_trouble_until", "size", "untold")

    def __init__(self, size: int) -> None:
        self.size = size
        self._next = 0
        self._dead_until = [0.0] * size
        self._cool_until = [0.0] * size
        self._out = [0.0] * size
        self._trouble_until = 0.0
        self.untold: dict[tuple[int, bool], float] = {}
        """What the others have not heard of yet: (key, whether it is refused), until when. Whoever tells it removes it."""

    def pick(self, now: float, but: tuple[int, ...] = ()) -> int | None:
        """The key for an attempt, in turn; ``but`` were tried by this call. A cooling key only if no other lives; None: all are out."""
        size = self.size
        if size == 1:
            return None if but else 0
        cooling: int | None = None
        for step in range(size):
            key = (self._next + step) % size
            if key in but or now < self._dead_until[key]:
                continue
            if now >= self._cool_until[key]:
                self._next = key + 1
                return key
            if cooling is None or self._cool_until[key] < self._cool_until[cooling]:
                cooling = key
        return cooling if not but else None

    def refused(self, key: int, now: float) -> None:
        """401 or 402: the provider does not take this key; the longer, the more often in a row."""
        self._out[key] = min(max(self._out[key] * 2, FIRST_OUT), LONGEST_OUT)
        self._trouble(self._dead_until, key, now + self._out[key])

    def limited(self, key: int, now: float, retry_after: float | None) -> None:
        """429: the key rests for what the provider asked."""
        self._trouble(self._cool_until, key, now + min(COOLING if retry_after is None else retry_after, LONGEST_COOLING))

    def hear(self, key: int, seconds: float, now: float, *, dead: bool) -> None:
        """Another worker met a refusal or a limit, which holds for so many more seconds."""
        longest = LONGEST_OUT if dead else LONGEST_COOLING
        kind = self._dead_until if dead else self._cool_until
        until = now + min(seconds, longest)
        if until > kind[key]:
            if dead:
                self._out[key] = max(self._out[key], min(seconds, longest))  # refused here too, it is out for longer
            kind[key] = until
            self._trouble_until = max(self._trouble_until, until)

    def _trouble(self, kind: list[float], key: int, until: float) -> None:
        kind[key] = until
        self._trouble_until = max(self._trouble_until, until)
        self.untold[key, kind is self._dead_until] = until

    def accepted(self, key: int) -> None:
        """The provider took the key."""
        if self._out[key]:
            self._out[key] = self._dead_until[key] = 0.0
            self.untold.pop((key, True), None)

    def dead(self, now: float) -> int:
        """How many are refused at present."""
        return sum([now < until for until in self._dead_until])

    def resting(self, now: float) -> int:
        """How many are not refused, but at their limit at present."""
        return sum([dead <= now < cool for dead, cool in zip(self._dead_until, self._cool_until, strict=True)])

    def is_good(self, now: float) -> bool:
        """Whether some key is neither refused nor cooling."""
        return now >= self._trouble_until or any(
            now >= dead and now >= cool for dead, cool in zip(self._dead_until, self._cool_until, strict=True)
        )

    def back_in(self, now: float) -> float:
        """Seconds until the first refused key is tried again."""
        return max(min(self._dead_until) - now, 0.0)
