"""The hold-back window: judging an answer while it streams, without buffering it.

Text is released as soon as nothing in it can become a prohibited term any more; only the longest end that could is held.
So a term is never shown, not even its first letter, and a text without one is delayed by a word at most. The verdict depends
on the text alone, never on how it was cut into events.
"""

from gateway.core.verdicts import ALLOW, OutputVerdict
from gateway.guards.fold import fold, origins
from gateway.guards.judge import lacking, prohibited
from gateway.guards.required import RequiredSet, RequiredTrack
from gateway.guards.tails import Tails
from gateway.guards.terms import TermSet


class ChoiceScan:
    """One choice of an answer on its way."""

    __slots__ = ("_before", "_choice", "_held", "_received", "_tails", "_terms", "_track", "_verdict", "released")

    def __init__(self, choice: int, terms: TermSet | None, tails: Tails | None, required: RequiredSet | None) -> None:
        self._choice = choice
        self._terms = terms
        self._tails = tails
        self._track = RequiredTrack(required) if required is not None else None
        self._held = ""
        self._before = ""
        self._received = 0
        self._verdict: OutputVerdict = ALLOW
        self.released = 0
        """Characters of this choice that may be shown, counted from its beginning."""

    def feed(self, text: str) -> OutputVerdict:
        """More text. After a block nothing is released any more."""
        if self._verdict is not ALLOW:
            return self._verdict
        self._received += len(text)
        if self._track is not None:
            self._track.feed(fold(text))
        if self._terms is None or self._tails is None:
            self.released = self._received
            return ALLOW
        if self._held:
            text = self._held + text
        folded = fold(text)
        found = self._terms.match(folded)
        if found:
            hit = self._terms.first(found, folded, self._before)
            if hit is not None and hit.decided <= len(folded):
                self._verdict = prohibited(self._terms.terms[hit.term], self._choice)
                return self._verdict
        length = self._tails.hold(folded, self._before)
        if length:
            self._hold(text, folded, length)
        elif folded:
            self._before = folded[-1]
            self._held = ""
            self.released = self._received
        return ALLOW

    def _hold(self, text: str, folded: str, length: int) -> None:
        free = free_folded = len(folded) - length
        where = origins(text, folded)
        if where is not None:
            # A character whose folding is cut by the border is held whole.
            free = where[free_folded]
            free_folded = where.index(free)
        if free_folded:
            self._before = folded[free_folded - 1]
        self._held = text[free:]
        self.released = self._received - len(self._held)

    def finish(self) -> OutputVerdict:
        """The choice has ended: judge what was held and what was required. Asking again gives the same verdict."""
        if self._verdict is not ALLOW:
            return self._verdict
        if self._terms is not None and self._held:
            folded = fold(self._held)
            hit = self._terms.first(self._terms.match(folded), folded, self._before)
            if hit is not None:
                self._verdict = prohibited(self._terms.terms[hit.term], self._choice)
                return self._verdict
        missing = self._track.missing() if self._track is not None else None
        if missing is not None:
            self._verdict = lacking(missing, self._choice)
            return self._verdict
        self.released = self._received
        self._held = ""
        return ALLOW


class OutputScan:
    """The judge of one answer while it streams. One call per batch of events keeps it cheap.

    The caller keeps its raw events in order and sends one as soon as :meth:`released` has reached the characters that it and
    the events before it carry of each choice. Choices nobody fed are not judged: an answer of tool calls alone has no text.
    """

    __slots__ = ("_choices", "_required", "_tails", "_terms")

    def __init__(self, terms: TermSet | None, tails: Tails | None, required: RequiredSet | None) -> None:
        self._terms = terms
        self._tails = tails
        self._required = required
        self._choices: dict[int, ChoiceScan] = {}

    def _scan(self, choice: int) -> ChoiceScan:
        scan = self._choices.get(choice)
        if scan is None:
            scan = self._choices[choice] = ChoiceScan(choice, self._terms, self._tails, self._required)
        return scan

    def feed(self, choice: int, text: str) -> OutputVerdict:
        """More text of a choice. ``Block`` ends the answer: send nothing that is not released."""
        return self._scan(choice).feed(text)

    def released(self, choice: int) -> int:
        """How many characters of a choice's text may be shown, from its beginning."""
        scan = self._choices.get(choice)
        return 0 if scan is None else scan.released

    def finish(self, choice: int) -> OutputVerdict:
        """A choice has ended (its finish reason has come): release what is held, or block."""
        return self._scan(choice).finish()

    def end(self) -> OutputVerdict:
        """The answer has ended: finish every choice that had text, in order of index."""
        for choice in sorted(self._choices):
            verdict = self._choices[choice].finish()
            if verdict is not ALLOW:
                return verdict
        return ALLOW
