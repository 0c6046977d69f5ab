"""One call's attempts, each with its intent before and its row after; which to make is decided in :mod:`gateway.pipeline.call`."""

import logging
from abc import abstractmethod
from collections.abc import Coroutine
from typing import Any, Generic, Protocol, TypeVar

from msgspec import structs

from gateway.core.errors import MALFORMED, UPSTREAM_AUTH, GatewayError
from gateway.core.journal import Journal
from gateway.core.requests import ChatRequest
from gateway.core.upstream import CHAT, Exchange, HttpRequest, Sent, Target, Transport, UpstreamCall
from gateway.pipeline.attempt import Answer, Attempt, WholeAnswer
from gateway.pipeline.record import book_failure, intend
from gateway.pipeline.services import Provider, Services
from gateway.pipeline.tracing import traced
from gateway.routing.failures import Next, judge
from gateway.routing.table import MAX_ATTEMPTS, Stop

_log = logging.getLogger("gateway.upstream")


class Ended(Protocol):
    """What an attempt brings: something that holds a place at its target until it is closed."""

    def close(self) -> None:
        """Let go of the provider's connection and of the place."""
        ...


A = TypeVar("A", bound=Ended)


class Attempts(Generic[A]):
    """What all attempts of a call share, whatever is asked: intents, rows, keys, and what becomes known of targets."""

    __slots__ = ("_first_token", "_unbooked", "begun", "journal", "services")

    def __init__(self, journal: Journal, services: Services) -> None:
        asked = journal.inbound.headers.get(b"x-first-token-timeout-ms")
        self._first_token = None if asked is None else int(asked) / 1000
        self.journal = journal
        self.services = services
        self._unbooked: GatewayError | None = None
        self.begun = 0
        """The highest number of an attempt whose intent may be down."""

    @abstractmethod
    def making(self, stop: Stop, target: Target) -> Coroutine[Any, Any, A]:
        """One request to a target in whose queue a place was taken; to be awaited. After a failure the place is free again.

        Raises ``malformed``, at once, for what the target cannot be asked.
        """

    def under_way(self) -> float | None:
        """When the attempt that is to be made was begun (monotonic seconds), where it is being made already."""
        return None

    def ends(self, error: GatewayError) -> bool:
        """Whether nothing more may be tried after this failure."""
        return judge(error).next is Next.NOTHING or self.is_over()

    def is_over(self) -> bool:
        """Whether nothing more may be tried, for want of time or after too many attempts."""
        journal = self.journal
        return journal.attempts >= MAX_ATTEMPTS or self.services.clock() >= journal.inbound.deadline

    async def visit(self, stop: Stop, key: int) -> A:
        """Ask a target where a place was taken, with one key after the other if need be. Raises the last failure."""
        used: tuple[int, ...] = ()
        while True:
            if self._unbooked is not None:
                self.book_failure()
            try:
                return await self.ask(stop, key, self.number())
            except GatewayError as error:
                self.failed(error)
                if judge(error).next is not Next.KEY:
                    raise
                used = (*used, key)
                now = self.services.clock()
                other = None if self.is_over() else stop.account.keys.pick(now, used)
                if other is None or not stop.health.enter(now):
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

    async def ask(self, stop: Stop, key: int, number: int) -> A:
        """One attempt with one key. Raises the provider's failures, ``malformed``, ``ledger_full``."""
        journal, clock = self.journal, self.services.clock
        target = stop.targets[key]
        self.begun = number
        journal.attempt, journal.target = number, target
        began = self.under_way()
        try:
            if began is None:
                intend(journal, number, self.services)
            making = self.making(stop, target if self._first_token is None else _hurried(target, self._first_token))
        except BaseException:
            stop.health.leave()
            raise
        began, trace = began or clock(), journal.inbound.trace
        try:
            answer = await (making if trace is None else traced(trace, number, target, making, clock))
        except BaseException as error:
            journal.upstream += clock() - began
            if isinstance(error, GatewayError):
                self._failed(stop, key, error)
                self.turn_to(number, target)
            else:
                stop.health.breaker.abandoned()
            raise
        journal.first_byte = now = clock()
        journal.upstream += now - began
        journal.attempt, journal.target = number, target
        stop.account.keys.accepted(key)
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


def _hurried(target: Target, asked: float) -> Target:
    """The target with the caller's own first-token timeout, which can only be shorter than the operator's."""
    set_up = target.timeouts.first_token
    seconds = asked if set_up is None else min(asked, set_up)
    return structs.replace(target, timeouts=structs.replace(target.timeouts, first_token=seconds))


class Errand(Attempts[Answer | WholeAnswer]):
    """The attempts of a generating call."""

    __slots__ = ("_request", "_taken_up", "_upstream")

    def __init__(
        self,
        upstream: UpstreamCall,
        request: ChatRequest,
        journal: Journal,
        services: Services,
        taken_up: "TakenUp | None" = None,
    ) -> None:
        """``taken_up``: the first attempt is under way already, and it goes on with it."""
        super().__init__(journal, services)
        self._upstream = upstream
        self._request = request
        self._taken_up = taken_up

    def under_way(self) -> float | None:
        """See :meth:`Attempts.under_way`."""
        return None if self._taken_up is None else self._taken_up.began

    def number(self) -> int:
        """See :meth:`Attempts.number`."""
        return super().number() if self._taken_up is None else self.journal.attempts

    def making(self, stop: Stop, target: Target) -> Coroutine[Any, Any, Answer | WholeAnswer]:
        """See :meth:`Attempts.making`."""
        provider = self.services.providers[target.provider]
        spoken, native = spoken_to(provider, target, self._upstream, self._request)
        taken_up, self._taken_up = self._taken_up, None
        began = None
        if taken_up is not None:
            provider, began = structs.replace(provider, transport=taken_up), taken_up.began
        return Attempt(stop, target, spoken, native, provider, self.journal, self.services, began).make()


def spoken_to(provider: Provider, target: Target, upstream: UpstreamCall, request: ChatRequest) -> tuple[UpstreamCall, bool]:
    """The call, in the caller's dialect where the provider speaks it, else in the common one; and whether it is the caller's.

    Raises ``malformed`` for what the common one cannot say.
    """
    if target.model != upstream.model:
        upstream = structs.replace(upstream, model=target.model)
    if upstream.dialect in provider.translator.speaks:
        return upstream, True
    name = request.untranslatable
    if name is not None:
        raise GatewayError(MALFORMED, f"{name}: has no form that the model {upstream.model[:100]!r} can be given", param=name)
    return structs.replace(upstream, dialect=CHAT), False


class TakenUp(Transport):
    """In place of a transport: a request that it has sent already at ``began`` (monotonic seconds), and that has ``arrived``."""

    def __init__(self, transport: Transport, sent: Sent, began: float) -> None:
        self._transport = transport
        self._sent = sent
        self.began = began

    async def send(self, target: Target, request: HttpRequest, deadline: float) -> Exchange:
        """See ``Transport.take_up``."""
        return await self._transport.take_up(self._sent, target, request, deadline)

    async def close(self) -> None:
        """The transport lives on."""


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
