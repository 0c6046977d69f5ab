"""Every setting: what it is for, its default and its bounds; read once, strictly.

``config/gateway.toml`` and ``config/providers.toml`` come first, the environment overrides them:
``PROMPTGATE_<SECTION>_<KEY>``, and ``PROMPTGATE_PROVIDERS_<NAME>_<KEY>`` for an account's place and credentials. An empty
variable counts as not set. An unknown key, an unknown variable or a bad value is a :class:`SettingsError` that names the
place and what is accepted, and never repeats the value: it may be a secret.
"""

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.settings_providers import (
    DEFAULT_MODEL,
    OPENAI_API,
    OWN_KEY_PREFIX,
    PROVIDER_KEYS,
    Provider,
    Route,
    RouteTarget,
    is_configured,
    read_providers,
    variable,
)
from gateway.settings_tables import (
    HeaderText,
    Milliseconds,
    Pepper,
    Percent,
    Port,
    Positive,
    PostgresUrl,
    RedisUrl,
    Section,
    SettingsError,
    as_table,
    as_value,
    build,
    overlay,
    read_file,
    read_secret,
    refuse_unknown,
)

_OTLP_HEADER = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+=[\x21-\x2b\x2d-\x7e]*"
_OTLP_HEADERS = rf"^({_OTLP_HEADER}(,{_OTLP_HEADER})*)?$"
"""``name=value`` pairs with commas between, values percent-encoded (OpenTelemetry's specification of its exporters)."""

__all__ = [
    "OPENAI_API",
    "OWN_KEY_PREFIX",
    "Provider",
    "Route",
    "RouteTarget",
    "Settings",
    "SettingsError",
    "effective_routes",
    "from_environment",
    "is_configured",
    "load",
]


_CREDENTIALS_KEY = r"([0-9A-Fa-f]{64}|[A-Za-z0-9+/_-]{43}=?)"
"""32 bytes; 43 characters of base64 are just as many."""
CredentialsKeys = Annotated[str, Meta(pattern=rf"^({_CREDENTIALS_KEY}(,{_CREDENTIALS_KEY})*)?$")]


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
    """``redis://host:6379/0``, or ``redis+cluster://host:6379,host:6379`` for some nodes of a cluster; empty starts the embedded
    server. Also ``PROMPTGATE_REDIS_URL``."""
    timeout_ms: Milliseconds = 5
    """Of every call; slower is a miss."""


class Ledger(Section, frozen=True):
    """``[ledger]``: the spool between a call and its row in Postgres."""

    directory: str = ""
    """Local disk, kept over restarts; empty means ``ledger`` in the storage directory."""
    segment_bytes: Annotated[int, Meta(ge=65_536)] = 8 * 1024 * 1024
    """Of one spool file; a file is deleted when all its rows are committed."""
    max_bytes: Annotated[int, Meta(ge=1_048_576)] = 1024 * 1024 * 1024
    """Of all spool files of a worker; beyond it ``when_full`` says what happens."""
    when_full: Literal["refuse", "account-only"] = "refuse"
    """``refuse``: calls get ``ledger_full``. ``account-only``: they are answered, and their rows keep only what money is counted by."""
    reserve_bytes: Annotated[int, Meta(ge=65_536)] = 64 * 1024 * 1024
    """For such rows, beside ``max_bytes``, allocated at the start; once it is full too, calls are refused."""
    fsync: Literal["off", "group"] = "off"
    """``off`` survives the death of any process; ``group`` survives loss of power, for some milliseconds per call."""
    retention_days: Annotated[int, Meta(ge=1, le=36_500)] | None = None
    """Days before today (UTC) whose rows are kept; older ones are dropped by whole partitions. Unset keeps everything."""


