"""Routes: model names or patterns to ordered targets. First match wins, in the order of ``config/providers.toml``."""

import re
from collections.abc import Sequence

from msgspec import Struct, structs

from gateway.core.errors import UNKNOWN_MODEL, GatewayError
from gateway.core.upstream import Target

_REMEMBERED = 4096
"""Distinct model names whose match is remembered; names come from callers, so the memory is bounded."""


class Route(Struct, frozen=True):
    """One line of the table. ``*`` in a pattern stands for any text; a target without a model keeps the asked name."""

    patterns: tuple[str, ...]
    targets: tuple[Target, ...]


class RouteTable:
    """Compiled routes. Immutable but for the memory of past matches."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = [(_compile(route.patterns), route.targets) for route in routes]
        self._known: dict[str, tuple[Target, ...]] = {}
        self.names = sorted({p for route in routes for p in route.patterns if "*" not in p})
        """Names that can be listed: routes without a wildcard."""

    def lists(self, model: str) -> bool:
        """Whether a route names this model itself, not by a wildcard."""
        return model in self.names

    def plan(self, model: str) -> tuple[Target, ...]:
        """Targets for a model name, best first. Raises ``unknown_model``."""
        found = self._known.get(model)
        if found is not None:
            return found
        for pattern, targets in self._routes:
            if pattern.fullmatch(model) is not None:
                plan = tuple(t if t.model else structs.replace(t, model=model) for t in targets)
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[model] = plan
                return plan
        raise GatewayError(UNKNOWN_MODEL, f"no route serves the model {model[:100]!r}", param="model")


def _compile(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(".*".join(re.escape(piece) for piece in p.split("*")) for p in patterns), re.DOTALL)
