"""Equal calls on several workers: one asks the provider, the others wait for its answer.

A stream goes through the store as it comes (:mod:`gateway.pipeline.broadcast`). Where that cannot be, the whole answer does: where
the version keeps answers, as a kept one; otherwise under the name of the call that made it, for a moment, so that only those find
it who have waited for that call. A call that ends without an answer to share, or whose worker dies, lets one of the others ask;
but whoever has got the beginning of a stream hears how it ended.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext

from msgspec import Struct

from gateway.core.errors import DEADLINE, GatewayError
from gateway.pipeline.broadcast import Listener, told
from gateway.pipeline.claims import claimed, renewed
from gateway.pipeline.flights import Flight
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

    async def wait(self, *, streamed: bool) -> bytes | Listener | None:
        """What another worker's call has left for us, or gives us as it comes, if that is a stream and ``streamed`` is what we want.

        None: ask the provider; the others wait for us if the place was free. Raises ``deadline``.
        """
        leader: bytes | None = None
        listener: Listener | None = None
        heard = False

        async def another(found: bytes | None) -> bytes | None:
            nonlocal leader, listener, heard
            leader = leader or found
            if found != leader:
                return found
            if streamed and leader is not None:
                listener = listener or self._listener(leader)
                heard = await listener.hears()
            return leader if heard else None

        self.held = True  # until we know: who is stopped meanwhile may have been granted it
        try:
            self.held = await claimed(self.memory, self.application_id, self._place, self.mine, another, self.left) is True
        except TimeoutError:
            self.held = False
            raise GatewayError(DEADLINE, "the call was not answered within its deadline") from None
        if heard:
            return listener
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

    def telling(self, flight: Flight) -> AbstractAsyncContextManager[None]:
        """Let the others have a stream as it comes into a flight meanwhile, if they wait for us."""
        if not (self.held and flight.streamed):
            return nullcontext()
        return told(self.memory, self.application_id, self._of_call(self.mine), flight)

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
        return "landed:" + self._of_call(call)

    def _of_call(self, call: bytes) -> str:
        return f"{self.name}:{call.hex()}"

    def _listener(self, leader: bytes) -> Listener:
        async def is_made() -> bool | None:
            # A swap of nothing for nothing tells an empty place from a store that is away.
            swap = await self.memory.store.swap(self.application_id, self._place, None, None)
            return None if swap is None else swap.found == leader

        return Listener(self.memory, self.application_id, self._of_call(leader), self.left, is_made)


async def is_awaited(memory: Memory, application_id: str, name: str) -> bool:
    """Whether some worker's call holds the place of an answer."""
    return await memory.store.get(application_id, _place(name)) is not None


def _place(name: str) -> str:
    return "flight:" + name
