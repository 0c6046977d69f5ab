r"""From a pattern to the question "may the end of this text be part of a match?", by taking the pattern apart.

Python's own parser reads the pattern, so there is one tree for three things: the pattern as RE2 gets it, the length of its longest
match, and its *partial* pattern: what matches every text that a match can begin with, but not end with. Held to the end of a text,
``(?:partial)\z`` finds the longest end that may yet become (part of) a match; RE2 runs such a pattern backwards from the end, so the
question costs what is held, not what was said.

For a sequence ``xy`` a beginning is a beginning of ``x``, or ``x`` and a beginning of ``y``; for ``x|y`` one of either; for
``x{m,n}`` up to ``n-1`` times ``x`` and a beginning of it. An edge (``\b``, ``$``) at the end of a text is undecided, so what reaches
one is a beginning too.
"""

# pyright: reportAttributeAccessIssue=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import re
import warnings
from re import _constants as op  # type: ignore[attr-defined] - the only parser of regular expressions in the standard library
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from msgspec import Struct

MAX_PATTERN = 2_000
"""Characters per pattern: real ones have tens or hundreds, and RE2's automata grow with them."""

_CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_NOT_WORD: r"\W",
}
_PLACES = {
    op.AT_BEGINNING: "^",
    op.AT_BEGINNING_STRING: r"\A",
    op.AT_END: "$",
    op.AT_END_STRING: r"\z",
    op.AT_BOUNDARY: r"\b",
    op.AT_NON_BOUNDARY: r"\B",
}
_LEFT_ONLY = (op.AT_BEGINNING, op.AT_BEGINNING_STRING)
_REFUSED = {
    op.GROUPREF: "a back-reference",
    op.GROUPREF_EXISTS: "a conditional group",
    op.GROUPREF_IGNORE: "a back-reference",
    op.ASSERT: "a look-around",
    op.ASSERT_NOT: "a look-around",
    op.FAILURE: "a look-around",
    op.ATOMIC_GROUP: "an atomic group",
    op.POSSESSIVE_REPEAT: "a possessive repetition",
}
_FLAGS = ((re.IGNORECASE, "i"), (re.MULTILINE, "m"), (re.DOTALL, "s"))


class Anatomy(Struct, frozen=True):
    """What a pattern is made of."""

    full: str
    """The pattern, as RE2 gets it: without groups that capture."""
    partial: str
    """What matches every text that is a beginning of a match but can still grow into another, the empty text too."""
    begun: str | None
    """The same without the empty text; None where there is no such beginning."""
    shortest: int
    """Characters of its shortest match."""
    longest: int | None
    """Characters of its longest match and of what must be seen right of it; None: there is no bound."""
    before: int
    """Characters left of a match that it looks at: 1 where it has an edge or a beginning, else 0."""


def anatomy(pattern: str, *, ignore_case: bool = False) -> Anatomy:
    r"""Take a pattern apart. Raises ``ValueError`` saying what is wrong with it.

    The syntax is Python's without what needs backtracking (look-around, back-references, atomic groups, possessive repetition). As
    in RE2, ``\d``, ``\s``, ``\w`` and ``\b`` are those of ASCII, and ``$`` is the very end, or with ``(?m)`` the end of a line.
    """
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"has {len(pattern)} characters; at most {MAX_PATTERN} are possible")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # "possible nested set": RE2 and Python would disagree about it
        try:
            tree = parser.parse(pattern, re.IGNORECASE if ignore_case else 0)
            whole = _sequence(list(tree))
        except RecursionError:
            raise ValueError("is nested too deeply") from None
        except (re.error, OverflowError) as error:
            raise ValueError(f"is no regular expression: {error}") from None
        except FutureWarning as warning:
            raise ValueError(f"is ambiguous: {str(warning)[:1].lower()}{str(warning)[1:]}") from None
    if tree.state.flags & re.LOCALE:
        raise ValueError("has the flag L, which texts do not know")
    flags = "".join([letter for flag, letter in _FLAGS if tree.state.flags & flag])
    wrapped = f"(?{flags}:%s)" if flags else "(?:%s)"
    return Anatomy(
        wrapped % whole.full,
        wrapped % whole.partial,
        None if whole.begun is None else wrapped % whole.begun,
        whole.low,
        None if whole.high is None else whole.high + whole.right,
        1 if whole.left else 0,
    )


class _Part(Struct, frozen=True):
    """A piece of a pattern. Each of its patterns can be put into any sequence; None is one that matches nothing."""

    full: str
    partial: str
    solid: str | None
    """What of ``full`` is not empty, at least."""
    begun: str | None
    """What of ``partial`` is not empty, at least."""
    low: int
    high: int | None
    left: bool = False
    right: bool = False


_NOTHING = _Part("", "", None, None, 0, 0)


def _atom(full: str) -> _Part:
    return _Part(full, "", full, None, 1, 1)


def _literal(code: int) -> str:
    char = chr(code)
    return char if char.isalnum() and char.isascii() else f"\\x{{{code:X}}}"


