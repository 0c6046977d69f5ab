"""Commands against a scripted API: what they send, what they print, how they end."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from click.testing import CliRunner, Result

from admin_cli.main import main

Answer = tuple[int, Any]
MOVE = {"slug": "faq-bot", "alias": "production", "action": "publish", "from_version": 1, "to_version": 2, "generation": 9}


class Script(httpx.MockTransport):
    """Answers by method and path; keeps the requests."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.asked: list[httpx.Request] = []
        super().__init__(self._answer)
        self.answers = answers

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        status, body = self.answers.get(f"{request.method} {request.url.path.removeprefix('/api/v1')}", (404, NOT_FOUND))
        return httpx.Response(status, content=msgspec.json.encode(body))

    def body(self, index: int = -1) -> Any:
        return msgspec.json.decode(self.asked[index].content)


def problem(message: str, code: str = "x") -> dict[str, Any]:
    return {"error": {"message": message, "type": "t", "code": code, "param": None}}


NOT_FOUND = problem("no such thing", "not_found")

Run = Callable[..., tuple[Result, Script]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "PROMPTGATE_APP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROMPTGATE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("PROMPTGATE_ADMIN_TOKEN", "token")

    def invoke(answers: dict[str, Answer], *args: str) -> tuple[Result, Script]:
        script = Script(answers)
        return CliRunner().invoke(main, args, obj=script), script

    return invoke


def test_publish_sends_what_was_asked_and_prints_its_undo(run: Run):
    reach = {"generation": 9, "waited_ms": 12.5, "workers": 4, "lagging": []}
    result, script = run(
        {"POST /prompts/faq-bot/versions/2/publish": (200, {**MOVE, "propagation": reach})},
        *("publish", "faq-bot", "2", "--wait", "--expect", "1", "-m", "why", "--app", "demo"),
    )
    assert result.exit_code == 0, result.output
    assert script.body() == {
        "alias": "production",
        "expected_version": 1,
        "message": "why",
        "wait": True,
        "wait_timeout_ms": 5000,
    }
    assert script.asked[0].headers["authorization"] == "Bearer token"
    assert script.asked[0].headers["x-application"] == "demo"
    assert "faq-bot@production is now version 2 (was 1)" in result.stdout
    assert "served by all 4 workers after 12.5 ms" in result.stdout
    assert result.stderr == "undo: promptgate rollback faq-bot --app demo\n"


def test_a_lagging_worker_is_named_and_fails_the_wait(run: Run):
    reach = {"generation": 9, "waited_ms": 5000, "workers": 2, "lagging": [{"worker_id": "host-7"}]}
    result, _ = run(
        {"POST /prompts/faq-bot/versions/2/publish": (200, {**MOVE, "propagation": reach})}, "publish", "faq-bot", "2", "--wait"
    )
    assert result.exit_code == 1
    assert "host-7" in result.stderr


@pytest.mark.parametrize(
    ("move", "undo"),
    [
        ({"from_version": None}, "alias delete faq-bot production"),
        ({"alias": "staging"}, "rollback faq-bot --alias staging"),
        ({"action": "rollback", "from_version": 3}, "alias set faq-bot production 3"),
        ({"action": "set", "from_version": 3}, "alias set faq-bot production 3"),
    ],
)
def test_every_move_has_its_undo(run: Run, move: dict[str, Any], undo: str):
    result, _ = run({"POST /prompts/faq-bot/versions/2/publish": (200, {**MOVE, **move})}, "publish", "faq-bot", "2")
    assert result.stderr == f"undo: promptgate {undo}\n"


def test_a_move_to_where_it_is_has_no_undo(run: Run):
    result, _ = run({"POST /prompts/faq-bot/versions/2/publish": (200, {**MOVE, "from_version": 2})}, "publish", "faq-bot", "2")
    assert "unchanged" in result.stdout
    assert result.stderr == ""


ARMS = {"id": "s-1", "variants": [{"name": "a", "version": 1, "weight": 2550}, {"name": "b", "version": 2, "weight": 7450}]}


def test_a_split_is_sent_as_basis_points(run: Run, tmp_path: Path):
    (tmp_path / "g.yaml").write_text("pre_validation: {prohibited_terms: [x]}\n")
    moved = {**MOVE, "action": "split", "to_version": None, "from_split": None, "to_split": ARMS}
    result, script = run(
        {"PUT /prompts/faq-bot/aliases/canary/split": (200, moved)},
        *("split", "faq-bot", "--alias", "canary", "--variant", "a=1:25.5", "--variant", "b=@staging:74.5", "--model", "b=gpt"),
        *("--param", "b:stop=[1]", "--param", "b:user=text", "--guardrails", "a=g.yaml", "--salt", "s", "--expect", "1"),
    )
    assert result.exit_code == 0, result.output
    assert script.body() == {
        "variants": [
            {"name": "a", "version": 1, "weight": 2550, "guardrails": {"pre_validation": {"prohibited_terms": ["x"]}}},
            {"name": "b", "version": "@staging", "weight": 7450, "model": "gpt", "params": {"stop": [1], "user": "text"}},
        ],
        "salt": "s",
        "expected_version": 1,
        "message": "",
        "wait": False,
        "wait_timeout_ms": 5000,
    }
    assert "faq-bot@production is now split: a=1:25.5 b=2:74.5 (was 1)" in result.stdout


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--variant", "a"), "NAME=VERSION:PERCENT"),
        (("--variant", "a=1"), "NAME=VERSION:PERCENT"),
        (("--variant", "a=1:x"), "'x' is not a percentage"),
        (("--variant", "a=1:nan"), "is not a percentage"),
        (("--variant", "a=1:101"), "0 to 100"),
        (("--variant", "a=1:1e999999"), "is not a percentage"),
        (("--variant", "a=1:33.333"), "two digits"),
        (("--variant", "a=1:50", "--model", "c=gpt"), "one of the variants: a"),
        (("--variant", "a=1:50", "--model", "a"), "NAME=VALUE"),
        (("--variant", "a=1:50", "--param", "a=1"), "NAME:KEY=VALUE"),
        ((), "--variant"),
    ],
)
def test_a_split_that_cannot_be_read_is_wrong_usage(run: Run, args: tuple[str, ...], told: str):
    result, script = run({}, "split", "faq", *args)
    assert (result.exit_code, script.asked) == (2, [])
    assert told in result.stderr


