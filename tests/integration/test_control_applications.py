"""Applications, their keys and limits by the admin API over HTTP, on a real Postgres."""

from typing import Any

import msgspec
import pytest

from gateway.core import keys
from gateway.core.limits import MAX_RULES
from tests.integration.conftest import Control


def test_an_application_is_born_with_a_key_shown_once(control: Control):
    made = control.ask("POST", "/applications", {"slug": "born", "default_model": "gpt", "requests_per_minute": 5}, 201)
    assert keys.well_formed(made["api_key"])
    assert made["public_id"] in made["api_key"]
    listed = control.ask("GET", "/applications/born/keys", None, 200)["items"]
    assert [key["public_id"] for key in listed] == [made["public_id"]]
    everything = msgspec.json.encode([listed, control.ask("GET", "/applications/born")]).decode()
    assert made["api_key"] not in everything
    assert keys.digest(made["api_key"]) not in everything
    assert control.refused("POST", "/applications", {"slug": "born"})[:3] == (409, "conflict", "slug")


def test_an_application_is_changed_archived_and_restored(control: Control, app: str):
    changed = control.ask("PUT", f"/applications/{app}", {"default_model": "gpt", "name": "New"}, 200)
    assert (changed["default_model"], changed["name"], changed["description"]) == ("gpt", "New", "")
    assert control.ask("DELETE", f"/applications/{app}", None, 200)["archived_at"] is not None
    assert app not in [a["slug"] for a in control.ask("GET", "/applications", limit=100)["items"]]
    assert control.ask("POST", f"/applications/{app}/restore", None, 200)["archived_at"] is None


def test_keys_are_made_revoked_and_replaced(control: Control, app: str):
    made = control.ask(
        "POST", f"/applications/{app}/keys", {"name": "ci", "requests_per_minute": 7, "expires_in_seconds": 60}, 201
    )
    assert (made["name"], made["requests_per_minute"]) == ("ci", 7)
    assert made["expires_at"] is not None
    control.workers.announced.clear()
    control.ask("DELETE", f"/applications/{app}/keys/{made['public_id']}", None, 200)
    digest = keys.digest(made["api_key"])
    assert [(c.kind, c.name) for c in control.workers.announced] == [("key", digest)]
    replaced = control.ask("POST", f"/applications/{app}/regenerate-key", None, 201)
    assert [k["public_id"] for k in control.ask("GET", f"/applications/{app}/keys")["items"]] == [replaced["public_id"]]
    graced = control.ask("POST", f"/applications/{app}/regenerate-key", {"grace_seconds": 60}, 201)
    listed = {k["public_id"]: k["expires_at"] for k in control.ask("GET", f"/applications/{app}/keys")["items"]}
    assert listed[graced["public_id"]] is None
    assert listed[replaced["public_id"]] is not None


