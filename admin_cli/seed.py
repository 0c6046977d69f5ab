"""The demo: an application, a key and the prompt files of a folder, published. Run again, it changes nothing.

    python -m admin_cli.seed [DIR]

Reads PROMPTGATE_URL and PROMPTGATE_ADMIN_TOKEN; prints the API key on standard output, and what was done on standard error.
A key that is at hand (``OPENAI_API_KEY``, or the one in ``.promptgate/env``) and still opens the gateway is kept.
"""

import os
from pathlib import Path

import click
import httpx
from msgspec import Struct

from admin_cli import environment, screen
from admin_cli.api import Api, ApiError, trusts_proxies
from admin_cli.sync import push_one, read_folder

APPLICATION = "demo"
FOLDER = Path("config") / "prompts"
DEMO_PROMPT = "faq-bot"
"""The one prompt that renders without any variable."""


class Seeded(Struct, frozen=True):
    """What stands ready."""

    application: str
    api_key: str
    prompts: list[str]
    created: list[str]
    """What this run had to make."""


def seed(
    url: str, admin_token: str, folder: Path, kept_key: str | None, transport: httpx.BaseTransport | None = None
) -> Seeded:
    """Make what is missing. Raises :class:`ApiError` and click exceptions that say what is wrong."""
    created: list[str] = []
    api = Api(url, admin_token, APPLICATION, transport=transport)
    key = kept_key if kept_key and _opens(url, kept_key, transport) else None
    try:
        api.get(f"/applications/{APPLICATION}")
    except ApiError as error:
        if error.status != 404:
            raise
        key = str(api.post("/applications", {"slug": APPLICATION, "name": "Demo"})["api_key"])
        created.append(f"application {APPLICATION}")
    if key is None:
        key = str(api.post(f"/applications/{APPLICATION}/keys", {"name": "demo"})["api_key"])
        created.append("key")
    present = {prompt["slug"] for prompt in api.all("/prompts")}
    missing = [prompt for prompt in read_folder(folder) if prompt.name not in present]  # what is there is its owner's
    pushed = [push_one(api, prompt, alias="production", message="demo") for prompt in missing]
    created += [f"{p.name}:{p.version}" for p in pushed if p.created or p.published]
    api.close()
    return Seeded(APPLICATION, key, [p.name for p in pushed], created)


def _opens(url: str, key: str, transport: httpx.BaseTransport | None) -> bool:
    with httpx.Client(transport=transport, trust_env=trusts_proxies(url)) as client:
        return client.get(f"{url}/v1/models", headers={"authorization": f"Bearer {key}"}).is_success


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=FOLDER)
def main(folder: Path) -> None:
    """Seed the demo and print its API key."""
    settings = environment.load(Path.cwd(), os.environ)
    if settings.admin_token is None:
        raise click.UsageError("PROMPTGATE_ADMIN_TOKEN is not set")
    done = seed(settings.url, settings.admin_token, folder, settings.api_key)
    screen.note(f"made {', '.join(done.created)}" if done.created else "nothing to make: the demo is there")
    click.echo(done.api_key)


if __name__ == "__main__":
    main()
