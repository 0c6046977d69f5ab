"""Permits to call: local leases first, the shared store when they run low, and the numbers that callers see."""

import asyncio
from collections.abc import Callable

import msgspec
from msgspec import Struct

from gateway.core.errors import RATE_LIMITED, GatewayError
from gateway.core.ports import LeaseStore
from gateway.core.requests import Caller
from gateway.limits import leases
from gateway.limits.leases import Empty, NeedLease, Standing, reset_text

ATTEMPTS = 8
"""Rounds of asking for a lease before giving up: others may take what was fetched; eight in a row means the limit is contested
at its very end, where refusing is right."""
MAX_KEYS = 50_000
"""Keys whose permits are held at a time; the oldest goes, and costs one lease when it comes back."""


class Permit(Struct, frozen=True, gc=False):
    """A call may go ahead."""

    standing: Standing | None = None
    """Where the key stands; None: no limit applies, and no header says one."""

    def head(self) -> str:
        """Response header lines in OpenAI's form."""
        standing = self.standing
        if standing is None:
            return ""
        return (
            f"x-ratelimit-limit-requests: {standing.limit}\r\nx-ratelimit-remaining-requests: {standing.remaining}\r\n"
            f"x-ratelimit-reset-requests: {reset_text(standing.reset)}\r\n"
        )


_UNLIMITED = Permit()


class Permits:
    """The worker's requests-per-minute limits. ``default`` is for keys that set none; None is no limit."""

    def __init__(self, store: LeaseStore, clock: Callable[[], float], default: int | None) -> None:
        self._store = store
        self._clock = clock
        self._default = default
        self._held: dict[str, leases.Permits] = {}
        self._fetching: dict[str, asyncio.Future[None]] = {}
        self.degraded = False
        """Whether limits are counted per worker because the store cannot be asked."""

    async def take(self, caller: Caller) -> Permit:
        """One request of this caller. Waits only when no permit is at hand. Raises ``rate_limited``."""
        limit = caller.requests_per_minute or self._default
        if limit is None:
            return _UNLIMITED
        key_id = caller.key_id
        held = self._held.get(key_id)
        if held is None or held.limit != limit:
            held = self._hold(key_id, limit)
        now = self._clock()
        for _ in range(ATTEMPTS):
            taken = held.take(now)
            if isinstance(taken, NeedLease):
                await asyncio.shield(self._fetch(key_id, held, taken.want))
                now = self._clock()
                continue
            if isinstance(taken, Empty):
                raise _refused(held.standing(now), taken.retry_after)
            if taken.refill:
                self._fetch(key_id, held, taken.refill)
            return Permit(held.standing(now))
        raise _refused(held.standing(now), 1.0)

    def look(self, caller: Caller) -> tuple[int | None, Standing | None]:
        """The caller's limit, and where it stands if this worker knows; nothing is taken."""
        limit = caller.requests_per_minute or self._default
        held = self._held.get(caller.key_id)
        return limit, None if held is None or held.limit != limit else held.standing(self._clock())

    def _hold(self, key_id: str, limit: int) -> leases.Permits:
        if len(self._held) >= MAX_KEYS:
            del self._held[next(iter(self._held))]
        held = self._held[key_id] = leases.Permits(limit)
        return held

    def _fetch(self, key_id: str, held: leases.Permits, want: int) -> "asyncio.Future[None]":
        running = self._fetching.get(key_id)
        if running is None:
            running = asyncio.ensure_future(self._lease(key_id, held, want))
            self._fetching[key_id] = running
            running.add_done_callback(lambda _: self._fetching.pop(key_id, None))
        return running

    async def _lease(self, key_id: str, held: leases.Permits, want: int) -> None:
        lease = await self._store.lease(key_id, held.limit, want)
        held.absorb(lease, self._clock())
        self.degraded = held.degraded


def _refused(standing: Standing, retry_after: float) -> GatewayError:
    error = GatewayError(
        RATE_LIMITED,
        f"Rate limit reached for this API key: {standing.limit} requests per minute. Try again in {retry_after:.0f} s.",
        retry_after=max(retry_after, 0.001),
        target="key",
    )
    error.headers = Permit(msgspec.structs.replace(standing, remaining=0)).head().encode()
    return error