def test_what_a_key_may_do_is_kept_changed_and_inherited(control: Control, app: str):
    keys_of = f"/applications/{app}/keys"
    rights = {"scopes": ["chat", "models"], "prompts": ["faq*"], "models": []}
    made = control.ask("POST", keys_of, {"name": "ci", "requests_per_minute": 7, "expires_in_seconds": 600, **rights}, 201)
    assert {name: made[name] for name in rights} == rights
    read = control.ask("GET", f"{keys_of}/{made['public_id']}", None, 200)
    assert {name: read[name] for name in rights} == rights
    assert (read["lifetime_seconds"], read["replaced_by"], read["last_used_on"]) == (600, None, None)
    control.workers.announced.clear()
    changed = control.ask("PUT", f"{keys_of}/{made['public_id']}", {"models": None, "expires_in_seconds": 60}, 200)
    assert (changed["models"], changed["scopes"], changed["lifetime_seconds"]) == (None, ["chat", "models"], 60)
    assert changed["expires_at"] < read["expires_at"]
    assert [c.name for c in control.workers.announced] == [keys.digest(made["api_key"])]
    control.workers.announced.clear()
    control.ask("PUT", f"{keys_of}/{made['public_id']}", {"name": "ci 2"}, 200)
    assert control.workers.announced == [], "serving knows no names"
    rotated = control.ask("POST", f"{keys_of}/{made['public_id']}/rotate", {"grace_seconds": 30}, 201)
    assert {c.name for c in control.workers.announced} == {keys.digest(made["api_key"]), keys.digest(rotated["api_key"])}
    new, old = (control.ask("GET", f"{keys_of}/{k['public_id']}", None, 200) for k in (rotated, made))
    for name in ("name", "scopes", "prompts", "models", "requests_per_minute", "lifetime_seconds"):
        assert new[name] == old[name], name
    assert (old["replaced_by"], old["revoked_at"]) == (new["id"], None)
    assert (old["ancestors"], new["ancestors"]) == ([], [made["public_id"]])
    assert old["expires_at"] < new["expires_at"]
    control.ask("POST", f"{keys_of}/{rotated['public_id']}/rotate", None, 201)
    assert control.ask("GET", f"{keys_of}/{rotated['public_id']}", None, 200)["revoked_at"] is not None
    for method, path, body in (("PUT", "", {"name": "x"}), ("POST", "/rotate", {})):
        assert control.refused(method, f"{keys_of}/{rotated['public_id']}{path}", body)[:3] == (409, "conflict", "key")


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("scopes", [], "give at least one"),
        ("scopes", ["chats"], "'chats' is no scope; there are *, audio"),
        ("prompts", ["a b"], "'a b' is not a prompt or pattern"),
        ("models", ["gpt?"], "'gpt?' is not the name of a model"),
        ("models", ["m"] * 101, "at most 100"),
        ("requests_per_minute", 0, "at least 1"),
        ("expires_in_seconds", 0, "1 to "),
    ],
)
def test_rights_that_are_none_are_refused_by_name(control: Control, app: str, field: str, value: Any, told: str):
    made = control.ask("POST", f"/applications/{app}/keys", {}, 201)
    for method, path in (("POST", ""), ("PUT", f"/{made['public_id']}")):
        status, _, param, message = control.refused(method, f"/applications/{app}/keys{path}", {field: value})
        assert (status, param) == (400, field)
        assert message.startswith(f"{field}: ")
        assert told in message
    assert (
        control.refused("POST", f"/applications/{app}/keys/{made['public_id']}/rotate", {"grace_seconds": -1})[2]
        == "grace_seconds"
    )


def test_limits_are_set_replaced_and_deleted_and_every_key_carries_them(control: Control, app: str):
    where = f"/applications/{app}/limits"
    made = control.ask("POST", f"/applications/{app}/keys", {}, 201)
    body = {"scope": "tag", "match": "batch", "metric": "tokens", "amount": 1000, "window": "day", "hard": True}
    control.workers.announced.clear()
    first = control.ask("PUT", f"{where}/batch-tokens", body, 200)
    moved = {(c.kind, c.name) for c in control.workers.announced}
    assert {("application", app), ("key", keys.digest(made["api_key"]))} <= moved
    assert (first["mode"], first["on_store_error"], first["local_amount"], first["shadow"]) == ("exact", "open", None, False)
    control.workers.announced.clear()
    assert control.ask("PUT", f"{where}/batch-tokens", body, 200) == first
    assert control.workers.announced == []
    replaced = control.ask("PUT", f"{where}/batch-tokens", {**body, "amount": 5, "local_amount": 2}, 200)
    assert (replaced["id"], replaced["amount"], replaced["local_amount"]) == (first["id"], 5, 2)
    control.ask("PUT", f"{where}/per-user", {"scope": "user", "metric": "concurrency", "amount": 3}, 200)
    assert [rule["name"] for rule in control.ask("GET", where)["items"]] == ["batch-tokens", "per-user"]
    assert control.ask("GET", f"{where}/batch-tokens") == replaced
    report = control.ask("GET", f"{where}/usage")
    assert [(u["name"], u["value"], u["used"], u["remaining"]) for u in report["items"]] == [("batch-tokens", "batch", 0, 5)]
    assert 0 < report["items"][0]["resets_in_ms"] <= 86_400_000
    assert report["unnamed"] == ["per-user"]
    named = control.ask("GET", f"{where}/usage", user="ann")
    assert [u["value"] for u in named["items"]] == ["batch", "ann"]
    assert control.ask("DELETE", f"{where}/batch-tokens", None, 200) == replaced
    assert [rule["name"] for rule in control.ask("GET", where)["items"]] == ["per-user"]


def test_an_application_has_only_so_many_limits(control: Control, app: str):
    body = {"scope": "user", "metric": "concurrency", "amount": 3}
    for number in range(MAX_RULES):
        control.ask("PUT", f"/applications/{app}/limits/r{number}", body, 200)
    assert control.refused("PUT", f"/applications/{app}/limits/more", body)[:2] == (409, "conflict")
    control.ask("PUT", f"/applications/{app}/limits/r0", {**body, "amount": 4}, 200)
