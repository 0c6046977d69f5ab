"""The guard types of lists that an author writes: ``regex``, ``terms``, ``competitors`` and ``required``."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.catalogue import GuardType
from gateway.guards.competitors import CompetitorsOptions, make_competitors
from gateway.guards.detector import Detector, Finding
from gateway.guards.patterns import MAX_PATTERNS, Pattern, RegexDetector
from gateway.guards.required import RequiredDetector, RequiredSet
from gateway.guards.term_detector import TermDetector
from gateway.guards.terms import TermSet

Name = Annotated[str, Meta(pattern="^[A-Za-z0-9_][A-Za-z0-9_ -]{0,39}$")]
"""The kind of what is found, as headers, rows and ``[KIND]`` say it."""


class RegexOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """Options of ``regex``."""

    pattern: str = ""
    """One pattern; or several in :attr:`patterns`."""
    patterns: Annotated[list[str], Meta(max_length=MAX_PATTERNS)] = []
    ignore_case: bool = False
    name: Name = "match"
    negate: bool = False
    """The text must match: what is found is a text that no pattern matches."""


class TermsOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """Options of ``terms``."""

    terms: Annotated[list[str], Meta(min_length=1)]
    whole_words: bool = True
    """Whether a term that begins or ends with a character of a word must do so at the word's edge."""
    name: Name = "term"


class RequiredOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """Options of ``required``."""

    elements: Annotated[list[str], Meta(min_length=1)]
    name: Name = "missing"


class NoMatch:
    """A ``Detector`` of texts that no pattern matches: its one finding is the text as a whole. Going in, any message may match."""

    __slots__ = ("_patterns", "_what", "before", "longest")

    def __init__(self, patterns: RegexDetector, what: str) -> None:
        self._patterns = patterns
        self._what = what
        self.longest: int | None = None
        self.before = 0

    def find(self, text: str) -> list[Finding]:
        """The whole text, if nothing in it matches."""
        return [] if self._patterns.matches(text) else [Finding(0, len(text), self._what)]

    def hold(self, text: str) -> int:
        """Everything: only the end can tell."""
        return len(text)

    def missed(self, texts: Sequence[str]) -> str | None:
        """As :meth:`Joint.missed <gateway.guards.detector.Joint.missed>`."""
        return None if any(self._patterns.matches(text) for text in texts) else self._what


def _regex(options: RegexOptions, param: str) -> Detector:
    patterns = [options.pattern] if options.pattern else options.patterns
    if bool(options.pattern) == bool(options.patterns):
        raise GatewayError(
            MALFORMED, f"{param}.options.pattern: either pattern or patterns is required", param=f"{param}.options.pattern"
        )
    where = f"{param}.options.pattern"
    made = RegexDetector(
        [Pattern(options.name, pattern, options.ignore_case) for pattern in patterns],
        lambda i: where if options.pattern else f"{where}s[{i}]",
    )
    return NoMatch(made, options.name) if options.negate else made


def _terms(options: TermsOptions, param: str) -> Detector:
    return TermDetector(TermSet(options.terms, f"{param}.options.terms", whole_words=options.whole_words), options.name)


def _required(options: RequiredOptions, param: str) -> Detector:
    return RequiredDetector(RequiredSet(options.elements, f"{param}.options.elements"), options.name)


REGEX = GuardType(
    "regex",
    RegexOptions,
    _regex,
    "Finds what regular expressions match, or with negate texts that none of them matches.",
    "RE2, https://github.com/google/re2/wiki/Syntax",
)
TERMS = GuardType(
    "terms",
    TermsOptions,
    _terms,
    "Finds the terms of a list (competitors, code names), in any case and at word edges.",
    "Unicode case folding, https://www.unicode.org/reports/tr44/#CaseFolding.txt",
    rank=0,
)
COMPETITORS = GuardType(
    "competitors",
    CompetitorsOptions,
    make_competitors,
    "Finds the names of competitors, with their aliases and usual spellings.",
    "Unicode case folding, https://www.unicode.org/reports/tr44/#CaseFolding.txt",
    rank=0,
)
REQUIRED = GuardType(
    "required",
    RequiredOptions,
    _required,
    "Finds texts that lack one of the elements of a list; going in, any of the messages may have it.",
    "Unicode case folding, https://www.unicode.org/reports/tr44/#CaseFolding.txt",
    rank=0,
)
