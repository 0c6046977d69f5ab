"""Every setting: what it is for, its default and its bounds; read once, strictly.

``config/gateway.toml`` and ``config/providers.toml`` come first, the environment overrides them:
``PROMPTGATE_<SECTION>_<KEY>``, and ``PROMPTGATE_PROVIDERS_<NAME>_BASE_URL``, ``_API_KEY`` or ``_API_KEYS``. An empty variable
counts as not set. An unknown key, an unknown variable or a bad value is a :class:`SettingsError` that names the place and what is
accepted, and never repeats the value: it may be a secret.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct
from msgspec.inspect import type_info

from gateway.core.wording import accepted

OPENAI_API = "https://api.openai.com/v1"
"""Where an ``openai`` provider is unless its table says otherwise."""
OWN_KEY_PREFIX = "pg_"
"""Our own API keys start so; one in ``OPENAI_API_KEY`` points at us and is never sent upstream."""

Port = Annotated[int, Meta(ge=1, le=65535)]
Positive = Annotated[int, Meta(ge=1)]
Milliseconds = Annotated[int, Meta(ge=1, le=3_600_000)]
Percent = Annotated[int, Meta(ge=0, le=100)]
PostgresUrl = Annotated[str, Meta(pattern=r"^(postgres(ql)?://\S+)?$")]
RedisUrl = Annotated[str, Meta(pattern=r"^((redis|rediss|unix)://\S+)?$")]
BaseUrl = Annotated[str, Meta(pattern=r"^(echo:|https?://[^\s/?#@]+(/[^\s?#]*)?)$")]
HeaderText = Annotated[str, Meta(pattern=r"^[\x21-\x7e]*$")]


class SettingsError(Exception):
    """The configuration cannot be used. The text names file or variable, key, and what is accepted."""


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of settings. Its ``repr`` shows no values: logs and tracebacks must not carry secrets."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"


class Server(Section, frozen=True):
    """``[server]``: the front door and the processes behind it."""

    host: str = "127.0.0.1"
    """Address to listen on; ``0.0.0.0`` for every interface."""
    port: Port = 8080
    """Also ``PROMPTGATE_PORT``."""
    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    """Processes, each with its own event loop; as many as cores. Also ``PROMPTGATE_WORKERS``."""
    max_body_bytes: Positive = 10 * 1024 * 1024
    """Larger bodies are a 413. OpenAI's own bound for a chat request with images is of this order."""
    max_header_bytes: Positive = 32_768
    """All header fields together, request line included; more is a 431."""
    max_headers: Positive = 100
    """Header fields; more is a 431."""
    head_timeout_ms: Milliseconds = 10_000
    """From the first byte of a request to the end of its head."""
    body_timeout_ms: Milliseconds = 30_000
    """From the end of the head to the end of the body."""
    request_timeout_ms: Milliseconds = 600_000
    """The longest a call may take; the openai SDK's own read timeout. Callers shorten it by ``x-request-timeout-ms``."""
    keep_alive_seconds: Positive = 75
    """How long an idle client connection stays open: longer than the 60 s of common load balancers, which must close first."""
    drain_seconds: Positive = 30
    """After SIGTERM, how long calls in flight may take to end."""
    max_connections: Positive = 16_384
    """Client connections per worker."""
    max_in_flight: Positive = 4096
    """Calls at one time per worker, streams included; the next gets a 503 with ``retry-after``."""
    turn_target_ms: Positive = 10
    """How long a turn of the event loop may take before new calls are refused: past it every call pays."""
    front: Literal["protocol", "asgi"] = "protocol"
    """Who answers hot routes: the HTTP protocol itself, or the ASGI application behind it. Equal bytes either way."""


class Database(Section, frozen=True):
    """``[database]``: Postgres, the truth."""

    url: PostgresUrl = ""
    """``postgresql://user:password@host:5432/name``; empty starts the embedded server. Also ``PROMPTGATE_DATABASE_URL``."""
    pool_size: Annotated[int, Meta(ge=1, le=1000)] = 8
    """Connections per worker."""


class Redis(Section, frozen=True):
    """``[redis]``: the serving cache and the shared counters."""

    url: RedisUrl = ""
    """``redis://host:6379/0``; empty starts the embedded server. Also ``PROMPTGATE_REDIS_URL``."""
    timeout_ms: Milliseconds = 5
    """Of every call; slower is a miss."""


