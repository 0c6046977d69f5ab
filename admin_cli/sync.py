"""A folder of prompt files against the registry: ``push DIR``, ``pull DIR``.

Both are idempotent. ``push`` compares by content: what is there already makes nothing new, and no alias moves without
``--publish``. ``pull`` writes only files whose text differs, and deletes none.
"""

from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from admin_cli import promptfile, screen
from admin_cli.api import Api, ApiError, in_path
from admin_cli.promptfile import SUFFIX, PromptFile, PromptFileError
from admin_cli.prompts import read_file, version_path, write_version
from admin_cli.session import Session, verb

_FOLDER = click.Path(file_okay=False, path_type=Path)


class Pushed(Struct, frozen=True):
    """What pushing one file came to."""

    name: str
    version: int
    created: bool
    """Whether this push made the version."""
    published: bool
    """Whether this push moved the alias."""
    undo: str | None


def read_folder(folder: Path) -> list[PromptFile]:
    """Every prompt file under ``folder``, by name. All are read before anything is sent."""
    return [read_file(path, promptfile.name_of(path, folder)) for path in sorted(folder.rglob(f"*{SUFFIX}"))]


def push_one(api: Api, prompt: PromptFile, *, alias: str | None, message: str = "") -> Pushed:
    """Bring one prompt to what its file says; ``alias``, unless None, to a version of this content."""
    path = f"/prompts/{in_path(prompt.name)}"
    present = _found(api, path)
    if present is None:
        body = {"slug": prompt.name, "content": prompt.content, "description": prompt.description, "tags": prompt.tags}
        present = api.post("/prompts", {**body, "message": message})
        number, digest, created, undo = int(present["latest_version"]), None, True, f"archive {prompt.name}"
    else:
        version, created = write_version(api, prompt.name, prompt.content, message)
        number, digest = int(version["number"]), version["content_hash"]
        undo = f"revert {prompt.name} {number - 1}" if created and number > 1 else None
        if (present["description"], present["tags"]) != (prompt.description, prompt.tags):
            api.put(path, {"description": prompt.description, "tags": prompt.tags})
    current: int | None = present["aliases"].get(alias) if alias else None
    served = None if current is None else api.get(version_path(prompt.name, current))["content_hash"]
    if alias is None or (served is not None and served == digest):
        return Pushed(prompt.name, number, created, False, undo)
    api.post(f"{version_path(prompt.name, number)}/publish", {"alias": alias, "message": message})
    back = (
        f"rollback {prompt.name} --alias {alias}"
        if current is not None or alias in present.get("splits", {})
        else undo or f"alias delete {prompt.name} {alias}"
    )
    return Pushed(prompt.name, number, created, True, back)


def _found(api: Api, path: str) -> dict[str, Any] | None:
    try:
        return api.get(path)
    except ApiError as error:
        if error.status == 404:
            return None
        raise


@click.command("push")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--publish", is_flag=True, help="Also point the alias at what was pushed.")
@click.option("--alias", default="production", show_default=True, help="The alias that --publish moves.")
@click.option("-m", "--message", default="", help="Why.")
@verb
def push(session: Session, folder: Path, publish: bool, alias: str, message: str) -> None:
    """Make versions of the prompt files in DIR whose content is new."""
    files = read_folder(folder)
    if not files:
        raise click.ClickException(f"{folder}: no *{SUFFIX} files")
    done = [push_one(session.api, prompt, alias=alias if publish else None, message=message) for prompt in files]
    session.show(
        done,
        lambda: screen.table(
            ("PROMPT", "VERSION", "CONTENT", "SERVED"),
            (
                (p.name, p.version, "new" if p.created else "unchanged", f"{alias} moved" if p.published else "as before")
                for p in done
            ),
        ),
    )
    for pushed in done:
        if pushed.undo is not None:
            session.undo(pushed.undo)


@click.command("pull")
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option(
    "--alias", default="draft", show_default=True, help="Which version to take: an alias, `latest` or `draft` (newest)."
)
@verb
def pull(session: Session, folder: Path, alias: str) -> None:
    """Write the registry's prompts as files into DIR."""
    written: list[str] = []
    skipped: list[str] = []
    for prompt in session.api.all("/prompts"):
        version = _found(session.api, version_path(prompt["slug"], alias))
        if version is None:
            skipped.append(prompt["slug"])
            continue
        text = promptfile.dump(PromptFile(prompt["slug"], version["content"], prompt["description"], prompt["tags"]))
        try:
            path = promptfile.path_of(prompt["slug"], folder)
        except PromptFileError as error:
            raise click.ClickException(str(error)) from None
        if not path.is_file() or _differs(path, prompt["slug"], text):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.append(str(path))
    session.show({"written": written, "skipped": skipped}, lambda: _tell(written, skipped, alias))
    if written:
        screen.note(f"undo: git restore {folder} (only files have changed, the registry has not)")


def _differs(path: Path, name: str, text: str) -> bool:
    """Whether a file says something else: its comments and layout are its owner's and no reason to write."""
    try:
        return promptfile.parse(path.read_text(encoding="utf-8"), str(path), name) != promptfile.parse(text, name, name)
    except (PromptFileError, UnicodeDecodeError):
        return True


def _tell(written: list[str], skipped: list[str], alias: str) -> None:
    for path in written:
        screen.line(f"wrote {path}")
    if not written:
        screen.line("every file is as the registry has it")
    for name in skipped:
        screen.note(f"skipped {name}: it has no {alias}")


COMMANDS = (push, pull)
