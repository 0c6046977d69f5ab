"""Splits by the admin API and the command line over HTTP, on a real Postgres: every route, refusal, and way back."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import NASTY, Control, escaped_json

SPLIT = {"variants": [{"name": "control", "version": 1, "weight": 5000}, {"name": "own", "version": "latest", "weight": 5000}]}


def test_an_alias_is_split_read_and_ended(control: Control, app: str, prompt: str):
    aliases = "/prompts/team~greet/aliases"
    control.workers.announced.clear()
    own = {"name": "own", "version": "draft", "weight": 5000, "model": "gpt-x", "params": {"seed": 1}, "guardrails": {}}
    body = {"variants": [SPLIT["variants"][0], own], "message": "try", "wait": True, "expected_version": 1}
    moved = control.ask("PUT", f"{aliases}/production/split", body, 200, application=app)
    assert (moved["action"], moved["from_version"], moved["to_version"], moved["changed"]) == ("split", 1, None, True)
    assert moved["propagation"]["lagging"] == []
    assert [(c.kind, c.name) for c in control.workers.announced] == [("prompt", "team/greet")]
    split = control.ask("GET", f"{aliases}/production/split", None, 200, application=app)
    assert split == moved["to_split"]
    assert split["variants"] == [
        {"name": "control", "version": 1, "weight": 5000},
        {"name": "own", "version": 2, "weight": 5000, "model": "gpt-x", "params": {"seed": 1}, "guardrails": {}},
    ]
    again = control.ask("PUT", f"{aliases}/production/split", {"variants": split["variants"]}, 200, application=app)
    assert again["changed"] is False
    assert control.ask("GET", aliases, None, 200, application=app)["items"][0]["split"] == split
    ended = control.ask("POST", f"{aliases}/production/promote", {"variant": "own"}, 200, application=app)
    assert (ended["action"], ended["to_version"], ended["from_split"]["id"]) == ("promote", 3, split["id"])
    content = control.ask("GET", "/prompts/team~greet/versions/3", None, 200, application=app)["content"]
    assert (content["model"], content["params"]) == ("gpt-x", {"seed": 1})
    back = control.ask("PUT", f"{aliases}/production", {"split": split["id"]}, 200, application=app)
    assert (back["action"], back["to_split"]["id"]) == ("set", split["id"])
    control.ask("POST", f"{aliases}/production/promote", {"variant": "control"}, 200, application=app)
    history = control.ask("GET", f"{aliases}/production/history", None, 200, application=app)["items"]
    assert [(m["action"], m["to_version"], m["to_split"] is None) for m in history] == [
        ("promote", 1, True), ("set", None, False), ("promote", 3, True), ("split", None, False), ("publish", 1, True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("production/split", {"variants": []}, 400, "variants"),
        ("production/split", {"variants": [{**SPLIT["variants"][0], "weight": 10_000}]}, 400, "variants"),
        ("production/split", {"variants": [{**v, "weight": 1} for v in SPLIT["variants"]]}, 400, "variants"),
        ("production/split", {"variants": [{**v, "name": "No!"} for v in SPLIT["variants"]]}, 400, "variants"),
        ("production/split", {"variants": [{**v, "name": "same"} for v in SPLIT["variants"]]}, 400, "variants"),
        ("production/split", {"variants": [{**v, "version": 99} for v in SPLIT["variants"]]}, 404, "variants[0].version"),
        ("production/split", {"variants": [{**v, "version": "a b"} for v in SPLIT["variants"]]}, 400, "variants[0].version"),
        ("production/split", {"variants": [{**v, "params": {"n": 2}} for v in SPLIT["variants"]]}, 400, "variants[0].params.n"),
        ("production/split", {"variants": [{**v, "guardrails": {"x": 1}} for v in SPLIT["variants"]]}, 400, "variants[0].guardrails.x"),
        ("production/split", {**SPLIT, "salt": "a b"}, 400, "salt"),
        ("production/split", {**SPLIT, "expected_version": 2}, 409, "expected_version"),
        ("production/split", {**SPLIT, "expected_split": "x"}, 409, "expected_split"),
        ("latest/split", SPLIT, 400, "alias"),
        ("production/split", {**SPLIT, "wait_timeout_ms": 0}, 400, "wait_timeout_ms"),
        ("production", {"version": 1, "split": "x"}, 400, "version"),
        ("production", {"split": "x"}, 400, "split"),
    ],
)  # fmt: skip
def test_what_is_no_split_is_refused_by_name(
    control: Control, app: str, prompt: str, path: str, body: Any, status: int, param: str
):
    found = control.refused("PUT", f"/prompts/team~greet/aliases/{path}?application={app}", body)
    assert (found[0], found[2]) == (status, param), found


def test_what_is_not_split_cannot_be_ended(control: Control, app: str, prompt: str):
    where = f"/prompts/team~greet/aliases/production/promote?application={app}"
    assert control.refused("POST", where, {"variant": "own"})[:3] == (404, "not_found", "alias")
    control.ask("PUT", "/prompts/team~greet/aliases/production/split", SPLIT, 200, application=app)
    status, _, param, message = control.refused("POST", where, {"variant": "nobody"})
    assert (status, param) == (404, "variant")
    assert "it has control, own" in message
    assert control.refused("GET", f"/prompts/team~greet/versions/production?application={app}", b"")[:2] == (409, "conflict")


@pytest.mark.parametrize(
    ("method", "path", "good", "fields"),
    [
        ("PUT", "a/split", SPLIT, ["variants", "salt", "expected_version", "expected_split", "message"]),
        ("POST", "production/promote", {"variant": "own"}, ["variant", "expected_split", "message"]),
        ("PUT", "a", {"split": "x"}, ["split"]),
    ],
)
def test_no_value_is_our_fault(
    control: Control, app: str, prompt: str, method: str, path: str, good: dict[str, Any], fields: list[str]
):
    control.ask("PUT", "/prompts/team~greet/aliases/production/split", SPLIT, 200, application=app)
    bodies = [{**good, field: value} for field in fields for value in NASTY]
    if path == "a/split":
        parts = ("name", "version", "weight", "model", "params", "guardrails")
        bodies += [
            {"variants": [{**SPLIT["variants"][0], part: value}, SPLIT["variants"][1]]} for part in parts for value in NASTY
        ]
    for body in bodies:
        where = f"/prompts/team~greet/aliases/{path}"
        answer = control.http.request(method, where, content=escaped_json(body), params={"application": app})
        assert answer.status_code < 500, (body, answer.text)
        assert answer.status_code < 300 or set(answer.json()["error"]) == {"message", "type", "code", "param"}


def test_an_experiment_on_the_command_line(control: Control, app: str, tmp_path: Path):
    control.cli("create", "faq", "--text", "one", app=app)
    control.cli("update", "faq", "--text", "two", app=app)
    control.cli("publish", "faq", "1", app=app)
    halves = ("split", "faq", "--variant", "control=1:50", "--variant", "concise=2:50")
    made = control.cli(*halves, "--wait", app=app)
    assert "faq@production is now split: control=1:50 concise=2:50 (was 1)" in made.stdout
    assert "served by all 2 workers" in made.stdout
    assert made.stderr == f"undo: promptgate rollback faq --app {app}\n"
    again = control.cli(*halves, app=app)
    assert "unchanged: faq@production is split: control=1:50 concise=2:50 already" in again.stdout
    assert again.stderr == ""
    shown = control.json("split", "show", "faq", app=app)
    assert [(v["name"], v["version"], v["weight"]) for v in shown["variants"]] == [("control", 1, 5000), ("concise", 2, 5000)]
    heavier = control.json(
        *("split", "faq", "--variant", "control=1:33.34", "--variant", "concise=latest:66.66", "--model", "concise=gpt-x"),
        *("--param", "concise:temperature=0.5", "--alias", "production", "-m", "more"),
        app=app,
    )
    assert heavier["to_split"]["salt"] == shown["salt"]
    assert heavier["to_split"]["variants"][1] == {
        "name": "concise", "version": 2, "weight": 6666, "model": "gpt-x", "params": {"temperature": 0.5},
    }  # fmt: skip
    table = control.cli("split", "show", "faq", app=app).stdout
    assert "66.66 %" in table
    assert "temperature=0.5" in table
    assert "production:2/1" in control.cli("list", app=app).stdout
    assert "is split" in control.cli("get", "faq", app=app, code=3).stderr
    assert control.json("get", "faq:2", app=app)["aliases"] == ["production"]
    assert "control=1:33.34 concise=2:66.66" in control.cli("alias", "list", "faq", app=app).stdout
    pulled = control.json("pull", str(tmp_path), "--alias", "production", app=app)
    assert pulled == {"written": [], "skipped": ["faq"]}
    ended = control.cli("promote", "faq", "concise", app=app)
    assert "faq@production is now version 3 (was control=1:33.34 concise=2:66.66)" in ended.stdout
    assert ended.stderr == f"undo: promptgate rollback faq --app {app}\n"
    back = control.cli("rollback", "faq", app=app)
    assert "is now split: control=1:33.34 concise=2:66.66 (was 3)" in back.stdout
    assert back.stderr == f"undo: promptgate alias set faq production 3 --app {app}\n"
    older = control.cli("rollback", "faq", app=app)
    undo = older.stderr.removeprefix("undo: promptgate ").split()
    assert undo[:4] == ["alias", "set", "faq", "production"]
    assert undo[4] == "--split"
    assert "66.66" in control.cli(*undo).stdout
    history = control.cli("alias", "history", "faq", app=app).stdout
    assert "control=1:50 concise=2:50" in history
    assert [m["action"] for m in control.json("alias", "history", "faq", app=app)] == [
        "set", "rollback", "rollback", "promote", "split", "split", "publish",
    ]  # fmt: skip
    control.cli("promote", "faq", "nobody", app=app, code=1)
    control.cli(*halves, "--expect", "1", app=app, code=3)
    control.cli("publish", "faq", "1", app=app)
    control.cli("split", "show", "faq", app=app, code=1)