def _sequence(nodes: list[Any]) -> _Part:
    parts = [_part(*node) for node in nodes]
    return _joined(parts)


def _joined(parts: list[_Part]) -> _Part:
    """Halved again and again, so that a partial pattern is nested to the logarithm of its length: RE2 allows 1,000 levels."""
    if not parts:
        return _NOTHING
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    x, y = _joined(parts[:middle]), _joined(parts[middle:])
    partial, begun = x.partial, x.begun
    if y.high != 0 or y.right:  # else all is said with x: nothing can follow that changes it
        partial = f"(?:{x.full}{y.partial}|{x.partial})" if x.partial else f"(?:{x.full}{y.partial})?"
        begun = _either(x.begun, _then(x.solid, y.partial), _then(x.full, y.begun) if x.low == 0 else None)
    return _Part(
        x.full + y.full,
        partial,
        _either(_then(x.solid, y.full), _then(x.full, y.solid) if x.low == 0 else None),
        begun,
        x.low + y.low,
        None if x.high is None or y.high is None else x.high + y.high,
        x.left or y.left,
        x.right or y.right,
    )


def _then(first: str | None, second: str | None) -> str | None:
    return None if first is None or second is None else first + second


def _either(*some: str | None) -> str | None:
    possible = list(dict.fromkeys([one for one in some if one is not None]))
    return f"(?:{'|'.join(possible)})" if possible else None


def _part(kind: Any, value: Any) -> _Part:
    if kind is op.LITERAL:
        return _atom(_literal(value))
    if kind is op.NOT_LITERAL:
        return _atom(f"[^{_literal(value)}]")
    if kind is op.ANY:
        return _atom(".")
    if kind is op.IN:
        return _atom(_set(value))
    if kind is op.AT:
        edge = value not in _LEFT_ONLY
        return _Part(_PLACES[value], "", None, None, 0, 0, left=value not in (op.AT_END, op.AT_END_STRING), right=edge)
    if kind is op.BRANCH:
        return _branch([_sequence(list(branch)) for branch in value[1]])
    if kind is op.SUBPATTERN:
        return _group(*value)
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT):
        low, high, body = value
        return _repeat(low, None if high is op.MAXREPEAT else high, _sequence(list(body)), lazy=kind is op.MIN_REPEAT)
    raise ValueError(f"has {_REFUSED.get(kind, str(kind).lower())}, which cannot be matched in linear time")


def _set(items: list[Any]) -> str:
    out: list[str] = []
    for kind, value in items:
        if kind is op.NEGATE:
            out.append("^")
        elif kind is op.LITERAL:
            out.append(_literal(value))
        elif kind is op.RANGE:
            out.append(f"{_literal(value[0])}-{_literal(value[1])}")
        else:
            out.append(_CATEGORIES[value])
    return f"[{''.join(out)}]"


def _branch(branches: list[_Part]) -> _Part:
    highs = [branch.high for branch in branches if branch.high is not None]
    partials = list(dict.fromkeys([branch.partial for branch in branches]))
    return _Part(
        f"(?:{'|'.join([branch.full for branch in branches])})",
        f"(?:{'|'.join(partials)})" if any(partials) else "",
        _either(*[branch.solid for branch in branches]),
        _either(*[branch.begun for branch in branches]),
        min(branch.low for branch in branches),
        max(highs) if len(highs) == len(branches) else None,
        any(branch.left for branch in branches),
        any(branch.right for branch in branches),
    )


def _group(_: int | None, add: int, drop: int, body: Any) -> _Part:
    inner = _sequence(list(body))
    on, off = ("".join([letter for flag, letter in _FLAGS if flags & flag]) for flags in (add, drop))
    head = f"(?{on}{'-' + off if off else ''}:"
    return _Part(
        f"{head}{inner.full})",
        f"{head}{inner.partial})" if inner.partial else "",
        None if inner.solid is None else f"{head}{inner.solid})",
        None if inner.begun is None else f"{head}{inner.begun})",
        inner.low,
        inner.high,
        inner.left,
        inner.right,
    )


def _repeat(low: int, high: int | None, body: _Part, *, lazy: bool) -> _Part:
    if high == 0:
        return _NOTHING
    unit = f"(?:{body.full})"
    count = f"{{{low},{'' if high is None else high}}}"
    # Earlier rounds of an unfinished repetition; how many are enough does not matter for a beginning.
    rounds = "" if high == 1 else f"{unit}*" if high is None else f"{unit}{{0,{high - 1}}}"
    rest = f"{unit}*" if high is None else f"{unit}{{0,{high - 1}}}"
    further = f"{unit}*" if high is None else f"{unit}{{0,{high - 2}}}" if high > 1 else None
    bounded = body.high == 0 or (high is not None and body.high is not None)
    return _Part(
        f"{unit}{count}{'?' if lazy else ''}",
        f"(?:{rounds}{body.partial})" if rounds or body.partial else "",
        _then(body.solid, rest),
        _either(body.begun, None if further is None else _then(body.solid, further + body.partial)),
        body.low * low,
        (body.high or 0) * (high or 0) if bounded else None,
        body.left,
        body.right,
    )
