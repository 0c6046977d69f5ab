"""How a variable's value becomes text: a string as it is, anything else as compact JSON. Never escaped, never parsed."""

from typing import cast

import msgspec

from gateway.core.errors import MISSING_VARIABLE, TEMPLATE_FAILED, GatewayError

MAX_OUTPUT = 1 << 20
"""Characters that the messages of one prompt may render to in all: a quarter of a million tokens, more than models take."""

_encode = msgspec.json.Encoder().encode


def as_text(value: object) -> str:
    """A value as it appears in a prompt: ``null`` is nothing, ``true`` and numbers are spelt as in JSON."""
    if type(value) is str:
        return value
    return "" if value is None else _encode(value).decode()


def missing(name: str, message: int) -> GatewayError:
    """The error for a variable that message number ``message`` (from 0) needs and nobody gave."""
    return GatewayError(MISSING_VARIABLE, f"variable {name!r} is required by message {message}", param=name)


def too_long() -> GatewayError:
    """The error for a rendering beyond :data:`MAX_OUTPUT`."""
    return GatewayError(TEMPLATE_FAILED, f"the prompt renders to more than {MAX_OUTPUT} characters", param="variables")


def reach(values: object, path: tuple[str, ...]) -> tuple[bool, object]:
    """Follow a dotted path through objects: (whether it exists, its value)."""
    node = values
    for part in path:
        if not isinstance(node, dict) or part not in node:
            return False, None
        node = cast("dict[str, object]", node)[part]
    return True, node
