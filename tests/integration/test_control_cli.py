"""The command line on a running admin API and a real Postgres."""

from pathlib import Path

import httpx
import msgspec

from admin_cli.seed import seed
from gateway.core import keys
from tests.integration.conftest import TOKEN, Control

DEMOS = Path(__file__).parents[2] / "config" / "prompts"


def test_a_prompt_from_draft_to_rollback_on_the_command_line(control: Control, app: str):
    control.cli("create", "faq", "--text", "Answer {{ q }}", "--tag", "x", app=app)
    control.cli("update", "faq", "--text", "Answer {{ q }} kindly", "-m", "kinder", app=app)
    assert "unchanged" in control.cli("update", "faq", "--text", "Answer {{ q }} kindly", app=app).stdout
    control.cli("publish", "faq", "1", app=app)
    result = control.cli("publish", "faq", "draft", "--wait", "--expect", "1", app=app)
    assert "served by all 2 workers" in result.stdout
    assert f"undo: promptgate rollback faq --app {app}" in result.stderr
    control.cli("publish", "faq", "1", "--expect", "1", app=app, code=3)
    control.cli("create", "faq", "--text", "again", app=app, code=3)
    assert "+Answer {{ q }} kindly" in control.cli("diff", "faq", "1", "production", app=app).stdout
    assert [v["number"] for v in control.json("history", "faq", app=app)] == [2, 1]
    control.cli("rollback", "faq", app=app)
    assert control.json("get", "faq", app=app)["number"] == 1
    assert "Answer {{ q }}" in control.cli("get", "faq:1", app=app).stdout
    assert control.json("revert", "faq", "1", app=app)["number"] == 3
    control.cli("alias", "set", "faq", "canary", "2", app=app)
    assert {a["name"]: a["version"] for a in control.json("alias", "list", "faq", app=app)} == {"production": 1, "canary": 2}
    assert [m["action"] for m in control.json("alias", "history", "faq", app=app)] == ["rollback", "publish", "publish"]
    control.cli("alias", "delete", "faq", "canary", app=app)
    control.cli("archive", "faq", app=app)
    assert control.json("list", app=app) == []
    control.cli("restore", "faq", app=app)
    assert [p["slug"] for p in control.json("list", "--tag", "x", app=app)] == ["faq"]


def test_applications_and_keys_on_the_command_line(control: Control):
    made = msgspec.json.decode(control.cli("app", "create", "cli-app", "--json").stdout)
    assert keys.well_formed(made["api_key"])
    second = control.json("key", "create", "--name", "ci", "--days", "1", app="cli-app")
    assert {k["public_id"] for k in control.json("key", "list", app="cli-app")} == {made["public_id"], second["public_id"]}
    control.cli("key", "revoke", second["public_id"], app="cli-app")
    control.cli("key", "rotate", app="cli-app", code=2)
    rotated = control.json("key", "rotate", "--all", app="cli-app")
    assert [k["public_id"] for k in control.json("key", "list", app="cli-app")] == [rotated["public_id"]]
    args = ("--scope", "chat", "--prompt", "a/*", "--prompt", "b@staging", "--no-models", "--name", "narrow")
    narrow = control.json("key", "create", *args, app="cli-app")["public_id"]
    control.cli("key", "update", narrow, "--model", "gpt-4o*", "--days", "2", "--rpm", "9", app="cli-app")
    control.cli("key", "update", narrow, "--scope", "*", "--forever", "--app-rpm", app="cli-app")
    control.cli("key", "update", narrow, app="cli-app", code=2)
    new = control.json("key", "rotate", narrow, "--grace", "60", app="cli-app")["public_id"]
    lines = [line.split() for line in control.cli("key", "list", app="cli-app").stdout.splitlines()]
    for public_id in (narrow, new):
        line = next(line for line in lines if line[0] == public_id)
        assert line[1:5] == ["narrow", "*", "a/*,b@staging", "gpt-4o*"]
    control.cli("app", "create", "cli-app", code=3)
    control.cli("app", "archive", "cli-app")
    control.cli("app", "restore", "cli-app")
    assert "cli-app" in control.cli("app", "list").stdout


