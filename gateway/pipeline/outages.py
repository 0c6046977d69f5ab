"""Telling other workers which targets were found broken, and hearing what they found. A duty beside the calls, never on their way."""

import asyncio
from collections.abc import Callable

from gateway.core.ports import Outages
from gateway.routing.table import RouteTable

PAUSE_SECONDS = 0.5
"""Between two rounds: half of a breaker's first wait, so that the others hear of it while it still matters."""


class OutageNews:
    """One worker's part. ``clock`` gives monotonic seconds."""

    def __init__(self, routes: RouteTable, outages: Outages, clock: Callable[[], float]) -> None:
        self._routes = routes
        self._outages = outages
        self._clock = clock
        self._told: dict[str, int] = {}

    async def run(self) -> None:
        """For ever; cancel to end."""
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            await self.round()

    async def round(self) -> None:
        """Tell what has opened since the last round, and open what others told of. Without the store nothing changes."""
        now = self._clock()
        health = {health.name: health for health in self._routes.health.values()}
        fresh = {name: h.breaker.tripped for name, h in health.items() if h.breaker.tripped > self._told.get(name, 0)}
        opened = {name: seconds for name in fresh if (seconds := health[name].breaker.reopens_in(now)) > 0}
        heard = await self._outages.exchange(opened)
        if heard is None:
            return
        self._told.update(fresh)
        now = self._clock()
        for name, seconds in heard.items():
            if name in health and name not in fresh:
                health[name].breaker.hear(seconds, now)
