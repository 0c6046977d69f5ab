"""Equal calls on several workers: one asks the provider, the others wait for its complete answer.

Beside the flights of one worker, where an answer is shared as it comes. What goes through the store is the whole answer: where
the version keeps answers, as a kept one; otherwise under the name of the call that made it, for a moment, so that only those find
it who have waited for that call. A call that ends without an answer to share, or whose worker dies, lets one of the others ask.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext

from msgspec import Struct

from gateway.core.errors import DEADLINE, GatewayError
from gateway.pipeline.claims import claimed, renewed
from gateway.pipeline.memory import Memory

LINGER_S = 5.0
"""How long an answer that is not kept lies there for those who waited: twenty of their longest pauses."""


class Sharing(Struct):
    """One call's part in it. ``mine`` tells the call from all others."""

    application_id: str
    name: str
    """Of the answer."""
    mine: bytes
    keeps: bool
    """Whether answers are kept under their name."""
    memory: Memory
    left: Callable[[], float]
    """Seconds until the call's deadline."""
    held: bool = False
    """Whether the others wait for us."""

    async def wait(self) -> bytes | None:
        """What another worker's call has left for us. None: ask the provider; the others wait for us if the place was free.

        Raises ``deadline``.
        """
        leader: bytes | None = None

        def another(found: bytes | None) -> bytes | None:
            nonlocal leader
            leader = leader or found
            return None if found == leader else found

        self.held = True  # until we know: who is stopped meanwhile may have been granted it
        try:
            self.held = await claimed(self.memory, self.application_id, self._place, self.mine, another, self.left) is True
        except TimeoutError:
            self.held = False
            raise GatewayError(DEADLINE, "the call was not answered within its deadline") from None
        if self.keeps:
            place = self.name
        elif leader is not None:
            place = self._left_by(leader)
        else:
            return None
        # By a swap of nothing for nothing, which has more time than a look: what lies there may have been waited for.
        swap = await self.memory.store.swap(self.application_id, place, None, None)
        return None if swap is None else swap.found

    def holding(self) -> AbstractAsyncContextManager[None]:
        """Let the others wait meanwhile, if they wait for us."""
        return renewed(self.memory, self.application_id, self._place, self.mine) if self.held else nullcontext()

    async def leave_for_others(self, answer: bytes) -> None:
        """Give an answer that is not kept to those who wait for it."""
        if self.held:
            await self.memory.store.put(self.application_id, self._left_by(self.mine), answer, LINGER_S)

    async def end(self) -> None:
        """Nobody need wait for us any more."""
        if self.held:
            await self.memory.store.swap(self.application_id, self._place, self.mine, None)

    @property
    def _place(self) -> str:
        return _place(self.name)

    def _left_by(self, call: bytes) -> str:
        return f"landed:{self.name}:{call.hex()}"


async def is_awaited(memory: Memory, application_id: str, name: str) -> bool:
    """Whether some worker's call holds the place of an answer."""
    return await memory.store.get(application_id, _place(name)) is not None


def _place(name: str) -> str:
    return "flight:" + name
