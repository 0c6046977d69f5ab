"""Waiting for a place at a target that is full: first come, first served, bounded in number and time."""

import asyncio

from gateway.routing.health import Health


async def wait_for_place(health: Health, seconds: float) -> bool:
    """Whether a place was got within ``seconds``; it is taken then. As many may wait as may be served."""
    if seconds <= 0 or len(health.waiters) >= health.limiter.limit:
        return False
    given = asyncio.get_running_loop().create_future()

    def take() -> bool:
        if given.done():
            return False
        given.set_result(None)
        return True

    health.waiters.append(take)
    health.queued += 1
    try:
        async with asyncio.timeout(seconds):
            await given
    except TimeoutError:
        # The place may have come in the very turn in which the time ran out.
        if not given.cancelled():
            return True
        health.waiters.remove(take)
        return False
    except asyncio.CancelledError:
        if given.cancelled():
            health.waiters.remove(take)
        else:
            health.leave()
        raise
    return True
