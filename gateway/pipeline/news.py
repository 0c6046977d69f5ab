"""How a worker learns what changed, and says how far it has come.

A push message applies at once. Every poll asks the truth for the generation, so a lost message costs one poll, not correctness.
After each step the worker reports the generation it has applied: that is what ``publish --wait`` waits for.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from gateway.core.documents import Change
from gateway.core.errors import GatewayError
from gateway.pipeline.releases import Releases

_log = logging.getLogger("gateway.registry")


class Follower:
    """One per worker. ``report`` tells the registry the applied generation, ``repair`` repeats to the cache what it has missed."""

    def __init__(
        self,
        releases: Releases,
        report: Callable[[int], Awaitable[None]],
        repair: Callable[[int], Awaitable[None]],
        poll_seconds: float,
    ) -> None:
        self._releases = releases
        self._repair = repair
        self._report = report
        self._poll_seconds = poll_seconds
        self._moved = asyncio.Event()
        self._behind = False

    def hear(self, changes: list[Change]) -> None:
        """A push message: apply it now; if something before it is missing, catch up at once."""
        if not self._releases.apply(changes):
            self._behind = True
        self._moved.set()

    async def run(self) -> None:
        """Poll, catch up and report until cancelled."""
        reachable = True
        while True:
            pushed = self._moved.is_set()
            self._moved.clear()
            try:
                if self._behind or not pushed:
                    self._behind = False
                    await self._releases.catch_up()
                    await self._repair(self._releases.generation)
                await self._releases.settle()
                await self._report(self._releases.generation)
                if not reachable:
                    _log.info("registry reachable again", extra={"generation": self._releases.generation})
                reachable = True
            except GatewayError as error:
                if reachable:
                    _log.warning("registry unreachable: serving last-known-good", extra={"cause": error.cause or error.detail})
                reachable = False
            try:
                async with asyncio.timeout(self._poll_seconds):
                    await self._moved.wait()
            except TimeoutError:
                pass
