"""The verdict on a whole text: what streaming it would have ended with."""

from gateway.core.verdicts import ALLOW, Block, OutputVerdict
from gateway.guards.fold import fold
from gateway.guards.required import RequiredDetector, RequiredSet
from gateway.guards.rules import KINDS, PROHIBITED, REQUIRED, Rule
from gateway.guards.term_detector import TermDetector
from gateway.guards.terms import TermSet

_SHOWN = 60
"""Characters of a configured term that a verdict repeats: enough to recognise it."""


def prohibited(term: str, choice: int | None) -> Block:
    """The verdict on a text that contains ``term``."""
    return Block(PROHIBITED, f"the text contains the prohibited term {term[:_SHOWN]!r}", choice)


def lacking(element: str, choice: int | None) -> Block:
    """The verdict on a text that ends without ``element``."""
    return Block(REQUIRED, f"the text lacks the required element {element[:_SHOWN]!r}", choice)


def judge(text: str, terms: TermSet | None, required: RequiredSet | None, choice: int | None = None) -> OutputVerdict:
    """Judge a whole text: terms first, then required elements."""
    if terms is not None:
        found = terms.match(text if text.isascii() else fold(text))
        hit = terms.first(found, fold(text), "") if found else None
        if hit is not None:
            return prohibited(terms.terms[hit.term], choice)
    missing = required.missing(fold(text)) if required is not None else None
    return lacking(missing, choice) if missing is not None else ALLOW


def prohibited_rule(terms: TermSet) -> Rule:
    """A list of prohibited terms as a rule beside others, with the same verdicts."""
    detector = TermDetector(terms, KINDS[PROHIBITED])
    return Rule(PROHIBITED, detector, says=lambda text: prohibited(detector.term(text), None).detail)


def required_rule(required: RequiredSet) -> Rule:
    """A list of required elements as a rule beside others, with the same verdicts; what it says depends on what is missing."""
    detector = RequiredDetector(required, KINDS[REQUIRED])
    return Rule(REQUIRED, detector, says=lambda text: lacking(required.missing(fold(text)) or "", None).detail)
