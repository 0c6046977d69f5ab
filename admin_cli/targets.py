"""Where calls can go, and how it goes there: ``targets``."""

from typing import Any

import click

from admin_cli import screen
from admin_cli.session import Session, verb


@click.command("targets")
@verb
def targets(session: Session) -> None:
    """List targets with their breakers, limits, latencies and keys; with --app as that application has them.

    Numbers are of all workers where workers share them, else of the one that answered.
    """
    found = session.api.get("/targets", application=session.application)["items"]
    session.show(
        found,
        lambda: screen.table(
            ("TARGET", "MODELS", "BREAKER", "IN FLIGHT", "LIMIT", "FIRST BYTE", "KEYS"),
            ((f"{t['provider']}/{t['model'] or '*'}", ", ".join(t["routes"]), *_state(t), _keys(t)) for t in found),
        ),
    )


def _state(target: dict[str, Any]) -> tuple[str, str, str, str]:
    here, fleet = target["here"], target["fleet"]
    if fleet is None:
        return here["breaker"], str(here["in_flight"]), _or_dash(here["limit"]), _ms(here["first_byte_ms"])
    breaker = here["breaker"]
    if fleet["open_breakers"]:
        breaker += f" here, {fleet['open_breakers']} open on {fleet['workers']} workers"
    return breaker, str(fleet["in_flight"]), _or_dash(fleet["lowest_limit"]), _ms(fleet["slowest_first_byte_ms"])


def _keys(target: dict[str, Any]) -> str:
    keys = target["keys"]
    parts = [f"{keys['alive']} of {keys['total']}{' stored' if keys['stored'] else ''}"]
    parts += [f"{keys[state]} {state}" for state in ("refused", "limited") if keys[state]]
    return ", ".join(parts)


def _or_dash(number: int | None) -> str:
    return "-" if number is None else str(number)


def _ms(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:.0f} ms"


COMMANDS = (targets,)
