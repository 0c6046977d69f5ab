"""What people see: tables, notes, and foreign text made harmless."""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 10_000
"""Columns when standard output is no terminal: wide enough that no cell is ever cut or wrapped."""


def inert(text: str, keep: str = "") -> str:
    """``text`` with every character that could act on a terminal spelled out: escapes, control characters, bidi overrides.

    Names and model output are written by strangers; a terminal must show them, never obey them. ``keep`` exempts characters.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c if c in keep or unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} else _spelled(c) for c in text
    )


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; cells are plain text, never markup. None is an empty cell."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PIPE_WIDTH)
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        grid.add_column(column, no_wrap=not console.is_terminal)
    for row in rows:
        grid.add_row(*(Text("" if cell is None else inert(str(cell))) for cell in row))
    console.print(grid)


def line(text: str) -> None:
    """One line on standard output."""
    click.echo(inert(text))


def block(text: str) -> None:
    """Text of several lines on standard output."""
    click.echo(inert(text, keep="\n\t"))


def note(text: str) -> None:
    """One line on standard error: for people, never part of what a script reads."""
    click.echo(inert(text), err=True)


def as_json(value: Any) -> None:
    """``value`` as indented JSON on standard output."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def money(nano: int | None) -> str | None:
    """Nano-dollars as dollars; unknown stays unknown."""
    return None if nano is None else f"${nano / 1e9:.6f}"


def milliseconds(microseconds: int | None) -> str | None:
    """Microseconds as milliseconds."""
    return None if microseconds is None else f"{microseconds / 1000:.1f} ms"


def when(stamp: str | None) -> str | None:
    """An ISO time stamp without its fraction."""
    return None if stamp is None else stamp[:19].replace("T", " ")
