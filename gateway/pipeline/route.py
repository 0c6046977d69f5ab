"""Recipe -> Plan: the targets to try, best first."""

from gateway.core.journal import Journal
from gateway.core.requests import ChatRequest
from gateway.limits.tokens import estimate
from gateway.pipeline.resolve import Recipe
from gateway.pipeline.services import Services
from gateway.routing.table import Plan, unknown_model


def route(recipe: Recipe, request: ChatRequest, journal: Journal, services: Services) -> Plan:
    """Never empty. Raises ``unknown_model``. One look-up, unless the route has conditions or draws its order."""
    plan = services.routes.plan(recipe.model)
    if plan.when is not None:
        plan = plan_of(recipe, request, journal, services)
    return plan.drawn(services.clock(), services.random) if plan.groups else plan


def plan_of(recipe: Recipe, request: ChatRequest, journal: Journal, services: Services) -> Plan:
    """The plan whose conditions the call meets, its order not drawn yet. Raises ``unknown_model``."""
    plan = services.routes.plan(recipe.model)
    while plan.when is not None and not plan.when.holds(request.tags, estimate(journal.input_chars)):
        if plan.otherwise is None:
            raise unknown_model(recipe.model)
        plan = plan.otherwise
    return plan
