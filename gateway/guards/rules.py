"""A validator, ready to judge: its detector, and what happens with what that finds."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from gateway.core.documents import OnFail, Validator
from gateway.core.verdicts import Block, Mode, Note, Stage
from gateway.guards.detector import Detector

REWRITING: frozenset[OnFail] = frozenset(("mask", "redact", "replace"))
"""Actions that put something in the place of what was found."""
BLOCKING: frozenset[OnFail] = frozenset(("block", "reask", "fallback"))
"""Actions that end the answer, or the way to it."""


PROHIBITED = "prohibited_terms"
REQUIRED = "required_elements"
KINDS = {PROHIBITED: "prohibited_term", REQUIRED: "required_element"}
"""The guards that have a list of their own in the configuration, and what they find."""


SERVICE_MS = 2_000
"""A service in the same network answers in tens of milliseconds; after two seconds it is in trouble."""


class Remote(Struct, frozen=True):
    """What a guard type makes whose judge is not in this process: the base of its own description of whom to ask, and how."""

    @property
    def patience_ms(self) -> int:
        """How long one question may take where the validator does not say."""
        return SERVICE_MS

    @property
    def rewrites(self) -> bool:
        """Whether its answer may put other texts in the place of those that go in."""
        return False

    @property
    def places(self) -> bool:
        """Whether it can say where it found something, so that what stands there can be written over."""
        return False

    @property
    def first(self) -> bool:
        """Whether, going in, it is asked before the provider is, and not beside it."""
        return self.rewrites

    @property
    def judges_calls(self) -> bool:
        """Whether it can judge tool calls: their names and arguments."""
        return True

    @property
    def meters(self) -> bool:
        """Whether, coming out, it can judge a stream that is still coming."""
        return False


class RemoteRule(Struct, frozen=True):
    """A validator that somebody else judges."""

    guard: str
    validator: Validator
    remote: Remote

    @property
    def seconds(self) -> float:
        """How long one question may take."""
        return (self.validator.timeout_ms or self.remote.patience_ms) / 1000

    @property
    def calls(self) -> bool:
        """Whether it judges tool calls, and tool definitions, instead of texts."""
        return self.validator.stage == "tools"

    @property
    def rewrites(self) -> bool:
        """Whether what goes in may be another text after its answer."""
        return (self.remote.rewrites or self.masks) and self.validator.mode == "enforce"

    @property
    def masks(self) -> bool:
        """Whether what it finds is written over."""
        return self.validator.on_fail in REWRITING

    def block(self, detail: str) -> Block:
        """The verdict that its answer comes to."""
        validator = self.validator
        return Block(self.guard, detail, None, validator.on_fail, validator.message, validator.fallback)

    def written(self, what: str) -> str:
        """What stands in the place of something of a kind; ``mask`` is the affair of whoever keeps the values."""
        return self.validator.replacement if self.validator.on_fail == "replace" else f"[{what.upper()}]"

    @property
    def first(self) -> bool:
        """Whether, going in, it is asked before the provider is, and not beside it."""
        return self.rewrites or (self.remote.first and self.validator.mode == "enforce")


class Rule(Struct, frozen=True):
    """A validator that is judged here."""

    guard: str
    """What errors, headers and rows call it."""
    detector: Detector
    action: OnFail = "block"
    mode: Mode = "enforce"
    replacement: str = ""
    message: str = ""
    fallback: str = ""
    says: Callable[[str], str] | None = None
    """Public text on something that was found; None: its kind is all there is to say."""
    restores: Mapping[str, str] | None = None
    """What stands for what, where a finding is a placeholder to be turned into its value: nobody's finding to be written down."""

    @property
    def blocks(self) -> bool:
        """Whether a finding ends the answer."""
        return self.mode == "enforce" and self.action in BLOCKING

    @property
    def rewrites(self) -> bool:
        """Whether a finding is replaced."""
        return self.mode == "enforce" and self.action in REWRITING

    @property
    def watches(self) -> bool:
        """Whether a finding is only written down."""
        return not self.blocks and not self.rewrites and self.restores is None

    def block(self, text: str, what: str, choice: int | None = None) -> Block:
        """The verdict where this text, of this kind, was found."""
        detail = f"found {what}" if self.says is None else self.says(text)
        return Block(self.guard, detail, choice, self.action, self.message, self.fallback)

    def written(self, text: str, what: str) -> str:
        """What stands in the place of a found text of a kind; ``mask`` is the affair of whoever keeps the values."""
        if self.restores is not None:
            return self.restores[text]
        return self.replacement if self.action == "replace" else f"[{what.upper()}]"


class Tally:
    """The notes of one call at one stage: one per guard that found something, in the list that was given."""

    __slots__ = ("_notes", "_open", "_stage")

    def __init__(self, stage: Stage, notes: list[Note]) -> None:
        self._stage: Stage = stage
        self._notes = notes
        self._open: dict[tuple[str, OnFail, Mode], Note] = {}

    def add(self, rule: Rule, what: str, times: int = 1) -> None:
        """A rule has found something."""
        if rule.restores is not None:
            return
        self.count(rule.guard, rule.action, rule.mode, what, times)

    def block(self, verdict: Block) -> None:
        """One of the guards that have a list of their own in the configuration has blocked."""
        self.count(verdict.guard, "block", "enforce", KINDS[verdict.guard])

    def count(self, guard: str, action: OnFail, mode: Mode, what: str, times: int = 1) -> None:
        """A guard has found something."""
        key = (guard, action, mode)
        note = self._open.get(key)
        if note is None:
            note = self._open[key] = Note(self._stage, guard, action, mode, {})
            self._notes.append(note)
        note.kinds[what] = note.kinds.get(what, 0) + times