def test_guardrails_that_cannot_be_read_name_their_file(run: Run, tmp_path: Path):
    (tmp_path / "bad.yaml").write_text("a: [")
    for file in ("absent.yaml", "bad.yaml"):
        result, script = run({}, "split", "faq", "--variant", "a=1:50", "--guardrails", f"a={file}")
        assert (result.exit_code, script.asked) == (1, [])
        assert file in result.stderr


@pytest.mark.parametrize(
    ("move", "undo"),
    [
        ({"action": "split"}, "rollback faq-bot"),
        ({"action": "promote", "alias": "x"}, "rollback faq-bot --alias x"),
        ({"action": "set"}, "alias set faq-bot production --split s-1"),
        ({"action": "rollback"}, "alias set faq-bot production --split s-1"),
        ({"action": "delete", "to_version": None}, "alias set faq-bot production --split s-1"),
    ],
)
def test_what_was_split_can_be_split_again(run: Run, move: dict[str, Any], undo: str):
    moved = {**MOVE, "from_version": None, "from_split": ARMS, "to_split": None, **move}
    result, _ = run({"POST /prompts/faq-bot/versions/2/publish": (200, moved)}, "publish", "faq-bot", "2")
    assert result.stderr == f"undo: promptgate {undo}\n"
    assert "was split: a=1:25.5" in result.stdout or "(was a=1:25.5 b=2:74.5)" in result.stdout


def test_an_alias_is_set_to_a_version_or_to_a_split(run: Run):
    put = {"PUT /prompts/a/aliases/x": (200, {**MOVE, "action": "set"})}
    _, script = run(put, "alias", "set", "a", "x", "--split", "s-1")
    assert script.body() == {"split": "s-1", "expected_version": None, "message": ""}
    for args in ([], ["2", "--split", "s-1"]):
        result, script = run(put, "alias", "set", "a", "x", *args)
        assert (result.exit_code, script.asked) == (2, [])


