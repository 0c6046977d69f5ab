"""The commands ``credentials``, ``routes`` and ``targets`` against a scripted API."""

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from click.testing import CliRunner, Result

from admin_cli import credentials as module
from admin_cli.main import main

SECRET = "sk-canary-0123456789"
KEPT: dict[str, Any] = {
    "id": "c1",
    "provider": "openai",
    "application": None,
    "name": "default",
    "last4": "6789",
    "key_id": "k1",
    "opens": True,
    "updated_at": "2026-11-21T10:00:00Z",
    "last_used_on": None,
}


@pytest.fixture(autouse=True)
def gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTGATE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("PROMPTGATE_ADMIN_TOKEN", "token")
    monkeypatch.delenv("PROMPTGATE_APP", raising=False)


def run(answers: dict[str, Any], *args: str, text: str | None = None) -> tuple[Result, list[tuple[str, str, Any]]]:
    """The outcome, and what was asked; ``answers`` by method."""
    asked: list[tuple[str, str, Any]] = []

    def respond(request: httpx.Request) -> httpx.Response:
        body = msgspec.json.decode(request.content) if request.content else None
        asked.append((request.method, str(request.url).removeprefix("http://127.0.0.1:1/api/v1"), body))
        return httpx.Response(200, content=msgspec.json.encode(answers[request.method]))

    return CliRunner().invoke(main, list(args), obj=httpx.MockTransport(respond), input=text), asked


def test_a_key_is_read_from_standard_input_and_shown_nowhere() -> None:
    result, asked = run({"GET": {"items": []}, "POST": KEPT}, "credentials", "set", "openai", text=f"{SECRET}\n")
    assert result.exit_code == 0, result.output
    body = {"provider": "openai", "name": "default", "application": None, "secret": SECRET}
    assert asked == [("GET", "/credentials", None), ("POST", "/credentials", body)]
    assert "kept the key default of openai for the installation" in result.stdout
    assert "undo: promptgate credentials delete openai --name default" in result.stderr
    assert SECRET not in result.stdout + result.stderr


def test_a_key_of_that_name_and_owner_is_replaced() -> None:
    others = [{**KEPT, "id": "c0", "application": "shop"}, {**KEPT, "id": "c2", "name": "two"}]
    answers = {"GET": {"items": [*others, KEPT]}, "PUT": KEPT}
    result, asked = run(answers, "credentials", "set", "openai", text=SECRET)
    assert asked[1] == ("PUT", "/credentials/c1", {"secret": SECRET})
    assert "replaced" in result.stdout
    mine = {**KEPT, "id": "c0", "application": "shop"}
    result, asked = run({"GET": {"items": [mine]}, "DELETE": mine}, "credentials", "delete", "openai", "--app", "shop")
    assert asked == [("GET", "/credentials?application=shop", None), ("DELETE", "/credentials/c0", None)]
    assert "for shop" in result.stdout


def test_a_terminal_is_asked_without_an_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def prompt(text: str, *, hide_input: bool, **_: Any) -> str:
        asked.append(hide_input)
        return f" {SECRET} "

    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(module.click, "prompt", prompt)
    monkeypatch.setattr(module.sys, "stdin", Terminal())
    assert module._secret("openai") == SECRET
    assert asked == [True]


def test_a_key_cannot_be_given_on_the_command_line_nor_be_empty() -> None:
    for args in (("openai", SECRET), ("openai", "--secret", SECRET)):
        result, asked = run({}, "credentials", "set", *args)
        assert (result.exit_code, asked) == (2, [])
    result, asked = run({}, "credentials", "set", "openai", text=" \n")
    assert (result.exit_code, asked) == (2, [])
    assert "standard input is empty" in result.stderr


@pytest.mark.parametrize("text", ["sk-one two", "sk-one\nsk-two\n", "sk-\u00e9", "sk-\x00", "sk-\t1"])
def test_what_is_no_key_is_not_sent(text: str) -> None:
    result, asked = run({}, "credentials", "set", "openai", text=text)
    assert (result.exit_code, asked) == (2, [])
    assert "one word of printable ASCII" in result.stderr
    assert text.strip() not in result.stderr


