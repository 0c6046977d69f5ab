"""Which tables a statement names, seen from its tokens: after FROM, JOIN, INTO, UPDATE, USING and TABLE, names of its own WITH aside.

Read so that a mistake refuses too much: what cannot be followed counts as a table. A name of WITH hides a table only where the database
would see it (PostgreSQL 17, chapter 7.8): after its own definition, or everywhere if the WITH is RECURSIVE, and only inside the
parentheses of its WITH.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from gateway.guards.sql.tokens import Token

_BEFORE_TABLES = frozenset({"from", "join", "into", "update", "using", "table", "truncate", "describe", "desc"})
_MODIFIERS = frozenset({"only", "lateral", "if", "not", "exists", "low_priority", "ignore", "table", "overwrite", "quick"})
"""Words between such a word and the table."""

_FROM_IS_SYNTAX = frozenset({"extract", "substring", "trim", "overlay", "position", "substr", "ltrim", "rtrim"})
"""Functions whose arguments may have a FROM of their own."""

_OPENS_LIST = frozenset({"from", "using", "update", "truncate", "table"})
"""Words after which commas separate tables, conditions of joins between them or not."""

_ENDS_LIST = frozenset({
    "where", "group", "having", "order", "limit", "offset", "fetch", "union", "intersect", "except", "set", "values", "select", "into",
    "window", "for", "returning", "when", "qualify",
})  # fmt: skip
"""After these they no longer do."""


class _Hidden(Struct, frozen=True):
    """A name of WITH, and from which token to which it hides a table."""

    name: str
    start: int
    end: int


def _name(token: Token) -> str | None:
    return token.text if token.kind in {"word", "name"} else None


def _is(token: Token, text: str) -> bool:
    return token.text == text and token.kind in {"word", "mark"}


class Statement:
    """The tokens of one statement, with its parentheses matched."""

    __slots__ = ("_around_tables", "_closes", "_opens", "tokens")

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self._closes: dict[int, int] = {}
        """By the place of an opening parenthesis that of the one that closes it, or the end."""
        self._opens: list[int] = []
        """By token the place of the innermost parenthesis that is open there; -1 outside of all."""
        stack: list[int] = []
        for i, token in enumerate(tokens):
            if stack and _is(token, ")"):
                self._closes[stack.pop()] = i
            self._opens.append(stack[-1] if stack else -1)
            if _is(token, "("):
                stack.append(i)
        for opened in stack:
            self._closes[opened] = len(tokens)
        # USING ( lists the columns of a join, except where rows are deleted or merged by other tables.
        deletes = any(token.text in {"delete", "merge"} and token.kind == "word" for token in tokens)
        self._around_tables = _BEFORE_TABLES if deletes else _BEFORE_TABLES - {"using"}

    def tables(self) -> Iterator[tuple[str, ...]]:
        """The parts of each table's name (``("public", "users")``), once per mention; bare words in lower case."""
        hidden = list(self._hidden())
        for i in self._places():
            name, end = self._qualified(i)
            called = end < len(self.tokens) and _is(self.tokens[end], "(") and not self._is_column_list(i)
            covered = len(name) == 1 and any(h.name == name[0] and h.start <= i < h.end for h in hidden)
            if name and not called and not covered:
                yield name

    def _is_column_list(self, i: int) -> bool:
        """Whether a parenthesis after the name at ``i`` lists columns (INSERT INTO t (a, b)), so that it is no call of a function."""
        return any(_is(token, "into") or _is(token, "table") for token in self.tokens[max(i - 4, 0) : i])

    def _places(self) -> Iterator[int]:
        """Where names of tables begin."""
        in_list: dict[int, bool] = {}
        for i, token in enumerate(self.tokens):
            level = self._opens[i]
            if token.kind == "word" and token.text in _BEFORE_TABLES and self._introduces(i):
                in_list[level] = token.text in _OPENS_LIST or (token.text == "join" and in_list.get(level, False))
                yield from self._skip(i + 1)
            elif token.kind == "word" and token.text in _ENDS_LIST:
                in_list[level] = False
            elif _is(token, ",") and in_list.get(level):
                yield from self._skip(i + 1)
            elif _is(token, "("):
                # ``FROM (a, b JOIN c)``: parentheses around tables, not around a query.
                in_list[i] = i > 0 and (
                    (_is(self.tokens[i - 1], ",") and in_list.get(level, False))
                    or self.tokens[i - 1].text in self._around_tables
                )
                if in_list[i]:
                    yield from self._skip(i + 1)

    def _introduces(self, i: int) -> bool:
        before = self.tokens[i - 1] if i else None
        word = self.tokens[i].text
        if before is not None and (
            _is(before, ".") or (word == "update" and before.text in {"for", "key", "on", "do", "then"})
        ):
            return False
        if word == "from" and before is not None:
            if before.text == "distinct" and i >= 2 and self.tokens[i - 2].text in {"is", "not"}:
                return False
            opened = self._opens[i]
            return not (
                opened > 0 and self.tokens[opened - 1].text in _FROM_IS_SYNTAX and not _is(self.tokens[opened + 1], "select")
            )
        following = self.tokens[i + 1] if i + 1 < len(self.tokens) else None
        return not (word == "using" and following is not None and _is(following, "("))

    def _skip(self, i: int) -> Iterator[int]:
        while i < len(self.tokens) and self.tokens[i].kind == "word" and self.tokens[i].text in _MODIFIERS:
            i += 1
        if i < len(self.tokens) and _name(self.tokens[i]) is not None and not _is(self.tokens[i], "select"):
            yield i

    def _qualified(self, i: int) -> tuple[tuple[str, ...], int]:
        parts: list[str] = []
        while i < len(self.tokens) and (name := _name(self.tokens[i])) is not None:
            parts.append(name)
            i += 1
            if i >= len(self.tokens) or not _is(self.tokens[i], "."):
                break
            i += 1
        return tuple(parts), i

    def _hidden(self) -> Iterator[_Hidden]:
        for i, token in enumerate(self.tokens):
            if not _is(token, "with") or (i and not (_is(self.tokens[i - 1], "(") or self.tokens[i - 1].kind == "word")):
                continue
            recursive = i + 1 < len(self.tokens) and _is(self.tokens[i + 1], "recursive")
            opened = self._opens[i]
            end = self._closes[opened] if opened >= 0 else len(self.tokens)
            yield from self._definitions(i + 1 + recursive, i if recursive else None, end)

    def _definitions(self, i: int, everywhere: int | None, end: int) -> Iterator[_Hidden]:
        """``name [(columns)] AS [[NOT] MATERIALIZED] (query) [, ...]`` from token ``i`` on."""
        while i < end and (name := _name(self.tokens[i])) is not None:
            i += 1
            if i < end and _is(self.tokens[i], "("):
                i = self._closes[i] + 1
            if i >= end or not _is(self.tokens[i], "as"):
                return
            i += 1
            while i < end and self.tokens[i].kind == "word" and self.tokens[i].text in {"not", "materialized"}:
                i += 1
            if i >= end or not _is(self.tokens[i], "("):
                return
            i = self._closes[i] + 1
            yield _Hidden(name, everywhere if everywhere is not None else i, end)
            if i >= end or not _is(self.tokens[i], ","):
                return
            i += 1
