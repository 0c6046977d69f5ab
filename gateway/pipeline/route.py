"""Recipe -> Plan: the targets to try, best first."""

from gateway.core.journal import Journal
from gateway.core.requests import Caller, ChatRequest
from gateway.limits.tokens import estimate
from gateway.pipeline.resolve import Recipe
from gateway.pipeline.services import Services
from gateway.routing.table import Plan, RouteTable, unknown_model


def route(recipe: Recipe, request: ChatRequest, journal: Journal, services: Services) -> Plan:
    """Never empty. Raises ``unknown_model``. One look-up, unless the route has conditions or draws its order."""
    plan = table_of(journal.caller, services).plan(recipe.model)
    if plan.when is not None:
        plan = plan_of(recipe, request, journal, services)
    return plan.drawn(services.clock(), services.random) if plan.groups else plan


def table_of(caller: Caller | None, services: Services) -> RouteTable:
    """The routes that hold for a caller: its application's, where it has any of its own."""
    return services.routes if caller is None or caller.routes is None else caller.routes


def plan_of(recipe: Recipe, request: ChatRequest, journal: Journal, services: Services) -> Plan:
    """The plan whose conditions the call meets, its order not drawn yet. Raises ``unknown_model``."""
    plan = table_of(journal.caller, services).plan(recipe.model)
    while plan.when is not None and not plan.when.holds(request.tags, estimate(journal.input_chars)):
        if plan.otherwise is None:
            raise unknown_model(recipe.model)
        plan = plan.otherwise
    return plan
