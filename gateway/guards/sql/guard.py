"""The guard ``sql``: what a model wrote must be one statement that may be run.

It reads tokens, not grammar: a statement that passes may still be wrong, and the database says so. What it decides is what the
statement could touch. It does not take the place of a database role with few rights (OWASP LLM05:2025, CWE-89).
"""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from gateway.guards.fence import unfenced
from gateway.guards.sql.tables import Statement
from gateway.guards.sql.tokens import BadSqlError, Dialect, Token, is_mark, tokens
from gateway.guards.whole import WholeText

MAX_SQL = 100_000
"""Characters: no model writes a longer statement to be run, and reading it takes a tenth of a second."""

_DENIED = (
    "pg_sleep", "pg_sleep_for", "pg_sleep_until", "sleep", "benchmark", "pg_read_file", "pg_read_binary_file",
    "pg_ls_dir", "pg_stat_file", "lo_import", "lo_export", "dblink", "dblink_exec", "dblink_connect",
    "pg_terminate_backend", "pg_cancel_backend", "pg_reload_conf", "set_config", "query_to_xml", "load_file", "outfile",
    "dumpfile", "load_extension", "readfile", "writefile", "edit", "xp_cmdshell", "openrowset", "opendatasource",
    "sp_executesql", "utl_http", "dbms_pipe",
)  # fmt: skip
"""Functions and words that wait, read files, reach other machines or change settings, in PostgreSQL, MySQL, SQLite and their like
(the payloads of the OWASP Web Security Testing Guide 4.7.5)."""

_READING = frozenset({"select", "values", "table"})
_WRITING = frozenset({"insert", "update", "delete", "merge", "replace"})

_BEFORE_STATEMENTS = frozenset({"explain", "analyze", "analyse", "verbose", "plan", "as"})
"""Words after which a statement may begin within another."""

_BEFORE_INTO = _WRITING | {"ignore", "low_priority", "high_priority", "delayed", "abort", "fail", "rollback"}
"""Words after which INTO names what an INSERT writes to; after any other, a SELECT makes a table or a file."""

_Word = Annotated[str, Meta(min_length=1, max_length=200)]


class SqlOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What ``sql`` may be told."""

    kinds: Annotated[tuple[_Word, ...], Meta(min_length=1, max_length=50)] = ("select",)
    """First words of statements that are allowed (``select``, ``insert``, ``explain``, ...)."""
    tables: Annotated[tuple[_Word, ...], Meta(max_length=10_000)] | None = None
    """Tables that may be named, as statements name them (``users``, ``sales.orders``); None: all."""
    denied: Annotated[tuple[_Word, ...], Meta(max_length=1_000)] = _DENIED
    """Functions and keywords that must not occur outside of strings."""
    dialect: Dialect = "ansi"
    """How strings, quoted names and comments are written. It must be that of the database, or what is judged is not what is run."""
    allow_fence: bool = False
    """Whether the statement may stand in a Markdown code block."""


class SqlGuard(WholeText):
    """Reads a statement."""

    __slots__ = ("_allow_fence", "_denied", "_dialect", "_kinds", "_tables")

    def __init__(self, options: SqlOptions) -> None:
        self._kinds = frozenset(kind.lower() for kind in options.kinds)
        self._tables = frozenset(options.tables) if options.tables is not None else None
        self._denied = frozenset(word.lower() for word in options.denied)
        self._dialect: Dialect = options.dialect
        self._allow_fence = options.allow_fence

    def judge(self, text: str) -> str | None:
        """What is wrong first.

        One of ``too_long``, ``unterminated``, ``executable_comment``, ``escaped_name``, ``no_statement``, ``several_statements``,
        ``kind_not_allowed``, ``denied_word`` and ``table_not_allowed``.
        """
        if self._allow_fence:
            text = unfenced(text, "sql")
        if len(text) > MAX_SQL:
            return "too_long"
        try:
            found = _trimmed(list(tokens(text, self._dialect)))
        except BadSqlError as error:
            return str(error)
        if not found:
            return "no_statement"
        if any(is_mark(token, ";") for token in found):
            return "several_statements"
        if not _kinds(found) <= self._kinds:
            return "kind_not_allowed"
        if any(token.text.lower() in self._denied for token in found if token.kind in {"word", "name"}):
            return "denied_word"
        if self._tables is not None and any(".".join(table) not in self._tables for table in Statement(found).tables()):
            return "table_not_allowed"
        return None


def _trimmed(found: list[Token]) -> list[Token]:
    """Without the semicolons at the end."""
    while found and is_mark(found[-1], ";"):
        found.pop()
    return found


def _kinds(found: Sequence[Token]) -> set[str]:
    """The first words of the statement and of statements within it that write; ``select_into`` for a SELECT that makes a table."""
    first = next((token for token in found if not is_mark(token, "(")), found[0])
    kinds: set[str] = {first.text if first.kind == "word" else "unknown"}
    depth = 0
    for i, token in enumerate(found):
        depth += is_mark(token, "(") - is_mark(token, ")")
        if token.kind != "word":
            continue
        if "with" in kinds and depth == 0 and token.text in _READING | _WRITING:
            kinds = kinds - {"with"} | {token.text}
        elif token.text in _WRITING and i and _begins_statement(found, i):
            kinds.add(token.text)
        if token.text == "into" and i and found[i - 1].text not in _BEFORE_INTO:
            kinds.add("select_into")
    return kinds


def _begins_statement(found: Sequence[Token], i: int) -> bool:
    """Whether the verb at ``i`` can begin a statement, and is not the name of a function."""
    before = found[i - 1]
    called = i + 1 < len(found) and is_mark(found[i + 1], "(")
    return not called and (is_mark(before, "(") or is_mark(before, ")") or before.text in _BEFORE_STATEMENTS)


def make_sql(options: SqlOptions, _param: str) -> SqlGuard:
    """The guard."""
    return SqlGuard(options)
