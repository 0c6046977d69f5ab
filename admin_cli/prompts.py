"""Writing and reading prompts: ``create``, ``update``, ``list``, ``get``, ``history``, ``diff``, ``archive``, ``restore``."""

from pathlib import Path
from typing import Any

import click

from admin_cli import promptfile, screen
from admin_cli.api import Api, in_path
from admin_cli.promptfile import PromptFile, PromptFileError
from admin_cli.session import Session, verb

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_ROLE = click.Choice(["system", "developer", "user", "assistant"])


def split_reference(reference: str) -> tuple[str, str | None]:
    """``faq-bot@staging`` as slug and selector, ``faq-bot`` as slug and None. The server judges the grammar."""
    for mark in "@:#":
        slug, found, rest = reference.partition(mark)
        if found:
            return slug, rest if mark != "#" else f"#{rest}"
    return reference, None


def version_path(slug: str, selector: str | int) -> str:
    """The API path of one version, by number, semver, alias, ``latest``, ``draft`` or ``#hash``."""
    return f"/prompts/{in_path(slug)}/versions/{str(selector).replace('#', '%23')}"


def read_file(path: Path, name: str | None) -> PromptFile:
    """A prompt file as a click error would report it."""
    try:
        return promptfile.parse(path.read_text(encoding="utf-8"), str(path), name)
    except (PromptFileError, UnicodeDecodeError) as error:
        raise click.ClickException(screen.inert(str(error), keep="\n")) from None


def write_version(api: Api, slug: str, content: dict[str, Any], message: str) -> tuple[dict[str, Any], bool]:
    """A version with this content, and whether it is new; equal content gives the newest version back."""
    answer = api.post(f"/prompts/{in_path(slug)}/versions", {"content": content, "message": message})
    return answer, bool(answer["created"])


@click.command("create")
@click.argument("name")
@click.argument("file", type=_FILE, required=False)
@click.option("--text", help="The template's text, instead of a file.")
@click.option("--role", type=_ROLE, default="system", show_default=True, help="The role of --text.")
@click.option("--description", help="What the prompt is for.")
@click.option("--tag", "tags", multiple=True, help="A tag; may be repeated.")
@click.option("-m", "--message", default="", help="Why.")
@verb
def create(  # noqa: PLR0917 - click fills them by name
    session: Session,
    name: str,
    file: Path | None,
    text: str | None,
    role: str,
    description: str | None,
    tags: tuple[str, ...],
    message: str,
) -> None:
    """Create a prompt, as version 1, from a prompt file or a text. It is not served until it is published."""
    given = _given(name, file, text, role)
    body = {
        "slug": name,
        "content": given.content,
        "description": given.description if description is None else description,
        "tags": list(tags) or given.tags,
        "message": message,
    }
    made = session.api.post("/prompts", body)
    session.show(
        made, lambda: screen.line(f"created {name}:1; serve it with: {session.with_app(f'promptgate publish {name} 1')}")
    )
    session.undo(f"archive {name}")


@click.command("update")
@click.argument("name")
@click.argument("file", type=_FILE, required=False)
@click.option("--text", help="The new text, instead of a file; all but the messages stays.")
@click.option("--role", type=_ROLE, default="system", show_default=True, help="The role of --text.")
@click.option("-m", "--message", default="", help="Why.")
@verb
def update(session: Session, name: str, file: Path | None, text: str | None, role: str, message: str) -> None:
    """Add a version with new content. What is served does not change."""
    content = _given(name, file, text, role).content
    if file is None:
        content = {**session.api.get(version_path(name, "draft"))["content"], "messages": content["messages"]}
    version, created = write_version(session.api, name, content, message)
    number = version["number"]
    if not created:
        session.show(version, lambda: screen.line(f"unchanged: {name}:{number} has this content already"))
        return
    session.show(
        version,
        lambda: screen.line(
            f"created {name}:{number}; serve it with: {session.with_app(f'promptgate publish {name} {number}')}"
        ),
    )
    if number > 1:
        session.undo(f"revert {name} {number - 1}")


def _given(name: str, file: Path | None, text: str | None, role: str) -> PromptFile:
    if (file is None) == (text is None):
        raise click.UsageError("give a prompt FILE or --text, one of the two")
    if file is not None:
        return read_file(file, None)
    return PromptFile(name, {"messages": [{"type": "message", "role": role, "content": text}]})