def test_a_prompt_may_be_called_show(run: Run):
    result, script = run({"GET /prompts/show/aliases/production/split": (404, problem("not split"))}, "split", "show", "show")
    assert (result.exit_code, script.asked[0].url.path) == (1, "/api/v1/prompts/show/aliases/production/split")
    _, script = run({}, "split", "set", "show", "--variant", "a=1:50", "--variant", "b=2:50")
    assert script.asked[0].method == "PUT"


def test_a_conflict_ends_with_three(run: Run):
    refused = {"POST /prompts/faq-bot/versions/2/publish": (409, problem("it is at 5", "conflict"))}
    result, _ = run(refused, "publish", "faq-bot", "2", "--expect", "1")
    assert result.exit_code == 3
    assert "it is at 5" in result.stderr
    result, _ = run(refused, "publish", "faq-bot", "2", "--expect", "1", "--json")
    assert result.exit_code == 3
    assert msgspec.json.decode(result.stdout)["error"]["code"] == "conflict"


def test_wrong_usage_ends_with_two(run: Run):
    for args in (["publish", "faq-bot"], ["create", "a"], ["create", "a", "--text", "x", "--role", "boss"], ["nonsense"]):
        result, script = run({}, *args)
        assert result.exit_code == 2, args
        assert script.asked == []


def test_other_refusals_end_with_one_and_say_why(run: Run):
    result, _ = run({}, "get", "nobody")
    assert (result.exit_code, result.stderr) == (1, "Error: no such thing\n")


def test_a_wrong_token_says_how_to_mend_it(run: Run):
    result, _ = run({"GET /prompts": (401, problem("who are you"))}, "list")
    assert result.exit_code == 1
    assert "PROMPTGATE_ADMIN_TOKEN" in result.stderr


def test_an_absent_gateway_says_how_to_start_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["list"], env={"PROMPTGATE_URL": "http://127.0.0.1:1", "PROMPTGATE_ADMIN_TOKEN": "t"})
    assert result.exit_code == 1
    assert "cannot reach the gateway at http://127.0.0.1:1" in result.stderr
    assert "make up" in result.stderr


def test_slugs_with_folders_travel_in_one_segment(run: Run):
    result, script = run(
        {"GET /prompts/billing~refund/aliases": (200, {"items": []})}, "alias", "list", "billing/refund", "--json"
    )
    assert result.exit_code == 0
    assert script.asked[0].url.path == "/api/v1/prompts/billing~refund/aliases"
    assert msgspec.json.decode(result.stdout) == []


def test_listings_follow_the_cursor(run: Run, monkeypatch: pytest.MonkeyPatch):
    pages = {None: {"items": [{"slug": "a"}], "next_cursor": "a"}, "a": {"items": [{"slug": "b"}], "next_cursor": None}}
    transport = httpx.MockTransport(lambda r: httpx.Response(200, json=pages[r.url.params.get("cursor")]))
    result = CliRunner().invoke(main, ["list", "--json"], obj=transport)
    assert [item["slug"] for item in msgspec.json.decode(result.stdout)] == ["a", "b"]


def test_create_from_text_makes_a_system_message(run: Run):
    result, script = run(
        {"POST /prompts": (201, {"slug": "a", "latest_version": 1, "aliases": {}})}, "create", "a", "--text", "Be kind."
    )
    assert result.exit_code == 0, result.output
    assert script.body()["content"] == {"messages": [{"type": "message", "role": "system", "content": "Be kind."}]}
    assert "undo: promptgate archive a" in result.stderr


def test_create_from_a_bad_file_names_file_and_key(run: Run, tmp_path: Path):
    (tmp_path / "x.yaml").write_text("mesages: []\n")
    result, script = run({}, "create", "a", "x.yaml")
    assert result.exit_code == 1
    assert "x.yaml: mesages: unknown key" in result.stderr
    assert script.asked == []


