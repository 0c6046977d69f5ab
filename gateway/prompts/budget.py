"""The budget of one rendering, and the values that charge it.

A unit is roughly the time that copying one character takes; whatever costs more is charged by its own weight. Lists and objects
are handed to the engine as views without public attributes beyond the four that Jinja authors expect, so that nothing of Python
can be reached through them, and every element read is charged.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from gateway.core.errors import TEMPLATE_FAILED, GatewayError
from gateway.prompts.values import as_text

WORK = 2_000_000
"""Units per rendering: twice the largest output, or some 30,000 elements or insertions, about 10 ms."""

STEP = 64
"""Units of one call from the engine into Python: 0.3 us."""

_ITEM = 16
"""Units of one element of a list or object that is walked or copied."""


class Budget:
    """What is left for the rendering under way. One per compiled prompt: its renderings must not overlap."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = WORK

    def charge(self, units: int) -> None:
        """Raises ``template_failed`` when the rendering has done too much."""
        self.left -= units
        if self.left < 0:
            raise GatewayError(
                TEMPLATE_FAILED, "the prompt takes too much work to render with these variables", param="variables"
            )

    def weigh(self, value: Any) -> None:
        """Charge for everything in a value; gives up as soon as the budget does, however often parts are shared."""
        self.charge(STEP)
        stack: list[Any] = [value]
        while stack:
            item = stack.pop()
            if isinstance(item, View):
                item = _opened(item)
            if isinstance(item, str):
                self.charge(len(item) + 1)
            elif isinstance(item, dict):
                entries = cast("dict[str, Any]", item)
                self.charge(_ITEM * len(entries))
                stack += entries
                stack += entries.values()
            elif isinstance(item, list | tuple):
                elements = cast("Sequence[Any]", item)
                self.charge(_ITEM * len(elements) + 1)
                stack += elements


class View:
    """A JSON object or array as the engine sees it; its text is compact JSON."""

    __slots__ = ("_budget", "_value")

    def __init__(self, value: Any, budget: Budget) -> None:
        self._value = value
        self._budget = budget

    def __len__(self) -> int:
        return len(self._value)

    def __str__(self) -> str:
        text = as_text(self._value)
        self._budget.charge(len(text) + STEP)
        return text


class ListView(View):
    """An array: its length and elements, nothing else."""

    __slots__ = ()

    def __getitem__(self, index: int) -> object:
        return view(self._value[index], self._budget)


class ObjectView(View):
    """An object: keys, elements and iteration, and the methods that Jinja authors expect."""

    __slots__ = ()

    def __getitem__(self, key: str) -> object:
        return view(self._value[key], self._budget)

    def __iter__(self) -> Iterator[str]:
        self._budget.charge(STEP * len(self._value))
        return iter(self._value)

    def get(self, key: str, default: object = None) -> object:
        """The value of ``key``, or ``default``."""
        return view(self._value.get(key, default), self._budget)

    def keys(self) -> object:
        """All keys, in the caller's order."""
        return self._made(list(self._value))

    def values(self) -> object:
        """All values, in the caller's order."""
        return self._made(list(self._value.values()))

    def items(self) -> object:
        """All [key, value] pairs, in the caller's order."""
        return self._made([list(pair) for pair in self._value.items()])

    def _made(self, elements: list[Any]) -> object:
        self._budget.charge(_ITEM * len(elements))
        return view(elements, self._budget)


# By these two the engine recognises sequences and mappings; inheriting would add public methods.
Sequence.register(ListView)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
Mapping.register(ObjectView)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def view(value: Any, budget: Budget) -> object:
    """What the engine gets for a JSON value: a charged view of a list or object, anything else as it is."""
    kind = type(value)  # pyright: ignore[reportUnknownVariableType]
    # The budget is charged in line: this runs for every element that a template touches.
    budget.left -= STEP + len(value) if kind is str else STEP
    if budget.left < 0:
        budget.charge(0)
    if kind is dict:
        return ObjectView(value, budget)
    return ListView(value, budget) if kind is list else value


def _opened(value: View) -> Any:
    return value._value  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - a method could be named in a template


def bare(value: Any) -> Any:
    """The plain value behind what the engine hands back; lists and objects that the template made may contain views."""
    if isinstance(value, View):
        return _opened(value)
    if isinstance(value, dict):
        return {key: bare(item) for key, item in cast("dict[str, Any]", value).items()}
    return [bare(item) for item in cast("Sequence[Any]", value)] if isinstance(value, list | tuple) else value


class Kept:
    """Stands for a variable that was not given, under the ``keep`` policy: false, and its text is its own tag."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __str__(self) -> str:
        return "{{ " + self._name + " }}"

    def __bool__(self) -> bool:
        return False

    def __getattr__(self, name: str) -> "Kept":
        return Kept(f"{self._name}.{name}")
