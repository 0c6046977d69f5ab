"""Finds things by tables of forms: one automaton says which forms may be in a text, each of those is then located and checked.

For tables that ship with the gateway. They differ from :mod:`gateway.guards.patterns`, which takes anybody's patterns, in what they may
ask: what stands beside a match, and which word announces it. Locating is done by Python's ``re``, so a pattern of such a table must be
bounded and must not be ambiguous; RE2 answers the common case of a text that has nothing, in 4 us per KB for fifty forms.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import re
from collections.abc import Callable, Iterator, Sequence

import re2
from msgspec import Struct

from gateway.guards.detector import Finding
from gateway.guards.partial import anatomy

_MAX_MEM = 64 << 20
"""Bytes that RE2 may use for one automaton: 8 MiB, its default, is too little for fifty patterns with counted repetitions."""

_COUNTED = 24
"""Repetitions up to which RE2 counts: each is a state, and a text may be in many of them at once."""

_LONG = re.compile(r"\{([0-9]+),([0-9]+)\}")

NOTHING = r"[^\s\S]"
"""For :attr:`Form.left` and :attr:`Form.right`: anything may stand there."""

REACH = 64
"""Characters left of a match that an announcement may span, with the character left of itself."""


WINDOW = 1 << 15
"""Characters that are searched at once: a millisecond, in which no other thread of Python gets its turn."""


class Form(Struct, frozen=True):
    """One way in which a kind of thing is written."""

    what: str
    """The kind, as options and findings name it."""
    pattern: str
    """Its form, in what RE2 and Python both understand, bounded in length; ``\\w`` and ``\\b`` are those of ASCII."""
    accept: Callable[[str], bool] = bool
    """Whether a text of the form is one: a checksum, ranges, a calendar."""
    after: str = ""
    """A pattern of what must stand directly before it, and is no part of it; see :func:`announced`."""
    around: str = ""
    """A rare character that stands in every match, at most 64 from its beginning: it is looked for first, which is faster."""
    left: str = r"[\w.-]"
    """What may not stand directly before it: one character."""
    right: str = r"\w|[.-][0-9]"
    """What may not follow it: two characters at most."""
    yields: bool = False
    """Whether it is none where a word announces the same text as something else, be its check right or wrong: a number that is called a
    patient's is no telephone's, even with a digit mistyped."""


def either(words: str) -> str:
    """A pattern of one of several words, separated by ``|``, in any case.

    They are grouped by their first letter, for Python tries all of them at every place: a third of the time of plain alternatives.
    """
    groups: dict[str, list[str]] = {}
    for word in words.split("|"):
        groups.setdefault(word[0], []).append(word[1:])
    return f"(?:{'|'.join([f'[{first}{first.upper()}](?i:{chr(124).join(rest)})' for first, rest in groups.items()])})"


def announced(words: str) -> str:
    """For :attr:`Form.after`: one of these words, in any case, and at most 24 characters on the same line that are no digits.

    Half a sentence may stand between ("my number, as I said, is").
    """
    return rf"\b{either(words)}\b[^0-9\n]{{0,24}}?"


class FormDetector:
    """Finds forms. Where two overlap, what begins first wins, then what is longer, then what is named first.

    ``allowed`` are texts, case-folded, that are never found. ``others`` are forms that are not looked for, and to which those that
    yield give way.
    """

    __slots__ = ("_allowed", "_claims", "_forms", "_match", "_partial", "_reach", "_search", "_size", "before", "longest")

    def __init__(self, forms: Sequence[Form], allowed: frozenset[str] = frozenset(), others: Sequence[Form] = ()) -> None:
        # Two more characters, whatever they are: what must be seen right of a form.
        parts = [anatomy(f"(?:{_relaxed(form.pattern)})(?s:..)") for form in forms]
        options = re2.Options()
        options.max_mem = _MAX_MEM
        options.log_errors = False
        yielding = {form.what for form in forms if form.yields}
        everything = (*forms, *[form for form in others if yielding and form.after])
        self._size = len(forms)
        self._claims = frozenset([i for i, form in enumerate(everything) if form.after and form.what not in yielding])
        matcher = re2.Set.SearchSet(options)
        for form in everything:
            matcher.Add(anatomy(_relaxed(f"{form.after}(?:{form.pattern})")).full)
        matcher.Compile()
        self._match = matcher.Match
        self._forms = everything
        self._allowed = allowed
        self._search = [
            re.compile(f"{form.after}(?<!{form.left})({form.pattern})(?!{form.right})", re.ASCII).search for form in everything
        ]
        self._partial = re2.compile(f"(?:{'|'.join([part.partial for part in parts])})\\z", options)
        self._reach = 2 + max(anatomy(form.pattern).longest or 0 for form in everything)
        self.longest: int | None = 2 + max(anatomy(form.pattern).longest or 0 for form in forms)
        """Characters of the longest form, and two that must be seen right of it."""
        self.before = REACH if any(form.after for form in everything) else 1
        """A digit or a letter directly before makes a number part of something else; words announce it."""

    def find(self, text: str) -> list[Finding]:
        """Every finding."""
        return self.find_from(text, 0)

    def find_from(self, text: str, start: int) -> list[Finding]:
        """Every finding that begins at ``start`` or later."""
        try:
            possible = self._match(text)
        except UnicodeEncodeError:
            return self.find_from(encodable(text), start)
        if not possible:
            return []
        found = self._all(sorted(possible), text, start)
        found.sort(key=_order)
        out: list[Finding] = []
        end = start
        for finding in found:
            if finding.start >= end:
                out.append(finding)
                end = finding.end
        return out

    def _all(self, possible: Sequence[int], text: str, start: int) -> list[Finding]:
        """What these forms find, overlaps and all."""
        found: list[tuple[Finding, bool]] = []
        claimed: set[tuple[int, int]] = set()
        for i in possible:
            form, claims = self._forms[i], i in self._claims
            for match in self._matches(i, text, start):
                begin, end = match.span(1)
                if begin < start:
                    continue
                if claims:
                    claimed.add((begin, end))
                itself = match[1]
                if i < self._size and form.accept(itself) and itself.casefold() not in self._allowed:
                    found.append((Finding(begin, end, form.what), form.yields))
        return [one for one, yields in found if not (yields and (one.start, one.end) in claimed)]

    def _matches(self, i: int, text: str, start: int) -> Iterator[re.Match[str]]:
        """One match for each place where there is one."""
        search, form = self._search[i], self._forms[i]
        if not form.around:
            start = max(0, start - REACH) if form.after else start
            while (match := self._next(search, text, start)) is not None:
                yield match
                start = match.start() + 1
            return
        assert self.longest is not None
        place = text.find(form.around, start)
        while place >= 0:
            start = max(start, place - REACH)
            while (match := search(text, start, place + self.longest)) is not None and match.start() <= place:
                yield match
                start = match.start() + 1
            place = text.find(form.around, max(place + 1, start))

    def _next(self, search: Callable[[str, int, int], re.Match[str] | None], text: str, start: int) -> re.Match[str] | None:
        """The first match that begins at ``start`` or later, looked for in windows that see all of what begins in them."""
        beyond = REACH + self._reach
        while True:
            border = start + WINDOW
            match = search(text, start, border + beyond)
            if match is not None and match.start() < border:
                return match
            if border >= len(text):
                return None
            start = border

    def hold(self, text: str) -> int:
        """Characters at the end of a text that may be, or become, part of a finding."""
        return self.hold_from(text, 0)

    def hold_from(self, text: str, start: int) -> int:
        """Characters at the end of a text that may be, or become, part of a finding that begins at ``start`` or later."""
        assert self.longest is not None
        cut = max(start, len(text) - self.longest)
        if cut > 1:
            text, cut = text[cut - 1 :], 1
        try:
            match = self._partial.search(text, cut)
        except UnicodeEncodeError:
            match = self._partial.search(encodable(text), cut)
        assert match is not None  # the empty end always matches
        return len(text) - match.start()


def encodable(text: str) -> str:
    """The text with question marks in the place of lone surrogates, which JSON can write and UTF-8, that RE2 reads, can not."""
    return text.encode("utf-8", "replace").decode()


def _relaxed(pattern: str) -> str:
    """The pattern without bounds of long repetitions: it matches more, with an automaton that is small.

    RE2 only has to say that there may be something, and what may become something; Python's ``re`` holds the bounds.
    """
    return _LONG.sub(lambda count: f"{{{min(int(count[1]), _COUNTED)},}}" if int(count[2]) > _COUNTED else count[0], pattern)


def _order(finding: Finding) -> tuple[int, int]:
    return finding.start, -finding.end
