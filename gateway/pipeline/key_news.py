"""Telling other workers which keys of provider accounts are refused or at their limit, and hearing of theirs: never on a call's way.

Keys are told of by a digest that only this installation's workers can make. As with targets (:mod:`gateway.pipeline.outages`),
each application's own keys are its own affair, and crowd out nothing that is told of the installation's.
"""

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice

from gateway.core.ports import Outages
from gateway.pipeline.accounts import Accounts
from gateway.pipeline.outages import MOST_OF_ONE, PAUSE_SECONDS, SLICE
from gateway.routing.health import Account
from gateway.routing.keys import KeyRing
from gateway.routing.table import RouteTable

REFUSED, LIMITED = "refused", "limited"

_Untold = tuple[KeyRing, int, bool, float]


class KeyNews:
    """One worker's part. ``shared`` is about the installation's keys, ``own`` about those of applications.

    ``digest`` makes a key's name of the key; ``clock`` gives monotonic seconds.
    """

    def __init__(
        self, accounts: Accounts, shared: Outages, own: Outages, digest: Callable[[str], str], clock: Callable[[], float]
    ) -> None:
        self._accounts = accounts
        self._shared = shared
        self._own = own
        self._digest = digest
        self._clock = clock

    async def run(self) -> None:
        """For ever; cancel to end."""
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            await self.round()

    async def round(self) -> None:
        """Tell what was met since the last round, and take over what others told. Without the store nothing changes."""
        accounts = self._accounts
        await self._exchange(self._shared, dict(self._met(accounts.installation)), lambda _: accounts.installation)
        own = accounts.own_tables
        if not own:
            return
        met: dict[str, _Untold] = {}
        for at in range(0, len(own), SLICE):
            for application, table in own[at : at + SLICE]:
                met.update((f"{application} {name}", untold) for name, untold in islice(self._met(table), MOST_OF_ONE))
            await asyncio.sleep(0)
        await self._exchange(self._own, met, accounts.own_table)

    def _met(self, table: RouteTable) -> Iterator[tuple[str, _Untold]]:
        for account in list(table.accounts.values()):
            ring = account.keys
            for (key, dead), until in list(ring.untold.items()):
                if key < len(account.secrets):
                    digest = self._digest(account.secrets[key])
                    yield f"{account.provider} {REFUSED if dead else LIMITED} {digest}", (ring, key, dead, until)

    async def _exchange(self, store: Outages, met: dict[str, _Untold], table_of: Callable[[str], RouteTable | None]) -> None:
        now = self._clock()
        heard = await store.exchange({name: until - now for name, (_, _, _, until) in met.items() if until > now})
        if heard is None:
            return
        for ring, key, dead, until in met.values():
            if ring.untold.get((key, dead)) == until:
                del ring.untold[key, dead]
        now = self._clock()
        for name, seconds in heard.items():
            *owner, provider, kind, digest = name.rsplit(" ", 3)
            table = table_of(owner[0] if owner else "")
            account = None if table is None else table.accounts.get(provider)
            if account is not None and name not in met:
                self._take_over(account, digest, kind, seconds, now)

    def _take_over(self, account: Account, digest: str, kind: str, seconds: float, now: float) -> None:
        for key, secret in enumerate(account.secrets):
            if self._digest(secret) == digest:
                account.keys.hear(key, seconds, now, dead=kind == REFUSED)