class Security(Section, frozen=True):
    """``[security]``: what must stay secret. Prefer the environment over the file."""

    secret: str = ""
    """Signs cache entries; the same on every host that shares a Redis. Empty: made once, kept in the storage directory."""
    admin_token: HeaderText = ""
    """Opens ``/api/v1``. Empty: made once, kept in the storage directory."""
    pepper: Pepper = ""
    """Goes into the digests of new API keys; the same on every host of a database. At least 32 characters. Losing it ends these
    keys."""
    previous_pepper: Pepper = ""
    """The one before, while keys made with it live."""
    plain_keys: Literal["accept", "refuse"] = "accept"
    """``accept``: keys from before there was a pepper go on working. ``refuse``: they open nothing, and whoever can write to the
    database cannot add a key of their own. It asks for a pepper; ``promptgate doctor`` says when no such key is left."""
    credentials_key: CredentialsKeys = ""
    """Encrypts provider credentials in the database: 32 random bytes as base64 or hexadecimal digits, the same on every host. Several,
    separated by commas, while one takes the place of another: the first one encrypts. Empty: none can be stored."""
    credentials_key_file: str = ""
    """File that holds them, one a line, read at the start; relative to the folder that holds the config folder."""


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
    """``[limits]``: how limits are kept."""

    requests_per_minute: Positive | None = None
    """Per key that sets none itself; unset means no limit (``null`` in the environment)."""
    timeout_ms: Milliseconds = 50
    """How long a call that has exact limits waits for the counters before their rule for an absent store holds. Ten times the timeout
    of the cache: who asks for exactness would rather wait than be let through uncounted."""
    reservation_seconds: Annotated[int, Meta(ge=2, le=3600)] = 30
    """How long what a worker has reserved outlives that worker; renewed while the call runs."""
    rebuild_ms: Milliseconds = 2000
    """How long a call waits while counters that Redis has lost are made again from the ledger; then its limits say what holds without
    Redis."""


class Responses(Section, frozen=True):
    """``[responses]``: responses that applications let the gateway keep."""

    retention_days: Positive = 30
    """How long a response is kept: as long as OpenAI keeps its own."""
    max_bytes: Positive = 4 * 1024 * 1024
    """Of one turn, input and response; a larger one is answered but not kept."""
    max_turns: Positive = 200
    """Of a conversation that is continued by ``previous_response_id``."""
    max_history_bytes: Positive = 8 * 1024 * 1024
    """Of all turns of a conversation that is continued."""


class Recall(Section, frozen=True):
    """``[recall]``: answers kept for whoever asks the same again."""

    max_answer_bytes: Annotated[int, Meta(ge=1024, le=64 * 1024 * 1024)] = 1024 * 1024
    """Of one kept answer; a larger one is given and not kept. Four thousand streamed tokens are about a megabyte of frames."""
    idempotency_hours: Annotated[int, Meta(ge=1, le=720)] = 24
    """How long the answer to an ``idempotency-key`` is replayed; Stripe's day."""


class Telemetry(Section, frozen=True):
    """``[telemetry]``: logs and timings."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level that is written."""
    log_format: Literal["json", "text"] = "json"
    """One JSON object per line, or text for a terminal."""
    server_timing: bool = True
    """Whether answers carry ``server-timing``."""


class Traces(Section, frozen=True):
    """``[traces]``: OpenTelemetry spans of sampled calls, sent to a collector by OTLP over HTTP."""

    endpoint: Annotated[str, Meta(pattern=r"^(https?://[^\s/?#@]+(/[^\s?#]*)?)?$")] = ""
    """The collector; ``/v1/traces`` is added, as to ``OTEL_EXPORTER_OTLP_ENDPOINT``. Empty: no spans are made."""
    headers: Annotated[str, Meta(pattern=_OTLP_HEADERS)] = ""
    """What the collector wants to be told (``authorization=Basic%20...``): in the form of ``OTEL_EXPORTER_OTLP_HEADERS``."""
    sample_ratio: Annotated[float, Meta(ge=0, le=1)] = 0.1
    """Share of the calls that are recorded, of those whose caller sends no ``traceparent``; what that says is followed."""
    service_name: Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,100}$")] = "promptgate"
    """How the spans name this installation (``service.name``)."""
    ca_file: str = ""
    """PEM file of the authorities to trust for the collector; empty means the usual ones."""


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


class GuardEndpoint(Section, frozen=True):
    """``[guards.endpoints.NAME]``: a service that guards may ask. Prompts name it; only the operator says where it is."""

    url: Annotated[str, Meta(pattern=r"^https?://[^\s?#]+$")]
    """Where it is asked. Redirects are not followed."""
    secret: str = ""
    """Signs the questions of ``http`` guards; empty: they are not signed."""
    ca_file: str = ""
    """Certificates to trust instead of the system's, as PEM."""


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
    responses: Responses = Responses()
    recall: Recall = Recall()
    telemetry: Telemetry = Telemetry()
    traces: Traces = Traces()
    upstream: Upstream = Upstream()
    resilience: Resilience = Resilience()
    providers: Mapping[str, Provider] = {}
    routes: tuple[Route, ...] = ()
    default_model: str = DEFAULT_MODEL
    """What is asked for when neither the call, nor the prompt, nor the key names a model."""
    guard_endpoints: Mapping[str, GuardEndpoint] = {}
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
    "responses": Responses,
    "recall": Recall,
    "telemetry": Telemetry,
    "traces": Traces,
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
_ENDPOINT = re.compile(r"[a-z][a-z0-9-]{0,62}")
_PROVIDER_VARIABLE = re.compile(rf"PROMPTGATE_PROVIDERS_(\w+?)_({'|'.join(key.upper() for key in PROVIDER_KEYS)})")


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
    tables = read_file(gateway_file)
    refuse_unknown(tables, [*_SECTIONS, "guards"], f"{gateway_file}: section")
    sections: dict[str, Any] = {
        name: overlay(build(cls, tables.get(name, {}), f"{gateway_file}: [{name}]"), f"{_PREFIX}{name.upper()}_", given)
        for name, cls in _SECTIONS.items()
    }
    settings = msgspec.structs.replace(Settings(**sections), **read_providers(providers_file, given))
    endpoints = _guard_endpoints(tables.get("guards", {}), gateway_file, given)
    settings = msgspec.structs.replace(settings, guard_endpoints=endpoints, config_folder=str(config_folder.resolve()))
    _refuse_unknown_variables(given, settings)
    if settings.security.plain_keys == "refuse" and not settings.security.pepper:
        raise SettingsError("security.plain_keys: refuse asks for security.pepper, or no key could be made that opens anything")
    return _with_key_file(_at_home(settings, config_folder.resolve().parent), config_folder.resolve().parent)


