"""One call's way through its plan: which target and key come next. Pure; times are monotonic seconds."""

from gateway.routing.budget import backoff
from gateway.routing.policy import Random
from gateway.routing.table import Plan, Stop

Place = tuple[Stop, int]
"""A target at which a place was taken, and the key to use there. Whoever has one must see to it that it is left."""


def first(plan: Plan, now: float) -> Place | None:
    """A place at the first target, if it is in good order; else None, nothing is taken, and a walk must find one.

    Nearly every call ends where it begins; it needs no walk.
    """
    stop = plan.stops[0]
    account, health = stop.account, stop.health
    keys = account.keys
    if not (health.in_flight < health.limiter.limit and health.breaker.is_closed and keys.is_good(now)):
        return None
    key = keys.pick(now)
    if key is None:
        return None
    health.in_flight += 1
    account.retries.earn()
    return stop, key


class Walk:
    """Holds what one call has tried. Targets that cannot be asked now are passed over and cost no attempt.

    ``begun``: the call had a place at the :func:`first` target.
    """

    __slots__ = ("_at", "_before", "_plan", "_providers", "_shunned", "_turn", "made")

    def __init__(self, plan: Plan, *, begun: bool = False) -> None:
        self._plan = plan
        self._at = self.made = int(begun)
        self._turn = 0
        self._before: int = 0
        self._shunned: list[Stop] | None = None
        self._providers: list[str] = [plan.stops[0].account.provider] if begun else []
        self.made: int
        """Attempts that were let go; another key of the same account is no new attempt."""

    def next(self, now: float) -> Place | None:
        """The next place; None at the end of a round, or after as many attempts as the route allows."""
        plan = self._plan
        stops = plan.stops
        while self.made < plan.attempts:
            if self._at < len(stops):
                stop = stops[self._at]
                self._at += 1
                if len(stops) > 1 and not self._turn and not stop.account.keys.is_good(now):
                    # Keys that are refused or resting are used when nobody else can be asked.
                    self._shunned = [*(self._shunned or ()), stop]
                    continue
            elif self._shunned:
                stop = self._shunned.pop(0)
            else:
                return None
            place = self._take(stop, now)
            if place is not None:
                return place
        return None

    def again(self, random: Random) -> float | None:
        """Start over: seconds to pause first. None: no attempts left, or the last round found nobody to ask."""
        if self.made == self._before or self.made >= self._plan.attempts:
            return None
        self._before = self.made
        self._at = 0
        self._turn += 1
        return backoff(self._turn, random)

    def came_to(self, place: Place) -> Place:
        """A place that was got by waiting."""
        self.made += 1
        self._providers.append(place[0].account.provider)
        return place

    def _take(self, stop: Stop, now: float) -> Place | None:
        account, health = stop.account, stop.health
        key = account.keys.pick(now)
        if key is None or not health.enter(now):
            return None
        if account.provider not in self._providers:
            account.retries.earn()
        elif not account.retries.spend(now):
            health.leave()
            health.breaker.abandoned()
            return None
        account.retried += self.made > 0
        return self.came_to((stop, key))
