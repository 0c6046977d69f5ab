"""One call's attempts, each with its intent before and its row after; which to make is decided in :mod:`gateway.pipeline.call`."""

import logging

from msgspec import structs

from gateway.core.errors import MALFORMED, UPSTREAM_AUTH, GatewayError
from gateway.core.journal import Journal
from gateway.core.requests import ChatRequest
from gateway.core.upstream import CHAT, Target, UpstreamCall
from gateway.pipeline.attempt import Answer, attempt
from gateway.pipeline.record import book_failure, intent_of
from gateway.pipeline.services import Services
from gateway.routing.failures import Next, judge
from gateway.routing.table import MAX_ATTEMPTS, Stop

_log = logging.getLogger("gateway.upstream")


class Errand:
    """What all attempts of a call share."""

    __slots__ = ("_dialect", "_first_token", "_request", "_unbooked", "_upstream", "begun", "journal", "services")

    def __init__(
        self, upstream: UpstreamCall, request: ChatRequest, dialect: str, journal: Journal, services: Services
    ) -> None:
        self._upstream = upstream
        self._request = request
        self._dialect = dialect
        asked = journal.inbound.headers.get(b"x-first-token-timeout-ms")
        self._first_token = None if asked is None else int(asked) / 1000
        self.journal = journal
        self.services = services
        self._unbooked: GatewayError | None = None
        self.begun = 0
        """The highest number of an attempt whose intent may be down."""

    def is_over(self) -> bool:
        """Whether nothing more may be tried, for want of time or after too many attempts."""
        journal = self.journal
        return journal.attempts >= MAX_ATTEMPTS or self.services.clock() >= journal.inbound.deadline

    async def visit(self, stop: Stop, key: int) -> Answer:
        """Ask a target where a place was taken, with one key after the other if need be. Raises the last failure."""
        used: tuple[int, ...] = ()
        keys, health = stop.account.keys, stop.health
        while True:
            self.book_failure()
            try:
                return await self.ask(stop, key, self.number())
            except GatewayError as error:
                self.failed(error)
                if judge(error).next is not Next.KEY:
                    raise
                used = (*used, key)
                now = self.services.clock()
                other = None if self.is_over() else keys.pick(now, used)
                if other is None or not health.enter(now):
                    failure = _all_refused(stop, error, now)
                    self.failed(failure)
                    raise failure from error
                key = other
                stop.account.rotated += 1

    def number(self) -> int:
        """The number of an attempt that is about to be made."""
        self.journal.attempts += 1
        return self.journal.attempts

    def book_failure(self) -> None:
        """Write the row of the failed attempt that another one follows. Without one it is the call's own, which ``record`` writes."""
        if self._unbooked is not None:
            book_failure(self.journal, self.services, self._unbooked)
            self._unbooked = None

    def failed(self, failure: GatewayError) -> None:
        """The last attempt failed; its row waits until it is known whether another one follows."""
        self._unbooked = failure

    def turn_to(self, number: int, target: Target) -> None:
        """The attempt that the journal, and with it the next row, is about."""
        self.journal.attempt, self.journal.target = number, target

    async def ask(self, stop: Stop, key: int, number: int) -> Answer:
        """One attempt with one key. Raises the provider's failures, ``malformed``, ``ledger_full``."""
        journal, services = self.journal, self.services
        target = stop.targets[key]
        self.begun = number
        self.turn_to(number, target)
        intent = intent_of(journal, number)
        try:
            services.ledger.intend(intent)
        except BaseException:
            stop.health.leave()
            raise
        journal.intent = intent
        began = services.clock()
        try:
            spoken = self._spoken(target)
        except GatewayError:
            stop.health.leave()
            raise
        try:
            answer = await attempt(
                stop, self._hurried(target), spoken, journal, services, native=spoken.dialect == self._dialect
            )
        except GatewayError as error:
            self._failed(stop, key, error)
            self.turn_to(number, target)
            raise
        except BaseException:
            stop.health.breaker.abandoned()
            raise
        finally:
            journal.upstream += services.clock() - began
        stop.account.keys.accepted(key)
        self.turn_to(number, target)
        journal.first_byte = services.clock()
        return answer

    def _failed(self, stop: Stop, key: int, error: GatewayError) -> None:
        verdict, now = judge(error), self.services.clock()
        stop.health.failed(verdict, now)
        keys = stop.account.keys
        if verdict.dead_key:
            keys.refused(key, now)
            _log.error(
                "a provider refuses a key",
                extra={"provider": stop.account.provider, "cause": f"key number {key + 1}: {error.cause}"},
            )
        elif verdict.limited_key:
            keys.limited(key, now, error.retry_after)

    def _hurried(self, target: Target) -> Target:
        """The target with the caller's own first-token timeout, which can only be shorter than the operator's."""
        asked = self._first_token
        if asked is None:
            return target
        set_up = target.timeouts.first_token
        seconds = asked if set_up is None else min(asked, set_up)
        return structs.replace(target, timeouts=structs.replace(target.timeouts, first_token=seconds))

    def _spoken(self, target: Target) -> UpstreamCall:
        """The call for this target: in the caller's dialect where its provider speaks it, else in the common one."""
        upstream = self._upstream
        if target.model != upstream.model:
            upstream = structs.replace(upstream, model=target.model)
        if self._dialect in self.services.providers[target.provider].translator.speaks:
            return upstream
        name = self._request.untranslatable
        if name is not None:
            raise GatewayError(
                MALFORMED, f"{name}: has no form that the model {upstream.model[:100]!r} can be given", param=name
            )
        return structs.replace(upstream, dialect=CHAT)


def _all_refused(stop: Stop, error: GatewayError, now: float) -> GatewayError:
    keys = stop.account.keys
    if keys.size == 1 or keys.dead(now) < keys.size:
        return error
    return all_keys_refused(stop, now, error.cause)


def all_keys_refused(stop: Stop, now: float, cause: str | None = None) -> GatewayError:
    """Every key of an account is refused: what the caller is told, and when it makes sense to ask again."""
    provider, keys = stop.account.provider, stop.account.keys
    every = "the gateway's key" if keys.size == 1 else f"every one of the gateway's {keys.size} keys"
    return GatewayError(
        UPSTREAM_AUTH,
        f"{provider} refuses {every}",
        cause=cause,
        target=provider,
        retry_after=keys.back_in(now) if keys.size > 1 else None,
    )
