"""``/applications/{application_slug}/limits``."""

import re
from typing import Annotated

from litestar import Controller, delete, get, put
from litestar.params import FromPath, JSONBody, QueryParameter

from gateway.control.inject import Actor, Services
from gateway.control.limits.schemas import LimitBody, LimitView, Usage, UsageReport
from gateway.control.listing import Listing
from gateway.core.errors import MALFORMED, NOT_FOUND, STORE_UNAVAILABLE, GatewayError
from gateway.core.limits import EACH, Ask, LimitRule
from gateway.limits.rules import counter_of

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
MAX_VALUES = 100
"""Of one scope in one question about usage: with 64 limits one message of some 500 KB to Redis at most."""

Values = Annotated[list[str] | None, QueryParameter(description="Values to report on; repeat it.")]


class LimitController(Controller):
    """Limits and budgets. A change reaches every worker like a publish does; what was counted under a name stays with it."""

    path = "/applications/{application_slug:str}/limits"
    tags = ["limits"]

    @get(summary="List the limits of an application")
    async def index(self, services: Services, application_slug: FromPath[str]) -> Listing[LimitView]:
        return Listing([LimitView.of(rule) for rule in await services.registry.list_limits(application_slug)])

    @put("/{name:str}", summary="Create a limit, or replace the one of that name")
    async def store(
        self, services: Services, application_slug: FromPath[str], name: FromPath[str], data: JSONBody[LimitBody], actor: Actor
    ) -> LimitView:
        if _NAME.fullmatch(name) is None:
            raise GatewayError(
                MALFORMED, f"name: {name[:80]!r} is no name of a limit (a-z, 0-9, ., _ and -, at most 63)", param="name"
            )
        written = await services.registry.put_limit(application_slug, data.rule(name), actor=actor)
        return LimitView.of(await services.announce(written))

    @delete("/{name:str}", status_code=200, summary="Delete a limit")
    async def remove(self, services: Services, application_slug: FromPath[str], name: FromPath[str], actor: Actor) -> LimitView:
        written = await services.registry.delete_limit(application_slug, name, actor=actor)
        return LimitView.of(await services.announce(written))

    @get("/{name:str}", summary="Read one limit")
    async def read(self, services: Services, application_slug: FromPath[str], name: FromPath[str]) -> LimitView:
        for rule in await services.registry.list_limits(application_slug):
            if rule.name == name:
                return LimitView.of(rule)
        raise GatewayError(NOT_FOUND, f"application {application_slug!r} has no limit {name[:80]!r}", param="name")

    @get("/usage", summary="Where the limits stand")
    async def usage(
        self,
        services: Services,
        application_slug: FromPath[str],
        user: Values = None,
        tag: Values = None,
        model: Values = None,
    ) -> UsageReport:
        """Limits of the application and of single values, and of each key; of other values those that are asked for."""
        owner = await services.registry.get_application(application_slug)
        given = {"user": user or [], "tag": tag or [], "model": model or [], "application": [""]}
        for name, values in given.items():
            if len(values) > MAX_VALUES:
                raise GatewayError(MALFORMED, f"{name}: at most {MAX_VALUES} values at a time", param=name)
        keys = await services.registry.list_keys(application_slug)
        given["key"] = list(dict.fromkeys([[*key.ancestors, key.public_id][0] for key in keys]))[:MAX_VALUES]
        counted: list[tuple[LimitRule, str]] = []
        unnamed: list[str] = []
        for rule in await services.registry.list_limits(application_slug):
            values = given[rule.scope] if rule.match == EACH else [rule.match]
            counted += [(rule, value) for value in dict.fromkeys(values)]
            if not values:
                unnamed.append(rule.name)
        asks = [Ask(counter_of(rule, value), rule.window, rule.amount, 0) for rule, value in counted]
        states = await services.counters.look(owner.id, asks) if asks else []
        if states is None:
            raise GatewayError(STORE_UNAVAILABLE, "the counters of limits cannot be asked", retry_after=1)
        return UsageReport(
            [
                Usage(
                    rule.name,
                    rule.scope,
                    value,
                    rule.metric,
                    rule.window,
                    rule.amount,
                    state.used,
                    max(rule.amount - state.used, 0),
                    state.left_ms,
                    rule.shadow,
                )
                for (rule, value), state in zip(counted, states, strict=True)
            ],
            unnamed,
        )
