"""``promptgate prices`` against a scripted API."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from click.testing import CliRunner, Result

from admin_cli.main import main

GOOD: dict[str, Any] = {"version": "v7", "entries": 3, "problems": [], "old": [], "unsourced": [], "unpriced": []}
OLD = {"provider": "p", "models": ["a", "b"], "source": "s", "date": "2025-01-01"}
UNPRICED = {"provider": "p", "model": "new", "billed": "tokens", "calls": 12, "priced_now": False}
RUN = "01900000-0000-7000-8000-00000000000a"
CHANGE = {"provider": "p", "model": "m", "calls": 2, "newly_priced": 1, "before_nano": 1_000_000, "after_nano": 3_000_000}

Ask = Callable[..., tuple[Result, list[tuple[str, Any]]]]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Runs a command against answers given in turn; its result, and what it asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROMPTGATE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("PROMPTGATE_ADMIN_TOKEN", "token")
    monkeypatch.delenv("PROMPTGATE_APP", raising=False)

    def run(answers: list[Any], *args: str) -> tuple[Result, list[tuple[str, Any]]]:
        asked: list[tuple[str, Any]] = []

        def answer(request: httpx.Request) -> httpx.Response:
            body = msgspec.json.decode(request.content) if request.content else None
            asked.append((f"{request.method} {request.url.path.removeprefix('/api/v1')}", body))
            return httpx.Response(200, content=msgspec.json.encode(answers[len(asked) - 1]))

        return CliRunner().invoke(main, ["prices", *args], obj=httpx.MockTransport(answer)), asked

    return run


def test_a_good_table_passes(ask: Ask):
    result, asked = ask([GOOD], "check", "--days", "7", "--older-than", "90")
    assert result.exit_code == 0
    assert result.stdout == "3 entries of version v7: none older than 90 days, all is well\n"
    assert asked == [("POST /prices/check", {"file": None, "days": 7, "older_than_days": 90})]


def test_a_file_is_sent_and_its_problems_fail(ask: Ask, tmp_path: Path):
    (tmp_path / "prices.toml").write_text("version = ")
    result, asked = ask([GOOD | {"version": None, "problems": ["price table: no"]}], "check", "prices.toml")
    assert result.exit_code == 1
    assert result.stdout == "wrong: price table: no\n"
    assert asked[0][1]["file"] == "version = "


@pytest.mark.parametrize(
    ("kind", "found", "told"),
    [
        ("old", OLD, "old: p a, b was read on 2025-01-01"),
        ("unsourced", OLD, "without source or date: p a, b"),
        ("unpriced", UNPRICED, "unpriced: p new, 12 calls in 30 days; no price"),
        ("unpriced", UNPRICED | {"priced_now": True}, "known by now: promptgate prices rerate mends it"),
        ("unpriced", UNPRICED | {"billed": "pictures l hd"}, "unpriced: p new (pictures l hd), 12 calls in 30 days; no price"),
    ],
)
def test_remarks_fail_only_when_strict(ask: Ask, kind: str, found: dict[str, Any], told: str):
    result, _ = ask([GOOD | {kind: [found]}], "check")
    assert result.exit_code == 0
    assert told in result.stdout
    assert ask([GOOD | {kind: [found]}], "check", "--strict")[0].exit_code == 1


def test_rerate_goes_to_the_end_and_tells_the_difference_and_the_way_back(ask: Ask):
    first = {"run": None, "price_version": "v7", "looked_at": 500, "changed": 0, "models": [], "next_cursor": "c1"}
    second = first | {"run": RUN, "changed": 2, "models": [CHANGE], "next_cursor": "c2"}
    third = second | {"looked_at": 10, "next_cursor": None}
    result, asked = ask([first, second, third], "rerate", "--from", "2026-01-01", "--to", "2026-02-01T12:00", "--model", "m")
    assert result.exit_code == 0
    assert [(body["run"], body["cursor"]) for _, body in asked] == [(None, None), (None, "c1"), (RUN, "c2")]
    sent = asked[0][1]
    assert (sent["from"], sent["to"], sent["model"], sent["dry_run"]) == (
        "2026-01-01T00:00:00+00:00",
        "2026-02-01T12:00:00+00:00",
        "m",
        False,
    )
    assert {body["to"] for _, body in asked} == {sent["to"]}
    assert result.stderr.count(f"undo: promptgate prices undo {RUN}") == 1
    lines = result.stdout.splitlines()
    assert lines[1].split() == ["p", "m", "4", "2", "$0.002000", "$0.006000", "+$0.004000"]
    assert lines[-1] == "changed 4 of 1010 calls by +$0.004000, prices of v7"


def test_a_dry_run_changes_nothing_and_offers_no_way_back(ask: Ask):
    cheaper = CHANGE | {"before_nano": 3_000_000, "after_nano": 1_000_000}
    step = {"run": None, "price_version": "v7", "looked_at": 5, "changed": 2, "models": [cheaper], "next_cursor": None}
    result, asked = ask([step], "rerate", "--from", "2026-01-01", "--dry-run")
    assert asked[0][1]["dry_run"] is True
    assert result.stdout.splitlines()[-1] == "would change 2 of 5 calls by -$0.002000, prices of v7"
    assert "undo" not in result.stderr
    result, _ = ask([step | {"models": []}], "rerate", "--from", "2026-01-01", "--json")
    assert msgspec.json.decode(result.stdout)["changed"] == 2


def test_undo_says_what_stays(ask: Ask):
    steps = [
        {"run": RUN, "looked_at": 3, "restored": 3, "next_cursor": "c"},
        {"run": RUN, "looked_at": 2, "restored": 1, "next_cursor": None},
    ]
    result, asked = ask(steps, "undo", RUN)
    assert result.stdout == "restored 4 calls; 1 were changed since and stay\n"
    assert asked == [
        (f"POST /prices/rerates/{RUN}/undo", {"cursor": None}),
        (f"POST /prices/rerates/{RUN}/undo", {"cursor": "c"}),
    ]


def test_runs_are_listed(ask: Ask):
    run = {
        "at": "2026-01-02T03:04:05Z",
        "id": RUN,
        "actor": "admin:ann",
        "price_version": "v7",
        "model": None,
        "calls": 4,
        "undone_at": None,
    }
    result, _ = ask([{"items": [run]}], "runs")
    assert result.stdout.splitlines()[1].split() == ["2026-01-02", "03:04:05", RUN, "admin:ann", "v7", "4"]