@click.command("list")
@click.option("-q", "--query", "q", help="Words in name, description or content.")
@click.option("--tag", help="Only prompts with this tag.")
@click.option("--folder", help="Only prompts in this folder.")
@verb
def list_prompts(session: Session, q: str | None, tag: str | None, folder: str | None) -> None:
    """List the prompts."""
    found = list(session.api.all("/prompts", q=q, tag=tag, folder=folder))
    session.show(
        found,
        lambda: screen.table(
            ("PROMPT", "NEWEST", "ALIASES", "TAGS", "CHANGED", "DESCRIPTION"),
            (
                (
                    p["slug"],
                    p["latest_version"],
                    " ".join(f"{alias}:{number}" for alias, number in sorted(_pointing(p).items())),
                    " ".join(p["tags"]),
                    screen.when(p["updated_at"]),
                    p["description"],
                )
                for p in found
            ),
        ),
    )


def _pointing(prompt: dict[str, Any]) -> dict[str, str]:
    """Where the aliases point: ``7``, or ``7/8`` where one is split."""
    split = {alias: "/".join(map(str, among.values())) for alias, among in prompt.get("splits", {}).items()}
    return {alias: str(number) for alias, number in prompt["aliases"].items()} | split


@click.command("get")
@click.argument("reference", metavar="NAME[@ALIAS|:VERSION]")
@verb
def get(session: Session, reference: str) -> None:
    """Show a version as a prompt file: the one named, else what is in production, else the newest."""
    slug, selector = split_reference(reference)
    prompt = session.api.get(f"/prompts/{in_path(slug)}")
    version = session.api.get(version_path(slug, selector or ("production" if "production" in _pointing(prompt) else "draft")))

    def people() -> None:
        state = "published" if version["published_at"] else "draft"
        screen.line(
            f"# {slug}:{version['number']} ({', '.join(version['aliases']) or state}) sha256 {version['content_hash'][:12]}"
        )
        screen.block(promptfile.dump(PromptFile(slug, version["content"], prompt["description"], prompt["tags"])).rstrip("\n"))

    session.show(version, people)


@click.command("history")
@click.argument("name")
@verb
def history(session: Session, name: str) -> None:
    """List a prompt's versions, newest first."""
    found = list(session.api.all(f"/prompts/{in_path(name)}/versions"))
    session.show(
        found,
        lambda: screen.table(
            ("VERSION", "ALIASES", "HASH", "CREATED", "PUBLISHED", "BY", "MESSAGE"),
            (
                (
                    v["number"],
                    " ".join(v["aliases"]),
                    v["content_hash"][:12],
                    screen.when(v["created_at"]),
                    screen.when(v["published_at"]),
                    v["created_by"],
                    v["message"],
                )
                for v in found
            ),
        ),
    )


@click.command("diff")
@click.argument("name")
@click.argument("a")
@click.argument("b")
@verb
def diff(session: Session, name: str, a: str, b: str) -> None:
    """Show what changed from version A to version B (numbers, aliases, `draft`)."""
    found = session.api.get(f"/prompts/{in_path(name)}/diff", **{"from": a, "to": b})

    def people() -> None:
        if found["identical"]:
            screen.line(f"{name}:{found['from']} and {name}:{found['to']} are the same")
        for message in found["messages"]:
            screen.block(message["diff"].rstrip("\n"))
        for change in found["config"]:
            screen.line(f"{change['key']}: {change['from']} -> {change['to']}")

    session.show(found, people)


@click.command("archive")
@click.argument("name")
@verb
def archive(session: Session, name: str) -> None:
    """Stop serving a prompt; its versions and history stay."""
    answer = session.api.delete(f"/prompts/{in_path(name)}")
    session.show(answer, lambda: screen.line(f"archived {name}"))
    session.undo(f"restore {name}")


@click.command("restore")
@click.argument("name")
@verb
def restore(session: Session, name: str) -> None:
    """Bring an archived prompt back."""
    answer = session.api.post(f"/prompts/{in_path(name)}/restore")
    session.show(answer, lambda: screen.line(f"restored {name}"))
    session.undo(f"archive {name}")


COMMANDS = (create, update, list_prompts, get, history, diff, archive, restore)
