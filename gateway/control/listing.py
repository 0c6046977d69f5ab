"""How every listing answers: items, and where the next page begins."""

from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Listing(Struct, Generic[T], frozen=True):
    """A page."""

    items: list[T]
    next_cursor: str | None = None
    """None at the end."""
