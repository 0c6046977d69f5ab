"""The guard ``script``: letters of writing systems that are not allowed, and words that mix look-alike ones.

Scripts are those of the Unicode Standard (Annex 24); ``Common`` and ``Inherited`` (digits, punctuation, emoji, marks) are always
allowed. A word of several scripts that look alike is what Unicode Technical Standard 39 (5.1) calls a mixed-script confusable.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from typing import Annotated

import re2
from msgspec import Meta, Struct

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.detector import Finding

_ALIKE = ("Latin", "Cyrillic", "Greek", "Armenian", "Cherokee", "Coptic", "Lisu")
"""Scripts whose letters are taken for each other."""

_MOST = 1_000
"""Findings of one text: the first ones say enough, and a hostile text has a million."""


class ScriptOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What ``script`` may be told."""

    allowed: Annotated[list[Annotated[str, Meta(pattern="^[A-Za-z_]{2,40}$")]], Meta(max_length=200)] | None = None
    """Scripts by their Unicode names (``Latin``, ``Cyrillic``, ``Han``); None: all."""
    mixed: bool = True
    """Whether words of several scripts that look alike are found."""


def _classes(*scripts: str) -> str:
    return "".join(rf"\p{{{script}}}" for script in scripts)


class ScriptGuard:
    """Finds runs of letters."""

    __slots__ = ("_pattern",)

    longest: int | None = None
    before: int = 0

    def __init__(self, options: ScriptOptions, param: str) -> None:
        parts: list[str] = []
        if options.allowed is not None:
            parts.append(f"(?P<script_not_allowed>[^{_classes(*options.allowed, 'Common', 'Inherited')}]+)")
        if options.mixed:
            runs = [rf"\p{{{one}}}+[{_classes(*(other for other in _ALIKE if other != one))}][\pL\pM]*" for one in _ALIKE]
            parts.insert(0, f"(?P<mixed_scripts>{'|'.join(runs)})")
        try:
            self._pattern = re2.compile("|".join(parts))
        except re2.error:
            place = f"{param}.options.allowed"
            raise GatewayError(MALFORMED, f"{place}: not all of these are names of Unicode scripts", param=place) from None

    def find(self, text: str) -> Sequence[Finding]:
        """Runs of letters, from left to right, at most a thousand."""
        found: list[Finding] = []
        # A lone surrogate has no UTF-8 form, which RE2 reads; it counts as the one question mark that it is shown as.
        for match in self._pattern.finditer(text.encode(errors="replace").decode()):
            found.append(Finding(match.start(), match.end(), str(match.lastgroup)))
            if len(found) == _MOST:
                break
        return found

    def hold(self, text: str) -> int:
        """Everything."""
        return len(text)


def make_script(options: ScriptOptions, param: str) -> ScriptGuard:
    """The guard. Raises ``malformed`` for a script that Unicode does not know, or where there is nothing to look for."""
    if options.allowed is None and not options.mixed:
        raise GatewayError(MALFORMED, f"{param}.options: nothing to look for", param=f"{param}.options")
    return ScriptGuard(options, param)
