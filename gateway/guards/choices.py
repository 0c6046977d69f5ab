"""The guard ``choices``: the whole answer must be one of the given ones."""

from typing import Annotated

from msgspec import Meta, Struct

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.fold import fold
from gateway.guards.whole import WholeText

_END = ".!?\u3002\uff01\uff1f"
_END_AND_SPACE = _END + "".join(filter(str.isspace, map(chr, range(0x3001))))
"""A blank before the mark is French, and one behind it an accident."""


class ChoicesOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What ``choices`` may be told."""

    choices: Annotated[list[Annotated[str, Meta(max_length=10_000)]], Meta(min_length=1, max_length=10_000)]
    """The answers that are allowed."""
    ignore_case: bool = False
    """Whether capitals count as their small letters."""
    ignore_space: bool = True
    """Whether white space around the answer counts for nothing, and any between its words as one blank."""
    ignore_end: bool = False
    """Whether a full stop, exclamation or question mark at the end counts for nothing."""


class ChoicesGuard(WholeText):
    """Looks an answer up."""

    __slots__ = ("_choices", "_options")

    def __init__(self, options: ChoicesOptions) -> None:
        self._options = options
        self._choices = frozenset(map(self._reduced, options.choices))

    @property
    def count(self) -> int:
        """How many answers it can tell apart."""
        return len(self._choices)

    def judge(self, text: str) -> str | None:
        """``not_a_choice``, or nothing."""
        return None if self._reduced(text) in self._choices else "not_a_choice"

    def _reduced(self, text: str) -> str:
        options = self._options
        if options.ignore_end:
            text = text.rstrip(_END_AND_SPACE if options.ignore_space else _END)
        if options.ignore_space:
            text = " ".join(text.split())
        return fold(text) if options.ignore_case else text


def make_choices(options: ChoicesOptions, param: str) -> ChoicesGuard:
    """The guard. Raises ``malformed`` where two choices are the same to it, which nobody means."""
    guard = ChoicesGuard(options)
    if guard.count < len(options.choices):
        raise GatewayError(MALFORMED, f"{param}.options.choices: two of them are the same", param=f"{param}.options.choices")
    return guard
