"""Endpoints that guards name must be configured: what is written is refused then, not the call that would ask."""

from collections.abc import Collection, Mapping

from msgspec import structs

from gateway.core.documents import Guardrails
from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.catalogue import GuardType
from gateway.guards.shipped import CATALOGUE

_OPTION = "endpoint"


def check_endpoints(
    guardrails: Guardrails, configured: Collection[str], catalogue: Mapping[str, GuardType] = CATALOGUE
) -> None:
    """Raises ``malformed`` naming the first option that names an endpoint nobody configured. Sections that are off count too."""
    sections = (("pre_validation", guardrails.pre_validation), ("post_validation", guardrails.post_validation))
    for name, section in sections:
        for i, validator in enumerate(section.validators):
            entry = catalogue.get(validator.type)
            asked = validator.options.get(_OPTION)
            if entry is None or asked is None or asked in configured:
                continue
            if _OPTION in {field.encode_name for field in structs.fields(entry.options)}:
                place = f"guardrails.{name}.validators[{i}].options.{_OPTION}"
                known = f"there are {', '.join(sorted(configured))}" if configured else "there is none"
                raise GatewayError(MALFORMED, f"{place}: no guard endpoint is called {asked!r}; {known}", param=place)
