"""JSON Schemas (draft 2020-12) that others write, compiled once and safe to check hostile values with.

Bounded by construction: patterns run on a linear-time engine, nothing is ever fetched, references are local and must not loop.
"""

from typing import Any, NoReturn, cast

import jsonschema_rs
import msgspec

from gateway.core.errors import MALFORMED, GatewayError

MAX_SCHEMA_BYTES = 64 << 10
"""Of the schema as JSON: as much as one message template may have."""

MAX_EXPANDED = 2_000
"""Subschemas after following every reference: few references to references grow exponentially, and so does checking them."""

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_NAMING = (
    jsonschema_rs.ValidationErrorKind.AdditionalProperties,
    jsonschema_rs.ValidationErrorKind.UnevaluatedProperties,
    jsonschema_rs.ValidationErrorKind.UnevaluatedItems,
)
"""Violations whose details are names that stand in the value."""

SHOWN = 200
"""Characters of an expectation that an error shows: enough for a dozen enumerated values."""


def compiled(schema: dict[str, Any], param: str) -> jsonschema_rs.Draft202012Validator:
    """The validator of a schema. Raises ``malformed`` (param ``param``) for what is not a schema, or could not be checked safely."""
    try:
        size = len(msgspec.json.encode(schema))
    except (TypeError, ValueError, RecursionError) as error:
        refuse(param, "not JSON", cause=str(error))
    if size > MAX_SCHEMA_BYTES:
        refuse(param, f"the schema has {size} bytes; at most {MAX_SCHEMA_BYTES} are possible")
    if str(schema.get("$schema", _DRAFT)).rstrip("#") != _DRAFT:
        refuse(param, "the only draft is 2020-12")
    _Expansion(schema, param).size(schema)
    return _validator(schema, param)


def _validator(schema: dict[str, Any], param: str) -> jsonschema_rs.Draft202012Validator:
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
        refuse(param, f"not a JSON Schema of draft 2020-12 (at {param}{where})", cause=str(error))


def expectation(kind: jsonschema_rs.ValidationErrorKind) -> str:
    """``type "string"``, ``maxLength 3``, ``enum ["x","y"]``: the schema's words, not those of the value."""
    if isinstance(kind, _NAMING):
        return kind.name
    limit = kind.types[0] if isinstance(kind, jsonschema_rs.ValidationErrorKind.Type) and len(kind.types) == 1 else kind.value
    try:
        text = msgspec.json.encode(limit).decode()
    except (TypeError, ValueError):  # nested errors (anyOf, oneOf) repeat the value
        text = ""
    return f"{kind.name} {text if len(text) <= SHOWN else text[:SHOWN] + '...'}".rstrip()


def refuse(param: str, detail: str, cause: str | None = None) -> NoReturn:
    """Raise ``malformed``, naming the parameter."""
    raise GatewayError(MALFORMED, f"{param}: {detail}", param=param, cause=cause)


def _no_retrieval(uri: str) -> NoReturn:
    raise ValueError("schemas are never fetched: " + uri)


class _Expansion:
    """Counts subschemas with every reference followed; refuses references that are not local, or loop."""

    def __init__(self, root: dict[str, Any], param: str) -> None:
        self._root = root
        self._param = param
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
            refuse(self._param, f"the schema has more than {MAX_EXPANDED} parts when its references are followed")
        return total

    def _reference(self, key: str, target: str) -> int:
        if key != "$ref" or not target.startswith("#/"):
            refuse(self._param, f"{key} {target[:SHOWN]!r} is not possible; references must be local ($ref: #/$defs/...)")
        if target in self._known:
            if self._known[target] < 0:
                refuse(self._param, f"the reference {target[:SHOWN]!r} leads back to itself")
            return self._known[target]
        self._known[target] = -1
        node: Any = self._root
        for part in target[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            node = cast("dict[str, Any]", node).get(name) if isinstance(node, dict) else None
        self._known[target] = self.size(node)
        return self._known[target]
