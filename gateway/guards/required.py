"""Required elements: each listed text must occur, anywhere and in any case. Only the end can tell that one is missing."""

from collections.abc import Sequence

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.detector import Finding
from gateway.guards.fold import fold

MAX_ELEMENTS = 100
"""Per list: each costs one search through the text."""

MAX_ELEMENT = 1_000
"""Characters per element: what a stream keeps of its past to see one that spans two events."""


class RequiredSet:
    """A checked list of required elements. ``param`` names the list in errors. Raises ``malformed``."""

    __slots__ = ("elements", "folded", "overlap")

    def __init__(self, elements: list[str], param: str) -> None:
        if len(elements) > MAX_ELEMENTS:
            raise GatewayError(
                MALFORMED, f"{param} has {len(elements)} elements; at most {MAX_ELEMENTS} are possible", param=param
            )
        for i, element in enumerate(elements):
            if not element.strip() or len(element) > MAX_ELEMENT or "\0" in element:
                raise GatewayError(
                    MALFORMED,
                    f"{param}[{i}] must be a text of 1 to {MAX_ELEMENT} characters, not blank, without NUL",
                    param=f"{param}[{i}]",
                )
        self.elements = tuple(elements)
        self.folded = tuple(map(fold, elements))
        self.overlap = max(map(len, self.folded), default=1) - 1
        """Folded characters of the past in which an element may have begun."""

    def missing(self, folded: str) -> str | None:
        """The first element, as configured, that a whole folded text lacks."""
        return next((e for e, f in zip(self.elements, self.folded, strict=True) if f not in folded), None)


class RequiredTrack:
    """The elements one stream of text still lacks, in memory bounded by the longest of them."""

    __slots__ = ("_open", "_set", "_tail")

    def __init__(self, required: RequiredSet) -> None:
        self._set = required
        self._open = list(range(len(required.folded)))
        self._tail = ""

    def feed(self, folded: str) -> None:
        """More text, folded."""
        if self._open:
            seen = self._tail + folded
            self._open = [i for i in self._open if self._set.folded[i] not in seen]
            self._tail = seen[len(seen) - self._set.overlap :] if len(seen) > self._set.overlap else seen

    def missing(self) -> str | None:
        """The first element, as configured, that has not come."""
        return self._set.elements[self._open[0]] if self._open else None


class RequiredDetector:
    """A ``Detector`` of what a text lacks: its one finding is the text as a whole. Going in, any of the messages may have it."""

    __slots__ = ("_set", "_what", "before", "longest")

    def __init__(self, required: RequiredSet, what: str) -> None:
        self._set = required
        self._what = what
        self.longest: int | None = None
        self.before = 0

    def find(self, text: str) -> list[Finding]:
        """The whole text, if it lacks an element."""
        return [] if self._set.missing(fold(text)) is None else [Finding(0, len(text), self._what)]

    def hold(self, text: str) -> int:
        """Everything: only the end can tell."""
        return len(text)

    def missed(self, texts: Sequence[str]) -> str | None:
        """As :meth:`Joint.missed <gateway.guards.detector.Joint.missed>`; no element has the NUL between texts."""
        return None if self._set.missing(fold("\0".join(texts))) is None else self._what
