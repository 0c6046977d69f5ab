"""The statements of the data plane are bound to one application, each by a parameter of its own (ADR 0021)."""

import re
from pathlib import Path

import pytest

from gateway.storage.sql.statements import load

MIGRATIONS = Path(__file__).parents[2] / "gateway" / "storage" / "postgres" / "migrations" / "sql"
SERVING = ("catalog.sql", "responses.sql", "objects.sql", "spending.sql")
"""What callers' requests lead to. The control plane's writes go by ids of rows that were found under their application."""
FREE = {
    "catalog.keys": "a key is found by its digest, which only its holder can name",
    "catalog.credentials": "the installation's own, which belong to no application; sealed",
    "catalog.changes": "what moved, for workers: names and numbers, no content",
    "spending.charges": "by the ids of calls whose worker died, for that installation's limits; each answer says whose it is",
    "responses.sweep": "removes what is past its end, whoever had it; nothing is answered",
}
_BOUND = re.compile(r"\bapplication_id = \$\d|\binsert into \w+ \([^)]*\bapplication_id\b")
_PLACE = re.compile(r"\b(?:from|join|update|into)\s+(\w+)")


def tables() -> set[str]:
    """The tables with rows of applications: those that say whose, and those below prompts and splits."""
    made: set[str] = set()
    for file in MIGRATIONS.glob("*.sql"):
        for name, columns in re.findall(r"create table (\w+) \((.*?)\n\)", file.read_text(encoding="utf-8"), re.DOTALL):
            if re.search(r"^    (application_id|prompt_id|split_id) ", columns, re.MULTILINE):
                made.add(name)
    return made


STATEMENTS = {
    f"{file.removesuffix('.sql')}.{name}": re.sub(r"--.*", "", text) for file in SERVING for name, text in load(file).items()
}


def test_the_tables_of_applications_are_known() -> None:
    assert {"api_keys", "prompts", "versions", "aliases", "split_variants", "stored_responses", "upstream_objects"} <= tables()


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_statement_that_serves_names_its_application(name: str) -> None:
    statement = STATEMENTS[name]
    touched = set(_PLACE.findall(statement)) & tables()
    assert bool(touched and not _BOUND.search(statement)) == (name in FREE), f"{name} reads {sorted(touched)}"
