"""API keys of an application: ``key ...``."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from admin_cli import screen
from admin_cli.session import Session, verb

F = TypeVar("F", bound=Callable[..., Any])
_DAY_S = 86_400


@click.group("key")
def key() -> None:
    """API keys of an application."""


def _rights(command: F) -> F:
    """The options that say what a key may do."""
    for option in (
        click.option("--no-models", is_flag=True, help="It may ask for no model, only for prompts."),
        click.option("--model", "models", multiple=True, metavar="PATTERN", help="A model or route it may ask for (gpt-4o*)."),
        click.option("--no-prompts", is_flag=True, help="It may use no prompt, only models."),
        click.option(
            "--prompt", "prompts", multiple=True, metavar="PATTERN", help="A prompt it may use (billing/*, faq@staging)."
        ),
        click.option(
            "--scope", "scopes", multiple=True, help="What kind of routes it opens (chat, embeddings, ...; * for all)."
        ),
        click.option("--rpm", "requests_per_minute", type=click.IntRange(min=1), help="Requests per minute of its own."),
    ):
        command = option(command)
    return command


@key.command("create")
@click.option("--name", default="", help="What the key is for.")
@_rights
@click.option("--days", type=click.IntRange(min=1), help="Days until the key ends; default: never.")
@verb
def create_key(session: Session, name: str, days: int | None, requests_per_minute: int | None, **lists: Any) -> None:
    """Create an API key, which is shown only now. --scope, --prompt and --model may be repeated; without them it may do all."""
    body = {
        "name": name,
        "requests_per_minute": requests_per_minute,
        "expires_in_seconds": days and days * _DAY_S,
        **_lists(**lists),
    }
    made = session.api.post(_path(session), body)
    session.show(made, lambda: show_key(made, f"key {made['public_id']}"))
    session.undo(f"key revoke {made['public_id']}")


@key.command("list")
@click.option("--revoked", is_flag=True, help="With those that are revoked.")
@verb
def list_keys(session: Session, revoked: bool) -> None:
    """List the API keys; their texts are stored nowhere."""
    found = session.api.get(_path(session), include_revoked=revoked or None)["items"]
    session.show(
        found,
        lambda: screen.table(
            ("KEY", "NAME", "SCOPES", "PROMPTS", "MODELS", "RPM", "CREATED", "LAST USED", "EXPIRES"),
            (
                (
                    k["public_id"],
                    k["name"],
                    _listed(k["scopes"]),
                    _listed(k["prompts"]),
                    _listed(k["models"]),
                    k["requests_per_minute"],
                    screen.when(k["created_at"]),
                    k["last_used_on"] or "never",
                    "revoked" if k["revoked_at"] else screen.when(k["expires_at"]),
                )
                for k in found
            ),
        ),
    )


@key.command("update")
@click.argument("public_id")
@click.option("--name", help="What the key is for.")
@_rights
@click.option("--app-rpm", is_flag=True, help="No limit of its own: the application's.")
@click.option("--days", type=click.IntRange(min=1), help="Days from now until the key ends.")
@click.option("--forever", is_flag=True, help="The key does not end.")
@verb
def update_key(
    session: Session,
    public_id: str,
    name: str | None,
    requests_per_minute: int | None,
    app_rpm: bool,
    days: int | None,
    forever: bool,
    **lists: Any,
) -> None:
    """Change what a key may do or when it ends. What is not given stays; a list that is given takes the place of the old one."""
    if (days and forever) or (requests_per_minute and app_rpm):
        raise click.UsageError("--days and --forever, and --rpm and --app-rpm, contradict each other")
    body: dict[str, Any] = {name: listed for name, listed in _lists(**lists).items() if listed is not None}
    body |= {} if name is None else {"name": name}
    body |= {"requests_per_minute": requests_per_minute} if requests_per_minute or app_rpm else {}
    body |= {"expires_in_seconds": days and days * _DAY_S} if days or forever else {}
    if not body:
        raise click.UsageError("say what to change; see --help")
    answer = session.api.put(f"{_path(session)}/{public_id}", body)
    session.show(answer, lambda: screen.line(f"changed key {public_id}: {', '.join(sorted(body))}"))


@key.command("revoke")
@click.argument("public_id")
@verb
def revoke_key(session: Session, public_id: str) -> None:
    """End a key at once, on every worker."""
    answer = session.api.delete(f"{_path(session)}/{public_id}")
    session.show(answer, lambda: screen.line(f"revoked key {public_id}"))
    screen.note("a revoked key never opens again; make another with: " + session.with_app("promptgate key create"))


@key.command("rotate")
@click.argument("public_id", required=False)
@click.option("--all", "every", is_flag=True, help="One key, without restrictions, in place of all of the application.")
@click.option("--grace", "grace_seconds", type=click.IntRange(min=0), default=0, help="Seconds that the old key stays valid.")
@verb
def rotate_key(session: Session, public_id: str | None, every: bool, grace_seconds: int) -> None:
    """Create a key with the name, rights, limits and lifetime of another, which ends."""
    if (public_id is None) is not every:
        raise click.UsageError("name the key to rotate, or say --all")
    application = slug_of(session)
    path = f"/applications/{application}/" + ("regenerate-key" if every else f"keys/{public_id}/rotate")
    made = session.api.post(path, {"grace_seconds": grace_seconds})
    session.show(made, lambda: show_key(made, f"key {made['public_id']}"))
    when = f"in {grace_seconds} s" if grace_seconds else "now"
    ends = "the other keys end" if every else f"key {public_id} ends"
    screen.note(f"{ends} {when}; that has no undo")


def show_key(made: dict[str, Any], what: str) -> None:
    """A key at its birth, for people."""
    screen.line(f"created {what}")
    screen.line(made["api_key"])
    screen.note("keep this key: it is shown only now, and only its SHA-256 is stored")


def _lists(
    scopes: tuple[str, ...], prompts: tuple[str, ...], models: tuple[str, ...], *, no_prompts: bool, no_models: bool
) -> dict[str, list[str] | None]:
    if (prompts and no_prompts) or (models and no_models):
        raise click.UsageError("--prompt and --no-prompts, and --model and --no-models, contradict each other")
    return {
        "scopes": list(scopes) or None,
        "prompts": [] if no_prompts else list(prompts) or None,
        "models": [] if no_models else list(models) or None,
    }


def _listed(patterns: list[str] | None) -> str:
    return "*" if patterns is None else ",".join(patterns) or "none"


def _path(session: Session) -> str:
    return f"/applications/{slug_of(session)}/keys"


def slug_of(session: Session) -> str:
    """The application asked for, or the only one there is."""
    if session.application:
        return session.application
    found = list(session.api.all("/applications"))
    if len(found) == 1:
        return str(found[0]["slug"])
    raise click.UsageError(
        "name the application with --app; "
        + (
            "there is none yet: promptgate app create SLUG"
            if not found
            else "there are " + ", ".join(screen.inert(a["slug"]) for a in found)
        )
    )


COMMANDS = (key,)