def test_push_and_pull_are_idempotent_and_lose_nothing(control: Control, app: str, tmp_path: Path):
    def state() -> dict[str, tuple[int, dict[str, int]]]:
        return {p["slug"]: (p["latest_version"], p["aliases"]) for p in control.json("list", app=app)}

    control.cli("push", str(DEMOS), app=app)
    assert state() == {name: (1, {}) for name in ("faq-bot", "summarize", "translate")}
    again = control.cli("push", str(DEMOS), app=app)
    assert state() == {name: (1, {}) for name in ("faq-bot", "summarize", "translate")}
    assert "undo" not in again.stderr
    control.cli("push", str(DEMOS), "--publish", app=app)
    published = {name: (1, {"production": 1}) for name in ("faq-bot", "summarize", "translate")}
    assert state() == published
    generation = control.ask("GET", "/workers")["items"][0]["generation"]
    control.cli("push", str(DEMOS), "--publish", app=app)
    assert state() == published
    assert control.ask("GET", "/workers")["items"][0]["generation"] == generation

    control.cli("create", "unpublished", "--text", "x", app=app)
    latest = control.json("pull", str(tmp_path), "--alias", "latest", app=app)
    assert (len(latest["written"]), latest["skipped"]) == (3, ["unpublished"])
    control.cli("archive", "unpublished", app=app)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.yaml")}
    assert len(before) == 3
    assert "every file is as the registry has it" in control.cli("pull", str(tmp_path), app=app).stdout
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.yaml")} == before
    control.cli("push", str(tmp_path), "--publish", app=app)
    assert state() == published

    changed = tmp_path / "translate.prompt.yaml"
    changed.write_text(changed.read_text().replace("Translate the", "Carefully translate the"))
    result = control.cli("push", str(tmp_path), app=app)
    assert state()["translate"] == (2, {"production": 1})
    assert f"undo: promptgate revert translate 1 --app {app}" in result.stderr


def test_push_of_a_bad_file_sends_nothing(control: Control, app: str, tmp_path: Path):
    (tmp_path / "a.prompt.yaml").write_text("messages: [{role: system, content: fine}]\n")
    (tmp_path / "b.prompt.yaml").write_text("messages: [{role: system, contents: wrong}]\n")
    result = control.cli("push", str(tmp_path), app=app, code=1)
    assert "b.prompt.yaml: messages[0].contents: unknown key" in result.stderr
    assert control.json("list", app=app) == []


def test_the_server_judges_what_files_mean(control: Control, app: str, tmp_path: Path):
    (tmp_path / "a.prompt.yaml").write_text("messages: [{role: system, content: '{% for %}'}]\n")
    result = control.cli("push", str(tmp_path), app=app, code=1)
    assert "messages[0].content" in result.stderr


def test_seeding_twice_makes_nothing_the_second_time(control: Control):
    first = seed(control.url, TOKEN, DEMOS, None)
    assert first.prompts == ["faq-bot", "summarize", "translate"]
    assert len(first.created) == 4
    assert keys.well_formed(first.api_key)

    def both(request: httpx.Request) -> httpx.Response:
        """The data plane is another part's business: here it knows one key."""
        if request.url.path == "/v1/models":
            return httpx.Response(200 if request.headers["authorization"] == f"Bearer {first.api_key}" else 401)
        with httpx.Client(trust_env=False) as client:
            return client.send(request)

    again = seed(control.url, TOKEN, DEMOS, first.api_key, httpx.MockTransport(both))
    assert (again.api_key, again.created) == (first.api_key, [])
    renewed = seed(control.url, TOKEN, DEMOS, "pg_stale", httpx.MockTransport(both))
    assert (renewed.created, renewed.api_key != first.api_key) == (["key"], True)