class Ledger(Section, frozen=True):
    """``[ledger]``: the spool between a call and its row in Postgres."""

    directory: str = ""
    """Local disk, kept over restarts; empty means ``ledger`` in the storage directory."""
    segment_bytes: Annotated[int, Meta(ge=65_536)] = 8 * 1024 * 1024
    """Of one spool file; a file is deleted when all its rows are committed."""
    max_bytes: Annotated[int, Meta(ge=1_048_576)] = 1024 * 1024 * 1024
    """Of all spool files of a worker; beyond it calls are refused with ``ledger_full`` rather than lost."""
    fsync: Literal["off", "group"] = "off"
    """``off`` survives the death of any process; ``group`` survives loss of power, for some milliseconds per call."""


class Security(Section, frozen=True):
    """``[security]``: what must stay secret. Prefer the environment over the file."""

    secret: str = ""
    """Signs cache entries; the same on every host that shares a Redis. Empty: made once, kept in the storage directory."""
    admin_token: HeaderText = ""
    """Opens ``/api/v1``. Empty: made once, kept in the storage directory."""


class Registry(Section, frozen=True):
    """``[registry]``: how workers learn what changed."""

    poll_ms: Milliseconds = 1000
    """Between two looks at the generation: what a lost push message costs at most."""
    snapshot_seconds: Positive = 5
    """Between two writings of the last-known-good snapshot, when something changed."""


class Storage(Section, frozen=True):
    """``[storage]``: where this installation keeps its files."""

    directory: str = ".promptgate"
    """Embedded servers, secrets, spool and snapshots. Relative to the folder that holds the config folder."""


class Limits(Section, frozen=True):
    """``[limits]``: for keys that set none themselves."""

    requests_per_minute: Positive | None = None
    """Per key; unset means no limit (``null`` in the environment)."""


class Telemetry(Section, frozen=True):
    """``[telemetry]``: logs and timings."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level that is written."""
    log_format: Literal["json", "text"] = "json"
    """One JSON object per line, or text for a terminal."""
    server_timing: bool = True
    """Whether answers carry ``server-timing``."""


class Upstream(Section, frozen=True):
    """``[upstream]``: connections to providers."""

    max_connections: Positive = 512
    """Per worker and provider; more calls wait their turn."""
    idle_seconds: Positive = 55
    """How long an idle connection is kept: shorter than the 60 s after which common load balancers close it."""
    max_answer_bytes: Positive = 32 * 1024 * 1024
    """Of a whole answer; larger is ``upstream_invalid``."""
    max_event_bytes: Positive = 1024 * 1024
    """Of one event of a stream; larger is ``upstream_invalid``."""


class Resilience(Section, frozen=True):
    """``[resilience]``: what protects providers from us, and callers from providers. Per worker and target or provider."""

    breaker: bool = True
    """Whether a target that keeps failing is left alone for a while."""
    breaker_failures: Positive = 8
    """In a row that open the breaker."""
    breaker_error_percent: Annotated[int, Meta(ge=1, le=100)] = 50
    """Failed calls within the window that open it as well, from ``breaker_min_calls`` on."""
    breaker_min_calls: Positive = 20
    """Calls within the window before a share of them means something."""
    breaker_window_ms: Milliseconds = 10_000
    """How far the share looks back."""
    breaker_wait_ms: Milliseconds = 1000
    """From opening to the first probe; doubled by each probe that fails, up to four times this."""
    max_concurrency: Positive = 512
    """Calls at one time per target; what a target cannot take lowers its own limit by itself."""
    retry_percent: Percent = 20
    """Repeated attempts at a provider per hundred calls to it."""
    retries_per_second: Annotated[int, Meta(ge=0, le=10_000)] = 10
    """Repeated attempts that are allowed besides."""
    hedge_percent: Percent = 10
    """Hedges per hundred calls of routes that have them."""


class Provider(Section, frozen=True):
    """``[providers.NAME]``: an upstream account."""

    kind: Literal["openai", "echo"]
    """The dialect: OpenAI-compatible, or the built-in deterministic answerer."""
    base_url: BaseUrl = OPENAI_API
    """Scheme, host and path prefix. Also ``PROMPTGATE_PROVIDERS_<NAME>_BASE_URL``."""
    api_key: HeaderText = ""
    """Prefer ``PROMPTGATE_PROVIDERS_<NAME>_API_KEY``; for the provider ``openai`` a bare ``OPENAI_API_KEY`` does too."""
    api_keys: tuple[HeaderText, ...] | None = None
    """More keys of the same account, used in turn. Also ``PROMPTGATE_PROVIDERS_<NAME>_API_KEYS``, separated by commas."""
    transport: Literal["http1", "httpx"] = "http1"
    """Our own HTTP/1.1 client, or httpx (for odd upstreams)."""
    connect_ms: Milliseconds = 2000
    """TCP and TLS handshakes together."""
    first_byte_ms: Milliseconds = 60_000
    """From the request's last byte to the answer's first; models think."""
    idle_ms: Milliseconds = 30_000
    """Between two reads of the answer."""
    total_ms: Milliseconds = 600_000
    """The whole exchange."""
    first_token_ms: Milliseconds | None = None
    """From the start of an attempt to the first content of a stream, or to the head of a whole answer."""
    ca_file: str = ""
    """PEM file of the authorities to trust; empty means the system's."""


