"""The guard ``pii``: what it may be told, and its detector."""

from functools import lru_cache

from msgspec import Struct

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.pii.detector import PiiDetector
from gateway.guards.pii.kinds import FORMS, KINDS

MAX_ALLOWED = 1_000
"""Texts that are let pass: each is a look-up of a finding, not of the text."""


class PiiOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """Options of ``pii``."""

    kinds: list[str] = []
    """Kinds to find; empty: all of them."""
    allow: list[str] = []
    """Texts that are nobody's secret, such as the address of your own support; in any case."""


def make(options: PiiOptions, param: str) -> PiiDetector:
    """The detector of some kinds. Raises ``malformed`` naming the option."""
    for i, kind in enumerate(options.kinds):
        if kind not in KINDS:
            at = f"{param}.options.kinds[{i}]"
            raise GatewayError(MALFORMED, f"{at}: {kind[:40]!r} is no kind; there are {', '.join(KINDS)}", param=at)
    if len(options.allow) > MAX_ALLOWED:
        at = f"{param}.options.allow"
        raise GatewayError(MALFORMED, f"{at} has {len(options.allow)} texts; at most {MAX_ALLOWED} are possible", param=at)
    return _detector(frozenset(options.kinds or KINDS), frozenset(map(str.casefold, options.allow)))


@lru_cache(maxsize=64)
def _detector(kinds: frozenset[str], allowed: frozenset[str]) -> PiiDetector:
    # Compiled once (it takes a twentieth of a second for all): many versions share their choice.
    return PiiDetector(tuple(form for form in FORMS if form.what in kinds), allowed)
