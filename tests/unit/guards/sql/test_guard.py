"""SQL: what one statement is, what it may do, and whose strings end where."""

from typing import Any

import pytest

from gateway.guards.catalogue import make
from gateway.guards.shipped import CATALOGUE
from gateway.guards.sql.guard import MAX_SQL

ALL = ["select", "insert", "update", "delete", "with", "explain", "replace", "merge"]
TABLES = ["a", "b", "c", "s.t", "Mixed"]


def kinds(text: str, **options: Any) -> list[str]:
    return [f.what for f in make(CATALOGUE["sql"], options, "g").find(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1", []),
        (" select 1 ;; ", []),
        ("(select 1) union (select 2)", []),
        ("with x as (select 1) select * from x", []),
        ("select 'a;b', \"c;d\" -- e;f\n/* g;h */ from t", []),
        ("select replace(a, 'x', 'y'), (replace(b, 'x', 'y')) from t", []),
        ("select 1; select 2", ["several_statements"]),
        ("", ["no_statement"]),
        ("-- nothing", ["no_statement"]),
        (";", ["no_statement"]),
        ("delete from t", ["kind_not_allowed"]),
        ("with x as (delete from t returning *) select * from x", ["kind_not_allowed"]),
        ("with x as (select 1) delete from t", ["kind_not_allowed"]),
        ("explain analyze delete from t", ["kind_not_allowed"]),
        ("select * into copy from t", ["kind_not_allowed"]),
        ("drop table t", ["kind_not_allowed"]),
        ("'select'", ["kind_not_allowed"]),
        ("select pg_sleep(10)", ["denied_word"]),
        ('select "pg_sleep"(10)', ["denied_word"]),
        ("select 'pg_sleep'", []),
        ("select 'open", ["unterminated"]),
        ('select "open', ["unterminated"]),
        ("select /* open", ["unterminated"]),
        ("select /*! 1 */ 2", ["executable_comment"]),
        ('select U&"\\0070g_sleep"(1)', ["escaped_name"]),
        ("select\0 1", []),
        ("select 1 -- " + "x" * MAX_SQL, ["too_long"]),
        ("```sql\nselect 1\n```", ["kind_not_allowed"]),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_one_select(text: str, expected: list[str]):
    assert kinds(text) == expected


def test_a_code_block_may_be_allowed():
    assert kinds("```sql\nselect 1;\n```", allow_fence=True) == []


@pytest.mark.parametrize(
    ("text", "dialect", "expected"),
    [
        ("select '\\'; drop table x; --'", "ansi", ["several_statements"]),
        ("select '\\'; drop table x; --'", "postgres", ["several_statements"]),
        ("select '\\'; drop table x; --'", "mysql", []),
        ("select E'\\'; drop table x; --'", "postgres", []),
        ("select e'\\'", "postgres", ["unterminated"]),
        ("select N'a;b', x'ff', b'01'", "ansi", []),
        ("select 'it''s;'", "sqlite", []),
        ("select $$a;b$$, $t$c;$$;d$t$", "postgres", []),
        ("select $$a;b$$", "sqlite", ["several_statements"]),
        ("select $$a", "postgres", ["unterminated"]),
        ("select $1", "postgres", []),
        ("select 1 # ; drop", "mysql", []),
        ("select 1 # ; drop\n, 2", "mysql", []),
        ("select 1 # ; drop", "postgres", ["several_statements"]),
        ('select "a;b"', "mysql", []),
        ("select `a;b` from t", "mysql", []),
        ("select `a", "mysql", ["unterminated"]),
        ("select `a;b`", "postgres", ["several_statements"]),
        ("select [a;b] from t", "sqlite", []),
        ("select [a", "sqlite", ["unterminated"]),
        ("select x[1] from t", "postgres", []),
        ("select /* a /* b */ ; */ 1", "postgres", []),
        ("select /* a /* b */ ; 1", "mysql", ["several_statements"]),
        ("select /*/ ; 1", "mysql", ["unterminated"]),
        ("select /*/ ; */ 1", "mysql", []),
        ("select /*! 1 */ 2", "postgres", []),
        ("select 1.5e3, .5, 1_000", "ansi", []),
    ],
)
def test_each_dialect_ends_its_own_strings_names_and_comments(text: str, dialect: str, expected: list[str]):
    assert kinds(text, dialect=dialect) == expected


@pytest.mark.parametrize(
    "text",
    [
        "select 1",
        "select * from a, b as x, c y where x.i in (select i from s.t)",
        "select * from A join b using (i) left join c on (a.i = c.i)",
        'select * from "Mixed"',
        "select * from (a join b on true), (select 1) z",
        "select extract(year from day), trim(both 'x' from name), i is distinct from j, i is not distinct from j from a",
        "with x as (select * from a) select * from x, b",
        "with recursive x(n) as (select 1 union all select n + 1 from x), y as not materialized (select 2) select * from x, y",
        "select * from generate_series(1, 3), a",
        "select * from a for update",
        "select * from a where b = 'from secret'",
        "select * from only a limit 1, 2",
        "insert into a (i, j) values (1, 2) on conflict do update set i = 1",
        "insert into a select * from b",
        "update a set i = 1, j = 2 from b where true",
        "delete from a using b where a.i = b.i",
        "merge into a using b on a.i = b.i when matched then update set i = 1",
        "with x as (insert into a values (1) returning i) select * from x",
        "select a.from, a.i from a",
        "with x select 1",
        "with x as select 1",
        "with x as (select 1) y select 1",
        "select * from a)",
        "select (1",
        "select * from",
        "select * from a.",
    ],
)
def test_statements_on_allowed_tables_pass(text: str):
    allowed = [*TABLES, "a."]
    assert kinds(text, tables=allowed, kinds=ALL) == []


@pytest.mark.parametrize(
    "text",
    [
        "select * from secret",
        "select * from a, secret",
        "select * from a natural join b, secret",
        "select * from a join b on a.i = b.i, secret",
        "select * from a cross join secret",
        "select * from (secret)",
        "select * from (a, secret)",
        "select * from a where i in (select i from secret)",
        "select (select i from secret)",
        "select * from a union select * from secret",
        'select * from "A"',
        'select * from "secret"',
        "select * from s.secret",
        "select * from other.a",
        "select * from only secret",
        "select extract(year from (select d from secret))",
        "with a2 as (select * from secret) select * from a2",
        "with secret as (select * from secret) select * from secret",
        "select * from (with secret as (select 1) select * from secret) x, secret",
        "with x as (select * from y), y as (select 1) select * from x",
        "select * from a window secret as (), w as (partition by i) union select * from secret",
        "insert into secret (i) values (1)",
        "insert into a select * from secret",
        "update secret set i = 1",
        "delete from a using secret",
        "delete from a using (b join secret on true)",
        "select * from (a join secret on true)",
        "select * from b, (secret join a on true)",
        "delete from secret",
        "merge into secret using a on true when matched then delete",
        "merge into a using secret on true when matched then delete",
        "with x as (delete from secret returning i) select * from x",
        "select * from a/**/,/**/secret",
        "select * from secret for update",
    ],
)
def test_no_way_leads_to_another_table(text: str):
    assert kinds(text, tables=TABLES, kinds=ALL) == ["table_not_allowed"]


@pytest.mark.parametrize(
    "text",
    ["(" * 90_000, "select " + "(select " * 10_000, "/*" * 45_000, "'" * 99_999, "$a$" * 33_000, "from " * 19_000, "with a as (" * 9_000, "," * 99_000,
     "select * from " + "a," * 40_000 + "a"],
    ids=lambda text: text[:10],
)  # fmt: skip
@pytest.mark.parametrize("dialect", ["ansi", "postgres", "mysql", "sqlite"])
def test_hostile_statements_are_read_to_their_end(text: str, dialect: str):
    assert len(kinds(text, dialect=dialect, tables=["a"], kinds=[*ALL, "unknown", "from"])) <= 1