def test_update_from_text_keeps_the_rest_of_the_newest_version(run: Run):
    old = {"messages": [{"type": "message", "role": "system", "content": "old"}], "params": {"temperature": 0}}
    result, script = run(
        {
            "GET /prompts/a/versions/draft": (200, {"content": old}),
            "POST /prompts/a/versions": (201, {"number": 3, "created": True}),
        },
        *("update", "a", "--text", "new", "-m", "better"),
    )
    assert result.exit_code == 0, result.output
    assert script.body() == {
        "content": {"messages": [{"type": "message", "role": "system", "content": "new"}], "params": {"temperature": 0}},
        "message": "better",
    }
    assert "created a:3" in result.stdout
    assert "undo: promptgate revert a 2" in result.stderr


def test_calls_are_shown_oldest_first_and_harmless(run: Run):
    row = {
        "attempt": 1,
        "started_at": "2026-01-02T03:04:05Z",
        "prompt": "faq-bot",
        "version": 3,
        "variant": "concise",
        "outcome": "ok",
        "status": 200,
        "model": "gpt\x1b[31m",
        "requested_model": None,
        "input_tokens": 5,
        "cached_tokens": 120,
        "cache_write_tokens": 30,
        "cache_write_1h_tokens": 10,
        "output_tokens": None,
        "audio_input_tokens": 0,
        "audio_output_tokens": 7,
        "cost_nano": None,
        "latency_us": 1500,
    }
    items = [{**row, "call_id": "second"}, {**row, "call_id": "first"}]
    result, script = run({"GET /calls": (200, {"items": items})}, "calls", "tail", "--prompt", "faq-bot", "--outcome", "ok")
    assert dict(script.asked[0].url.params) == {"prompt": "faq-bot", "outcome": "ok", "limit": "20"}
    assert result.stdout.index("first") < result.stdout.index("second")
    assert "gpt\\x1b[31m" in result.stdout
    assert "faq-bot:3 (concise)" in result.stdout
    assert "1.5 ms" in result.stdout
    assert "120/40" in result.stdout
    assert "0/7" in result.stdout
    assert "\x1b" not in result.stdout


