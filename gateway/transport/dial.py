"""From a host name to a connection: look-ups with a memory, and a race between addresses.

uvloop's ``create_connection`` has no happy eyeballs of its own. Connections are opened by address, never over a socket
object of ours: uvloop 0.23 forgets to detach such an object when the connection dies at birth, and the object's
destructor then closes a file descriptor that may be somebody else's by that time.
"""

import asyncio
import socket
from asyncio.staggered import staggered_race
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

TTL_SECONDS = 30.0
"""getaddrinfo does not tell the record's own time to live; providers' load balancers change addresses by the minute."""
ATTEMPT_DELAY_SECONDS = 0.25
"""How long one address may try alone before the next joins: RFC 8305 section 5 recommends 250 ms."""

T = TypeVar("T")


class Dialer:
    """Connects by name. Remembers addresses for a while; ``clock`` gives monotonic seconds."""

    __slots__ = ("_clock", "_lookups")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lookups: dict[str, tuple[float, asyncio.Future[list[str]]]] = {}

    async def dial(self, host: str, connect: Callable[[str], Coroutine[Any, Any, T]]) -> T:
        """What ``connect`` returns for the first address of ``host`` that answers. Raises ``OSError`` if none does."""
        attempts = [partial(connect, address) for address in await self._addresses(host)]
        winner, index, errors = await staggered_race(attempts, ATTEMPT_DELAY_SECONDS)
        if winner is None or index is None:
            # They may have moved: the next one asks again.
            self._lookups.pop(host, None)
            raise OSError("; ".join(str(error) for error in errors))
        return winner

    async def _addresses(self, host: str) -> list[str]:
        known = self._lookups.get(host)
        if known is None or known[0] <= self._clock() or (known[1].done() and known[1].exception() is not None):
            # One look-up for all who ask at once; a caller who leaves does not take it from the others.
            lookup = asyncio.ensure_future(_resolve(host))
            known = self._lookups[host] = (self._clock() + TTL_SECONDS, lookup)
        return await asyncio.shield(known[1])


async def _resolve(host: str) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    preferred = found[0][0]
    first = [str(entry[4][0]) for entry in found if entry[0] == preferred]
    others = [str(entry[4][0]) for entry in found if entry[0] != preferred]
    # Alternating families (RFC 8305 section 4): a machine without IPv6 waits for one address, not for all of them.
    paired = [address for pair in zip(first, others, strict=False) for address in pair]
    shorter = len(paired) // 2
    return [*paired, *first[shorter:], *others[shorter:]]
