"""What is to be written in the place of what: by characters of the text as it was judged."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec import Struct

R = TypeVar("R")
Wanted = tuple[int, int, int, R, str]
"""A finding to be written over: its start, the order of its rule, its end, the rule, its kind."""
Write = Callable[[R, str, str], str]
"""What stands in the place of a text of a kind that a rule has found."""


class Edit(Struct, frozen=True, gc=False):
    """Characters ``start`` to ``end`` (exclusive) of a text become ``text``."""

    start: int
    end: int
    text: str


def clipped(edit: Edit, end: int) -> Edit | None:
    """What is left of an edit beside those before it, which reach to ``end``; None where nothing is."""
    if edit.start >= end:
        return edit
    return Edit(end, edit.end, edit.text) if edit.end > end else None


def edits_of(text: str, wanted: Sequence[Wanted[R]], write: Write[R]) -> list[Edit]:
    """What findings in a text come to, not overlapping. What is written for one never says what another has covered already."""
    edits: list[Edit] = []
    end = 0
    for start, _, stop, rule, what in sorted(wanted, key=_place):
        begin = max(start, end)
        if begin < stop:
            edits.append(Edit(begin, stop, write(rule, text[begin:stop], what)))
            end = stop
    return edits


def _place(one: tuple[int, int, int, object, str]) -> tuple[int, int]:
    return one[0], one[1]


def rewritten(text: str, edits: Sequence[Edit], offset: int = 0) -> str:
    """A piece of a text that begins at character ``offset`` of it, with the edits that concern it.

    Edits are in order and do not overlap. One that spans pieces is written where it begins, and only removes from the others.
    """
    out: list[str] = []
    place, end = offset, offset + len(text)
    for edit in edits:
        if edit.end <= place:
            continue
        if edit.start >= end:
            break
        out.append(text[place - offset : max(edit.start, place) - offset])
        if edit.start >= offset:
            out.append(edit.text)
        place = min(edit.end, end)
    out.append(text[place - offset :])
    return "".join(out)


def rewritten_parts(parts: Sequence[str], edits: Sequence[Edit], between: int) -> list[str]:
    """Each part of a text that was judged with ``between`` characters between its parts."""
    out: list[str] = []
    offset = 0
    for part in parts:
        out.append(rewritten(part, edits, offset))
        offset += len(part) + between
    return out
