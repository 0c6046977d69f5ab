"""A guard for Promptgate: finds texts that are mostly capitals."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from gateway.guards.catalogue import GuardType
from gateway.guards.detector import Finding


class ShoutingOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What a validator of type ``shouting`` may be told. Bounds are declared, so that a bad value is an error that names it."""

    share: Annotated[float, Meta(gt=0, le=1)] = 0.7
    """Of the letters that must be capitals."""
    letters: Annotated[int, Meta(ge=1)] = 20
    """A text with fewer letters says nothing either way."""


class Shouting:
    """A detector. It needs the whole text, so it says no ``longest``: a stream is then held back to its end."""

    longest: int | None = None
    before = 0

    def __init__(self, options: ShoutingOptions) -> None:
        self._options = options

    def find(self, text: str) -> Sequence[Finding]:
        """A finding that spans the whole text, or none."""
        letters = sum(map(str.isalpha, text))
        if letters < self._options.letters or sum(map(str.isupper, text)) < self._options.share * letters:
            return ()
        return (Finding(0, len(text), "shouting"),)

    def hold(self, text: str) -> int:
        """Everything: it may all become part of a finding."""
        return len(text)


SHOUTING = GuardType(
    name="shouting",
    options=ShoutingOptions,
    make=lambda options, _: Shouting(options),
    summary="Finds texts that are mostly capitals.",
    reference="https://en.wikipedia.org/wiki/All_caps",
)
