"""Telling other workers which keys of provider accounts are refused or at their limit, and hearing of theirs.

Keys are told of by a digest that only this installation's workers can make.
"""

from collections.abc import Callable, Iterator

from gateway.core.ports import Outages
from gateway.pipeline.accounts import Accounts
from gateway.pipeline.rounds import Rounds
from gateway.routing.keys import KeyRing
from gateway.routing.table import RouteTable

REFUSED, LIMITED = "refused", "limited"

_Untold = tuple[KeyRing, int, bool, float]


class KeyNews(Rounds[_Untold]):
    """Of keys, by provider, what they met, and ``digest``, which makes a key's name of the key."""

    def __init__(
        self, accounts: Accounts, shared: Outages, own: Outages, digest: Callable[[str], str], clock: Callable[[], float]
    ) -> None:
        super().__init__(accounts, shared, own, clock)
        self._digest = digest

    def _found(self, table: RouteTable) -> Iterator[tuple[str, _Untold]]:
        for account in list(table.accounts.values()):
            ring = account.keys
            for (key, dead), until in list(ring.untold.items()):
                if key < len(account.secrets):
                    digest = self._digest(account.secrets[key])
                    yield f"{account.provider} {REFUSED if dead else LIMITED} {digest}", (ring, key, dead, until)

    def _seconds(self, found: _Untold, now: float) -> float:
        return found[3] - now

    def _tell(self, found: _Untold) -> None:
        ring, key, dead, until = found
        if ring.untold.get((key, dead)) == until:
            del ring.untold[key, dead]

    def _hear(self, table: RouteTable, name: str, seconds: float, now: float) -> None:
        provider, kind, digest = name.rsplit(" ", 2)
        account = table.accounts.get(provider)
        if account is None:
            return
        for key, secret in enumerate(account.secrets):
            if self._digest(secret) == digest:
                account.keys.hear(key, seconds, now, dead=kind == REFUSED)
