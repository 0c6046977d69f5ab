"""SQL cut into tokens, comments dropped: exactly enough to know where a string, a name or a statement ends.

Dialects differ just there, and a guard that reads a string where the database reads code is no guard. Sources: PostgreSQL 17, chapter
4.1 (lexical structure: dollar quotes, ``E''``, nested comments); MySQL 8.4, chapters 11.1 and 11.7 (backslashes, backticks, ``#``,
``/*!``); SQLite, "SQL As Understood By SQLite"; SQL:2016 for the rest.
"""

import re
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

Dialect = Literal["ansi", "postgres", "mysql", "sqlite"]
Kind = Literal["word", "name", "string", "number", "mark"]


class Token(Struct, frozen=True, gc=False):
    """One token."""

    kind: Kind
    """``word``: a bare name or keyword; ``name``: a quoted name; ``mark``: one character of punctuation."""
    text: str
    """Of a word in lower case; of a quoted name its content; of a string nothing."""


def is_mark(token: Token, mark: str) -> bool:
    """Whether it is this character of punctuation."""
    return token.kind == "mark" and token.text == mark


class BadSqlError(ValueError):
    """Text that cannot be cut; its argument says why: ``unterminated``, ``executable_comment``, ``escaped_name``."""


_NEXT = re.compile(
    r"(?P<space>\s++)"
    r"|(?P<line>--[^\n]*+)"
    r"|(?P<block>/\*)"
    r"|(?P<word>[^\W\d][\w$]*+)"
    r"|(?P<number>(?:\d[\d_]*+(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?)"
    r"|(?P<dollar>\$(?:[^\W\d]\w*+)?\$)"
    r"|(?P<mark>.)",
    re.DOTALL,
)
_BLOCK_EDGE = re.compile(r"/\*|\*/")
_ESCAPED_END = {quote: re.compile(rf"(?:[^{quote}\\]|\\.|{quote}{quote})*+{quote}", re.DOTALL) for quote in "'\""}
_PLAIN_END = {quote: re.compile(rf"(?:[^{quote}]|{quote}{quote})*+{quote}") for quote in "'\"`"}


def tokens(text: str, dialect: Dialect) -> Iterator[Token]:
    """The tokens from left to right. Raises :class:`BadSqlError`. Linear: every character is looked at once, or twice in comments."""
    place = 0
    while place < len(text):
        match = _NEXT.match(text, place)
        assert match is not None  # the last alternative takes anything
        kind, found = match.lastgroup, match[0]
        place = match.end()
        if kind in {"space", "line"}:
            continue
        if kind == "block":
            place = _comment_end(text, place, dialect)
        elif kind == "number":
            yield Token("number", found)
        elif kind == "word":
            token, place = _word(text, found, place, dialect)
            yield token
        elif kind == "dollar" and dialect == "postgres":
            place = text.find(found, place) + len(found)
            if place < len(found):
                raise BadSqlError("unterminated")
            yield Token("string", "")
        elif found == "#" and dialect == "mysql":
            end = text.find("\n", place)
            place = len(text) if end < 0 else end
        elif found[0] in "'\"`[":
            token, place = _quoted(text, found[0], place, dialect)
            yield token
        else:
            # A dollar sign of other dialects is a mark, and what follows it is read again.
            place = match.start() + 1
            yield Token("mark", found[0])


def _comment_end(text: str, place: int, dialect: Dialect) -> int:
    if text.startswith(("!", "M!"), place) and dialect in {"mysql", "ansi"}:
        raise BadSqlError("executable_comment")
    depth = 1
    while depth:
        edge = _BLOCK_EDGE.search(text, place)
        if edge is None:
            raise BadSqlError("unterminated")
        place = edge.end()
        if edge[0] == "*/":
            depth -= 1
        elif dialect == "postgres":
            depth += 1
        else:
            # ``/*/`` does not close what it is in, and does not open anything.
            place = edge.start() + 1
    return place


def _word(text: str, found: str, place: int, dialect: Dialect) -> tuple[Token, int]:
    """A bare word, or the prefix of a string (``E''``, ``N''``, ``X''``, ``B''``, ``U&''``)."""
    lower = found.lower()
    if lower == "u" and text.startswith(("&'", '&"'), place):
        raise BadSqlError("escaped_name")
    if lower in {"e", "n", "x", "b"} and text.startswith("'", place):
        escapes = dialect == "mysql" or (lower == "e" and dialect == "postgres")
        return Token("string", ""), _close(text, "'", place + 1, escapes=escapes)
    return Token("word", lower), place


def _quoted(text: str, quote: str, place: int, dialect: Dialect) -> tuple[Token, int]:
    if quote == "'":
        return Token("string", ""), _close(text, quote, place, escapes=dialect == "mysql")
    if quote == '"' and dialect == "mysql":
        return Token("string", ""), _close(text, quote, place, escapes=True)
    if quote == "[":
        if dialect != "sqlite":
            return Token("mark", quote), place
        end = text.find("]", place)
        if end < 0:
            raise BadSqlError("unterminated")
        return Token("name", text[place:end]), end + 1
    if quote == "`" and dialect == "postgres":
        return Token("mark", quote), place
    end = _close(text, quote, place, escapes=False)
    return Token("name", text[place : end - 1].replace(quote * 2, quote)), end


def _close(text: str, quote: str, place: int, *, escapes: bool) -> int:
    end = (_ESCAPED_END if escapes else _PLAIN_END)[quote].match(text, place)
    if end is None:
        raise BadSqlError("unterminated")
    return end.end()
