"""Where the calls of an application go: ``routes ...``."""

import tomllib
from pathlib import Path
from typing import Any, cast

import click
import msgspec

from admin_cli import screen
from admin_cli.documents import as_yaml, read_document
from admin_cli.keys import slug_of
from admin_cli.session import Session, verb


@click.group("routes")
def routes() -> None:
    """Routes of an application, in the grammar of providers.toml; they go before the installation's.

    A FILE is TOML with [[routes]], or YAML or JSON with a list called routes.
    """


@routes.command("get")
@verb
def get_routes(session: Session) -> None:
    """Show the routes of an application."""
    found = session.api.get(f"/applications/{slug_of(session)}/routes")
    session.show(found, lambda: screen.block(as_yaml(found).rstrip("\n")))


@routes.command("set")
@click.argument("file")
@verb
def set_routes(session: Session, file: str) -> None:
    """Replace the routes of an application by those of FILE."""
    body = _read(file)
    path = f"/applications/{slug_of(session)}/routes"
    before = session.api.get(path)
    made = session.api.put(path, body)
    session.show(made, lambda: screen.line(f"application {slug_of(session)}: {_count(made)} of its own"))
    _undo(session, before)


@routes.command("check")
@click.argument("file")
@verb
def check_routes(session: Session, file: str) -> None:
    """Judge the routes of FILE without storing them."""
    body = session.api.post(f"/applications/{slug_of(session)}/routes/check", _read(file))
    session.show(body, lambda: screen.line(f"{file}: {_count(body)}, nothing is wrong with them"))


@routes.command("reset")
@verb
def reset_routes(session: Session) -> None:
    """Take the routes of an application away; the installation's alone hold then."""
    path = f"/applications/{slug_of(session)}/routes"
    before = session.api.get(path)
    gone = session.api.delete(path)
    session.show(gone, lambda: screen.line(f"application {slug_of(session)}: the installation's routes alone"))
    _undo(session, before)


def _read(file: str) -> dict[str, Any]:
    if not file.endswith(".toml"):
        document = read_document(file)
    else:
        try:
            document = tomllib.loads(Path(file).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise click.ClickException(screen.inert(f"{file}: {error}", keep="\n")) from None
    if not isinstance(document, dict) or "routes" not in document:
        raise click.ClickException(f"{file}: expected a list called routes")
    return cast("dict[str, Any]", document)


def _undo(session: Session, before: dict[str, Any]) -> None:
    if before["routes"]:
        screen.note("undo: put this into a file.json and name it to promptgate " + session.with_app("routes set file.json"))
        screen.note(msgspec.json.encode(before).decode())
    else:
        session.undo("routes reset")


def _count(body: dict[str, Any]) -> str:
    number = len(body["routes"])
    return "1 route" if number == 1 else f"{number} routes"


COMMANDS = (routes,)
