"""The guard ``competitors``: names that an answer should not mention, however they are usually written.

A list of terms (:mod:`gateway.guards.terms`) with the spellings that an author would forget: the parts of a name with a blank, a
hyphen or nothing between them, and a name with the ``s`` of a plural or a genitive. ``Acme's`` needs none: its name ends at the
apostrophe.
"""

import re
from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct

from gateway.guards.detector import Detector
from gateway.guards.term_detector import TermDetector
from gateway.guards.terms import TermSet

_BETWEEN = re.compile(r"[\s\u2010-]+")


class Competitor(Struct, frozen=True, forbid_unknown_fields=True):
    """One of them, with its other names: brands, products, a ticker symbol."""

    name: str
    aliases: Annotated[list[str], Meta(max_length=100)] = []


class CompetitorsOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What ``competitors`` may be told."""

    competitors: Annotated[list[str | Competitor], Meta(min_length=1, max_length=2_000)]
    """Names, or names with aliases."""
    inflections: bool = True
    """Whether other spellings and forms with an ``s`` are found too."""


def spellings(name: str) -> list[str]:
    """A name as it is usually written, itself first."""
    parts = [part for part in _BETWEEN.split(name) if part]
    written = [name, *([joint.join(parts) for joint in (" ", "-", "\u2010", "")] if len(parts) > 1 else [])]
    return [*written, *[f"{one}s" for one in written if one[-1:].isalpha() and one[-1:] not in "sS"]]


def make_competitors(options: CompetitorsOptions, param: str) -> Detector:
    """The guard. Raises ``malformed`` for a name that is blank or too long."""
    place = f"{param}.options.competitors"
    names = [name for one in options.competitors for name in _names(one)]
    TermSet(names, place)  # so that an error counts names as their author does
    terms = _unlike([spelling for name in names for spelling in spellings(name)] if options.inflections else names)
    return TermDetector(TermSet(terms, place), "competitor")


def _names(one: str | Competitor) -> list[str]:
    return [one] if isinstance(one, str) else [one.name, *one.aliases]


def _unlike(terms: Iterable[str]) -> list[str]:
    return list({term.casefold(): term for term in terms}.values())
