"""The verdict on a whole text: what streaming it would have ended with."""

from gateway.core.verdicts import ALLOW, Block, Verdict
from gateway.guards.fold import fold
from gateway.guards.required import RequiredSet
from gateway.guards.terms import TermSet

PROHIBITED = "prohibited_terms"
REQUIRED = "required_elements"

_SHOWN = 60
"""Characters of a configured term that a verdict repeats: enough to recognise it."""


def prohibited(term: str, choice: int | None) -> Block:
    """The verdict on a text that contains ``term``."""
    return Block(PROHIBITED, f"the text contains the prohibited term {term[:_SHOWN]!r}", choice)


def lacking(element: str, choice: int | None) -> Block:
    """The verdict on a text that ends without ``element``."""
    return Block(REQUIRED, f"the text lacks the required element {element[:_SHOWN]!r}", choice)


def judge(text: str, terms: TermSet | None, required: RequiredSet | None, choice: int | None = None) -> Verdict:
    """Judge a whole text: terms first, then required elements."""
    folded = fold(text)
    if terms is not None:
        found = terms.match(folded)
        hit = terms.first(found, folded, "") if found is not None else None
        if hit is not None:
            return prohibited(terms.terms[hit.term], choice)
    missing = required.missing(folded) if required is not None else None
    return lacking(missing, choice) if missing is not None else ALLOW
