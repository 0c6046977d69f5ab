"""Guardrails of an application, from the admin API to the documents of its keys, on a real Postgres."""

import asyncio
from pathlib import Path

from gateway.core import keys
from gateway.core.documents import Guardrails, KeyDocument, PostValidation, PreValidation
from gateway.storage.postgres.catalog import PostgresCatalog
from gateway.storage.postgres.pool import open_pool
from tests.integration.conftest import Control

GUARDS = {
    "pre_validation": {"prohibited_terms": ["acme"]},
    "post_validation": {"prohibited_terms": ["secret"], "required_elements": ["."]},
}


def known(control: Control, key: str) -> KeyDocument | None:
    """What the data plane reads of a key."""

    async def read() -> KeyDocument | None:
        pool = await open_pool(control.database, 1, 1)
        try:
            digest = keys.digest(key.encode())
            return (await PostgresCatalog(pool).keys([digest])).get(digest)
        finally:
            await pool.close()

    return asyncio.run(read())


def test_they_are_written_read_propagated_and_taken_away(control: Control, app: str):
    path = f"/applications/{app}/guardrails"
    key = control.ask("POST", f"/applications/{app}/keys", {}, 201)["api_key"]
    assert control.ask("GET", path) == {}
    control.workers.announced.clear()
    assert control.ask("PUT", path, GUARDS, 200) == GUARDS
    assert control.ask("GET", path) == GUARDS
    assert {change.kind for change in control.workers.announced} == {"application", "key"}
    document = known(control, key)
    assert document is not None
    assert document.guardrails == Guardrails(
        PreValidation(prohibited_terms=["acme"]), PostValidation(prohibited_terms=["secret"], required_elements=["."])
    )
    control.workers.announced.clear()
    control.ask("PUT", path, GUARDS, 200)
    assert control.workers.announced == []
    assert control.ask("PUT", path, {}, 200) == {}
    document = known(control, key)
    assert document is not None
    assert document.guardrails is None


def test_what_does_not_compile_is_refused_and_changes_nothing(control: Control, app: str):
    path = f"/applications/{app}/guardrails"
    control.ask("PUT", path, GUARDS, 200)
    for body, param in [
        ({"pre_validation": {"prohibited_terms": [" "]}}, "guardrails.pre_validation.prohibited_terms[0]"),
        ({"pre_validation": {"colour": 1}}, None),
        ({"max_reasks": 9}, "max_reasks"),
    ]:
        status, code, named, _ = control.refused("PUT", path, body)
        assert (status, code) == (400, "invalid_request"), body
        assert param is None or named == param
    assert control.ask("GET", path) == GUARDS
    assert control.refused("PUT", "/applications/nobody/guardrails", GUARDS)[:2] == (404, "not_found")


def test_the_command_line_shows_and_replaces_them(control: Control, app: str, tmp_path: Path):
    file = tmp_path / "guards.yaml"
    file.write_text("pre_validation:\n  prohibited_terms: [acme]\n")
    control.cli("app", "guardrails", app, str(file))
    assert control.ask("GET", f"/applications/{app}/guardrails") == {"pre_validation": {"prohibited_terms": ["acme"]}}
    assert "acme" in control.cli("app", "guardrails", app).stdout
    control.cli("app", "guardrails", app, str(file), "--clear", code=2)
    control.cli("app", "guardrails", app, "--clear")
    assert control.ask("GET", f"/applications/{app}/guardrails") == {}
