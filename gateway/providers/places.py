"""Where a provider wants the model: in the path, as one segment of it."""

from urllib.parse import quote

from gateway.core.errors import UNKNOWN_MODEL, GatewayError


def segment(model: str) -> str:
    """A model's name as one segment of a path, whatever is in it: names come from callers.

    Raises ``unknown_model`` for one that would be no segment or another place (``.``, ``..``).
    """
    if not model.strip("."):
        raise GatewayError(UNKNOWN_MODEL, f"no model is called {model[:100]!r}", param="model")
    return quote(model, safe="")
