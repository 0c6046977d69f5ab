"""Keys of provider accounts: ``credentials ...``. A secret is read from standard input, never from the command line."""

import sys
from typing import Any

import click

from admin_cli import screen
from admin_cli.api import ApiError
from admin_cli.session import Session, verb

_LONGEST = 8192
"""Characters read from a pipe: twice what the gateway takes, so that a wrong file is refused there by name."""


@click.group("credentials")
def credentials() -> None:
    """Keys of provider accounts, encrypted in the database. --app makes a key an application's own.

    promptgate credentials set openai < key.txt
    """


@credentials.command("list")
@verb
def list_credentials(session: Session) -> None:
    """List the kept keys; of their texts only the last four characters are known."""
    found = session.api.get("/credentials", application=session.application)["items"]
    session.show(
        found,
        lambda: screen.table(
            ("PROVIDER", "FOR", "NAME", "ENDS IN", "CHANGED", "LAST USED", "ENCRYPTED WITH", "STATE"),
            (
                (
                    c["provider"],
                    _owner(c),
                    c["name"],
                    c["last4"],
                    screen.when(c["updated_at"]),
                    c["last_used_on"] or "never",
                    c["key_id"],
                    "ok" if c["opens"] else "does not decrypt: not used",
                )
                for c in found
            ),
        ),
    )


@credentials.command("set")
@click.argument("provider")
@click.option("--name", default="default", help="Tells several keys of one account apart; they are used in turn.")
@verb
def set_credential(session: Session, provider: str, name: str) -> None:
    """Keep a key for PROVIDER, or replace the one of that name. The key is asked for, or read from standard input."""
    secret = _secret(provider)
    known = _find(session, provider, name)
    if known is None:
        body = {"provider": provider, "name": name, "application": session.application, "secret": secret}
        made = session.api.post("/credentials", body)
    else:
        made = session.api.put(f"/credentials/{known['id']}", {"secret": secret})
    done = "kept" if known is None else "replaced"
    session.show(made, lambda: screen.line(f"{done} the key {name} of {provider} for {_owner(made)}"))
    if known is None:
        session.undo(f"credentials delete {provider} --name {name}")


@credentials.command("delete")
@click.argument("provider")
@click.option("--name", default="default", help="Which of its keys.")
@verb
def delete_credential(session: Session, provider: str, name: str) -> None:
    """Delete a kept key; calls go out with the next best from now on."""
    known = _find(session, provider, name)
    if known is None:
        raise ApiError(f"no key {name!r} of {provider} is kept for {session.application or 'the installation'}")
    gone = session.api.delete(f"/credentials/{known['id']}")
    session.show(gone, lambda: screen.line(f"deleted the key {name} of {provider} for {_owner(gone)}"))


@credentials.command("rotate-key")
@verb
def rotate_key(session: Session) -> None:
    """Encrypt all kept keys with the first of security.credentials_key, so that the others can be taken away."""
    done = session.api.post("/credentials/rotate-key")
    session.show(
        done,
        lambda: screen.line(
            f"encrypted {done['rewrapped']} with {done['key_id']}; {done['unchanged']} were already, {len(done['failed'])} do not open"
        ),
    )
    if done["failed"]:
        screen.note(f"their old key is needed in security.credentials_key: {', '.join(done['failed'])}")


def _find(session: Session, provider: str, name: str) -> dict[str, Any] | None:
    found = session.api.get("/credentials", application=session.application)["items"]
    same = (provider, name, session.application)
    return next((c for c in found if (c["provider"], c["name"], c["application"]) == same), None)


def _secret(provider: str) -> str:
    if sys.stdin.isatty():
        secret = click.prompt(f"Key of {provider}", hide_input=True, type=str).strip()
    else:
        secret = sys.stdin.buffer.read(_LONGEST).decode("ascii", "replace").strip()
    if not secret:
        raise click.UsageError("standard input is empty: pipe the key in, or run this in a terminal to be asked for it")
    if not (secret.isascii() and secret.isprintable()) or " " in secret:
        raise click.UsageError(
            "a key is one word of printable ASCII: what was read has blanks, line breaks or other characters in it"
        )
    return secret


def _owner(credential: dict[str, Any]) -> str:
    return credential["application"] or "the installation"


COMMANDS = (credentials,)
