"""Requests per minute of keys: local leases first, the shared store when they run low, and the numbers that callers see."""

from collections.abc import Callable

import msgspec
from msgspec import Struct

from gateway.core.errors import RATE_LIMITED, GatewayError
from gateway.core.limits import Allowance
from gateway.core.ports import LeaseStore
from gateway.core.requests import Caller
from gateway.limits import leases
from gateway.limits.leases import Standing, reset_text
from gateway.pipeline.leased import Leased


class Permit(Struct, frozen=True, gc=False):
    """A call may go ahead."""

    standing: Standing | None = None
    """Where the tightest limit of requests stands; None: no limit applies, and no header says one."""
    tokens: Standing | None = None
    """The same of tokens."""
    allowance: Allowance | None = None
    """What a stream may use before it has to ask for more; None: no limit ends it."""

    def head(self) -> str:
        """Response header lines in OpenAI's form."""
        head = "" if self.standing is None else _lines("requests", self.standing)
        return head if self.tokens is None else head + _lines("tokens", self.tokens)


def _lines(what: str, standing: Standing) -> str:
    return (
        f"x-ratelimit-limit-{what}: {standing.limit}\r\nx-ratelimit-remaining-{what}: {standing.remaining}\r\n"
        f"x-ratelimit-reset-{what}: {reset_text(standing.reset)}\r\n"
    )


_UNLIMITED = Permit()


class Permits(Leased):
    """The worker's requests-per-minute limits. ``default`` is for keys that set none; None is no limit."""

    def __init__(self, store: LeaseStore, clock: Callable[[], float], default: int | None) -> None:
        super().__init__(clock)
        self._store = store
        self._default = default

    def take_now(self, caller: Caller) -> Permit | None:
        """As :meth:`take` where a permit is at hand; None: the store has to be asked."""
        limit = caller.requests_per_minute or self._default
        if limit is None:
            return _UNLIMITED
        held = self._held.get(caller.key_id)
        if held is None or held.limit != limit:
            return None
        now = self._clock()
        standing = held.take_one(now)
        if standing is not None:
            return Permit(standing)
        key_id = caller.key_id
        if not self.spend_now(key_id, held, 1, lambda want, _: self._store.lease(key_id, limit, want)):
            return None
        return Permit(held.standing(now))

    async def take(self, caller: Caller) -> Permit:
        """One request of this caller. Waits only when no permit is at hand. Raises ``rate_limited``."""
        permit = self.take_now(caller)
        limit = caller.requests_per_minute or self._default
        if permit is not None or limit is None:
            return permit or _UNLIMITED
        key_id = caller.key_id
        held = self._held.get(key_id)
        if held is None or held.limit != limit:
            held = self.hold(key_id, leases.Permits(limit))
        retry_after = await self.spend(key_id, held, 1, lambda want, _: self._store.lease(key_id, limit, want))
        now = self._clock()
        if retry_after is not None:
            raise _refused(held.standing(now), retry_after)
        return Permit(held.standing(now))

    def window(self, caller: Caller) -> float:
        """What names the window of the request that :meth:`take` has just answered with."""
        held = self._held.get(caller.key_id)
        return 0.0 if held is None else held.ends

    def give_back(self, caller: Caller, window: float) -> None:
        """The request that was taken in that window is not made after all."""
        held = self._held.get(caller.key_id)
        if held is not None:
            held.give(1, window)

    def look(self, caller: Caller) -> tuple[int | None, Standing | None]:
        """The caller's limit, and where it stands if this worker knows; nothing is taken."""
        limit = caller.requests_per_minute or self._default
        held = self._held.get(caller.key_id)
        return limit, None if held is None or held.limit != limit else held.standing(self._clock())


def _refused(standing: Standing, retry_after: float) -> GatewayError:
    error = GatewayError(
        RATE_LIMITED,
        f"Rate limit reached for this API key: {standing.limit} requests per minute. Try again in {retry_after:.0f} s.",
        retry_after=max(retry_after, 0.001),
        target="key",
    )
    error.headers = Permit(msgspec.structs.replace(standing, remaining=0)).head().encode()
    return error
