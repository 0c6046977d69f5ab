"""Applications: ``app ...``."""

import click
import msgspec

from admin_cli import screen
from admin_cli.documents import as_yaml, read_document
from admin_cli.keys import show_key
from admin_cli.session import Session, verb


@click.group("app")
def app() -> None:
    """Applications: the tenants that own prompts and keys."""


@app.command("create")
@click.argument("slug")
@click.option("--name", default="", help="A name for people.")
@click.option("--model", "default_model", help="The model for prompts and requests that name none.")
@click.option("--rpm", "requests_per_minute", type=click.IntRange(min=1), help="Requests per minute of keys without a limit.")
@click.option("--store-responses", is_flag=True, help="Keep its responses, for previous_response_id and reading them back.")
@verb
def create_app(
    session: Session,
    slug: str,
    name: str,
    default_model: str | None,
    requests_per_minute: int | None,
    store_responses: bool,
) -> None:
    """Create an application with its first API key, which is shown only now."""
    body = {
        "slug": slug,
        "name": name,
        "default_model": default_model,
        "requests_per_minute": requests_per_minute,
        "store_responses": store_responses,
    }
    made = session.api.post("/applications", body)
    session.show(made, lambda: show_key(made, f"application {slug}"))
    screen.note(f"undo: promptgate app archive {slug}")


@app.command("list")
@verb
def list_apps(session: Session) -> None:
    """List the applications."""
    found = list(session.api.all("/applications"))
    session.show(
        found,
        lambda: screen.table(
            ("APPLICATION", "NAME", "DEFAULT MODEL", "RPM", "CREATED"),
            ((a["slug"], a["name"], a["default_model"], a["requests_per_minute"], screen.when(a["created_at"])) for a in found),
        ),
    )


@app.command("set")
@click.argument("slug")
@click.option(
    "--store-responses", type=click.Choice(["on", "off"]), required=True, help="Whether the gateway keeps its responses."
)
@verb
def set_app(session: Session, slug: str, store_responses: str) -> None:
    """Change a setting of an application; workers learn of it like of a publish."""
    answer = session.api.put(f"/applications/{slug}", {"store_responses": store_responses == "on"})
    session.show(answer, lambda: screen.line(f"application {slug}: store_responses is {store_responses}"))
    other = "off" if store_responses == "on" else "on"
    screen.note(f"undo: promptgate app set {slug} --store-responses {other}")


@app.command("guardrails")
@click.argument("slug")
@click.argument("file", required=False)
@click.option("--clear", is_flag=True, help="Take all of them away.")
@verb
def guard_app(session: Session, slug: str, file: str | None, clear: bool) -> None:
    """Show what judges every call of an application, or replace it by what FILE says (YAML or JSON)."""
    if file is not None and clear:
        raise click.UsageError("give a file or --clear, not both")
    path = f"/applications/{slug}/guardrails"
    before = session.api.get(path)
    if file is None and not clear:
        session.show(before, lambda: screen.block(as_yaml(before).rstrip("\n")))
        return
    answer = session.api.put(path, {} if file is None else read_document(file))
    session.show(answer, lambda: screen.line(f"application {slug}: guardrails {'taken away' if clear else 'replaced'}"))
    if before:
        screen.note(f"undo: put this into a file and name it to promptgate app guardrails {slug}")
        screen.note(msgspec.json.encode(before).decode())
    else:
        screen.note(f"undo: promptgate app guardrails {slug} --clear")


@app.command("archive")
@click.argument("slug")
@verb
def archive_app(session: Session, slug: str) -> None:
    """Stop serving an application; nothing is lost."""
    answer = session.api.delete(f"/applications/{slug}")
    session.show(answer, lambda: screen.line(f"archived application {slug}; its keys no longer open anything"))
    screen.note(f"undo: promptgate app restore {slug}")


@app.command("restore")
@click.argument("slug")
@verb
def restore_app(session: Session, slug: str) -> None:
    """Bring an archived application back."""
    answer = session.api.post(f"/applications/{slug}/restore")
    session.show(answer, lambda: screen.line(f"restored application {slug}"))
    screen.note(f"undo: promptgate app archive {slug}")


COMMANDS = (app,)
