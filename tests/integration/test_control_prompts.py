"""Prompts, versions and aliases by the admin API over HTTP, on a real Postgres, and what workers are told."""

from typing import Any

from tests.integration.conftest import Control, text

# --- prompts and versions -----------------------------------------------------------------------------------------


def test_a_slug_with_folders_can_be_written_three_ways(control: Control, app: str, prompt: str):
    for path in ("/prompts/team~greet", "/prompts/team%2Fgreet", "/prompts/team%2fgreet"):
        assert control.ask("GET", path, None, 200, application=app)["slug"] == "team/greet"
    hashed = control.ask("GET", "/prompts/team%2Fgreet/versions/1", None, 200, application=app)["content_hash"]
    assert control.ask("GET", f"/prompts/team%2Fgreet/versions/%23{hashed[:12]}", None, 200, application=app)["number"] == 1


def test_prompts_are_listed_filtered_found_and_paged(control: Control, app: str):
    for slug, tags in (("a", ["x"]), ("b", []), ("sub/c", ["x"])):
        control.ask("POST", "/prompts", {"slug": slug, "content": text(f"words of {slug}"), "tags": tags}, 201, application=app)

    def slugs(path: str = "/prompts", **query: Any) -> list[str]:
        return [p["slug"] for p in control.ask("GET", path, None, 200, application=app, **query)["items"]]

    assert slugs() == ["a", "b", "sub/c"]
    assert slugs(tag="x") == ["a", "sub/c"]
    assert slugs(folder="sub") == ["sub/c"]
    assert slugs(q="sub") == slugs("/prompts/search", q="sub") == ["sub/c"]
    page = control.ask("GET", "/prompts", None, 200, application=app, limit=2)
    assert [p["slug"] for p in page["items"]] == ["a", "b"]
    rest = control.ask("GET", "/prompts", None, 200, application=app, limit=2, cursor=page["next_cursor"])
    assert ([p["slug"] for p in rest["items"]], rest["next_cursor"]) == (["sub/c"], None)


def test_a_prompt_is_described_archived_and_restored(control: Control, app: str, prompt: str):
    changed = control.ask("PUT", "/prompts/team~greet", {"description": "d", "tags": ["t"]}, 200, application=app)
    assert (changed["description"], changed["tags"]) == ("d", ["t"])
    control.workers.announced.clear()
    control.ask("DELETE", "/prompts/team~greet", None, 200, application=app)
    assert [(c.kind, c.name) for c in control.workers.announced] == [("prompt", prompt)]
    assert control.ask("GET", "/prompts", None, 200, application=app)["items"] == []
    control.ask("POST", "/prompts/team~greet/restore", None, 200, application=app)
    assert len(control.ask("GET", "/prompts", None, 200, application=app)["items"]) == 1


def test_a_version_with_equal_content_is_not_made_twice(control: Control, app: str, prompt: str):
    again = control.ask("POST", "/prompts/team~greet/versions", {"content": text("two")}, 200, application=app)
    assert (again["number"], again["created"]) == (2, False)
    stale = control.refused("POST", f"/prompts/team~greet/versions?application={app}", {"content": "x", "base_version": 1})
    assert stale[:3] == (409, "conflict", "base_version")


def test_content_may_come_in_the_flat_form(control: Control, app: str):
    body = {
        "slug": "flat",
        "content": "Explain {{ topic }}",
        "system_prompt": "Be brief",
        "required_fields": [{"name": "topic"}],
        "model_params": {"temperature": 0},
    }
    control.ask("POST", "/prompts", body, 201, application=app)
    content = control.ask("GET", "/prompts/flat/versions/draft", None, 200, application=app)["content"]
    assert [m["role"] for m in content["messages"]] == ["system", "user"]
    assert content["variables"]["required"] == ["topic"]


def test_versions_are_read_by_any_selector_and_compared(control: Control, app: str, prompt: str):
    for selector, number in (("1", 1), ("draft", 2), ("latest", 1), ("production", 1), ("@production", 1), (":2", 2)):
        assert control.ask("GET", f"/prompts/team~greet/versions/{selector}", None, 200, application=app)["number"] == number
    found = control.ask("GET", "/prompts/team~greet/diff", None, 200, application=app, **{"from": "production", "to": "draft"})
    assert (found["from"], found["to"], found["identical"]) == (1, 2, False)
    assert "-one\n+two" in found["messages"][0]["diff"]
    assert [v["number"] for v in control.ask("GET", "/prompts/team~greet/versions", None, 200, application=app)["items"]] == [
        2,
        1,
    ]


