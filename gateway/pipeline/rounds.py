"""Telling other workers what this one found, and hearing what they found. A duty beside the calls, never on their way.

What is asked with the installation's keys is one matter, what an application asks with keys of its own another: each application's is
its own affair, and nothing that happens to it crowds out what is told of the installation's.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Generic, TypeVar

from gateway.core.ports import Outages
from gateway.pipeline.accounts import Accounts
from gateway.routing.table import RouteTable

PAUSE_SECONDS = 0.5
"""Between two rounds: half of a breaker's first wait, so that the others hear of it while it still matters."""
MOST_OF_ONE = 16
"""Targets, or keys, that one application may have told of at one time, by each worker: the store has room for sixty such applications,
and one whose account fails for every model it can think of leaves that room to the others."""
SLICE = 256
"""Tables looked at before the event loop gets its turn: well under a millisecond, most have met a few targets."""

Found = TypeVar("Found")


class Rounds(ABC, Generic[Found]):
    """One worker's part in one kind of news. ``shared`` is about the installation's table, ``own`` about those of applications.

    ``clock`` gives monotonic seconds.
    """

    def __init__(self, accounts: Accounts, shared: Outages, own: Outages, clock: Callable[[], float]) -> None:
        self._accounts = accounts
        self._shared = shared
        self._own = own
        self._clock = clock

    @abstractmethod
    def _found(self, table: RouteTable) -> Iterator[tuple[str, Found]]:
        """What this worker found itself, by name. What it heard of is passed on by whoever found it."""

    @abstractmethod
    def _seconds(self, found: Found, now: float) -> float:
        """For how long the others should act on it; not above 0: they know, or it is over."""

    @abstractmethod
    def _tell(self, found: Found) -> None:
        """The others know it now, unless something new was found meanwhile."""

    @abstractmethod
    def _hear(self, table: RouteTable, name: str, seconds: float, now: float) -> None:
        """Take over what holds for so many more seconds, if this worker has met what it is about."""

    async def run(self) -> None:
        """For ever; cancel to end."""
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            await self.round()

    async def round(self) -> None:
        """Tell what was found since the last round, and take over what others told. Without the store nothing changes."""
        accounts = self._accounts
        await self._exchange(self._shared, dict(self._found(accounts.installation)), lambda told: (accounts.installation, told))
        own = accounts.own_tables
        if not own:
            return
        found: dict[str, Found] = {}
        for at in range(0, len(own), SLICE):
            for application, table in own[at : at + SLICE]:
                found.update((f"{application} {name}", one) for name, one in islice(self._found(table), MOST_OF_ONE))
            await asyncio.sleep(0)
        await self._exchange(self._own, found, self._of_application)

    def _of_application(self, told: str) -> tuple[RouteTable | None, str]:
        application, _, name = told.partition(" ")
        return self._accounts.own_table(application), name

    async def _exchange(
        self, store: Outages, found: dict[str, Found], place: Callable[[str], tuple[RouteTable | None, str]]
    ) -> None:
        now = self._clock()
        heard = await store.exchange({name: left for name, one in found.items() if (left := self._seconds(one, now)) > 0})
        if heard is None:
            return
        for one in found.values():
            self._tell(one)
        now = self._clock()
        for told in heard.keys() - found.keys():
            table, name = place(told)
            if table is not None:
                self._hear(table, name, heard[told], now)
