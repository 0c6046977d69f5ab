"""Money: ``prices check``, ``prices rerate``, ``prices undo``, ``prices runs``."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from admin_cli import screen
from admin_cli.session import Session, verb

_TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]


@click.group("prices")
def prices() -> None:
    """What models cost, and new prices for calls that are over."""


@prices.command("check")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--days", default=30, show_default=True, type=click.IntRange(0, 3660), help="How far back to look at calls.")
@click.option(
    "--older-than", default=180, show_default=True, type=click.IntRange(0, 3660), help="Report entries read more days ago."
)
@click.option("--strict", is_flag=True, help="Fail on anything reported, not only on a file that cannot be served.")
@verb
def check(session: Session, file: Path | None, days: int, older_than: int, strict: bool) -> None:
    """Check a price FILE, or the one being served: its form, duplicates, age, and models called without a price."""
    text = None if file is None else file.read_text(encoding="utf-8", errors="replace")
    report = session.api.post("/prices/check", {"file": text, "days": days, "older_than_days": older_than})
    session.show(report, lambda: _tell(report, days, older_than))
    remarks = report["old"] or report["unsourced"] or report["unpriced"]
    if report["problems"] or (strict and remarks):
        click.get_current_context().exit(1)


def _tell(report: dict[str, Any], days: int, older_than: int) -> None:
    for problem in report["problems"]:
        screen.line(f"wrong: {problem}")
    for entry in report["old"]:
        screen.line(f"old: {entry['provider']} {', '.join(entry['models'])} was read on {entry['date']}")
    for entry in report["unsourced"]:
        screen.line(f"without source or date: {entry['provider']} {', '.join(entry['models'])}")
    for model in report["unpriced"]:
        mend = "known by now: promptgate prices rerate mends it" if model["priced_now"] else "no price"
        billed = "" if model["billed"] == "tokens" else f" ({model['billed']})"
        screen.line(f"unpriced: {model['provider']} {model['model']}{billed}, {model['calls']} calls in {days} days; {mend}")
    if not any(report[kind] for kind in ("problems", "old", "unsourced", "unpriced")):
        screen.line(
            f"{report['entries']} entries of version {report['version']}: none older than {older_than} days, all is well"
        )


@prices.command("rerate")
@click.option("--from", "since", required=True, type=click.DateTime(_TIMES), help="Calls from this time on (UTC).")
@click.option("--to", "until", type=click.DateTime(_TIMES), help="Calls before this time (UTC); now, if absent.")
@click.option("--model", help="Only calls of this model.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@verb
def rerate(session: Session, since: datetime, until: datetime | None, model: str | None, dry_run: bool) -> None:
    """Price stored calls anew with the table being served; what they cost before is kept, and can be brought back."""
    scope = {
        "from": since.replace(tzinfo=UTC).isoformat(),
        "to": (until.replace(tzinfo=UTC) if until else datetime.now(UTC)).isoformat(),
        "model": model,
        "dry_run": dry_run,
    }
    total: dict[str, Any] = {"run": None, "price_version": None, "dry_run": dry_run, "looked_at": 0, "changed": 0}
    models: dict[tuple[str, str], dict[str, Any]] = {}

    def step(cursor: str | None) -> dict[str, Any]:
        done = session.api.post("/prices/rerates", {**scope, "run": total["run"], "cursor": cursor})
        if total["run"] is None and done["run"]:
            session.undo(f"prices undo {done['run']}")
        total.update(run=done["run"], price_version=done["price_version"])
        total["looked_at"] += done["looked_at"]
        total["changed"] += done["changed"]
        for found in done["models"]:
            known = models.setdefault((found["provider"], found["model"]), found)
            if known is not found:
                for count in ("calls", "newly_priced", "before_nano", "after_nano"):
                    known[count] += found[count]
        return done

    _to_the_end(step)
    total["models"] = [models[key] for key in sorted(models)]
    session.show(total, lambda: _tell_changes(total))


def _tell_changes(total: dict[str, Any]) -> None:
    if total["models"]:
        screen.table(
            ("PROVIDER", "MODEL", "CALLS", "NEWLY PRICED", "BEFORE", "AFTER", "DIFFERENCE"),
            [
                (
                    m["provider"],
                    m["model"],
                    m["calls"],
                    m["newly_priced"],
                    screen.money(m["before_nano"]),
                    screen.money(m["after_nano"]),
                    _difference(m["after_nano"] - m["before_nano"]),
                )
                for m in total["models"]
            ],
        )
    done = "would change" if total["dry_run"] else "changed"
    difference = sum(m["after_nano"] - m["before_nano"] for m in total["models"])
    screen.line(
        f"{done} {total['changed']} of {total['looked_at']} calls by {_difference(difference)}, prices of {total['price_version']}"
    )


def _difference(nano: int) -> str:
    return f"{'-' if nano < 0 else '+'}{screen.money(abs(nano))}"


@prices.command("undo")
@click.argument("run")
@verb
def undo(session: Session, run: str) -> None:
    """Give the calls of a RUN back what they cost before it."""
    total: dict[str, Any] = {"run": run, "looked_at": 0, "restored": 0}

    def step(cursor: str | None) -> dict[str, Any]:
        done = session.api.post(f"/prices/rerates/{run}/undo", {"cursor": cursor})
        total["looked_at"] += done["looked_at"]
        total["restored"] += done["restored"]
        return done

    _to_the_end(step)
    kept = total["looked_at"] - total["restored"]
    session.show(
        total,
        lambda: screen.line(f"restored {total['restored']} calls" + (f"; {kept} were changed since and stay" if kept else "")),
    )


@prices.command("runs")
@verb
def runs(session: Session) -> None:
    """List the runs that priced calls anew, newest first."""
    found = session.api.get("/prices/rerates")["items"]
    session.show(
        found,
        lambda: screen.table(
            ("AT", "RUN", "BY", "PRICES", "MODEL", "CALLS", "UNDONE"),
            [
                (
                    screen.when(r["at"]),
                    r["id"],
                    r["actor"],
                    r["price_version"],
                    r["model"],
                    r["calls"],
                    screen.when(r["undone_at"]),
                )
                for r in found
            ],
        ),
    )


def _to_the_end(step: Callable[[str | None], dict[str, Any]]) -> None:
    cursor: str | None = None
    while True:
        cursor = step(cursor)["next_cursor"]
        if cursor is None:
            return


COMMANDS = (prices,)
