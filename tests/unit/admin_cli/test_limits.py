"""The ``limits`` commands against a scripted API."""

from typing import Any

import httpx
import msgspec
import pytest
from click.testing import CliRunner, Result

from admin_cli.main import main

RULE: dict[str, Any] = {
    "id": "1",
    "name": "money",
    "scope": "application",
    "match": "*",
    "metric": "cost_nano",
    "window": "month",
    "amount": 250_500_000_000,
    "mode": "exact",
    "on_store_error": "open",
    "local_amount": None,
    "shadow": False,
    "hard": True,
}
USED = {**RULE, "value": "", "used": 1_000_000_000, "remaining": 249_500_000_000, "resets_in_ms": 90_000}


@pytest.fixture(autouse=True)
def gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTGATE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("PROMPTGATE_ADMIN_TOKEN", "token")
    monkeypatch.setenv("PROMPTGATE_APP", "demo")


def run(answer: Any, *args: str) -> tuple[Result, list[httpx.Request]]:
    asked: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, content=msgspec.json.encode(answer))

    return CliRunner().invoke(main, ["limits", *args], obj=httpx.MockTransport(respond)), asked


def test_dollars_become_nano_dollars() -> None:
    args = ("set", "money", "--scope", "application", "--metric", "cost", "--amount", "250.5", "--per", "month", "--hard")
    result, (request,) = run(RULE, *args)
    assert result.exit_code == 0, result.output
    assert (request.method, request.url.path) == ("PUT", "/api/v1/applications/demo/limits/money")
    sent = msgspec.json.decode(request.content)
    assert (sent["metric"], sent["amount"], sent["window"], sent["hard"]) == ("cost_nano", 250_500_000_000, "month", True)
    assert "limits delete money" in result.stderr


def test_other_amounts_are_whole_and_have_no_window_for_calls_at_one_time() -> None:
    args = ("set", "places", "--scope", "key", "--metric", "concurrency", "--amount", "8", "--local-amount", "2", "--shadow")
    _, (request,) = run({**RULE, "metric": "concurrency", "window": "none"}, *args)
    sent = msgspec.json.decode(request.content)
    assert (sent["amount"], sent["local_amount"], sent["window"], sent["shadow"]) == (8, 2, "none", True)


@pytest.mark.parametrize("amount", ["1.5", "-1", "many", "nan", "inf"])
def test_an_amount_that_is_none_is_wrong_usage(amount: str) -> None:
    args = ("set", "x", "--scope", "key", "--metric", "tokens", f"--amount={amount}", "--per", "day")
    result, asked = run(RULE, *args)
    assert result.exit_code == 2
    assert "whole number" in result.output
    assert asked == []


def test_lists_and_deletions_say_what_is_allowed() -> None:
    listed, _ = run({"items": [RULE, {**RULE, "name": "t", "metric": "input_tokens", "amount": 7}]}, "list")
    assert "input tokens per month" in listed.output
    assert "hard" in listed.output
    deleted, (request,) = run(RULE, "delete", "money")
    assert request.method == "DELETE"
    assert "deleted limit money" in deleted.output


def test_usage_names_the_values_asked_for_and_what_is_not_shown() -> None:
    result, (request,) = run({"items": [USED], "unnamed": ["per-tag"]}, "usage", "--user", "ann", "--user", "bob")
    assert request.url.params.get_list("user") == ["ann", "bob"]
    assert "90 s" in result.output
    assert "per-tag" in result.stderr
