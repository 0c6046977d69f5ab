"""Promise N9: what an append survives, and paying for more of it."""

import asyncio

from gateway.storage.ledger.spool import Fsync, Spool

GROUP_S = 0.005
"""How long records gather for one ``fdatasync``: about what one takes on a good disk, so waiting doubles the delay at worst."""

DURABILITY: dict[Fsync, str] = {
    "off": "survives kill -9 of any process, not a power loss",
    "group": "survives a power loss: an answer ends only after its record is on the disk",
}
"""What the health output says."""


class GroupSync:
    """One ``fdatasync`` for all records of a few milliseconds."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._group: asyncio.Task[None] | None = None

    async def synced(self) -> None:
        """Return when everything appended so far is on the disk. Raises ``OSError`` when the disk says no."""
        if self._group is None:
            self._group = asyncio.create_task(self._sync())
        # A caller that leaves must not take the others' wait along.
        await asyncio.shield(self._group)

    async def _sync(self) -> None:
        await asyncio.sleep(GROUP_S)
        # Whoever appends from here on is not covered by this round.
        self._group = None
        await asyncio.wrap_future(self._spool.run_in_thread(self._spool.sync))
