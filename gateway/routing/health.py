"""What a worker knows of its targets and accounts while it serves: the mutable half of routing, still without clock or loop."""

from collections import deque
from collections.abc import Callable

from msgspec import Struct

from gateway.routing.breaker import Breaker, BreakerRules
from gateway.routing.budget import Budget
from gateway.routing.failures import Verdict
from gateway.routing.keys import KeyRing
from gateway.routing.latency import Latency
from gateway.routing.limiter import Limiter


class Rules(Struct, frozen=True):
    """What holds for every target and account of a worker."""

    breaker: BreakerRules = BreakerRules()
    concurrency: int = 512
    """Calls at one time per target, at most; the adaptive limit starts here."""
    retry_ratio: float = 0.2
    """Repeated calls to a provider / calls to it: what keeps a retry storm at 1.2 times the load (reliability F48)."""
    retries_per_second: float = 10.0
    """Always allowed: at low traffic a share of the calls would be none."""
    hedge_ratio: float = 0.1
    """Hedges / calls: 5 % are slower than the 95th percentile, so twice that."""
    hedges_per_second: float = 1.0


class Health:
    """One target: breaker, limit, latency and who waits for a place. Times are monotonic seconds."""

    __slots__ = ("breaker", "in_flight", "latency", "limiter", "name", "queued", "rejected", "waiters")

    def __init__(self, name: str, rules: Rules) -> None:
        self.name = name
        """``provider/model`` as metrics and operators see it."""
        self.breaker = Breaker(rules.breaker)
        self.limiter = Limiter(rules.concurrency)
        self.latency = Latency()
        self.in_flight = 0
        self.rejected = 0
        """Calls turned away because the target was open or full."""
        self.queued = 0
        """Calls that waited for a place."""
        self.waiters: deque[Callable[[], bool]] = deque()
        """Who waits for a place, longest first. Each is called with the place already taken; False gives it back."""

    def enter(self, now: float) -> bool:
        """Take a place for one attempt; :meth:`leave` must follow. False: open, or as many as it can take are under way."""
        if self.in_flight >= self.limiter.limit or not self.breaker.allows(now):
            self.rejected += 1
            return False
        self.in_flight += 1
        return True

    def is_full(self) -> bool:
        """Whether all places are taken."""
        return self.in_flight >= self.limiter.limit

    def leave(self) -> None:
        """The attempt's exchange is over: its place goes to who waits longest."""
        self.in_flight -= 1
        while self.waiters and self.in_flight < self.limiter.limit:
            self.in_flight += 1
            if self.waiters.popleft()():
                return
            self.in_flight -= 1

    def succeeded(self, seconds: float, now: float) -> None:
        """The first content came ``seconds`` after the request."""
        limiter = self.limiter
        self.breaker.succeeded(now)
        if limiter.limit < limiter.ceiling:
            limiter.succeeded(self.in_flight)
        self.latency.saw(seconds, now)

    def failed(self, verdict: Verdict, now: float) -> None:
        """An attempt ended in a failure, before its first content or after."""
        if verdict.failed:
            self.breaker.failed(now)
        else:
            self.breaker.abandoned()
        if verdict.overloaded:
            self.limiter.overloaded(now)

    def cost(self, now: float) -> float:
        """What one more call may expect to wait, for comparison with other targets (as Finagle's EWMA balancer)."""
        return self.latency.mean(now) * (self.in_flight + 1)


class Account:
    """One provider account: its keys, and how many repetitions it may be asked to bear."""

    __slots__ = ("hedged", "hedges", "keys", "provider", "retried", "retries", "rotated", "secrets")

    def __init__(self, provider: str, keys: int, rules: Rules) -> None:
        self.provider = provider
        self.keys = KeyRing(max(keys, 1))
        self.secrets: tuple[str, ...] = ()
        """The keys themselves, by their numbers in ``keys``."""
        self.retries = Budget(rules.retry_ratio, rules.retries_per_second)
        self.hedges = Budget(rules.hedge_ratio, rules.hedges_per_second)
        self.retried = 0
        """Attempts after another one of the same call."""
        self.rotated = 0
        """Attempts with another key of this account."""
        self.hedged = 0
        """Attempts beside another one that was slow."""
