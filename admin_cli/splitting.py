"""Serving several versions under one name: ``split``, ``promote``."""

from decimal import Decimal
from typing import Any

import click

from admin_cli import screen
from admin_cli.api import in_path
from admin_cli.documents import read_document
from admin_cli.publishing import ALIAS, MESSAGE, TIMEOUT, WAIT, moved, waiting
from admin_cli.running import value_of
from admin_cli.session import Session, verb

_PERCENT = 100
"""Basis points of one percent."""


class _SplitGroup(click.Group):
    """``split NAME ...`` is ``split set NAME ...``."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            args = ["set", *args]
        return super().resolve_command(ctx, args)


@click.group("split", cls=_SplitGroup, subcommand_metavar="NAME --variant ... | show NAME")
def split_group() -> None:
    """Give each user one of several variants of a prompt, always the same one.

    promptgate split faq --variant control=7:50 --variant concise=8:50
    """


@split_group.command("set")
@click.argument("name")
@ALIAS
@click.option(
    "--variant",
    "variants",
    multiple=True,
    required=True,
    metavar="NAME=VERSION:PERCENT",
    help="A variant and its share; repeat it. All shares make 100; 0 is for pins only.",
)
@click.option("--model", "models", multiple=True, metavar="NAME=MODEL", help="The model of a variant, if not the version's.")
@click.option("--param", "params", multiple=True, metavar="NAME:KEY=JSON", help="A parameter of a variant, over the version's.")
@click.option("--guardrails", "guards", multiple=True, metavar="NAME=FILE", help="Guardrails of a variant (YAML or JSON).")
@click.option("--salt", help="Key of the assignment. Default: the one before, so that users stay where they are.")
@click.option(
    "--expect", type=click.IntRange(min=0), metavar="N", help="Fail unless the alias is at version N now (0: not set)."
)
@MESSAGE
@WAIT
@TIMEOUT
@verb
def split(  # noqa: PLR0917 - click fills them by name
    session: Session,
    name: str,
    alias: str,
    variants: tuple[str, ...],
    models: tuple[str, ...],
    params: tuple[str, ...],
    guards: tuple[str, ...],
    salt: str | None,
    expect: int | None,
    message: str,
    wait: bool,
    timeout: float,
) -> None:
    """Split an alias of NAME among variants, and publish their versions."""
    arms = [_variant(text) for text in variants]
    for text in models:
        arm, value = _of(arms, text, "--model")
        arm["model"] = value
    for text in params:
        path, equals, value = text.partition("=")
        owner, colon, key = path.partition(":")
        if not (equals and colon and key):
            raise click.UsageError(f"--param {text!r}: write NAME:KEY=VALUE")
        arm, _ = _of(arms, f"{owner}={value}", "--param")
        arm.setdefault("params", {})[key] = value_of(value)
    for text in guards:
        arm, value = _of(arms, text, "--guardrails")
        arm["guardrails"] = read_document(value)
    body = {
        "variants": arms,
        "salt": salt,
        "expected_version": expect,
        "message": message,
        **waiting(wait, timeout),
    }
    moved(session, session.api.put(f"{_path(name, alias)}/split", body))


@split_group.command("show")
@click.argument("name")
@ALIAS
@verb
def show(session: Session, name: str, alias: str) -> None:
    """Show what an alias of NAME is split into."""
    found = session.api.get(f"{_path(name, alias)}/split")

    def people() -> None:
        screen.line(f"{name}@{alias} since {screen.when(found['created_at'])} by {found['created_by']}, salt {found['salt']}")
        screen.table(
            ("VARIANT", "SHARE", "VERSION", "MODEL", "PARAMS", "GUARDRAILS"),
            (
                (
                    v["name"],
                    f"{v['weight'] / _PERCENT:g} %",
                    v["version"],
                    v.get("model"),
                    _pairs(v.get("params")),
                    "its own" if v.get("guardrails") is not None else "",
                )
                for v in found["variants"]
            ),
        )

    session.show(found, people)


@click.command("promote")
@click.argument("name")
@click.argument("variant")
@ALIAS
@MESSAGE
@WAIT
@TIMEOUT
@verb
def promote(session: Session, name: str, variant: str, alias: str, message: str, wait: bool, timeout: float) -> None:
    """End a split: serve VARIANT to all. What it has of its own becomes a new version first."""
    body = {"variant": variant, "message": message, **waiting(wait, timeout)}
    moved(session, session.api.post(f"{_path(name, alias)}/promote", body))


def _pairs(params: dict[str, Any] | None) -> str:
    return " ".join(f"{key}={value}" for key, value in (params or {}).items())


def _path(name: str, alias: str) -> str:
    return f"/prompts/{in_path(name)}/aliases/{alias}"


def _variant(text: str) -> dict[str, Any]:
    """``control=7:33.34`` as the API takes it."""
    name, equals, rest = text.partition("=")
    version, colon, percent = rest.rpartition(":")
    if not (name and equals and version and colon):
        raise click.UsageError(f"--variant {text!r}: write NAME=VERSION:PERCENT, as in control=7:50")
    try:
        points = Decimal(percent) * _PERCENT
        if not 0 <= points <= 100 * _PERCENT:
            raise click.UsageError(f"--variant {text!r}: a share is 0 to 100 percent")
    except ArithmeticError:
        raise click.UsageError(f"--variant {text!r}: {percent!r} is not a percentage") from None
    if points != int(points):
        raise click.UsageError(f"--variant {text!r}: at most two digits after the point")
    number = int(version) if version.isascii() and version.isdecimal() else version
    return {"name": name, "version": number, "weight": int(points)}


def _of(arms: list[dict[str, Any]], text: str, option: str) -> tuple[dict[str, Any], str]:
    """The variant that ``NAME=VALUE`` is about, and the value."""
    name, equals, value = text.partition("=")
    found = next((arm for arm in arms if arm["name"] == name), None)
    if not equals or found is None:
        known = ", ".join(arm["name"] for arm in arms)
        raise click.UsageError(f"{option} {text!r}: write NAME=VALUE with one of the variants: {known}")
    return found, value


COMMANDS = (split_group, promote)
"""For ``main``."""
