"""The program: ``python -m gateway up | serve | migrate``.

    up       everything on this machine, embedded servers included, until Ctrl-C (what ``make up`` runs)
    serve    the gateway alone, on the Postgres and Redis that the settings name
    migrate  bring the database to the current schema

Exit status: 0 done or stopped by a signal, 1 failed, 2 wrong usage, settings or plug-ins.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from importlib.metadata import entry_points

from gateway.embedded.home import with_secrets
from gateway.embedded.process import EmbeddedError
from gateway.guards.plugins import GROUP, PluginError, install
from gateway.guards.shipped import CATALOGUE
from gateway.settings import Settings, SettingsError, from_environment


def main() -> int:
    """Run the command on the command line; the exit status."""
    commands = {"up": up, "serve": serve, "migrate": migrate}
    command = commands.get(sys.argv[1]) if len(sys.argv) == 2 else None
    if command is None:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        return command(from_environment())
    except SettingsError as e:
        sys.stderr.write(f"settings: {e}\n")
        return 2
    except PluginError as e:
        sys.stderr.write(f"{e}\n")
        return 2
    except EmbeddedError as e:
        sys.stderr.write(f"{e}\n")
        return 1


def up(settings: Settings) -> int:
    """Everything, in the foreground."""
    from gateway.embedded import up as program

    return program.up(settings, os.environ, _migration())  # noqa: TID251 - passed on to the child processes


def serve(settings: Settings) -> int:
    """The gateway alone."""
    _require("PROMPTGATE_DATABASE_URL", settings.database.url)
    _require("PROMPTGATE_REDIS_URL", settings.redis.url)
    # Before workers are forked: all of them then have the same guards, and a package that cannot be loaded stops the start.
    install(entry_points(group=GROUP), CATALOGUE)
    from gateway.server.worker import run

    return run(with_secrets(settings))


def migrate(settings: Settings) -> int:
    """The schema."""
    _require("PROMPTGATE_DATABASE_URL", settings.database.url)
    applied = _migration()(settings.database.url)
    sys.stdout.write(f"applied {', '.join(applied)}\n" if applied else "nothing to apply\n")
    return 0


def _migration() -> Callable[[str], list[str]]:
    from gateway.storage.postgres.migrate import migrate as run

    return lambda url: asyncio.run(run(url))


def _require(variable: str, url: str) -> None:
    if not url:
        raise SettingsError(f"{variable} is not set; set it, or start everything with: python -m gateway up")


if __name__ == "__main__":
    sys.exit(main())
