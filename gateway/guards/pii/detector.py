"""Finds personal data: one automaton says which forms may be in a text, each of those is then located and checked.

Measured on 2,000 characters: see docs/guard-catalogue.md.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import re
from collections.abc import Iterator

import re2

from gateway.guards.detector import Finding
from gateway.guards.partial import anatomy
from gateway.guards.pii.kinds import Form

_MAX_MEM = 64 << 20
"""Bytes that RE2 may use for one automaton: 8 MiB, its default, is too little for fifty patterns with counted repetitions."""

_SEEN_RIGHT = "(?:[.:-]?[0-9A-Za-z_-])"
"""What a form may have to see right of itself, in the widest reading of :attr:`Form.right`."""


class PiiDetector:
    """Finds the given forms. Where two overlap, what begins first wins, then what is longer, then what is named first.

    ``allowed`` are texts, case-folded, that are never found.
    """

    __slots__ = ("_allowed", "_forms", "_match", "_partial", "longest")

    before = 1
    """A digit or a letter directly before makes a number part of something else."""

    def __init__(self, forms: tuple[Form, ...], allowed: frozenset[str] = frozenset()) -> None:
        self._allowed = allowed
        parts = [anatomy(form.pattern + _SEEN_RIGHT) for form in forms]
        options = re2.Options()
        options.max_mem = _MAX_MEM
        options.log_errors = False
        matcher = re2.Set.SearchSet(options)
        for form in forms:
            matcher.Add(anatomy(form.pattern).full)
        matcher.Compile()
        self._match = matcher.Match
        self._forms = [(form, re.compile(f"(?<!{form.left})(?:{form.pattern})(?!{form.right})", re.ASCII)) for form in forms]
        self._partial = re2.compile(f"(?:{'|'.join([part.partial for part in parts])})\\z", options)
        self.longest: int | None = max(part.longest or 0 for part in parts)
        """Characters of the longest form, and two that must be seen right of it."""

    def find(self, text: str, start: int = 0) -> list[Finding]:
        """Every finding that begins at ``start`` or later."""
        possible = self._match(text)
        if not possible:
            return []
        found = [finding for i in sorted(possible) for finding in self._located(i, text, start)]
        found.sort(key=_order)
        out: list[Finding] = []
        end = start
        for finding in found:
            if finding.start >= end:
                out.append(finding)
                end = finding.end
        return out

    def _located(self, i: int, text: str, start: int) -> Iterator[Finding]:
        form, pattern = self._forms[i]
        while (match := pattern.search(text, start)) is not None:
            itself = match[match.lastindex or 0]
            if form.accept(itself) and itself.casefold() not in self._allowed:
                yield Finding(*match.span(), form.what)
            start = match.start() + 1

    def hold(self, text: str, start: int = 0) -> int:
        """Characters at the end of a text that may be, or become, part of a finding that begins at ``start`` or later."""
        assert self.longest is not None
        cut = max(start, len(text) - self.longest)
        if cut > 1:
            text, cut = text[cut - 1 :], 1
        match = self._partial.search(text, cut)
        assert match is not None
        return len(text) - match.start()


def _order(finding: Finding) -> tuple[int, int]:
    return finding.start, -finding.end
