"""A detector made of regular expressions: bounded work on any text, and exact about what a stream must hold back."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Sequence
from typing import cast

import re2
from msgspec import Struct

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.detector import Finding
from gateway.guards.matches import Match, Matches, Regex, by_characters
from gateway.guards.partial import Anatomy, anatomy

MAX_PATTERNS = 100
"""Per detector: all are one automaton, whose memory is bounded."""

MAX_LONGEST = 4_096
"""Characters that a pattern's longest match may have to be judged in a stream: what a reader may have to wait for."""

_UTF8 = 4
"""Bytes of the longest character."""

_MAX_MEM = 64 << 20
"""Bytes that RE2 may use for one automaton; 8 MiB, its default, is too little for a hundred patterns with counted repetitions."""


class Pattern(Struct, frozen=True):
    """One kind of thing to find."""

    what: str
    """The kind, as findings say it."""
    pattern: str
    """Python's syntax without what needs backtracking; see :func:`gateway.guards.partial.anatomy`."""
    ignore_case: bool = False


class RegexDetector:
    """Finds matches of patterns, from left to right; where several begin at one place, the pattern that was named first wins.

    Whether a match really is one (a checksum, an entropy) is not asked here: a refused match would have to be searched again from its
    second character, which is quadratic. Tables of forms do that, within bounds (:mod:`gateway.guards.forms`). ``param`` names the
    patterns in errors: ``param(i)`` for pattern ``i``. Raises ``malformed``.
    """

    __slots__ = ("_all", "_any", "_matches", "_partial", "_patterns", "before", "longest", "most", "probe")

    def __init__(self, patterns: Sequence[Pattern], param: Callable[[int], str]) -> None:
        if not 1 <= len(patterns) <= MAX_PATTERNS:
            raise GatewayError(
                MALFORMED, f"{param(0)}: 1 to {MAX_PATTERNS} patterns are possible, not {len(patterns)}", param=param(0)
            )
        parts = [_anatomy(pattern, param(i)) for i, pattern in enumerate(patterns)]
        bounds = [part.longest for part in parts if part.longest is not None]
        self._patterns = tuple(patterns)
        alone = [_compiled(part.full, param(i)) for i, part in enumerate(parts)]
        self._all = _compiled("|".join([f"({part.full})" for part in parts]), param(0)) if len(parts) > 1 else alone[0]
        bounded = len(bounds) == len(parts) and max(bounds) <= MAX_LONGEST
        self._any = possible([f"(?:{part.full})" for part in parts])
        beginnings = [f"{part.begun}\\z" for part in parts if part.begun is not None]
        self.probe = "|".join([f"(?:{part.full})" for part in parts] + beginnings)
        """As :attr:`Probed.probe <gateway.guards.detector.Probed.probe>`."""
        ends = f"(?:{'|'.join([part.partial for part in parts])})\\z"
        self._partial = _compiled(ends, param(0)) if bounded else None
        self.longest: int | None = max(bounds) if len(bounds) == len(parts) else None
        """As :attr:`Detector.longest <gateway.guards.detector.Detector.longest>`."""
        self.before = max(part.before for part in parts)
        """As :attr:`Detector.before <gateway.guards.detector.Detector.before>`."""
        size = None if self.longest is None else _UTF8 * self.longest
        self._matches = Matches(self._all, _optional(ends) if size is None else None, size, self._what)
        self.most: int | None = self._matches.most
        """As :attr:`Lazy.most <gateway.guards.detector.Lazy.most>`; None: that depends on the text, and no stream is judged."""

    def find(self, text: str) -> list[Finding]:
        """Every match."""
        return self.find_from(text, 0)

    def find_from(self, text: str, start: int) -> list[Finding]:
        """Every match that begins at ``start`` or later; what is left of it is only looked at."""
        data = text.encode()
        if self._any(data) is None:
            return []
        return by_characters(data, len(text), self._matches.find(data, _bytes(text, start), self.most))

    def find_until(self, text: str, start: int, border: int) -> list[Finding]:
        """As :meth:`Lazy.find_until <gateway.guards.detector.Lazy.find_until>`."""
        data = text.encode()
        if start >= border or self._any(data) is None:
            return []
        return by_characters(data, len(text), self._matches.until(data, _bytes(text, start), _bytes(text, border)))

    def _what(self, match: Match) -> str:
        return self._patterns[(match.lastindex or 1) - 1].what

    def matches(self, text: str) -> bool:
        """Whether there is any match."""
        return self._all.search(text.encode()) is not None

    def hold(self, text: str) -> int:
        """Characters at the end of a text that may be, or become, part of a match."""
        return self.hold_from(text, 0)

    def hold_from(self, text: str, start: int) -> int:
        """Characters at the end of a text that may be, or become, part of a match that begins at ``start`` or later."""
        if self._partial is None or self.longest is None:
            return len(text) - start
        size = len(text)
        cut = max(start, size - self.longest)
        begin = max(0, cut - self.before)  # what lies further left cannot matter
        data = text[begin:].encode()
        end = self._partial.search(data, len(text[begin:cut].encode()))
        assert end is not None  # the empty end always matches
        return len(data[end.span()[0] :].decode())


def _bytes(text: str, characters: int) -> int:
    """How many the beginning of a text has."""
    return characters if text.isascii() else len(text[:characters].encode())


def possible(patterns: Sequence[str]) -> Callable[[str | bytes], list[int] | None]:
    """Which of these patterns, by their places, match somewhere in a text; None: none does. The quickest question there is.

    Where they are too much for one automaton, any may match: then the answer is always all of them.
    """
    everything = list(range(len(patterns)))
    matcher = re2.Set.SearchSet(_options())
    try:
        # First of all one that must match here and now: an automaton without room for its states finds nothing, and says nothing.
        matcher.Add(r"\A\x00\z")
        for pattern in patterns:
            matcher.Add(pattern)
        matcher.Compile()
    except re2.error:
        return lambda _: everything
    if not matcher.Match("\0"):
        return lambda _: everything

    def match(text: str | bytes) -> list[int] | None:
        found = matcher.Match(text)
        return None if found is None else [i - 1 for i in found if i]

    return match


def _options() -> re2.Options:
    options = re2.Options()
    options.max_mem = _MAX_MEM
    options.log_errors = False
    return options


def _anatomy(pattern: Pattern, param: str) -> Anatomy:
    try:
        part = anatomy(pattern.pattern, ignore_case=pattern.ignore_case)
    except ValueError as error:
        raise GatewayError(MALFORMED, f"{param} {error}", param=param) from None
    if part.shortest == 0:
        raise GatewayError(MALFORMED, f"{param} matches the empty text, so it would be found everywhere", param=param)
    return part


def _optional(pattern: str) -> Regex | None:
    """None where it is too much for RE2."""
    try:
        return cast("Regex", re2.compile(pattern, _options()))
    except re2.error:
        return None


def _compiled(pattern: str, param: str) -> Regex:
    try:
        return cast("Regex", re2.compile(pattern, _options()))
    except re2.error as error:
        said = error.args[0].decode(errors="replace")
        raise GatewayError(MALFORMED, f"{param} is not possible in RE2: {said}", param=param) from None
