"""The variable contract of a version: a JSON Schema (draft 2020-12) that the caller's variables must satisfy.

jsonschema_rs compiles it once and checks five strings in 0.4 us, so there is no second, hand-written way. Bounded by
construction: patterns run on a linear-time engine, nothing is ever fetched, references are local and must not loop.
"""

from typing import Any, NoReturn, cast

import jsonschema_rs
import msgspec

from gateway.core.errors import INVALID_VARIABLE, MALFORMED, MISSING_VARIABLE, GatewayError

MAX_SCHEMA_BYTES = 64 << 10
"""Of the contract as JSON: as much as one message template may have."""

MAX_EXPANDED = 2_000
"""Subschemas after following every reference: few references to references grow exponentially, and so does checking them."""

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_SHOWN = 200
"""Characters of an expectation that an error shows: enough for a dozen enumerated values."""


class Contract:
    """A compiled contract. ``schema`` is the version's ``variables``; empty means that everything goes.

    Raises ``malformed`` (param ``variables``) for what is not a schema of an object, or could not be checked safely.
    """

    __slots__ = ("_is_valid", "_required", "_validate", "defaults", "optional")

    def __init__(self, schema: dict[str, Any]) -> None:
        _vet(schema)
        validator = _compiled(schema) if schema else None
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
        lenient = _compiled({k: v for k, v in schema.items() if k != "required"})
        for error in lenient.iter_errors(self.defaults):
            if error.instance_path and error.instance_path[0] in self.defaults:
                _refuse(f"the default of variable {error.instance_path[0]!r} breaks its own schema ({error.kind.name})")

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
    path = ".".join(map(str, error.instance_path))[:_SHOWN]
    if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.AdditionalProperties) and not path:
        path = error.kind.unexpected[0][:_SHOWN]
        return GatewayError(INVALID_VARIABLE, f"variable {path!r} is not in the prompt's contract", param=path)
    subject = f"variable {path!r}" if path else "the set of variables"
    return GatewayError(INVALID_VARIABLE, f"{subject} must satisfy {_expectation(error.kind)}", param=path or "variables")


def _expectation(kind: jsonschema_rs.ValidationErrorKind) -> str:
    """``type "string"``, ``maxLength 3``, ``enum ["x","y"]``: the schema's words, not the caller's."""
    limit = kind.types[0] if isinstance(kind, jsonschema_rs.ValidationErrorKind.Type) and len(kind.types) == 1 else kind.value
    try:
        text = msgspec.json.encode(limit).decode()
    except (TypeError, ValueError):  # nested errors (anyOf, oneOf) repeat the value
        text = ""
    return f"{kind.name} {text if len(text) <= _SHOWN else text[:_SHOWN] + '...'}".rstrip()


def _refuse(detail: str, cause: str | None = None) -> NoReturn:
    raise GatewayError(MALFORMED, f"variables: {detail}", param="variables", cause=cause)


def _no_retrieval(uri: str) -> NoReturn:
    raise ValueError("schemas are never fetched: " + uri)


def _compiled(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    try:
        return jsonschema_rs.Draft202012Validator(
            schema,
            retriever=_no_retrieval,
            pattern_options=jsonschema_rs.RegexOptions(),
            validate_formats=True,
            ignore_unknown_formats=True,
            mask="value",
        )
    except (jsonschema_rs.ValidationError, ValueError, RecursionError) as error:
        where = "".join(f"[{part!r}]" for part in getattr(error, "instance_path", []))
        _refuse(f"not a JSON Schema of draft 2020-12 (at variables{where})", cause=str(error))


def _vet(schema: dict[str, Any]) -> None:
    """The checks that the validator does not make."""
    try:
        size = len(msgspec.json.encode(schema))
    except (TypeError, ValueError, RecursionError) as error:
        _refuse("not JSON", cause=str(error))
    if size > MAX_SCHEMA_BYTES:
        _refuse(f"the schema has {size} bytes; at most {MAX_SCHEMA_BYTES} are possible")
    if schema.get("type", "object") != "object":
        _refuse("the schema must be of type object")
    if str(schema.get("$schema", _DRAFT)).rstrip("#") != _DRAFT:
        _refuse("the only draft is 2020-12")
    _Expansion(schema).size(schema)


class _Expansion:
    """Counts subschemas with every reference followed; refuses references that are not local, or loop."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._known: dict[str, int] = {}

    def size(self, node: object) -> int:
        total = 0
        if isinstance(node, dict):
            total = 1
            for key, value in cast("dict[str, object]", node).items():
                if key in {"$ref", "$dynamicRef", "$id", "$anchor", "$dynamicAnchor"} and isinstance(value, str):
                    total += self._reference(key, value)
                else:
                    total += self.size(value)
        elif isinstance(node, list):
            total = sum(self.size(item) for item in cast("list[object]", node))
        if total > MAX_EXPANDED:
            _refuse(f"the schema has more than {MAX_EXPANDED} parts when its references are followed")
        return total

    def _reference(self, key: str, target: str) -> int:
        if key != "$ref" or not target.startswith("#/"):
            _refuse(f"{key} {target[:_SHOWN]!r} is not possible; references must be local ($ref: #/$defs/...)")
        if target in self._known:
            if self._known[target] < 0:
                _refuse(f"the reference {target[:_SHOWN]!r} leads back to itself")
            return self._known[target]
        self._known[target] = -1
        node: Any = self._root
        for part in target[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            node = cast("dict[str, Any]", node).get(name) if isinstance(node, dict) else None
        self._known[target] = self.size(node)
        return self._known[target]
