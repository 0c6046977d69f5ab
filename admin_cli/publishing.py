"""Moving what is served: ``publish``, ``rollback``, ``revert``, ``alias ...``."""

from typing import Any

import click

from admin_cli import screen
from admin_cli.api import in_path
from admin_cli.prompts import version_path
from admin_cli.session import Session, verb

_ALIAS = click.option("--alias", default="production", show_default=True, help="The name to move.")
_MESSAGE = click.option("-m", "--message", default="", help="Why.")
_WAIT = click.option("--wait", is_flag=True, help="Return only when every live worker serves the change.")
_TIMEOUT = click.option(
    "--timeout", default=5.0, show_default=True, type=click.FloatRange(0.1, 30), help="Seconds --wait may take."
)
_EXPECT = click.option(
    "--expect", type=click.IntRange(min=0), metavar="N", help="Fail unless the alias is at version N now (0: not set)."
)


@click.command("publish")
@click.argument("name")
@click.argument("version")
@_ALIAS
@_MESSAGE
@_WAIT
@_TIMEOUT
@_EXPECT
@verb
def publish(  # noqa: PLR0917 - click fills them by name
    session: Session, name: str, version: str, alias: str, message: str, wait: bool, timeout: float, expect: int | None
) -> None:
    """Publish VERSION of a prompt and point an alias at it."""
    body = {
        "alias": alias,
        "expected_version": expect,
        "message": message,
        "wait": wait,
        "wait_timeout_ms": round(timeout * 1000),
    }
    _moved(session, session.api.post(f"{version_path(name, version)}/publish", body))


@click.command("rollback")
@click.argument("name")
@_ALIAS
@_MESSAGE
@_WAIT
@_TIMEOUT
@verb
def rollback(session: Session, name: str, alias: str, message: str, wait: bool, timeout: float) -> None:
    """Point an alias back at the version it had before."""
    body = {"message": message, "wait": wait, "wait_timeout_ms": round(timeout * 1000)}
    _moved(session, session.api.post(f"/prompts/{in_path(name)}/aliases/{alias}/rollback", body))


@click.command("revert")
@click.argument("name")
@click.argument("version")
@_MESSAGE
@verb
def revert(session: Session, name: str, version: str, message: str) -> None:
    """Add a new version with the content of an old one. What is served does not change."""
    made = session.api.post(f"{version_path(name, version)}/revert", {"message": message})
    number = made["number"]
    if not made["created"]:
        session.show(made, lambda: screen.line(f"unchanged: {name}:{number} has this content already"))
        return
    session.show(made, lambda: screen.line(f"created {name}:{number} with the content of {name}:{version}"))
    if number > 1:
        session.undo(f"revert {name} {number - 1}")


@click.group("alias")
def alias_group() -> None:
    """The movable names of a prompt, such as `production` and `staging`."""


@alias_group.command("set")
@click.argument("name")
@click.argument("alias")
@click.argument("version")
@_MESSAGE
@_EXPECT
@verb
def set_alias(session: Session, name: str, alias: str, version: str, message: str, expect: int | None) -> None:
    """Point ALIAS at a published VERSION."""
    body = {"version": version, "expected_version": expect, "message": message}
    _moved(session, session.api.put(f"/prompts/{in_path(name)}/aliases/{alias}", body))


@alias_group.command("delete")
@click.argument("name")
@click.argument("alias")
@_MESSAGE
@verb
def delete_alias(session: Session, name: str, alias: str, message: str) -> None:
    """Remove ALIAS; callers that name it get an error from then on."""
    _moved(session, session.api.delete(f"/prompts/{in_path(name)}/aliases/{alias}", message=message))


@alias_group.command("list")
@click.argument("name")
@verb
def list_aliases(session: Session, name: str) -> None:
    """List where the aliases of a prompt point."""
    found = session.api.get(f"/prompts/{in_path(name)}/aliases")["items"]
    session.show(
        found,
        lambda: screen.table(
            ("ALIAS", "VERSION", "HASH", "MOVED", "BY"),
            ((a["name"], a["version"], a["content_hash"][:12], screen.when(a["updated_at"]), a["updated_by"]) for a in found),
        ),
    )


@alias_group.command("history")
@click.argument("name")
@click.argument("alias", default="production")
@verb
def alias_history(session: Session, name: str, alias: str) -> None:
    """List every move of ALIAS, newest first."""
    found = list(session.api.all(f"/prompts/{in_path(name)}/aliases/{alias}/history"))
    session.show(
        found,
        lambda: screen.table(
            ("AT", "ACTION", "FROM", "TO", "GENERATION", "BY", "MESSAGE"),
            (
                (
                    screen.when(m["at"]),
                    m["action"],
                    m["from_version"],
                    m["to_version"],
                    m["generation"],
                    m["actor"],
                    m["message"],
                )
                for m in found
            ),
        ),
    )


def _moved(session: Session, move: dict[str, Any]) -> None:
    """Tell a move, how far it has got, and its undo. Ends with exit code 1 when some worker did not follow in time."""
    slug, alias, old, new = move["slug"], move["alias"], move["from_version"], move["to_version"]
    reach = move.get("propagation")
    session.show(move, lambda: _tell(move, reach))
    if old != new:
        session.undo(_undo(move["action"], slug, alias, old))
    if reach is not None and reach["lagging"]:
        raise SystemExit(1)


def _tell(move: dict[str, Any], reach: dict[str, Any] | None) -> None:
    name, old, new = f"{move['slug']}@{move['alias']}", move["from_version"], move["to_version"]
    if old == new:
        screen.line(f"unchanged: {name} is version {new} already")
    elif new is None:
        screen.line(f"removed {name} (was version {old})")
    else:
        screen.line(f"{name} is now version {new}" + ("" if old is None else f" (was {old})"))
    if reach is None:
        return
    if reach["lagging"]:
        screen.note(f"not yet applied after {reach['waited_ms']} ms by: {', '.join(w['worker_id'] for w in reach['lagging'])}")
    elif not reach["workers"]:
        screen.note("no worker is alive, so nothing serves it yet")
    else:
        screen.line(f"served by all {reach['workers']} workers after {reach['waited_ms']} ms")


def _undo(action: str, slug: str, alias: str, old: int | None) -> str:
    if old is None:
        return f"alias delete {slug} {alias}"
    if action == "publish":
        return f"rollback {slug}" + ("" if alias == "production" else f" --alias {alias}")
    return f"alias set {slug} {alias} {old}"


COMMANDS = (publish, rollback, revert, alias_group)
