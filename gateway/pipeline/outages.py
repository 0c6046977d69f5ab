"""Telling other workers which targets were found broken, and hearing what they found. A duty beside the calls, never on their way.

Targets that are asked with the installation's keys are one matter, those that an application asks with keys of its own another: each
application's are its own affair, and nothing that happens to them crowds out what is told of the installation's.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from gateway.core.ports import Outages
from gateway.pipeline.accounts import Accounts
from gateway.routing.breaker import Breaker
from gateway.routing.table import RouteTable

PAUSE_SECONDS = 0.5
"""Between two rounds: half of a breaker's first wait, so that the others hear of it while it still matters."""
MOST_OF_ONE = 16
"""Targets that one application may have told of at one time, by each worker: the store has room for sixty such applications, and one
whose account fails for every model it can think of leaves that room to the others."""
SLICE = 256
"""Tables looked at before the event loop gets its turn: well under a millisecond, most have met a few targets."""


class OutageNews:
    """One worker's part. ``outages`` is about the installation's targets, ``own`` about those of applications.

    ``clock`` gives monotonic seconds.
    """

    def __init__(self, accounts: Accounts, outages: Outages, own: Outages, clock: Callable[[], float]) -> None:
        self._accounts = accounts
        self._clock = clock
        self._installation = _Exchange(outages, clock)
        self._applications = _Exchange(own, clock)

    async def run(self) -> None:
        """For ever; cancel to end."""
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            await self.round()

    async def round(self) -> None:
        """Tell what has opened since the last round, and open what others told of. Without the store nothing changes."""
        accounts = self._accounts
        await self._installation.round(dict(_opened(accounts.installation)), lambda name: _met(accounts.installation, name))
        own = accounts.own_tables
        if not own:
            return
        opened: dict[str, Breaker] = {}
        for at in range(0, len(own), SLICE):
            for application, table in own[at : at + SLICE]:
                opened.update((f"{application} {name}", breaker) for name, breaker in islice(_opened(table), MOST_OF_ONE))
            await asyncio.sleep(0)
        await self._applications.round(opened, self._of_application)

    def _of_application(self, told: str) -> Breaker | None:
        application, _, name = told.partition(" ")
        table = self._accounts.own_table(application)
        return None if table is None else _met(table, name)


class _Exchange:
    """What was told and heard of one kind of target."""

    def __init__(self, outages: Outages, clock: Callable[[], float]) -> None:
        self._outages = outages
        self._clock = clock
        self._told: dict[str, int] = {}
        """Of what is open: which opening the others know of."""

    async def round(self, opened: dict[str, Breaker], find: Callable[[str], Breaker | None]) -> None:
        """``opened``: what this worker found broken; ``find`` gives what it knows of a target by name."""
        now, known = self._clock(), self._told
        fresh = {name: breaker.tripped for name, breaker in opened.items() if known.get(name) != breaker.tripped}
        telling = {name: seconds for name in fresh if (seconds := opened[name].reopens_in(now)) > 0}
        heard = await self._outages.exchange(telling)
        if heard is None:
            return
        self._told = {name: known[name] for name in opened if name in known} | fresh
        now = self._clock()
        for name, seconds in heard.items():
            breaker = None if name in fresh else find(name)
            if breaker is not None:
                breaker.hear(seconds, now)


def _opened(table: RouteTable) -> Iterator[tuple[str, Breaker]]:
    """What this worker found broken itself, by name. What it heard of is passed on by whoever found it."""
    healths: Iterable[tuple[str, Breaker]] = ((health.name, health.breaker) for health in table.health.values())
    return ((name, breaker) for name, breaker in healths if not breaker.is_closed and not breaker.heard)


def _met(table: RouteTable, name: str) -> Breaker | None:
    """The breaker of a target, if this worker has met it. Names of providers have no slash."""
    provider, _, model = name.partition("/")
    health = table.health.get((provider, model))
    return None if health is None else health.breaker
