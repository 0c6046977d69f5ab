"""Guards that judge a text as a whole: its end or its shape decides, so nothing of a stream is known before it is complete."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from gateway.guards.detector import Finding


class WholeText(ABC):
    """A detector that has one thing to say about a text, or nothing. A subclass says it in :meth:`judge`."""

    __slots__ = ()

    longest: int | None = None
    before: int = 0

    @abstractmethod
    def judge(self, text: str) -> str | None:
        """What is wrong with the text, in words of the detector; None: nothing."""

    def find(self, text: str) -> Sequence[Finding]:
        """One finding that spans the text, or none."""
        what = self.judge(text)
        return () if what is None else (Finding(0, len(text), what),)

    def hold(self, text: str) -> int:
        """Everything."""
        return len(text)
