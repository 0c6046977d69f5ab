"""The guard ``json``: the text must be one JSON value (RFC 8259), and an instance of a JSON Schema (draft 2020-12) if there is one."""

from typing import Any

import jsonschema_rs
import msgspec
from msgspec import Struct

from gateway.guards.fence import unfenced
from gateway.guards.whole import WholeText
from gateway.wire.openai import DECODE_ERRORS
from gateway.wire.schema import SHOWN, compiled, expectation


class JsonOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What ``json`` may be told."""

    schema: dict[str, Any] | None = None
    """What the value must be an instance of; None: any value will do."""
    allow_fence: bool = False
    """Whether the value may stand in a Markdown code block, as models like to write it."""


class JsonGuard(WholeText):
    """Parses the text and checks the value. Names, in what it finds, only the schema's words."""

    __slots__ = ("_allow_fence", "_validator")

    def __init__(self, options: JsonOptions, param: str) -> None:
        self._allow_fence = options.allow_fence
        self._validator: jsonschema_rs.Draft202012Validator | None = (
            compiled(options.schema, f"{param}.options.schema") if options.schema is not None else None
        )

    def judge(self, text: str) -> str | None:
        """``not_json``, ``too_deep``, or ``schema`` with the rule that is broken (``schema: type "integer" at /properties/age``)."""
        if self._allow_fence:
            text = unfenced(text, "json")
        try:
            value: object = msgspec.json.decode(text.encode())
        except RecursionError:
            return "too_deep"
        except (*DECODE_ERRORS, UnicodeEncodeError):
            return "not_json"
        if self._validator is None:
            return None
        try:
            # The first violation only: a hostile array has a million.
            self._validator.validate(value)
        except jsonschema_rs.ValidationError as violation:
            place = "/".join(map(str, violation.schema_path[:-1]))[:SHOWN]
            return f"schema: {expectation(violation.kind)}" + (f" at /{place}" if place else "")
        except (ValueError, RecursionError):  # deeper than the validator reads
            return "too_deep"
        return None


def make_json(options: JsonOptions, param: str) -> JsonGuard:
    """The guard. Raises ``malformed`` for what is no schema, or could not be checked safely."""
    return JsonGuard(options, param)