class RouteTarget(Section, frozen=True):
    """Where a route leads."""

    provider: str
    """A name from ``[providers.NAME]``."""
    model: str = ""
    """The upstream's name for the model; empty keeps the asked one."""
    weight: Annotated[int, Meta(ge=0, le=1_000_000)] = 1
    """Share of the calls under the strategy ``weighted``; 0: only when nobody with a weight can."""
    tier: Annotated[int, Meta(ge=0, le=100)] = 0
    """Lower ones are tried first."""
    local: bool = False
    """Whether prompts stay on our own machines there; what ``placement`` goes by."""
    connect_ms: Milliseconds | None = None
    first_byte_ms: Milliseconds | None = None
    idle_ms: Milliseconds | None = None
    total_ms: Milliseconds | None = None
    first_token_ms: Milliseconds | None = None
    """Time limits that differ from the provider's."""


class Route(Section, frozen=True):
    """``[[routes]]``: model names to targets, first match wins."""

    models: tuple[str, ...]
    """Names or patterns; ``*`` stands for any text."""
    targets: tuple[RouteTarget, ...]
    """Best first."""
    strategy: Literal["ordered", "weighted", "least_latency", "cheapest"] = "ordered"
    """Which target of a tier comes first."""
    placement: Literal["any", "local_only", "prefer_local", "prefer_cloud"] = "any"
    """Whether targets marked ``local`` come first, last, or alone. Goes before tiers."""
    tags: tuple[str, ...] | None = None
    """Only calls that carry all of these in ``x-tags``."""
    min_input_tokens: Annotated[int, Meta(ge=0)] | None = None
    max_input_tokens: Annotated[int, Meta(ge=0)] | None = None
    """Only calls of about that size (a quarter of the characters)."""
    attempts: Annotated[int, Meta(ge=1, le=8)] | None = None
    """At most; more than there are targets start over after a pause. Unset: each target once."""
    hedge_after_ms: Milliseconds | Literal["p95"] | None = None
    """Without a first token for so long, the next target is asked as well; ``p95``: as 95 % of its answers have begun by then."""
    queue_ms: Annotated[int, Meta(ge=0, le=600_000)] = 1000
    """How long a call may wait for a place when all targets are in full use."""


class Settings(Struct, frozen=True):
    """All of it."""

    server: Server = Server()
    database: Database = Database()
    redis: Redis = Redis()
    ledger: Ledger = Ledger()
    security: Security = Security()
    registry: Registry = Registry()
    storage: Storage = Storage()
    limits: Limits = Limits()
    telemetry: Telemetry = Telemetry()
    upstream: Upstream = Upstream()
    resilience: Resilience = Resilience()
    providers: Mapping[str, Provider] = {}
    routes: tuple[Route, ...] = ()
    default_model: str = "gpt-4o-mini"
    """What is asked for when neither the call, nor the prompt, nor the key names a model."""
    config_folder: str = "config"
    """Where these settings came from; the price table lies there too."""


_SECTIONS: dict[str, type[Section]] = {
    "server": Server,
    "database": Database,
    "redis": Redis,
    "ledger": Ledger,
    "security": Security,
    "registry": Registry,
    "storage": Storage,
    "limits": Limits,
    "telemetry": Telemetry,
    "upstream": Upstream,
    "resilience": Resilience,
}
_SHORTHANDS = {"PROMPTGATE_PORT": "PROMPTGATE_SERVER_PORT", "PROMPTGATE_WORKERS": "PROMPTGATE_SERVER_WORKERS"}
_FOR_OTHERS = frozenset(
    {
        "PROMPTGATE_URL",
        "PROMPTGATE_ADMIN_TOKEN",
        "PROMPTGATE_DEMO_PROMPT",
        "PROMPTGATE_CONFIG",
        "PROMPTGATE_APP",
        "PROMPTGATE_ACTOR",
    }
)
"""Written to ``.promptgate/env`` for clients, or read before the settings are: not settings themselves."""
_PREFIX = "PROMPTGATE_"
_PROVIDER_VARIABLE = re.compile(r"PROMPTGATE_PROVIDERS_(\w+?)_(BASE_URL|API_KEYS?)")
_PROVIDER_NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")
_ECHO = Provider(kind="echo", base_url="echo:")

