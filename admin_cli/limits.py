"""Limits and budgets of an application: ``limits ...``."""

from decimal import Decimal, InvalidOperation
from typing import Any

import click

from admin_cli import screen
from admin_cli.keys import slug_of
from admin_cli.session import Session, verb

SCOPES = ("application", "key", "tag", "user", "model")
METRICS = ("requests", "input_tokens", "output_tokens", "tokens", "cost", "concurrency")
WINDOWS = ("second", "minute", "hour", "day", "month")
_NANO = 1_000_000_000


@click.group("limits")
def limits() -> None:
    """Limits and budgets: how much an application, a key, a tag, a user or a model may use.

    promptgate limits set monthly-budget --scope application --metric cost --amount 250 --per month --hard
    """


@limits.command("list")
@verb
def list_limits(session: Session) -> None:
    """List the limits of an application."""
    found = session.api.get(f"/applications/{slug_of(session)}/limits")["items"]
    session.show(
        found,
        lambda: screen.table(
            ("LIMIT", "SCOPE", "MATCH", "ALLOWS", "MODE", "REDIS AWAY", "NOTES"),
            ((r["name"], r["scope"], r["match"], _allows(r), r["mode"], r["on_store_error"], _notes(r)) for r in found),
        ),
    )


@limits.command("set")
@click.argument("name")
@click.option("--scope", type=click.Choice(SCOPES), required=True, help="Whose calls are counted together.")
@click.option("--match", default="*", help="The one value that is counted; default: each value by itself.")
@click.option("--metric", type=click.Choice(METRICS), required=True, help="What is counted; cost is in dollars.")
@click.option("--amount", required=True, help="How much is allowed: a whole number, or dollars for cost.")
@click.option("--per", "window", type=click.Choice(WINDOWS), help="Calendar window in UTC; concurrency has none.")
@click.option("--mode", type=click.Choice(["exact", "leased"]), default="exact", help="One round trip per call, or bundles.")
@click.option(
    "--on-store-error", type=click.Choice(["open", "closed"]), default="open", help="What happens while Redis is away."
)
@click.option("--local-amount", help="What each worker lets through while Redis is away; default: the amount.")
@click.option("--shadow", is_flag=True, help="Count and report, but never refuse.")
@click.option("--hard", is_flag=True, help="End streams that pass the limit.")
@verb
def set_limit(  # noqa: PLR0917 - click fills them by name
    session: Session,
    name: str,
    scope: str,
    match: str,
    metric: str,
    amount: str,
    window: str | None,
    mode: str,
    on_store_error: str,
    local_amount: str | None,
    shadow: bool,
    hard: bool,
) -> None:
    """Create the limit NAME, or replace it; what it has counted stays."""
    body: dict[str, Any] = {
        "scope": scope,
        "match": match,
        "metric": "cost_nano" if metric == "cost" else metric,
        "amount": _amount(amount, metric, "--amount"),
        "window": window or "none",
        "mode": mode,
        "on_store_error": on_store_error,
        "local_amount": None if local_amount is None else _amount(local_amount, metric, "--local-amount"),
        "shadow": shadow,
        "hard": hard,
    }
    made = session.api.put(f"/applications/{slug_of(session)}/limits/{name}", body)
    session.show(made, lambda: screen.line(f"limit {name}: {_allows(made)}"))
    session.undo(f"limits delete {name}")


@limits.command("delete")
@click.argument("name")
@verb
def delete_limit(session: Session, name: str) -> None:
    """Delete a limit; what it has counted is forgotten."""
    gone = session.api.delete(f"/applications/{slug_of(session)}/limits/{name}")
    session.show(gone, lambda: screen.line(f"deleted limit {name}, which allowed {_allows(gone)}"))
    screen.note("it counted until now; a limit of the same name would begin at nothing")


@limits.command("usage")
@click.option("--user", multiple=True, help="Report on this user too; repeat it.")
@click.option("--tag", multiple=True, help="Report on this tag too; repeat it.")
@click.option("--model", multiple=True, help="Report on this model too; repeat it.")
@verb
def usage(session: Session, user: tuple[str, ...], tag: tuple[str, ...], model: tuple[str, ...]) -> None:
    """Show where the limits stand."""
    report = session.api.get(
        f"/applications/{slug_of(session)}/limits/usage", user=list(user), tag=list(tag), model=list(model)
    )

    def people() -> None:
        screen.table(
            ("LIMIT", "FOR", "USED", "OF", "LEFT", "RESETS IN"),
            (
                (r["name"], r["value"], _said(r, r["used"]), _allows(r), _said(r, r["remaining"]), _resets(r))
                for r in report["items"]
            ),
        )
        if report["unnamed"]:
            screen.note(f"not shown, as no value was named: {', '.join(report['unnamed'])}")

    session.show(report, people)


def _amount(text: str, metric: str, option: str) -> int:
    """Whole units; dollars become nano-dollars, exactly."""
    try:
        given = Decimal(text)
        units = given * _NANO if metric == "cost" else given
        if not given.is_finite() or units != int(units) or units < 0:
            raise InvalidOperation
    except InvalidOperation:
        raise click.UsageError(
            f"{option} {text!r}: write {'dollars, with at most nine decimals' if metric == 'cost' else 'a whole number'}"
        ) from None
    return int(units)


def _said(rule: dict[str, Any], amount: int) -> str:
    return f"{screen.money(amount)}" if rule["metric"] == "cost_nano" else str(amount)


def _allows(rule: dict[str, Any]) -> str:
    metric = "" if rule["metric"] == "cost_nano" else f" {rule['metric'].replace('_', ' ')}"
    per = "" if rule["window"] == "none" else f" per {rule['window']}"
    return f"{_said(rule, rule['amount'])}{metric}{per}"


def _notes(rule: dict[str, Any]) -> str:
    return ", ".join(note for note in ("shadow", "hard") if rule[note])


def _resets(counter: dict[str, Any]) -> str:
    return "" if counter["window"] == "none" else f"{counter['resets_in_ms'] / 1000:.0f} s"


COMMANDS = (limits,)
