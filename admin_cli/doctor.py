"""``doctor``: what is wrong with this installation, and how to mend it. Useful most of all when the server is down."""

import shutil
from pathlib import Path
from typing import Any

import click
import httpx
from msgspec import Struct

from admin_cli import screen
from admin_cli.api import ApiError, trusts_proxies
from admin_cli.environment import KEY_PREFIX, Environment
from admin_cli.session import Session, verb

_MIN_FREE_BYTES = 1 << 30
"""Below a gigabyte the embedded Postgres and the ledger's spool are close to standing still."""
_PROBE_TIMEOUT_S = 3.0


class Finding(Struct, frozen=True):
    """One thing looked at."""

    name: str
    ok: bool
    detail: str
    mend: str = ""


@click.command("doctor")
@verb
def doctor(session: Session) -> None:
    """Check the gateway and what it stands on; say how to mend what is broken. Exit code 1 if anything is."""
    findings = [*_local(session.environment, Path.cwd()), *_server(session)]
    session.show(findings, lambda: _tell(findings))
    if not all(finding.ok for finding in findings):
        raise SystemExit(1)


def _local(settings: Environment, folder: Path) -> list[Finding]:
    free = shutil.disk_usage(folder).free
    key = settings.api_key
    return [
        Finding("env file", settings.env_file_found or settings.admin_token is not None, _where(settings),
                "run from the folder of `make up`, or set PROMPTGATE_URL and PROMPTGATE_ADMIN_TOKEN"),
        Finding("admin token", settings.admin_token is not None, "set" if settings.admin_token else "not set",
                "set PROMPTGATE_ADMIN_TOKEN to the gateway's token"),
        Finding("api key", key is not None, f"{key[: len(KEY_PREFIX) + 12]}..." if key else "not set",
                "promptgate key create, then set OPENAI_API_KEY to it"),
        Finding("local disk", free >= _MIN_FREE_BYTES, f"{free / 1e9:.1f} GB free", "free some space on this disk"),
    ]  # fmt: skip


def _where(settings: Environment) -> str:
    return str(settings.env_file) if settings.env_file_found else f"{settings.env_file} is not there"


def _server(session: Session) -> list[Finding]:
    url = session.environment.url
    try:
        with httpx.Client(transport=session.transport, trust_env=trusts_proxies(url), timeout=_PROBE_TIMEOUT_S) as client:
            alive = client.get(f"{url}/healthz").is_success
        detail = f"{url} answers" if alive else f"{url} is not healthy"
    except (httpx.TransportError, httpx.InvalidURL) as error:
        alive, detail = False, f"{url}: {error or type(error).__name__}"
    server = Finding("server", alive, detail, "start it with `make up`, or point PROMPTGATE_URL at it")
    if not alive:
        return [server]
    try:
        checks: list[dict[str, Any]] = session.api.get("/status")["checks"]
    except ApiError as error:
        return [
            server,
            Finding("admin api", False, error.message.splitlines()[0], "use the PROMPTGATE_ADMIN_TOKEN it was started with"),
        ]
    return [server, *(Finding(c["name"], c["ok"], c["detail"], c["mend"]) for c in checks)]


def _tell(findings: list[Finding]) -> None:
    screen.table(
        ("", "CHECK", "FOUND", "MEND"),
        (("ok" if f.ok else "FAIL", f.name, f.detail, None if f.ok else f.mend) for f in findings),
    )


COMMANDS = (doctor,)
