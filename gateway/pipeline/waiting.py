"""Waiting for a place at a target that is full: first come, first served, bounded in number and time."""

import asyncio
from collections.abc import Callable

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
        _leave_queue(health, take)
        return False
    except asyncio.CancelledError:
        if given.cancelled():
            _leave_queue(health, take)
        else:
            health.leave()
        raise
    return True


def _leave_queue(health: Health, take: Callable[[], bool]) -> None:
    if take in health.waiters:  # else it was asked, and declined, between the end of its time and now
        health.waiters.remove(take)
