"""The guards that a validator can name: what each is called, what it may be told, and how it is made."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.detector import Detector
from gateway.guards.pii import kinds as pii
from gateway.guards.tables import TableOptions, maker

Direction = Literal["in", "out"]


class GuardType(Struct, frozen=True):
    """One entry of the catalogue."""

    name: str
    options: type[Struct]
    """What a validator's ``options`` are decoded to; unknown and ill-typed ones are errors that name them."""
    make: Callable[[Any, str], Detector]
    """(options, param): the detector. Raises ``malformed`` naming the option as ``{param}.options.{option}``."""
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


def make(entry: GuardType, options: Mapping[str, Any], param: str) -> Detector:
    """A detector with these options. Raises ``malformed`` naming the option."""
    try:
        decoded = msgspec.convert(options, entry.options)
    except msgspec.ValidationError as error:
        raise GatewayError(MALFORMED, f"{param}.options: {error}", param=f"{param}.options") from None
    return entry.make(decoded, param)


CATALOGUE: dict[str, GuardType] = known(
    (
        GuardType(
            "pii",
            TableOptions,
            maker(pii.FORMS),
            "Personal data: addresses, numbers of telephones, cards, accounts and persons, with their checksums.",
            "Microsoft Presidio's list of recognisers; the algorithm of each issuer, named in gateway/guards/pii",
        ),
    )
)
"""What ships with the gateway, by name; plug-ins add theirs at start."""
