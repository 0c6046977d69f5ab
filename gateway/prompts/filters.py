"""What the engine calls back into: the filters and the function whose cost depends on sizes, all charged to the budget.

Those with an underscore are put into templates by gateway.prompts.vet; authors cannot name them.
"""

from collections.abc import Callable, Iterable
from typing import Any, cast

import msgspec

from gateway.core.errors import MISSING_VARIABLE, TEMPLATE_FAILED, GatewayError
from gateway.prompts.budget import STEP, Budget, Kept, View, bare, view
from gateway.prompts.values import as_text, reach

MAX_RANGE = 10_000
"""Numbers that ``range`` may make: more iterations than the fuel allows."""

MAX_INDENT = 100
"""Spaces; nobody indents deeper."""

_WALK = 4
"""Units per character of a text that is walked or split into elements."""


_SCALARS = frozenset([int, float, bool, type(None)])

_NUMBER = 64
"""Units per number of a range: it is made here, and walked or searched by the engine through a view."""


def _refuse(detail: str) -> GatewayError:
    return GatewayError(TEMPLATE_FAILED, detail, param="variables")


class Callbacks:
    """The callables of one compiled prompt, sharing its budget."""

    def __init__(self, budget: Budget, *, strict: bool) -> None:
        self._budget = budget
        self._strict = strict
        self.filters: dict[str, Callable[..., Any]] = {
            "_each": self.each,
            "_scan": self.scan,
            "_use": self.use,
            "_keep": self.keep,
            "join": self.join,
            "replace": self.replace,
            "indent": self.indent,
            "truncate": self.truncate,
            "sum": self.total,
            "json": self.json,
            "tojson": self.json,
        }

    def finalize(self, value: Any) -> object:
        """Every insertion into the text: strings as they are, nothing for ``null`` and undefined, else compact JSON."""
        kind = type(value)  # pyright: ignore[reportUnknownVariableType]
        budget = self._budget
        if kind is str:
            budget.left -= STEP + len(value)
        elif kind in _SCALARS:
            budget.left -= STEP
            value = as_text(value)
        else:
            return self._text(value)
        if budget.left < 0:
            budget.charge(0)
        return value

    def _text(self, value: Any) -> str:
        if isinstance(value, View | Kept):
            return str(value)
        self._budget.weigh(value)
        try:
            return as_text(bare(value))
        except TypeError:
            raise _refuse(f"a value of type {type(value).__name__} cannot be inserted") from None

    def each(self, value: Any, name: str) -> object:
        """Before a loop or a filter that walks a sequence or text. ``name`` is the variable's, if it is just one."""
        if isinstance(value, View):
            # Its elements are charged one by one as they are read.
            self._budget.charge(STEP)
            return value
        if isinstance(value, str):
            self._budget.charge(_WALK * len(value))
            return value
        self._budget.weigh(value)
        return self._given(value, name)

    def scan(self, value: Any, name: str) -> object:
        """Before a filter that copies a text once."""
        return self.use(value, 1, name)

    def use(self, value: Any, copies: int, name: str) -> object:
        """Around a variable in an expression that may copy it so many times."""
        if isinstance(value, str):
            self._budget.charge(copies * len(value))
            return value
        return self._given(value, name)

    def _given(self, value: Any, name: str) -> object:
        if value is None and name:
            if self._strict:
                raise GatewayError(MISSING_VARIABLE, f"variable {name!r} is required and is missing or null", param=name)
            return ""
        return value

    def keep(self, value: Any) -> object:
        """Before a value gets a name."""
        self._budget.weigh(value)
        return value if isinstance(value, str | View) else view(bare(value), self._budget)

    def range(self, start: int, stop: int | None = None, step: int = 1) -> object:
        """Like Python's, as a list."""
        numbers = range(start) if stop is None else range(start, stop, step)
        if len(numbers) > MAX_RANGE:
            raise _refuse(f"range makes at most {MAX_RANGE} numbers")
        self._budget.charge(_NUMBER * len(numbers))
        return view(list(numbers), self._budget)

    def join(self, values: Any, separator: str = "", attribute: str | None = None) -> str:
        """All elements as text, with ``separator`` between."""
        items = self._items(values, attribute)
        self._budget.charge(len(separator) * len(items))
        return separator.join([as_text(item) for item in items])

    def total(self, values: Any, attribute: str | None = None) -> float:
        """The sum of numbers."""
        items = self._items(values, attribute)
        if not all(isinstance(item, int | float) for item in items):
            raise _refuse("sum adds numbers only")
        return sum(items)

    def _items(self, values: Any, attribute: str | None) -> list[Any]:
        self._budget.weigh(values)
        plain = bare(values)
        if not isinstance(plain, str | list | dict):
            raise _refuse(f"a value of type {type(plain).__name__} is no sequence")
        items: list[Any] = [bare(item) for item in cast("Iterable[Any]", plain)]
        if attribute is None:
            return items
        path = tuple(attribute.split("."))
        return [reach(item, path)[1] for item in items]

    def replace(self, text: Any, old: str, new: str) -> str:
        """Every ``old`` by ``new``."""
        text = self._text(text)
        hits = text.count(old)
        self._budget.charge(2 * len(text) + hits * len(new))
        return text.replace(old, new)

    def indent(self, text: Any, width: int = 4, first: bool = False, blank: bool = False) -> str:  # noqa: FBT001, FBT002 - Jinja's
        """Spaces before every line but the first; blank lines stay empty unless asked."""
        if not 0 <= width <= MAX_INDENT:
            raise _refuse(f"indent takes 0 to {MAX_INDENT} spaces")
        lines = self._text(text).split("\n")
        self._budget.charge(len(lines) * (width + _WALK))
        pad = " " * width
        padded = [pad + line if (line or blank) and (i or first) else line for i, line in enumerate(lines)]
        return "\n".join(padded)

    def truncate(self, text: Any, length: int = 255, killwords: bool = False, end: str = "...") -> str:  # noqa: FBT001, FBT002 - Jinja's
        """At most ``length`` characters, ``end`` included, cut between words unless ``killwords``."""
        text = self._text(text)
        if len(text) <= length:
            return text
        cut = text[: max(length - len(end), 0)]
        return (cut if killwords else cut.rsplit(" ", 1)[0]) + end

    def json(self, value: Any, indent: int | None = None) -> str:
        """As JSON: compact, or pretty with ``indent`` spaces per level."""
        self._budget.weigh(value)
        encoded = msgspec.json.encode(bare(value))
        if indent is not None:
            encoded = msgspec.json.format(encoded, indent=max(0, min(indent, MAX_INDENT)))
            self._budget.charge(len(encoded))
        return encoded.decode()
