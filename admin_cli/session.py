"""What every command shares: ``--json`` and ``--app``, a client made on first use, failures in the form that was asked for."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import click
import httpx

from admin_cli import environment, screen
from admin_cli.api import Api, ApiError
from admin_cli.environment import Environment

P = ParamSpec("P")


class Session:
    """One invocation of a command."""

    def __init__(self, *, json: bool, application: str | None, transport: httpx.BaseTransport | None) -> None:
        self.json = json
        self.application = application
        self.transport = transport
        """Replaces the network in tests."""

    @functools.cached_property
    def environment(self) -> Environment:
        return environment.load(Path.cwd(), os.environ)

    @functools.cached_property
    def api(self) -> Api:
        settings = self.environment
        return Api(settings.url, settings.admin_token, self.application, settings.actor, self.transport)

    def close(self) -> None:
        """Give the connection back, if one was made."""
        if "api" in self.__dict__:
            self.api.close()

    def show(self, value: Any, people: Callable[[], None]) -> None:
        """``value`` for scripts, which said ``--json``; for people whatever ``people`` prints."""
        if self.json:
            screen.as_json(value)
        else:
            people()

    def with_app(self, command: str) -> str:
        """``command`` with the ``--app`` it needs to mean the same application again."""
        return f"{command} --app {self.application}" if self.application else command

    def undo(self, command: str) -> None:
        """How to take back what was just done; on standard error, so that ``--json`` stays clean."""
        screen.note(f"undo: promptgate {self.with_app(command)}")


def verb(command: Callable[Concatenate[Session, P], None]) -> Callable[P, None]:
    """Make ``command`` a command's body: it gets a :class:`Session`, and the options that every command has."""

    @click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for scripts.")
    @click.option(
        "--app", "application", envvar="PROMPTGATE_APP", metavar="SLUG", help="The application, when there are several."
    )
    @click.pass_context
    @functools.wraps(command)
    def run(context: click.Context, /, *args: P.args, **kwargs: P.kwargs) -> None:
        as_json, application = bool(kwargs.pop("as_json")), kwargs.pop("application")
        session = Session(
            json=as_json,
            application=application if isinstance(application, str) else None,
            transport=context.obj if isinstance(context.obj, httpx.BaseTransport) else None,
        )
        context.call_on_close(session.close)
        try:
            command(session, *args, **kwargs)
        except ApiError as error:
            if not as_json:
                raise
            screen.as_json({"error": error.error})
            context.exit(error.exit_code)

    return run
