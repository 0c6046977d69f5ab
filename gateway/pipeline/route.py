"""Recipe -> Plan: the targets to try, best first."""

from gateway.core.upstream import Target
from gateway.pipeline.resolve import Recipe
from gateway.pipeline.services import Services


def route(recipe: Recipe, services: Services) -> tuple[Target, ...]:
    """Never empty. Raises ``unknown_model``."""
    return services.routes.plan(recipe.model)
