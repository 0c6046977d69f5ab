"""Plan -> Answer, its first content already in hand: until then no byte was promised, so another target may still be tried."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from gateway.core.conversation import Conversation
from gateway.core.errors import UPSTREAM_UNAVAILABLE, GatewayError
from gateway.core.journal import Journal
from gateway.core.requests import ChatRequest
from gateway.core.upstream import CHAT, Target, UpstreamCall
from gateway.pipeline.attempt import Answer, WholeAnswer
from gateway.pipeline.errand import A, Attempts, Errand, all_keys_refused
from gateway.pipeline.hedge import hedged
from gateway.pipeline.resolve import Recipe
from gateway.pipeline.services import Services
from gateway.pipeline.waiting import wait_for_place
from gateway.routing.table import Plan
from gateway.routing.walk import Place, Walk, first

SHORTEST_RETRY_AFTER = 0.1
"""Seconds: a caller told to come back at once would only be refused again."""


def call(
    plan: Plan,
    request: ChatRequest,
    recipe: Recipe,
    conversation: Conversation,
    dialect: str,
    journal: Journal,
    services: Services,
) -> Coroutine[Any, Any, Answer | WholeAnswer]:
    """Make attempts in order until one answers; to be awaited. ``dialect`` is the caller's, by name. Raises as :func:`travel`."""
    upstream = upstream_call(plan.stops[0].target, request, recipe, conversation, dialect)
    return travel(Errand(upstream, request, journal, services), plan)


async def travel(errand: Attempts[A], plan: Plan, place: Place | None = None) -> A:
    """Make attempts in order until one answers, whatever is asked. ``place``: one that was taken already, at the first target.

    Raises the last failure; ``upstream_unavailable`` when no target could be asked, ``upstream_auth_error`` when none had a key.
    """
    journal, services = errand.journal, errand.services
    clock, hedge_after = services.clock, plan.policy.hedge_after
    place = place or first(plan, clock())
    if place is not None and plan.attempts == 1 and hedge_after is None:
        return await errand.visit(*place)
    walk = Walk(plan, begun=place is not None)
    failure: GatewayError | None = None
    while True:
        if place is None:
            place = walk.next(clock())
        if place is None:
            if failure is None:
                place = walk.came_to(await _wait(plan, journal, services))
            else:
                pause = walk.again(services.random)
                if pause is None or clock() + pause >= journal.inbound.deadline:
                    raise failure
                await asyncio.sleep(pause)
                continue
        try:
            if hedge_after is None:
                return await errand.visit(*place)
            return await hedged(errand, place, walk, hedge_after)
        except GatewayError as error:
            if errand.ends(error):
                raise
            failure, place = error, None


async def _wait(plan: Plan, journal: Journal, services: Services) -> Place:
    """A place at a target that is full; raises what keeps all of them from being asked."""
    now = services.clock()
    keyed = [stop for stop in plan.stops if stop.account.keys.pick(now) is not None]
    if not keyed:
        raise all_keys_refused(plan.stops[0], now)
    for stop in keyed:
        if stop.health.is_full() and stop.health.breaker.is_closed:
            seconds = min(plan.policy.queue_seconds, journal.inbound.deadline - now)
            if await wait_for_place(stop.health, seconds):
                key = stop.account.keys.pick(services.clock())
                if key is not None:
                    return stop, key
                stop.health.leave()
            break
    names = ", ".join(dict.fromkeys([stop.target.provider for stop in keyed]))
    raise GatewayError(
        UPSTREAM_UNAVAILABLE,
        f"{names}: failing or fully in use, and not asked for now",
        cause="; ".join(
            [f"{stop.health.name} {stop.health.breaker.state(now)} {stop.health.in_flight}" for stop in plan.stops]
        ),
        target=names,
        retry_after=max(min(stop.health.breaker.reopens_in(now) for stop in keyed), SHORTEST_RETRY_AFTER),
    )


def upstream_call(
    target: Target, request: ChatRequest, recipe: Recipe, conversation: Conversation, dialect: str
) -> UpstreamCall:
    """What is asked of ``target``, in the caller's dialect."""
    if dialect == CHAT:
        return UpstreamCall(target.model, conversation, request.stream, recipe.fields)
    stored = {name: value for name, value in recipe.fields.items() if name not in request.fields}
    return UpstreamCall(
        target.model, conversation, request.stream, recipe.fields, dialect, request.native, stored, request.headers
    )
