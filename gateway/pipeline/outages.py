"""Telling other workers which targets were found broken, and hearing what they found."""

from collections.abc import Iterator

from gateway.pipeline.rounds import Rounds
from gateway.routing.breaker import Breaker
from gateway.routing.table import RouteTable


class OutageNews(Rounds[tuple[Breaker, int]]):
    """Of breakers, and which of their openings it is, by ``provider/model``."""

    def _found(self, table: RouteTable) -> Iterator[tuple[str, tuple[Breaker, int]]]:
        for health in table.health.values():
            if not health.breaker.is_closed and not health.breaker.heard:
                yield health.name, (health.breaker, health.breaker.tripped)

    def _seconds(self, found: tuple[Breaker, int], now: float) -> float:
        return 0.0 if found[0].told else found[0].reopens_in(now)

    def _tell(self, found: tuple[Breaker, int]) -> None:
        breaker, tripped = found
        breaker.told = breaker.told or breaker.tripped == tripped

    def _hear(self, table: RouteTable, name: str, seconds: float, now: float) -> None:
        provider, _, model = name.partition("/")  # names of providers have no slash
        health = table.health.get((provider, model))
        if health is not None:
            health.breaker.hear(seconds, now)