def test_what_is_not_there_cannot_be_deleted() -> None:
    result, _ = run({"GET": {"items": []}}, "credentials", "delete", "openai", "--name", "x", "--app", "shop")
    assert result.exit_code == 1
    assert "no key 'x' of openai is kept for shop" in result.stderr


def test_the_list_says_what_does_not_decrypt_and_a_new_key_what_is_left() -> None:
    other = {**KEPT, "application": "shop", "opens": False, "last_used_on": "2026-11-20"}
    result, _ = run({"GET": {"items": [KEPT, other]}}, "credentials", "list")
    first, second = result.stdout.splitlines()[-2:]
    assert "never" in first
    assert "2026-11-20" in second
    assert "the installation" in result.stdout
    assert "does not decrypt: not used" in result.stdout
    done = {"key_id": "k2", "rewrapped": 3, "unchanged": 1, "failed": ["c9"]}
    result, asked = run({"POST": done}, "credentials", "rotate-key")
    assert asked == [("POST", "/credentials/rotate-key", None)]
    assert "encrypted 3 with k2; 1 were already, 1 do not open" in result.stdout
    assert "c9" in result.stderr


ROUTE = {"models": ["fast"], "targets": [{"provider": "b"}]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("r.toml", '[[routes]]\nmodels = ["fast"]\ntargets = [{ provider = "b" }]'),
        ("r.yaml", "routes: [{models: [fast], targets: [{provider: b}]}]"),
        ("r.json", '{"routes": [{"models": ["fast"], "targets": [{"provider": "b"}]}]}'),
    ],
)
def test_routes_are_read_from_any_form_of_file(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    body = {"routes": [ROUTE]}
    result, asked = run({"POST": body}, "routes", "check", str(file), "--app", "shop")
    assert asked == [("POST", "/applications/shop/routes/check", body)]
    assert "1 route, nothing is wrong" in result.stdout
    result, asked = run({"GET": {"routes": []}, "PUT": body}, "routes", "set", str(file), "--app", "shop")
    assert asked[1] == ("PUT", "/applications/shop/routes", body)
    assert "undo: promptgate routes reset --app shop" in result.stderr


def test_routes_that_were_there_are_shown_for_undoing() -> None:
    body = {"routes": [ROUTE, ROUTE]}
    result, asked = run({"GET": body, "DELETE": {"routes": []}}, "routes", "reset", "--app", "shop")
    assert [method for method, _, _ in asked] == ["GET", "DELETE"]
    assert msgspec.json.encode(body).decode() in result.stderr
    result, _ = run({"GET": body}, "routes", "get", "--app", "shop")
    assert "provider: b" in result.stdout


@pytest.mark.parametrize(
    ("name", "text"), [("r.toml", "routes = ["), ("r.yaml", "- a"), ("r.yaml", "x: 1"), ("none.toml", None)]
)
def test_a_file_without_routes_is_named(tmp_path: Path, name: str, text: str | None) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    result, asked = run({}, "routes", "check", str(tmp_path / name), "--app", "shop")
    assert (result.exit_code, asked) == (1, [])
    assert name in result.stderr


def test_targets_are_shown_for_all_workers_or_the_one_that_answered() -> None:
    here = {"breaker": "open", "in_flight": 1, "limit": 9, "first_byte_ms": 12.3, "first_byte_p95_ms": 20.0}
    keys = {"total": 3, "alive": 1, "refused": 1, "limited": 1, "stored": True}
    fleet = {
        "workers": 4, "open_breakers": 2, "in_flight": 7, "lowest_limit": 5, "slowest_first_byte_ms": None,
        "most_keys_refused": 1, "most_keys_limited": 1,
    }  # fmt: skip
    shared = {
        "provider": "a",
        "model": None,
        "routes": ["x", "y-*"],
        "local": False,
        "keys": keys,
        "here": here,
        "fleet": fleet,
    }
    own = {**shared, "model": "m", "fleet": None, "here": {**here, "breaker": "closed", "limit": None}}
    result, asked = run({"GET": {"items": [shared, own]}}, "targets", "--app", "shop")
    assert asked == [("GET", "/targets?application=shop", None)]
    first, second = result.stdout.splitlines()[1:]
    assert first.split("  ")[0] == "a/*"
    assert "open here, 2 open on 4 workers" in first
    assert "1 of 3 stored, 1 refused, 1 limited" in first
    assert "a/m" in second
    assert "12 ms" in second
