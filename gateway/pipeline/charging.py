"""What the calls of dead workers have used is told to the limits when their rows are in the ledger.

The reservation of such a call expires by itself, and nobody settles it. A call counts once however often its row is told (its id is its
name), so a worker that dies in the middle of this leaves it to the next one to do again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from gateway.core.errors import GatewayError
from gateway.core.ids import uuid7_ms
from gateway.core.ledger import LedgerRow, State
from gateway.core.limits import LimitRule
from gateway.core.ports import LimitStore, Spending
from gateway.limits.seeds import charged

PAUSE_S = 2.0
"""Between two tries while a store is away."""
TRIES = 300
"""Ten minutes: what is not told by then is told by nobody, and the ledger alone knows it."""
MAX_WAITING = 10_000
"""Calls that wait to be told; a dead worker leaves as many as it had under way, some hundreds."""

_log = logging.getLogger("gateway.limits")


class Charging:
    """Tell it the rows that were recovered."""

    def __init__(
        self, store: LimitStore, spending: Spending, *, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._store = store
        self._spending = spending
        self._sleep = sleep
        self._waiting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.charged = 0
        """Calls of dead workers that were told to the limits."""

    def recovered(self, rows: Iterable[LedgerRow]) -> None:
        """Rows of dead workers that are in the ledger now. Does not wait."""
        calls = {row.call_id for row in rows if row.state == State.INTERRUPTED and row.application_id is not None}
        if not calls:
            return
        if self._waiting + len(calls) > MAX_WAITING:
            _log.warning("calls of dead workers are not counted by the limits", extra={"calls": len(calls)})
            return
        self._waiting += len(calls)
        task = asyncio.ensure_future(self._charge(sorted(calls)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop trying."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _charge(self, calls: list[str]) -> None:
        try:
            for _ in range(TRIES):
                if await self._told(calls):
                    return
                await self._sleep(PAUSE_S)
            _log.warning("calls of dead workers are not counted by the limits", extra={"calls": len(calls)})
        finally:
            self._waiting -= len(calls)

    async def _told(self, calls: list[str]) -> bool:
        rules: dict[str, list[LimitRule]] = {}
        told = 0
        try:
            for charge in await self._spending.charges(calls):
                application_id = charge.application_id
                if application_id not in rules:
                    rules[application_id] = await self._spending.rules(application_id)
                spent = charged(rules[application_id], charge)
                started = uuid7_ms(charge.call_id)
                if spent and not await self._store.charge(application_id, charge.call_id, started, spent):
                    return False
                told += bool(spent)
        except GatewayError:
            return False
        self.charged += told
        return True