_S = TypeVar("_S", bound=Section)


def from_environment() -> Settings:
    """The settings of this process: from ``$PROMPTGATE_CONFIG``, else ``config`` here, else beside the program."""
    named = os.environ.get("PROMPTGATE_CONFIG")
    if named and not Path(named).is_dir():
        raise SettingsError(f"PROMPTGATE_CONFIG: {named} is not a folder")
    candidates = [Path(named)] if named else [Path("config"), Path(__file__).parents[1] / "config"]
    return load(next((folder for folder in candidates if folder.is_dir()), candidates[0]), os.environ)


def load(config_folder: Path, environ: Mapping[str, str]) -> Settings:
    """Read both files and the environment. A missing file means defaults. Raises :class:`SettingsError`."""
    given = {_SHORTHANDS.get(name, name): value for name, value in environ.items() if value}
    gateway_file, providers_file = config_folder / "gateway.toml", config_folder / "providers.toml"
    tables = _read(gateway_file)
    _refuse_unknown(tables, list(_SECTIONS), f"{gateway_file}: section")
    sections: dict[str, Any] = {
        name: _overlay(_build(cls, tables.get(name, {}), f"{gateway_file}: [{name}]"), f"{_PREFIX}{name.upper()}_", given)
        for name, cls in _SECTIONS.items()
    }
    settings = msgspec.structs.replace(Settings(**sections), **_providers(providers_file, given))
    _refuse_unknown_variables(given, settings)
    settings = msgspec.structs.replace(settings, config_folder=str(config_folder.resolve()))
    return _at_home(settings, config_folder.resolve().parent)


def is_configured(provider: Provider) -> bool:
    """Whether somebody set this upstream up: it has a key, or it is not the one that needs a key."""
    return provider.kind != "echo" and (bool(provider.api_key or provider.api_keys) or provider.base_url != OPENAI_API)


def effective_routes(settings: Settings) -> tuple[Route, ...]:
    """The routes of the file, then ``*`` to the first configured upstream, or to ``echo`` when there is none."""
    names = [name for name, provider in settings.providers.items() if is_configured(provider)]
    names += [name for name, provider in settings.providers.items() if provider.kind == "echo"]
    if not names:
        return settings.routes
    return (*settings.routes, Route(("*",), (RouteTarget(names[0]),)))


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as e:
        raise SettingsError(f"{file}: cannot be read: {e}") from None


def _providers(file: Path, given: Mapping[str, str]) -> dict[str, Any]:
    """What ``providers.toml`` and the environment say, as fields of :class:`Settings`."""
    tables = _read(file)
    _refuse_unknown(tables, ["providers", "routes", "default_model"], f"{file}: key")
    providers: dict[str, Provider] = {}
    for name, table in {"echo": {"kind": "echo"}, **_table(tables.get("providers", {}), f"{file}: [providers]")}.items():
        if _PROVIDER_NAME.fullmatch(name) is None:
            raise SettingsError(f"{file}: [providers.{name}]: a name is lower-case letters, digits and dashes, letter first")
        provider = _build(Provider, table, f"{file}: [providers.{name}]")
        if provider.kind == "echo":
            provider = msgspec.structs.replace(provider, base_url=_ECHO.base_url)
        prefix = f"{_PREFIX}PROVIDERS_{_variable(name)}_"
        bare = given.get("OPENAI_API_KEY", "") if name == "openai" else ""
        if bare and not bare.startswith(OWN_KEY_PREFIX):
            given = {f"{prefix}API_KEY": bare, **given}
        provider = _overlay(provider, prefix, given, only=("base_url", "api_key"))
        if keys := given.get(f"{prefix}API_KEYS"):
            listed = [key.strip() for key in keys.split(",")]
            provider = msgspec.structs.replace(provider, api_keys=_value(tuple[HeaderText, ...], listed, f"{prefix}API_KEYS"))
        if "" in (provider.api_keys or ()):
            raise SettingsError(f"{file}: [providers.{name}]: api_keys has an empty entry")
        if (provider.kind == "echo") != (provider.base_url == _ECHO.base_url):
            raise SettingsError(f"{file}: [providers.{name}]: base_url echo: goes with kind echo, and no other does")
        providers[name] = msgspec.structs.replace(provider, base_url=provider.base_url.rstrip("/"))
    return {
        "providers": providers,
        "routes": _routes(tables.get("routes", []), providers, file),
        "default_model": _value(str, tables.get("default_model", Settings().default_model), f"{file}: default_model"),
    }


