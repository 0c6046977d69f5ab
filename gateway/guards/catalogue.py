"""The guards that a validator can name: what each is called, what it may be told, and how it is made."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.detector import Detector
from gateway.guards.rules import Remote

Direction = Literal["in", "out"]


class GuardType(Struct, frozen=True):
    """One entry of the catalogue."""

    name: str
    options: type[Struct]
    """What a validator's ``options`` are decoded to; unknown and ill-typed ones are errors that name them."""
    make: Callable[[Any, str], Detector | Remote]
    """(options, param): the detector, or whom to ask where the judge is outside of the process.

    Raises ``malformed`` naming the option as ``{param}.options.{option}``."""
    summary: str
    """One sentence for lists of guards."""
    reference: str
    """Where its patterns or method come from: a document, a standard, a paper."""
    rank: int = 1
    """0 is cheap (less than 1 us per KB), 1 is usual, 2 is dear: the order in which guards of a stage are asked."""
    directions: frozenset[Direction] = frozenset({"in", "out"})
    """Whether it judges what goes in, what comes out, or both."""


def known(types: tuple[GuardType, ...]) -> dict[str, GuardType]:
    """By name; two of one name are a mistake of their authors. Raises ``ValueError``."""
    found = {entry.name: entry for entry in types}
    if len(found) != len(types):
        raise ValueError("two guards have one name")
    return found


def make(entry: GuardType, options: Mapping[str, Any], param: str) -> Detector | Remote:
    """What judges by these options. Raises ``malformed`` naming the option."""
    try:
        decoded = msgspec.convert(options, entry.options)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        place = f"{param}.options{path.rstrip('`')}"
        raise GatewayError(MALFORMED, f"{place}: {what}", param=place) from None
    return entry.make(decoded, param)