def effective_routes(settings: Settings, stored: Collection[str] = ()) -> tuple[Route, ...]:
    """The routes of the file, then ``*`` to the first configured upstream, or to ``echo`` when there is none.

    ``stored``: providers that have a key in the database, which configures them too.
    """
    names = [name for name, provider in settings.providers.items() if is_configured(provider) or name in stored]
    names += [name for name, provider in settings.providers.items() if provider.kind == "echo"]
    if not names:
        return settings.routes
    return (*settings.routes, Route(("*",), (RouteTarget(names[0]),)))


def _with_key_file(settings: Settings, home: Path) -> Settings:
    """``settings`` with the keys for credentials of their file, where they are in one."""
    security = settings.security
    if not security.credentials_key_file:
        return settings
    where = "security.credentials_key_file"
    if security.credentials_key:
        raise SettingsError("security.credentials_key and security.credentials_key_file are both given; give one")
    text = ",".join(read_secret(home / security.credentials_key_file, where).split())
    keys = as_value(CredentialsKeys, text, where)
    return msgspec.structs.replace(settings, security=msgspec.structs.replace(security, credentials_key=keys))


def _guard_endpoints(raw: object, file: Path, given: Mapping[str, str]) -> dict[str, GuardEndpoint]:
    table = as_table(raw, f"{file}: [guards]")
    refuse_unknown(table, ["endpoints"], f"{file}: [guards]: key")
    made: dict[str, GuardEndpoint] = {}
    for name, entry in as_table(table.get("endpoints", {}), f"{file}: [guards.endpoints]").items():
        where = f"{file}: [guards.endpoints.{name}]"
        if _ENDPOINT.fullmatch(name) is None:
            raise SettingsError(f"{where}: a name is lower-case letters, digits and dashes, letter first")
        made[name] = overlay(build(GuardEndpoint, entry, where), _endpoint_variable(name, ""), given)
    return made


def _endpoint_variable(name: str, key: str) -> str:
    return f"{_PREFIX}GUARDS_ENDPOINTS_{name.upper().replace('-', '_')}_{key.upper()}"


def _refuse_unknown_variables(given: Mapping[str, str], settings: Settings) -> None:
    known = {f"{_PREFIX}{name.upper()}_{key.upper()}" for name, cls in _SECTIONS.items() for key in cls.__struct_fields__}
    known |= {variable(name, key) for name in settings.providers for key in PROVIDER_KEYS}
    known |= {_endpoint_variable(name, key) for name in settings.guard_endpoints for key in GuardEndpoint.__struct_fields__}
    for name in given:
        if _PROVIDER_VARIABLE.fullmatch(name) and name not in known:
            raise SettingsError(f"{name}: no such provider in providers.toml; there are: {', '.join(settings.providers)}")
    ours = {name: None for name in given if name.startswith(_PREFIX) and name not in _FOR_OTHERS}
    refuse_unknown(ours, [*known, *_SHORTHANDS], "environment variable")


def _at_home(settings: Settings, home: Path) -> Settings:
    """``settings`` with absolute paths: the program may be started from anywhere."""
    storage = home / settings.storage.directory
    ledger = home / settings.ledger.directory if settings.ledger.directory else storage / "ledger"
    return msgspec.structs.replace(
        settings,
        storage=msgspec.structs.replace(settings.storage, directory=str(storage)),
        ledger=msgspec.structs.replace(settings.ledger, directory=str(ledger)),
    )