def _routes(tables: object, providers: Mapping[str, Provider], file: Path) -> tuple[Route, ...]:
    routes: list[Route] = []
    for number, table in enumerate(_value(list[dict[str, Any]], tables, f"{file}: [[routes]]"), 1):
        where = f"{file}: [[routes]] number {number}"
        entries = _value(list[dict[str, Any]], table.get("targets"), f"{where}: targets")
        targets = tuple(_build(RouteTarget, entry, f"{where}: targets") for entry in entries)
        route = msgspec.structs.replace(_build(Route, {**table, "targets": []}, where), targets=targets)
        if not route.models or not targets:
            raise SettingsError(f"{where}: give at least one of models and one of targets")
        for target in targets:
            _refuse_unknown({target.provider: None}, list(providers), f"{where}: provider")
        if route.placement == "local_only" and not any(target.local for target in targets):
            raise SettingsError(f"{where}: placement is local_only, but no target is marked local = true")
        if route.max_input_tokens is not None and route.max_input_tokens < (route.min_input_tokens or 0):
            raise SettingsError(f"{where}: max_input_tokens is below min_input_tokens")
        routes.append(route)
    return tuple(routes)


def _build(cls: type[_S], raw: object, where: str) -> _S:
    """A section from a table, each value checked by itself so that a fault names its key."""
    table = _table(raw, where)
    fields = msgspec.structs.fields(cls)
    _refuse_unknown(table, [field.name for field in fields], f"{where}: key")
    for field in fields:
        if field.required and field.name not in table:
            raise SettingsError(f"{where}: {field.name} is missing; expected {accepted(type_info(field.type))}")
    return cls(**{f.name: _value(f.type, table[f.name], f"{where} {f.name}") for f in fields if f.name in table})


def _overlay(section: _S, prefix: str, given: Mapping[str, str], only: Sequence[str] | None = None) -> _S:
    """``section`` with what the environment says under ``prefix``."""
    changes = {
        field.name: _value(field.type, given[name], name, strict=False)
        for field in msgspec.structs.fields(type(section))
        if (name := prefix + field.name.upper()) in given and (only is None or field.name in only)
    }
    return msgspec.structs.replace(section, **changes)


def _table(raw: object, where: str) -> dict[str, Any]:
    return _value(dict[str, Any], raw, where)


def _value(wanted: Any, raw: object, where: str, *, strict: bool = True) -> Any:
    try:
        return msgspec.convert(raw, wanted, strict=strict)
    except msgspec.ValidationError:
        got = "nothing" if raw is None else f"a value of type {type(raw).__name__}"
        raise SettingsError(f"{where}: got {got}, expected {accepted(type_info(wanted))}") from None


def _refuse_unknown(table: Mapping[str, object], known: list[str], where: str) -> None:
    for name in table:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise SettingsError(f"{where} {name!r} is unknown; {hint}Known: {', '.join(sorted(known))}")


def _refuse_unknown_variables(given: Mapping[str, str], settings: Settings) -> None:
    known = {f"{_PREFIX}{name.upper()}_{key.upper()}" for name, cls in _SECTIONS.items() for key in cls.__struct_fields__}
    known |= {
        f"{_PREFIX}PROVIDERS_{_variable(name)}_{key}"
        for name in settings.providers
        for key in ("BASE_URL", "API_KEY", "API_KEYS")
    }
    for name in given:
        if _PROVIDER_VARIABLE.fullmatch(name) and name not in known:
            raise SettingsError(f"{name}: no such provider in providers.toml; there are: {', '.join(settings.providers)}")
    ours = {name: None for name in given if name.startswith(_PREFIX) and name not in _FOR_OTHERS}
    _refuse_unknown(ours, [*known, *_SHORTHANDS], "environment variable")


def _variable(provider: str) -> str:
    return provider.upper().replace("-", "_")


def _at_home(settings: Settings, home: Path) -> Settings:
    """``settings`` with absolute paths: the program may be started from anywhere."""
    storage = home / settings.storage.directory
    ledger = home / settings.ledger.directory if settings.ledger.directory else storage / "ledger"
    return msgspec.structs.replace(
        settings,
        storage=msgspec.structs.replace(settings.storage, directory=str(storage)),
        ledger=msgspec.structs.replace(settings.ledger, directory=str(ledger)),
    )
