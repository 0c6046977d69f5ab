"""Patterns compiled to an automaton per family, so that reading a text costs the same whatever their number.

One automaton for all would have the product of their states: made as texts need them, these cost 9 ms per new KB, and those of the
families together 5. Read again they cost 5 us per KB and family.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Iterable

import re2

from gateway.guards.injection.patterns import Pattern
from gateway.guards.normal import plain_pattern

_MAX_MEM = 32 << 20
"""Bytes that an automaton may use: its states are made as texts need them, and thrown away when the memory is used up."""


class PatternSet:
    """Patterns of one family, searched together. ``squeezed``: in texts without anything between words."""

    __slots__ = ("_match", "patterns")

    def __init__(self, patterns: Iterable[Pattern], *, squeezed: bool = False) -> None:
        # A pattern with a gap for any word would match nearly everything where words have no end.
        self.patterns = tuple(p for p in patterns if not squeezed or r"\w" not in p.source)
        options = re2.Options()
        options.max_mem = _MAX_MEM
        options.log_errors = False
        found = re2.Set.SearchSet(options)
        for pattern in self.patterns:
            source = plain_pattern(pattern.source)
            found.Add(source.replace(" ", "(?:)") if squeezed else source)
        found.Compile()
        self._match = found.Match

    def match(self, text: str) -> list[Pattern]:
        """Those that occur in a text, each once."""
        return [self.patterns[i] for i in self._match(text) or ()]
