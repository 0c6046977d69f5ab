"""A place in the store that one call holds while it runs, so that equal calls on any worker wait for it instead of running too.

A claim is a lease that is renewed; a dead worker's ends by itself. Whoever finds one looks again, more and more slowly, and takes
the place when it is empty: no message between workers can be lost, for there is none.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from gateway.pipeline.memory import Memory

T = TypeVar("T")

LEASE_S = 10.0
"""How long a place stays claimed after its worker has died."""
RENEW_S = 3.0
"""Three renewals per lease: two may fail."""
FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.25
"""Between two looks at a running call: short answers are not made much longer, and long ones cost four small round trips a second."""


async def claimed(
    memory: Memory,
    application_id: str,
    name: str,
    claim: bytes,
    look: Callable[[bytes | None], Awaitable[T | None]],
    left: Callable[[], float],
) -> T | bool:
    """True: the place is ours. False: nobody can say. Otherwise what ``look`` makes of what lies there; None is waited out.

    ``left`` says how many seconds we may still wait. Raises ``TimeoutError`` when they are over, and what ``look`` raises.
    """
    pause = FIRST_PAUSE_S
    while True:
        swap = await memory.store.swap(application_id, name, None, claim, LEASE_S)
        if swap is None or swap.done:
            return swap is not None
        seen = await look(swap.found)
        if seen is not None:
            return seen
        seconds = left()
        if seconds <= 0:
            raise TimeoutError
        await memory.sleep(min(pause, seconds))
        pause = min(pause * 2, LONGEST_PAUSE_S)


@asynccontextmanager
async def renewed(memory: Memory, application_id: str, name: str, claim: bytes) -> AsyncGenerator[None]:
    """Keep a place claimed meanwhile. Who holds it gives it back by a swap of its own."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            await memory.store.swap(application_id, name, claim, claim, LEASE_S)

    renewal = asyncio.ensure_future(renew())
    try:
        yield
    finally:
        renewal.cancel()
