"""Two attempts at one time when the first is slow to begin (Dean and Barroso 2013, "The Tail at Scale"): the quicker one answers."""

import asyncio
from typing import Literal

from msgspec import Struct

from gateway.core.errors import GatewayError
from gateway.core.upstream import Target
from gateway.pipeline.errand import A, Attempts
from gateway.pipeline.record import book_failure, book_loser
from gateway.routing.table import Stop
from gateway.routing.walk import Place, Walk


class _Leg(Struct, frozen=True):
    number: int
    target: Target
    stop: Stop


async def hedged(errand: Attempts[A], place: Place, walk: Walk, after: float | Literal["p95"]) -> A:
    """Ask at ``place``, and after so many seconds without a first token at the next one as well. Raises the last failure.

    The loser is cancelled, and has a row of its own; so has the one of two that failed.
    """
    journal, services = errand.journal, errand.services
    account = place[0].account
    account.hedges.earn()
    errand.book_failure()
    began, upstream = services.clock(), journal.upstream
    running: dict[asyncio.Task[A], _Leg] = {}

    def start(stop: Stop, key: int) -> None:
        number = errand.number()
        running[asyncio.ensure_future(errand.ask(stop, key, number))] = _Leg(number, stop.targets[key], stop)

    start(*place)
    try:
        await asyncio.wait(running, timeout=_patience(place[0], after))
        if not any(task.done() for task in running) and not errand.is_over() and account.hedges.spend(services.clock()):
            second = walk.next(services.clock())
            if second is not None:
                second[0].account.hedged += 1
                start(*second)
        while True:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            task, leg = next((task, leg) for task, leg in running.items() if task.done())
            del running[task]
            failure = task.exception()
            if not running or not isinstance(failure, GatewayError):
                errand.turn_to(leg.number, leg.target)
                if isinstance(failure, GatewayError):
                    errand.failed(failure)
                return task.result()
            _book(errand, leg, failure)
            (left,) = running.values()
            errand.turn_to(left.number, left.target)
    finally:
        await _call_off(running, errand)
        journal.upstream = upstream + services.clock() - began


def _patience(stop: Stop, after: float | Literal["p95"]) -> float | None:
    """Seconds after which a hedge is worth its cost; None, for ever, while there is no experience to say so."""
    return after if after != "p95" else stop.health.latency.p95 or None


async def _call_off(running: dict[asyncio.Task[A], _Leg], errand: Attempts[A]) -> None:
    """Cancel who is still under way and write their rows; the journal's own is left to ``record``."""
    journal = errand.journal
    for task in running:
        task.cancel()
    ended = await asyncio.gather(*running, return_exceptions=True)
    for leg, end in zip(running.values(), ended, strict=True):
        if not isinstance(end, BaseException):
            end.close()
        if leg.number > errand.begun:
            # Cancelled before its first step: nothing was asked or written, only the place was taken.
            leg.stop.health.leave()
            continue
        if leg.number == journal.attempt:
            continue
        if isinstance(end, GatewayError):
            _book(errand, leg, end)
        else:
            _book(errand, leg)


def _book(errand: Attempts[A], leg: _Leg, failure: GatewayError | None = None) -> None:
    """The row of an attempt that failed or, without a failure, lost; whichever the journal is about."""
    journal = errand.journal
    kept = journal.attempt, journal.target
    errand.turn_to(leg.number, leg.target)
    if failure is None:
        book_loser(journal, errand.services)
    else:
        book_failure(journal, errand.services, failure)
    journal.attempt, journal.target = kept
