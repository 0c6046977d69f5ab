"""The variable contract of a version: a JSON Schema (draft 2020-12) that the caller's variables must satisfy.

jsonschema_rs compiles it once and checks five strings in 0.4 us, so there is no second, hand-written way.
"""

from typing import Any

import jsonschema_rs

from gateway.core.errors import INVALID_VARIABLE, MISSING_VARIABLE, GatewayError
from gateway.wire.schema import SHOWN, compiled, expectation, refuse

_PARAM = "variables"
"""What errors call the contract."""


class Contract:
    """A compiled contract. ``schema`` is the version's ``variables``; empty means that everything goes.

    Raises ``malformed`` (param ``variables``) for what is not a schema of an object, or could not be checked safely.
    """

    __slots__ = ("_is_valid", "_required", "_validate", "defaults", "optional")

    def __init__(self, schema: dict[str, Any]) -> None:
        if schema.get("type", "object") != "object":
            refuse(_PARAM, "the schema must be of type object")
        validator = compiled(schema, _PARAM) if schema else None
        self._is_valid = validator.is_valid if validator is not None else None
        self._validate = validator.validate if validator is not None else None
        properties: dict[str, Any] = schema.get("properties", {})
        self._required: list[str] = schema.get("required", [])
        self.defaults: dict[str, Any] = {
            name: sub["default"] for name, sub in properties.items() if isinstance(sub, dict) and "default" in sub
        }
        """Values that stand in for variables the caller leaves out."""
        self.optional = frozenset(properties) - frozenset(self._required) - frozenset(self.defaults)
        """Declared variables that may be absent even after defaults."""
        if self.defaults:
            self._check_defaults(schema)

    def _check_defaults(self, schema: dict[str, Any]) -> None:
        lenient = compiled({k: v for k, v in schema.items() if k != "required"}, _PARAM)
        for error in lenient.iter_errors(self.defaults):
            if error.instance_path and error.instance_path[0] in self.defaults:
                refuse(_PARAM, f"the default of variable {error.instance_path[0]!r} breaks its own schema ({error.kind.name})")

    def check(self, variables: dict[str, Any]) -> dict[str, Any]:
        """The variables with defaults filled in; the same object where none was needed.

        Raises ``missing_variable`` or ``invalid_variable``, naming the variable and what was expected, never its value.
        """
        defaults = self.defaults
        if defaults and not defaults.keys() <= variables.keys():
            variables = {**defaults, **variables}
        if self._is_valid is not None and not self._is_valid(variables):
            self._explain(variables)
        return variables

    def _explain(self, variables: dict[str, Any]) -> None:
        for name in self._required:
            if name not in variables:
                raise GatewayError(MISSING_VARIABLE, f"variable {name!r} is required by the prompt's contract", param=name)
        assert self._validate is not None
        try:
            # The first violation only: a hostile array has a million, and the validator would collect them all.
            self._validate(variables)
        except jsonschema_rs.ValidationError as violation:
            raise _named(violation) from None


def _named(error: jsonschema_rs.ValidationError) -> GatewayError:
    path = ".".join(map(str, error.instance_path))[:SHOWN]
    if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.AdditionalProperties) and not path:
        path = error.kind.unexpected[0][:SHOWN]
        return GatewayError(INVALID_VARIABLE, f"variable {path!r} is not in the prompt's contract", param=path)
    subject = f"variable {path!r}" if path else "the set of variables"
    return GatewayError(INVALID_VARIABLE, f"{subject} must satisfy {expectation(error.kind)}", param=path or "variables")
