"""The program behind ``make up``: servers, schema, gateway, demo, in one foreground process tree that ends together.

up ─┬─ postgres, redis    unless their URLs are set
├─ python -m gateway serve
└─ python -m admin_cli.seed, once
"""

import errno
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import FrameType
from typing import Never

from gateway.embedded.home import kept_key, locked, with_secrets, write_exports
from gateway.embedded.postgres import Postgres
from gateway.embedded.process import Child, EmbeddedError, die_with_parent, stop, wait_until
from gateway.embedded.redis import Redis
from gateway.settings import OWN_KEY_PREFIX, Settings

DEMO_PROMPT = "faq-bot"
"""The demo prompt that needs no variables (config/prompts)."""
_READY_SECONDS = 60.0
"""Starting takes two seconds; a loaded machine may need far more."""
_LOOK_SECONDS = 1.0
"""Between two looks at the embedded servers: how long one may be away before it is started again."""
_DRAIN_MARGIN_SECONDS = 15.0
"""Past the gateway's own drain time, for the ledger's last batch, before it is killed."""


class _Stopped(Exception):  # noqa: N818 - not an error: somebody asked us to stop
    """SIGINT, SIGTERM or SIGHUP has arrived."""


def up(settings: Settings, environ: Mapping[str, str], migrate: Callable[[str], object]) -> int:
    """Run until a signal (0) or until the gateway ends by itself (1). Raises :class:`EmbeddedError`.

    ``migrate`` brings the database at a URL to the current schema.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop_here)
    try:
        with ExitStack() as stack:
            try:
                return _run(settings, environ, migrate, stack)
            finally:
                _let_finish()
    except _Stopped:
        _say("stopped; the data is kept")
        return 0


def _run(settings: Settings, environ: Mapping[str, str], migrate: Callable[[str], object], stack: ExitStack) -> int:
    home = Path(settings.storage.directory)
    stack.enter_context(locked(home))
    check_port(settings.server.host, settings.server.port)
    settings = with_secrets(settings)
    servers: list[Postgres | Redis] = []
    urls = {"PROMPTGATE_DATABASE_URL": settings.database.url, "PROMPTGATE_REDIS_URL": settings.redis.url}
    for variable, make in (("PROMPTGATE_DATABASE_URL", Postgres), ("PROMPTGATE_REDIS_URL", Redis)):
        if not urls[variable]:
            server = make(home / make.__name__.lower())
            stack.callback(server.stop)
            urls[variable] = server.start()
            servers.append(server)
    write_exports(home / "services", urls)
    migrate(urls["PROMPTGATE_DATABASE_URL"])

    gateway = _serve(settings, {**environ, **urls})
    stack.callback(stop, gateway, signal.SIGTERM, seconds=settings.server.drain_seconds + _DRAIN_MARGIN_SECONDS)
    url = _client_url(settings)
    host, port = _client_host(settings), settings.server.port
    wait_until(lambda: _is_ready(host, port), gateway, what="the gateway", log=None, seconds=_READY_SECONDS)
    clients = {"PROMPTGATE_URL": url, "PROMPTGATE_ADMIN_TOKEN": settings.security.admin_token}
    exports = {
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": _seed({**environ, **clients}, kept_key(home / "env")),
        "PROMPTGATE_DEMO_PROMPT": DEMO_PROMPT,
        **clients,
    }
    write_exports(home / "env", exports)
    _say(_welcome(url, home))
    return _watch(gateway, servers)


def check_port(host: str, port: int) -> None:
    """Raises :class:`EmbeddedError`, saying how to choose another port, if the port cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as e:
            if e.errno == errno.EADDRINUSE:
                reason = f"port {port} on {host} is taken by another program"
            else:
                reason = f"cannot listen on {host} port {port}: {e.strerror}"
            raise EmbeddedError(f"{reason}; choose another one: PROMPTGATE_PORT={port % 60_000 + 1} make up") from None


def _serve(settings: Settings, environ: Mapping[str, str]) -> Child:
    """The gateway in its own session: a Ctrl-C reaches us first, and it ends before the servers it needs."""
    security = settings.security
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve"],
        env={
            **environ,
            "PROMPTGATE_SECURITY_SECRET": security.secret,
            "PROMPTGATE_SECURITY_ADMIN_TOKEN": security.admin_token,
        },
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - one system call, resolved before the fork
    )


def _seed(environ: Mapping[str, str], key: str | None) -> str:
    """The demo's API key: the kept one if it still opens the gateway, else a new one."""
    own = {name: value for name, value in environ.items() if name != "OPENAI_API_KEY" or not value.startswith(OWN_KEY_PREFIX)}
    if key:
        own["OPENAI_API_KEY"] = key
    # Whoever has no config folder here gets the one beside the program.
    prompts = next(p for p in (Path("config/prompts"), Path(__file__).parents[2] / "config" / "prompts") if p.is_dir())
    made = subprocess.run(
        [sys.executable, "-m", "admin_cli.seed", str(prompts)], env=own, check=False, stdout=subprocess.PIPE, text=True
    )
    if made.returncode != 0:
        raise EmbeddedError(f"the demo could not be created (status {made.returncode}); the lines above say why")
    return made.stdout.strip()


def _is_ready(host: str, port: int) -> bool:
    connection = HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _client_url(settings: Settings) -> str:
    host = _client_host(settings)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.server.port}"


def _client_host(settings: Settings) -> str:
    """Where a client on this machine finds a server that may listen on every interface."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(settings.server.host, settings.server.host)  # noqa: S104


def _watch(gateway: Child, servers: list[Postgres | Redis]) -> int:
    while True:
        try:
            status = gateway.wait(_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            for server in servers:
                if server.ended:
                    _say(f"embedded {type(server).__name__} has ended; starting it again")
                    server.start()
        else:
            _say(f"the gateway ended by itself (status {status})")
            return 1


def _welcome(url: str, home: Path) -> str:
    messages = '"messages": [{"role": "user", "content": "When are you open?"}]'
    return f"""
Promptgate is ready at {url}

  source {home / "env"}
  curl -s $OPENAI_BASE_URL/chat/completions -H "authorization: Bearer $OPENAI_API_KEY" \\
    -H 'content-type: application/json' -d '{{"model": "{DEMO_PROMPT}", {messages}}}'

Any OpenAI SDK works after that `source`. Documentation: {url}/api/v1/docs   Ctrl-C stops everything.
"""


def _stop_here(_number: int, _frame: FrameType | None) -> Never:
    raise _Stopped


def _let_finish() -> None:
    """From here on another Ctrl-C does not interrupt the shutdown half-way."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
