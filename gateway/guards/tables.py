"""A guard that is a table of forms: what it may be told, and its detector."""

from collections.abc import Callable
from functools import lru_cache

from msgspec import Struct

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.forms import Form, FormDetector

MAX_ALLOWED = 1_000
"""Texts that are let pass: each is a look-up of a finding, not of the text."""


class TableOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """Options of a guard that knows many kinds."""

    kinds: list[str] = []
    """Kinds to find; empty: all of them."""
    allow: list[str] = []
    """Texts that are nobody's secret, such as the address of your own support; in any case."""


def kinds_of(forms: tuple[Form, ...]) -> tuple[str, ...]:
    """Every kind of a table, in the order in which they are named first."""
    return tuple(dict.fromkeys([form.what for form in forms]))


def maker(forms: tuple[Form, ...]) -> Callable[[TableOptions, str], FormDetector]:
    """The ``make`` of a guard with this table. It raises ``malformed`` naming the option."""
    kinds = kinds_of(forms)

    @lru_cache(maxsize=64)
    def detector(wanted: frozenset[str], allowed: frozenset[str]) -> FormDetector:
        # Compiled once (it takes a tenth of a second for all): many versions share their choice.
        others = [form for form in forms if form.what not in wanted]
        return FormDetector([form for form in forms if form.what in wanted], allowed, others)

    def make(options: TableOptions, param: str) -> FormDetector:
        for i, kind in enumerate(options.kinds):
            if kind not in kinds:
                at = f"{param}.options.kinds[{i}]"
                raise GatewayError(MALFORMED, f"{at}: {kind[:40]!r} is no kind; there are {', '.join(kinds)}", param=at)
        if len(options.allow) > MAX_ALLOWED:
            at = f"{param}.options.allow"
            raise GatewayError(MALFORMED, f"{at} has {len(options.allow)} texts; at most {MAX_ALLOWED} are possible", param=at)
        return detector(frozenset(options.kinds or kinds), frozenset(map(str.casefold, options.allow)))

    return make