# --- publishing ---------------------------------------------------------------------------------------------------


def test_publish_tells_the_workers_and_proves_propagation(control: Control, app: str, prompt: str):
    control.workers.announced.clear()
    body = {"wait": True, "expected_version": 1, "message": "go"}
    moved = control.ask("POST", "/prompts/team~greet/versions/2/publish", body, 200, application=app)
    assert (moved["from_version"], moved["to_version"], moved["changed"], moved["message"]) == (1, 2, True, "go")
    assert moved["propagation"]["lagging"] == []
    assert moved["propagation"]["workers"] == 2
    assert moved["propagation"]["generation"] == moved["generation"]
    assert 0 < moved["propagation"]["waited_ms"] < 5000
    assert [(c.kind, c.name, c.generation) for c in control.workers.announced] == [("prompt", prompt, moved["generation"])]
    assert {w["generation"] for w in control.ask("GET", "/workers")["items"]} == {moved["generation"]}


def test_a_worker_that_lags_is_named(control: Control, app: str, prompt: str):
    control.workers.obedient = False
    body = {"wait": True, "wait_timeout_ms": 50}
    moved = control.ask("POST", "/prompts/team~greet/versions/2/publish", body, 200, application=app)
    assert [w["worker_id"] for w in moved["propagation"]["lagging"]] == ["worker-2"]
    assert moved["propagation"]["waited_ms"] >= 50
    result = control.cli("rollback", prompt, "--wait", "--timeout", "0.1", app=app, code=1)
    assert "worker-2" in result.stderr


def test_a_stale_expectation_is_a_conflict_and_moves_nothing(control: Control, app: str, prompt: str):
    refused = control.refused("POST", f"/prompts/team~greet/versions/2/publish?application={app}", {"expected_version": 2})
    assert refused[:3] == (409, "conflict", "expected_version")
    assert control.ask("GET", "/prompts/team~greet", None, 200, application=app)["aliases"] == {"production": 1}


def test_aliases_move_back_and_keep_their_history(control: Control, app: str, prompt: str):
    control.ask("POST", "/prompts/team~greet/versions/2/publish", {}, 200, application=app)
    back = control.ask("POST", "/prompts/team~greet/aliases/production/rollback", None, 200, application=app)
    assert (back["action"], back["from_version"], back["to_version"]) == ("rollback", 2, 1)
    control.ask("PUT", "/prompts/team~greet/aliases/staging", {"version": "latest"}, 200, application=app)
    listed = control.ask("GET", "/prompts/team~greet/aliases", None, 200, application=app)["items"]
    assert [(a["name"], a["version"]) for a in listed] == [("production", 1), ("staging", 2)]
    history = control.ask("GET", "/prompts/team~greet/aliases/production/history", None, 200, application=app)["items"]
    assert [(m["action"], m["to_version"]) for m in history] == [("rollback", 1), ("publish", 2), ("publish", 1)]
    gone = control.ask("DELETE", "/prompts/team~greet/aliases/staging", None, 200, application=app, message="done")
    assert (gone["action"], gone["to_version"], gone["message"]) == ("delete", None, "done")


def test_revert_makes_a_new_version_with_old_content(control: Control, app: str, prompt: str):
    made = control.ask("POST", "/prompts/team~greet/versions/1/revert", {"message": "undo"}, 201, application=app)
    assert (made["number"], made["created"], made["message"]) == (3, True, "undo")
    old, new = (control.ask("GET", f"/prompts/team~greet/versions/{n}", None, 200, application=app) for n in (1, 3))
    assert (new["content"], new["content_hash"]) == (old["content"], old["content_hash"])


def test_the_actor_is_kept_in_the_history(control: Control, app: str, prompt: str):
    headers = {"x-actor": "ann@example.org", "x-application": app}
    control.http.post("/prompts/team~greet/versions/2/publish", json={}, headers=headers).raise_for_status()
    history = control.ask("GET", "/prompts/team~greet/aliases/production/history", None, 200, application=app)["items"]
    assert [m["actor"] for m in history] == ["admin:ann@example.org", "admin"]
