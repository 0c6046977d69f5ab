"""What finds things in a text: the interface of every guard of the catalogue, ours and plug-ins'.

A detector is pure and told everything at its making. It finds *where* something stands; what happens then (block, mask, ...) is the
affair of the validator that names it.
"""

from collections.abc import Sequence
from typing import Protocol, cast, runtime_checkable

from msgspec import Struct


class Finding(Struct, frozen=True, gc=False):
    """Something found in a text, by characters of it. A finding about a text as a whole spans all of it, even an empty one."""

    start: int
    end: int
    """Exclusive."""
    what: str
    """The kind of thing, in words of the configuration or the detector (``credit_card``, ``too_long``); never judged text."""


class Detector(Protocol):
    """Finds things in a text.

    Law, held by a property test for every detector whose :attr:`longest` is not None: for any cut of a text into a left part and a
    rest, findings of the whole text that begin before ``len(left) - hold(left)`` are found in ``left`` at the same place, and no
    other begins there. That is what makes a verdict independent of how a stream was cut.
    """

    @property
    def longest(self) -> int | None:
        """The most characters that a finding and what must be seen right of it can span: the bound of what a stream holds back.

        None: only the whole text can be judged (its end, its shape), so a stream that has such a guard is held back to its end.
        """
        ...

    @property
    def before(self) -> int:
        """How many characters left of a finding it looks at: 0, 1 for a word edge, more where a word announces it."""
        ...

    def find(self, text: str) -> Sequence[Finding]:
        """Everything in it, from left to right, not overlapping. Linear in the length of the text."""
        ...

    def hold(self, text: str) -> int:
        """How many characters at the end of a text may be, or yet become, part of a finding; at most ``longest``.

        As exact as is cheap: text that is held back reaches the caller later. Asked for only where ``longest`` is not None.
        """
        ...


@runtime_checkable
class Contextual(Detector, Protocol):
    """A detector that looks at what is left of a finding (:attr:`before` is not 0), and can be told where to begin.

    A detector that looks left and does not have these methods may find, in a stream, what is none: it is shown the last character
    before the text as if it were part of it.
    """

    def find_from(self, text: str, start: int) -> Sequence[Finding]:
        """As :meth:`Detector.find`, for findings that begin at ``start`` or later: what is left of it is only looked at."""
        ...

    def hold_from(self, text: str, start: int) -> int:
        """As :meth:`Detector.hold`, for findings that begin at ``start`` or later."""
        ...


@runtime_checkable
class Lazy(Contextual, Protocol):
    """A detector that need not look for what nobody asks yet, and that gives up a text in which it finds too much."""

    @property
    def most(self) -> int | None:
        """How many findings one text may have; behind them its rest is one. None: it is not asked about streams."""
        ...

    def find_until(self, text: str, start: int, border: int) -> Sequence[Finding]:
        """As :meth:`Contextual.find_from`, for findings that begin left of ``border``. Whoever asks counts them."""
        ...


@runtime_checkable
class Probed(Detector, Protocol):
    """A detector that a stream asks only where it may have something to say, together with all others of its kind."""

    @property
    def probe(self) -> str:
        """An RE2 pattern that matches in every text in which something is found, or of which something is held back."""
        ...


@runtime_checkable
class Joint(Detector, Protocol):
    """A detector whose question, going in, is about all messages together: what it wants may stand in any of them."""

    def missed(self, texts: Sequence[str]) -> str | None:
        """The kind of what none of the texts has; None: nothing is missed."""
        ...


class Count(Protocol):
    """One text on its way past a :class:`Counting` detector."""

    def feed(self, text: str) -> tuple[int, str] | None:
        """More of the text: where in it the first character stands that is too much, and the kind; None: all is well yet.

        Whatever the pieces are, it says the same of the text. Not asked again after that.
        """
        ...


@runtime_checkable
class Counting(Detector, Protocol):
    """A detector that counts from the beginning of a text. A stream is ended at the first character that is too much; none waits."""

    def counter(self) -> Count:
        """For one text."""
        ...

    @property
    def rest(self) -> Detector | None:
        """What only the end of a text can tell; None: nothing."""
        ...


# On the path of every call, so by the method: ``isinstance`` of a protocol takes twenty microseconds.
def contextual(detector: Detector) -> Contextual | None:
    """The detector, if it is a :class:`Contextual` one."""
    return cast("Contextual", detector) if hasattr(detector, "find_from") else None


def lazy(detector: Detector) -> Lazy | None:
    """The detector, if it is a :class:`Lazy` one."""
    return cast("Lazy", detector) if hasattr(detector, "find_until") else None


def joint(detector: Detector) -> Joint | None:
    """The detector, if it is a :class:`Joint` one."""
    return cast("Joint", detector) if hasattr(detector, "missed") else None


def counting(detector: Detector) -> Counting | None:
    """The detector, if it is a :class:`Counting` one."""
    return cast("Counting", detector) if hasattr(detector, "counter") else None
