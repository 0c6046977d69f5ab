"""Templates without logic: text and ``{{ name }}`` or ``{{ a.b }}`` tags, cut into segments once and joined on the path.

This is the whole ``simple`` format, and also how a ``jinja`` template that uses nothing else is rendered: the same text
results, in half the time.
"""

import re
from collections.abc import Callable
from operator import itemgetter
from typing import Any, Literal

from gateway.prompts.values import MAX_OUTPUT, as_text, missing, reach, too_long

Undefined = Literal["strict", "keep", "empty"]

_NAME = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*)\s*")


def _picking(names: list[str]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """What takes the values of these names out of a dict, in order. Raises ``KeyError``."""
    if len(names) > 1:
        return itemgetter(*names)
    (name,) = names
    return lambda values: (values[name],)


class SimpleText:
    """One message's template. Raises ``ValueError`` (public text) for a tag that is not a variable."""

    __slots__ = ("_message", "_paths", "_slots", "_undefined", "length", "names", "parts", "pick")

    def __init__(self, source: str, message: int, undefined: Undefined) -> None:
        self._message = message
        self._undefined = undefined
        self.parts: list[str] = []
        """What stands between the tags, and each tag, in turn."""
        self._slots: list[tuple[int, str]] = []
        self._paths: list[tuple[int, str, tuple[str, ...]]] = []
        self._cut(source)
        self.length = sum([len(text) for text in self.parts[::2]])
        """Characters between the tags."""
        self.pick = None if self._paths or not self._slots else _picking([name for _, name in self._slots])
        """What takes the values of all tags out of a dict, in order; None where a tag is a path. Raises ``KeyError``."""
        self.names = frozenset(name for _, name in self._slots) | frozenset(path[0] for _, _, path in self._paths)
        """Variables at the root of every tag."""

    def _cut(self, source: str) -> None:
        end = 0
        while (start := source.find("{{", end)) >= 0:
            self.parts.append(source[end:start])
            closing = source.find("}}", start)
            if closing < 0:
                raise ValueError("'{{' without '}}'")
            end = closing + 2
            match = _NAME.fullmatch(source, start + 2, closing)
            if match is None:
                tag = source[start:end][:60]
                raise ValueError(f"{tag!r} is not a variable: names are letters, digits, '_' and '-', joined by dots")
            name = match[1]
            if "." in name:
                self._paths.append((len(self.parts), name, tuple(name.split("."))))
            else:
                self._slots.append((len(self.parts), name))
            self.parts.append(source[start:end])
        self.parts.append(source[end:])

    def render(self, values: dict[str, Any]) -> str:
        """The text with every tag replaced by its value, in one pass.

        Raises ``missing_variable`` under the strict policy, ``template_failed`` when it grows too long.
        """
        parts, length = self.parts.copy(), self.length
        for i, name in self._slots:
            try:
                text = values[name]
            except KeyError:
                text = self._absent(name, parts[i])
            if type(text) is not str:
                text = as_text(text)
            length += len(text)
            parts[i] = text
        for i, name, path in self._paths:
            found, value = reach(values, path)
            text = as_text(value) if found else self._absent(name, parts[i])
            length += len(text)
            parts[i] = text
        if length > MAX_OUTPUT:
            raise too_long()
        return "".join(parts)

    def _absent(self, name: str, tag: str) -> str:
        if self._undefined == "strict":
            raise missing(name, self._message)
        return tag if self._undefined == "keep" else ""