def test_render_prints_the_messages(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("OPENAI_API_KEY", "pg_key")
    (tmp_path / "v.json").write_text('{"a": 1, "b": "file"}')
    answer = {"messages": [{"role": "system", "content": "Hi\nAnn"}]}
    result, script = run(
        {"POST /v1/prompts/a@staging/render": (200, answer)},
        *("render", "a@staging", "--file", "v.json", "--var", "b=text", "--var", 'c="7"', "--var", "d=[1]"),
    )
    assert result.exit_code == 0, result.output
    assert script.body() == {"variables": {"a": 1, "b": "text", "c": "7", "d": [1]}}
    assert script.asked[0].headers["authorization"] == "Bearer pg_key"
    assert result.stdout == "[system]\nHi\nAnn\n"


def test_explain_tells_a_person_what_would_become_of_a_call(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "pg_key")
    rule = {"name": "money", "needs": 3, "limit": 10, "remaining": 7, "fits": True}
    answer = {
        "resolve": {"prompt": "faq@production:1", "variant": "b", "model": "gpt", "params": {"temperature": 0}},
        "render": {"messages": [{"role": "user", "content": "why?"}], "input_tokens": 2},
        "limits": {"rules": [rule, {**rule, "name": "unasked", "remaining": None, "fits": None}]},
        "guards": {"verdict": "block", "guard": "pre:prohibited_terms"},
        "recall": {"state": "miss"},
        "route": [{"provider": "openai", "model": "gpt", "input_cost_usd": 0.000001, "max_cost_usd": None}],
        "refused_by": "guard_in",
        "error": {"kind": "blocked", "status": 400, "message": "no \x1b bombs"},
    }
    result, script = run(
        {"POST /v1/explain": (200, answer)}, "explain", "faq", "hi", "--var", "q=why?", "--tag", "a", "--tag", "b"
    )
    assert result.exit_code == 0, result.output
    assert script.body() == {"model": "faq", "messages": [{"role": "user", "content": "hi"}], "variables": {"q": "why?"}}
    assert script.asked[0].headers["x-tags"] == "a,b"
    for line in (
        "prompt    faq@production:1, variant b",
        'model     gpt with {"temperature":0}',
        "[user]\nwhy?\ninput     2 tokens",
        "limit     money: needs 3, 7 of 10 left: fits",
        "limit     unasked: needs 3, unknown of 10 left: cannot be asked",
        "guards    block by pre:prohibited_terms",
        "recall    miss",
        "$0.000001000",
        "refused by guard_in (400 blocked): no \\x1b bombs",
    ):
        assert line in result.stdout
    plain = {"resolve": {"model": "gpt", "params": {}}, "limits": {}}
    result, script = run({"POST /v1/explain": (200, plain)}, "explain", "gpt")
    assert result.stdout == "model     gpt with {}\n"
    assert script.body() == {"model": "gpt", "messages": []}
    result, _ = run({"POST /v1/explain": (200, answer)}, "explain", "faq", "--json")
    assert msgspec.json.decode(result.stdout) == answer


def test_without_a_key_of_ours_nothing_is_sent(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-ours")
    for command in ("render", "run", "explain"):
        result, script = run({}, command, "a")
        assert result.exit_code == 1
        assert "promptgate key create" in result.stderr
        assert script.asked == []


def test_doctor_works_with_the_server_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["doctor"], env={"PROMPTGATE_URL": "http://127.0.0.1:1", "OPENAI_API_KEY": ""})
    assert result.exit_code == 1
    assert re.search(r"FAIL\s+server", result.stdout), result.stdout
    assert "make up" in result.stdout


def test_doctor_passes_on_what_the_gateway_found(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "pg_key")
    check = {"name": "redis", "ok": True, "detail": "8.0", "mend": "start it"}
    answers = {"GET /healthz": (200, {}), "GET /status": (200, {"ok": True, "checks": [check]})}
    result, _ = run(answers, "doctor")
    assert result.exit_code == 0, result.output
    assert "start it" not in result.stdout
    answers["GET /status"] = (200, {"ok": False, "checks": [{**check, "ok": False}]})
    result, _ = run(answers, "doctor", "--json")
    assert result.exit_code == 1
    assert {"name": "redis", "ok": False, "detail": "8.0", "mend": "start it"} in msgspec.json.decode(result.stdout)


def test_every_command_speaks_json_and_has_help():
    def leaves(group: Any, path: tuple[str, ...]) -> list[tuple[str, ...]]:
        found: list[tuple[str, ...]] = []
        for name, command in group.commands.items():
            found += leaves(command, (*path, name)) if hasattr(command, "commands") else [(*path, name)]
        return found

    for path in leaves(main, ()):
        result = CliRunner().invoke(main, [*path, "--help"])
        assert result.exit_code == 0
        assert "--json" in result.output, path


def test_following_shows_each_call_once(run: Run, monkeypatch: pytest.MonkeyPatch):
    row = dict.fromkeys(
        ("prompt", "version", "model", "requested_model", "input_tokens", "output_tokens", "cost_nano", "latency_us")
    )
    rows = [{**row, "call_id": f"call-{i}", "attempt": 1, "outcome": "ok", "status": 200} for i in range(3)]
    answers: dict[str, Answer] = {"GET /calls": (200, {"items": rows[:1]})}
    looks = iter([rows[1::-1], rows[1::-1], rows[::-1]])

    def sleep(seconds: float) -> None:
        found = next(looks, None)
        if found is None:
            raise KeyboardInterrupt
        answers["GET /calls"] = (200, {"items": found})

    monkeypatch.setattr("admin_cli.calls.time.sleep", sleep)
    result, _ = run(answers, "calls", "tail", "-f")
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == ["call-0", "call-1", "call-2"]


def test_a_new_key_is_shown_with_a_warning(run: Run):
    made = {"public_id": "abc", "api_key": "pg_abc_secret_sum"}
    result, script = run({"POST /applications": (201, made)}, "app", "create", "shop", "--model", "gpt")
    assert result.stdout == "created application shop\npg_abc_secret_sum\n"
    assert "shown only now" in result.stderr
    assert "undo: promptgate app archive shop" in result.stderr
    assert script.body()["default_model"] == "gpt"


def test_rights_of_a_key_are_sent_as_lists(run: Run):
    made = {"public_id": "abc", "api_key": "pg_abc_secret_sum"}
    args = ("--scope", "chat", "--scope", "models", "--prompt", "billing/*", "--no-models", "--days", "2")
    _, script = run({"POST /applications/shop/keys": (201, made)}, "key", "create", "--app", "shop", *args)
    assert script.body() == {
        "name": "",
        "requests_per_minute": None,
        "expires_in_seconds": 172_800,
        "scopes": ["chat", "models"],
        "prompts": ["billing/*"],
        "models": [],
    }


@pytest.mark.parametrize(
    ("args", "sent"),
    [
        (("--model", "gpt-4o*"), {"models": ["gpt-4o*"]}),
        (("--no-prompts", "--forever"), {"prompts": [], "expires_in_seconds": None}),
        (("--app-rpm", "--name", ""), {"requests_per_minute": None, "name": ""}),
        (("--rpm", "5", "--days", "1"), {"requests_per_minute": 5, "expires_in_seconds": 86_400}),
    ],
)
def test_an_update_sends_what_was_given(run: Run, args: tuple[str, ...], sent: dict[str, Any]):
    result, script = run({"PUT /applications/shop/keys/abc": (200, {})}, "key", "update", "abc", "--app", "shop", *args)
    assert script.body() == sent
    assert result.stdout == f"changed key abc: {', '.join(sorted(sent))}\n"


@pytest.mark.parametrize(
    "args",
    [
        ("update", "abc"),
        ("update", "abc", "--days", "1", "--forever"),
        ("update", "abc", "--rpm", "1", "--app-rpm"),
        ("update", "abc", "--model", "m", "--no-models"),
        ("create", "--prompt", "p", "--no-prompts"),
        ("rotate",),
        ("rotate", "abc", "--all"),
    ],
)
def test_a_key_command_that_contradicts_itself_sends_nothing(run: Run, args: tuple[str, ...]):
    result, script = run({}, "key", *args, "--app", "shop")
    assert (result.exit_code, script.asked) == (2, [])


def test_a_key_is_rotated_alone_or_with_all_others(run: Run):
    made = {"public_id": "new", "api_key": "pg_new_secret_sum"}
    routes = {f"POST /applications/shop/{path}": (201, made) for path in ("keys/abc/rotate", "regenerate-key")}
    for args, told in ((("abc", "--grace", "60"), "key abc ends in 60 s"), (("--all",), "the other keys end now")):
        result, script = run(routes, "key", "rotate", *args, "--app", "shop")
        assert script.body() == {"grace_seconds": 60 if "abc" in args else 0}
        assert told in result.stderr


@pytest.mark.parametrize(("slugs", "told"), [([], "there is none yet"), (["a", "b"], "there are a, b")])
def test_key_commands_need_a_clear_application(run: Run, slugs: list[str], told: str):
    listing = {"GET /applications": (200, {"items": [{"slug": slug} for slug in slugs]})}
    result, _ = run(listing, "key", "list")
    assert result.exit_code == 2
    assert told in result.stderr


def test_something_else_than_a_gateway_is_recognised(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    page = httpx.MockTransport(lambda _: httpx.Response(200, text="<html>"))
    result = CliRunner().invoke(main, ["list"], obj=page, env={"PROMPTGATE_ADMIN_TOKEN": "t"})
    assert (result.exit_code, "is this a promptgate gateway?" in result.stderr) == (1, True)
    broken = httpx.MockTransport(lambda _: httpx.Response(502, text="<html>"))
    result = CliRunner().invoke(main, ["list"], obj=broken, env={"PROMPTGATE_ADMIN_TOKEN": "t"})
    assert (result.exit_code, "HTTP 502" in result.stderr) == (1, True)


def test_the_actor_is_sent_when_it_is_a_name(run: Run, monkeypatch: pytest.MonkeyPatch):
    for name, sent in (("ann@example.org", "ann@example.org"), ("Ann Other", None)):
        monkeypatch.setenv("PROMPTGATE_ACTOR", name)
        _, script = run({"GET /prompts": (200, {"items": []})}, "list")
        assert script.asked[0].headers.get("x-actor") == sent
