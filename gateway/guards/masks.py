"""Placeholders in the place of what a provider must not see, and the way back.

``a@b.example`` becomes ``<EMAIL_1>``; the same value gets the same placeholder within a call, so that a model can tell who is who.
In the answer each placeholder of the call becomes its value again. Values are inert: they are put back last, and nothing judges them.
A placeholder that stood in the conversation already is somebody's text: its number is not used, so it is never taken for ours.
"""

import re
from collections.abc import Iterable, Mapping

from gateway.guards.detector import Finding

_NOT_A_NAME = re.compile(r"[^A-Z0-9]+")
_PLACEHOLDER = re.compile(r"<[A-Z0-9_]+_[0-9]+>")


class Masks:
    """The placeholders of one call. ``texts`` is everything in which one could stand by itself."""

    __slots__ = ("_next", "_of", "_taken", "values")

    def __init__(self, texts: Iterable[str]) -> None:
        self._taken = {found for text in texts if "<" in text for found in _PLACEHOLDER.findall(text)}
        self._of: dict[tuple[str, str], str] = {}
        self._next: dict[str, int] = {}
        self.values: dict[str, str] = {}
        """Values by placeholder."""

    def place(self, what: str, value: str) -> str:
        """The placeholder of a value of this kind."""
        placeholder = self._of.get((what, value))
        if placeholder is None:
            name = _NOT_A_NAME.sub("_", what.upper()).strip("_") or "MASK"
            number = self._next.get(name, 1)
            while (placeholder := f"<{name}_{number}>") in self._taken:
                number += 1
            self._next[name] = number + 1
            self._of[what, value] = placeholder
            self.values[placeholder] = value
        return placeholder


class Placeholders:
    """A ``Detector`` of the placeholders of one call."""

    __slots__ = ("_values", "before", "longest")

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.longest: int | None = max(map(len, values))
        self.before = 0

    def find(self, text: str) -> list[Finding]:
        """Each of them, wherever it stands."""
        found: list[Finding] = []
        start = text.find("<")
        while start >= 0:
            end = text.find(">", start, start + (self.longest or 0)) + 1
            if end and text[start:end] in self._values:
                found.append(Finding(start, end, "placeholder"))
            start = text.find("<", start + 1)
        return found

    def hold(self, text: str) -> int:
        """Only what is the beginning of one of them."""
        start = text.rfind("<")
        if start < 0:
            return 0
        end = text[start:]
        return len(end) if any(len(end) < len(one) and one.startswith(end) for one in self._values) else 0
