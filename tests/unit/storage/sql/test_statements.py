"""The SQL files: all readable, all named once, all meant for one statement."""

from pathlib import Path

import pytest

import gateway.storage.sql.statements as statements
from gateway.storage.sql.statements import load

FILES = ["aliases.sql", "applications.sql", "catalog.sql", "prompts.sql", "records.sql"]


@pytest.mark.parametrize("file", FILES)
def test_every_statement_is_one_statement(file: str) -> None:
    found = load(file)
    assert found
    for name, body in found.items():
        assert name == name.strip()
        assert " " not in name
        code = "\n".join(line.split("--")[0] for line in body.splitlines()).strip()
        assert code.find(";") == len(code) - 1, f"{file}: {name}"


def test_a_name_given_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "__file__", str(tmp_path / "statements.py"))
    (tmp_path / "twice.sql").write_text("-- about\n-- name: a\nselect 1;\n-- name: a\nselect 2;\n")
    with pytest.raises(KeyError, match="a"):
        load("twice.sql")
