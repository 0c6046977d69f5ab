"""Jinja templates by minijinja, bounded: a gate before (gateway.prompts.vet), fuel for steps, a budget for sizes.

Measured with hostile templates and a million characters of variables: empty nested loops run out of fuel after 1.5 ms; texts
that double, long joins, slices, insertions and lists walked over and over run out of budget within 30 ms, growing memory by less
than 30 MB. Searching a long text in a loop is bounded by fuel alone, which shrinks as variables get longer: 20 ms.
"""

import re
from typing import Any

from minijinja import Environment, TemplateError

from gateway.core.errors import TEMPLATE_FAILED, GatewayError
from gateway.prompts.budget import WORK, Budget, Kept, view
from gateway.prompts.dialect import FUNCTIONS
from gateway.prompts.filters import Callbacks
from gateway.prompts.simple import Undefined
from gateway.prompts.values import missing
from gateway.prompts.vet import Vetted

FUEL = 50_000
"""Instructions per message: some 10,000 loop turns, 1.5 ms of empty ones."""

MIN_FUEL = 1_000
"""Whatever the lengths: a page of logic."""

_LOOP_TEXT = 48 << 20
"""Fuel times the longest text that a loop repeats, in characters. A turn takes three instructions: at most 16 MiB come out."""

_VARIABLE_TEXT = 1_000_000_000
"""Fuel times the length of the variables, in characters: an operator copies 10 GB/s at best and searches 1 GB/s at worst."""

_REMOVED_FILTERS = (
    "attr",
    "batch",
    "chain",
    "e",
    "escape",
    "format",
    "pprint",
    "safe",
    "slice",
    "striptags",
    "urlencode",
    "wordwrap",
    "zip",
)
_REMOVED_TESTS = ("in", "filter", "test")
_REMOVED_GLOBALS = ("debug", "cycler", "joiner")
# Names reach the engine past the gate too: ``map("format")``, ``select("in", text)``.

_NAME = re.compile(r"`([^`]{1,200})` is undefined")


class JinjaSet:
    """The templates of one prompt that need the engine: one environment, no loader, shared budget.

    Not for two threads at once; a rendering never yields, so an event loop may share it freely.
    """

    __slots__ = ("_budget", "_env", "_fuel", "_guarded", "_names", "_undefined")

    def __init__(self, undefined: Undefined) -> None:
        self._budget = Budget()
        self._undefined = undefined
        self._fuel: dict[int, int] = {}
        self._names: dict[int, frozenset[str]] = {}
        self._guarded: dict[int, frozenset[str]] = {}
        callbacks = Callbacks(self._budget, strict=undefined != "empty")
        self._env = Environment(
            filters=callbacks.filters,
            globals={"range": callbacks.range},
            undefined_behavior="chainable" if undefined == "empty" else "strict",
            auto_escape_callback=_never_escape,
            keep_trailing_newline=True,
            finalizer=callbacks.finalize,
            pycompat=False,
        )
        for name in _REMOVED_FILTERS:
            self._env.remove_filter(name)
        for name in _REMOVED_TESTS:
            self._env.remove_test(name)
        for name in _REMOVED_GLOBALS:
            self._env.remove_global(name)

    def add(self, message: int, vetted: Vetted) -> frozenset[str]:
        """Compile a message's template; returns the variables it reads without asking whether they exist.

        Raises ``ValueError`` (public text) for a syntax error.
        """
        name = str(message)
        try:
            self._env.add_template(name, vetted.source)
            names = self._env.undeclared_variables_in_template(name) - FUNCTIONS
        except TemplateError as error:
            raise ValueError(f"line {error.line}: {error.detail or error.kind}") from None
        self._fuel[message] = max(min(FUEL, _LOOP_TEXT // max(vetted.looped, 1)), MIN_FUEL)
        self._guarded[message] = vetted.guarded
        self._names[message] = frozenset(names)
        return self._names[message] - vetted.guarded

    def begin(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Start a rendering: a new budget, and the variables as the engine may see them."""
        budget = self._budget
        budget.left = WORK
        return {name: value if type(value) is str else view(value, budget) for name, value in variables.items()}

    def render(self, message: int, values: dict[str, Any]) -> str:
        """Render one message with what :meth:`begin` returned. Raises ``missing_variable`` or ``template_failed``."""
        length = sum([len(value) for value in values.values() if type(value) is str])
        fuel = self._fuel[message]
        self._env.fuel = fuel if length * fuel <= _VARIABLE_TEXT else max(_VARIABLE_TEXT // length, MIN_FUEL)
        if self._undefined == "keep":
            absent = self._names[message] - self._guarded[message] - values.keys()
            values = {**values, **{name: Kept(name) for name in absent}}
        try:
            return self._env.render_template(str(message), **values)
        except TemplateError as error:
            raise _explained(error, message) from None
        except GatewayError:
            raise
        except BaseException as error:
            # A panic in the engine is no Exception; letting it pass would end the worker.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise GatewayError(
                TEMPLATE_FAILED,
                f"message {message} cannot be rendered with these variables",
                param="variables",
                cause=f"{type(error).__name__}: {error}",
            ) from None


def _never_escape(_name: str) -> bool:
    return False


def _explained(error: TemplateError, message: int) -> GatewayError:
    detail = error.detail or ""
    if error.kind == "UndefinedError":
        name = _NAME.search(detail)
        return missing(name[1], message) if name is not None else missing("?", message)
    if error.kind == "OutOfFuel":
        detail = "too many steps"
    return GatewayError(
        TEMPLATE_FAILED,
        f"message {message}, line {error.line}: {detail[:200] or 'an operation that these values do not allow'}",
        param="variables",
        cause=error.kind,
    )
