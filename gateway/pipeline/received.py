"""An answer on its way to the guards, wherever it comes from: a provider, a call that others share, the store of kept answers."""

from typing import Protocol

from gateway.core.events import Event


class Received(Protocol):
    """``next`` gives batches of events until an empty one; close it exactly once."""

    @property
    def native(self) -> bool:
        """Whether the events are in the caller's own dialect already."""
        ...

    @property
    def texts(self) -> list[str]:
        """Generated text so far, for the token estimate of providers that report no usage."""
        ...

    def whole(self) -> Event:
        """The one event of an answer that was not streamed."""
        ...

    async def next(self) -> list[Event]:
        """The events of a stream that have arrived, at least one; empty at the true end. Raises the provider's failures."""
        ...

    async def drain(self) -> None:
        """Read what follows the end."""
        ...

    def close(self) -> None:
        """Let go of where it comes from."""
        ...
