"""Where the gateway is and how to get in: the process environment first, then ``.promptgate/env`` in the current folder."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

ENV_FILE = Path(".promptgate") / "env"
DEFAULT_URL = "http://127.0.0.1:8080"
KEY_PREFIX = "pg_"
"""Our own keys start so; another key in OPENAI_API_KEY belongs to another service and is never sent to the gateway."""


class Environment(Struct, frozen=True):
    """What the commands need to know about the installation they talk to."""

    url: str
    admin_token: str | None
    api_key: str | None
    openai_base_url: str
    """Where the OpenAI dialect is spoken: ``url`` + ``/v1`` unless told otherwise."""
    demo_prompt: str | None
    actor: str | None
    """Who is said to act, for history and audit: PROMPTGATE_ACTOR, else the user's login name."""
    env_file: Path
    env_file_found: bool


def load(folder: Path, environ: Mapping[str, str]) -> Environment:
    """Read both places. Key and base URL are taken from the same place, so that no key travels to a foreign host."""
    path = folder / ENV_FILE
    found = path.is_file()
    filed = parse(path.read_text(encoding="utf-8")) if found else {}
    merged = {**filed, **{name: value for name, value in environ.items() if value}}
    url = merged.get("PROMPTGATE_URL", DEFAULT_URL).rstrip("/")
    keyring = environ if environ.get("OPENAI_API_KEY", "").startswith(KEY_PREFIX) else filed
    return Environment(
        url,
        merged.get("PROMPTGATE_ADMIN_TOKEN"),
        keyring.get("OPENAI_API_KEY") or None,
        (keyring.get("OPENAI_BASE_URL") or f"{url}/v1").rstrip("/"),
        merged.get("PROMPTGATE_DEMO_PROMPT"),
        merged.get("PROMPTGATE_ACTOR") or environ.get("USER") or None,
        path,
        found,
    )


def parse(text: str) -> dict[str, str]:
    """The assignments of a shell file such as ``export NAME='value'``; other lines do not count."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, found, value = line.strip().removeprefix("export ").partition("=")
        if found and name.isidentifier():
            values[name] = "".join(shlex.split(value, comments=True))
    return values
