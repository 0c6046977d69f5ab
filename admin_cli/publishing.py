"""Moving what is served: ``publish``, ``rollback``, ``revert``, ``alias ...``."""

from typing import Any

import click

from admin_cli import screen
from admin_cli.api import in_path
from admin_cli.prompts import version_path
from admin_cli.session import Session, verb

ALIAS = click.option("--alias", default="production", show_default=True, help="The name to move.")
MESSAGE = click.option("-m", "--message", default="", help="Why.")
WAIT = click.option("--wait", is_flag=True, help="Return only when every live worker serves the change.")
TIMEOUT = click.option(
    "--timeout", default=5.0, show_default=True, type=click.FloatRange(0.1, 30), help="Seconds --wait may take."
)
_EXPECT = click.option(
    "--expect", type=click.IntRange(min=0), metavar="N", help="Fail unless the alias is at version N now (0: not set)."
)


def waiting(wait: bool, timeout: float) -> dict[str, Any]:
    """What a move says about WAIT and TIMEOUT."""
    return {"wait": wait, "wait_timeout_ms": round(timeout * 1000)}


@click.command("publish")
@click.argument("name")
@click.argument("version")
@ALIAS
@MESSAGE
@WAIT
@TIMEOUT
@_EXPECT
@verb
def publish(  # noqa: PLR0917 - click fills them by name
    session: Session, name: str, version: str, alias: str, message: str, wait: bool, timeout: float, expect: int | None
) -> None:
    """Publish VERSION of a prompt and point an alias at it."""
    body = {"alias": alias, "expected_version": expect, "message": message, **waiting(wait, timeout)}
    moved(session, session.api.post(f"{version_path(name, version)}/publish", body))


@click.command("rollback")
@click.argument("name")
@ALIAS
@MESSAGE
@WAIT
@TIMEOUT
@verb
def rollback(session: Session, name: str, alias: str, message: str, wait: bool, timeout: float) -> None:
    """Point an alias back at what it had before: a version or a split."""
    body = {"message": message, **waiting(wait, timeout)}
    moved(session, session.api.post(f"/prompts/{in_path(name)}/aliases/{alias}/rollback", body))


@click.command("revert")
@click.argument("name")
@click.argument("version")
@MESSAGE
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
@click.argument("version", required=False)
@click.option(
    "--split", metavar="ID", help="A split that it had before, instead of a version; `alias history --json` tells ids."
)
@MESSAGE
@_EXPECT
@verb
def set_alias(
    session: Session, name: str, alias: str, version: str | None, split: str | None, message: str, expect: int | None
) -> None:
    """Point ALIAS at a published VERSION."""
    if (version is None) == (split is None):
        raise click.UsageError("give a VERSION or --split, one of the two")
    target = {"version": version} if split is None else {"split": split}
    body = {**target, "expected_version": expect, "message": message}
    moved(session, session.api.put(f"/prompts/{in_path(name)}/aliases/{alias}", body))


@alias_group.command("delete")
@click.argument("name")
@click.argument("alias")
@MESSAGE
@verb
def delete_alias(session: Session, name: str, alias: str, message: str) -> None:
    """Remove ALIAS; callers that name it get an error from then on."""
    moved(session, session.api.delete(f"/prompts/{in_path(name)}/aliases/{alias}", message=message))


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
            (
                (
                    a["name"],
                    a["version"] or arms(a["split"]),
                    (a["content_hash"] or "")[:12],
                    screen.when(a["updated_at"]),
                    a["updated_by"],
                )
                for a in found
            ),
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
                    _place(m, "from"),
                    _place(m, "to"),
                    m["generation"],
                    m["actor"],
                    m["message"],
                )
                for m in found
            ),
        ),
    )


def moved(session: Session, move: dict[str, Any]) -> None:
    """Tell a move, how far it has got, and its undo. Ends with exit code 1 when some worker did not follow in time."""
    reach = move.get("propagation")
    session.show(move, lambda: _tell(move, reach))
    if _id(move, "from") != _id(move, "to"):
        session.undo(_undo(move))
    if reach is not None and reach["lagging"]:
        raise SystemExit(1)


def arms(split: dict[str, Any]) -> str:
    """A split in one line: ``control=7:50 concise=8:50``, as ``promptgate split`` takes it."""
    return " ".join(f"{v['name']}={v['version']}:{v['weight'] / 100:g}" for v in split["variants"])


def _id(move: dict[str, Any], end: str) -> Any:
    split = move.get(f"{end}_split")
    return move[f"{end}_version"] if split is None else split["id"]


def _place(move: dict[str, Any], end: str) -> Any:
    split = move.get(f"{end}_split")
    return move[f"{end}_version"] if split is None else arms(split)


def _told(move: dict[str, Any], end: str) -> str:
    split = move.get(f"{end}_split")
    return f"version {move[f'{end}_version']}" if split is None else f"split: {arms(split)}"


def _tell(move: dict[str, Any], reach: dict[str, Any] | None) -> None:
    name, old = f"{move['slug']}@{move['alias']}", _place(move, "from")
    if _id(move, "from") == _id(move, "to"):
        screen.line(f"unchanged: {name} is {_told(move, 'to')} already")
    elif _id(move, "to") is None:
        screen.line(f"removed {name} (was {_told(move, 'from')})")
    else:
        screen.line(f"{name} is now {_told(move, 'to')}" + ("" if old is None else f" (was {old})"))
    if reach is None:
        return
    if reach["lagging"]:
        screen.note(f"not yet applied after {reach['waited_ms']} ms by: {', '.join(w['worker_id'] for w in reach['lagging'])}")
    elif not reach["workers"]:
        screen.note("no worker is alive, so nothing serves it yet")
    else:
        screen.line(f"served by all {reach['workers']} workers after {reach['waited_ms']} ms")


def _undo(move: dict[str, Any]) -> str:
    slug, alias, split = move["slug"], move["alias"], move.get("from_split")
    if _id(move, "from") is None:
        return f"alias delete {slug} {alias}"
    if move["action"] in {"publish", "split", "promote"}:
        return f"rollback {slug}" + ("" if alias == "production" else f" --alias {alias}")
    if split is not None:
        return f"alias set {slug} {alias} --split {split['id']}"
    return f"alias set {slug} {alias} {move['from_version']}"


COMMANDS = (publish, rollback, revert, alias_group)
