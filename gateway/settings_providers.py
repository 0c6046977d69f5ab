"""Upstream accounts and the routes to them: ``config/providers.toml`` and its variables of the environment."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.settings_tables import (
    HeaderText,
    Milliseconds,
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

OPENAI_API = "https://api.openai.com/v1"
"""Where an ``openai`` provider is unless its table says otherwise."""
OWN_KEY_PREFIX = "pg_"
"""Our own API keys start so; one in ``OPENAI_API_KEY`` points at us and is never sent upstream."""
PROVIDER_KEYS = (
    "base_url",
    "api_key",
    "api_keys",
    "api_key_file",
    "api_version",
    "region",
    "access_key_id",
    "secret_access_key",
    "session_token",
)
"""Keys of a provider that the environment may set: its place and its credentials."""

BaseUrl = Annotated[str, Meta(pattern=r"^(echo:|https?://[^\s/?#@]+(/[^\s?#]*)?)?$")]
Region = Annotated[str, Meta(pattern=r"^[a-z0-9-]*$")]


class Provider(Section, frozen=True):
    """``[providers.NAME]``: an upstream account."""

    kind: Literal[
        "openai", "anthropic", "azure", "mistral", "gemini", "cohere", "bedrock", "ollama", "llamacpp", "vllm", "tgi", "echo"
    ]
    """The form it speaks: OpenAI's and its copies, a vendor's own, or the built-in deterministic answerer."""
    base_url: BaseUrl = ""
    """Scheme, host and path prefix. Also ``PROMPTGATE_PROVIDERS_<NAME>_BASE_URL``. Empty: where the kind is by itself."""
    api_key: HeaderText = ""
    """Prefer ``PROMPTGATE_PROVIDERS_<NAME>_API_KEY``; the vendor's own variable does too (``GEMINI_API_KEY``)."""
    api_keys: tuple[HeaderText, ...] | None = None
    """More keys of the same account, used in turn. Also ``PROMPTGATE_PROVIDERS_<NAME>_API_KEYS``, separated by commas."""
    api_key_file: str = ""
    """File that holds the key, read at the start; relative to the folder that holds the config folder."""
    api_version: Annotated[str, Meta(pattern=r"^[\w.-]*$")] = ""
    """Of kind ``azure``: the version of its API, a date."""
    region: Region = ""
    """Of kind ``bedrock``: AWS's region, which is part of its address and of signatures."""
    access_key_id: HeaderText = ""
    """Of kind ``bedrock``: what signs requests where there is no API key."""
    secret_access_key: HeaderText = ""
    """Its secret half."""
    session_token: HeaderText = ""
    """With temporary access keys."""
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
    responses: bool | None = None
    """Whether it has OpenAI's Responses API too (``POST {base_url}/responses``). Unset: only where ``base_url`` is OpenAI's own."""
    completions: bool = False
    """Whether it has the legacy ``/completions``; else such calls are put into chat's form."""
    passthrough: bool = False
    """Whether forwarded calls that no model routes go here (files, batches); at most one. Else the first set-up one that can."""


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


class _Kind(Struct, frozen=True):
    """What a kind of provider is by itself."""

    base_url: str = ""
    """Its one address, if it has one; ``{region}`` in it is the account's."""
    variables: Mapping[str, tuple[str, ...]] = {}
    """The variables that the vendor's own tools read, best first, by the key they set."""
    needs: tuple[str, ...] = ()
    """Keys without which nothing can be sent."""
    open: bool = False
    """Whether it is a server of one's own, which needs no key."""


_AWS = {
    "access_key_id": ("AWS_ACCESS_KEY_ID",),
    "secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
    "session_token": ("AWS_SESSION_TOKEN",),
    "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "api_key": ("AWS_BEARER_TOKEN_BEDROCK",),
}
_OWN_SERVER = _Kind(needs=("base_url",), open=True)
_KINDS: dict[str, _Kind] = {
    "openai": _Kind(OPENAI_API),
    "anthropic": _Kind("https://api.anthropic.com/v1"),
    "azure": _Kind(variables={"api_key": ("AZURE_OPENAI_API_KEY",)}, needs=("base_url", "api_version")),
    "mistral": _Kind("https://api.mistral.ai/v1", {"api_key": ("MISTRAL_API_KEY",)}),
    "gemini": _Kind("https://generativelanguage.googleapis.com/v1beta", {"api_key": ("GEMINI_API_KEY",)}),
    "cohere": _Kind("https://api.cohere.com/v2", {"api_key": ("COHERE_API_KEY", "CO_API_KEY")}),
    "bedrock": _Kind("https://bedrock-runtime.{region}.amazonaws.com", _AWS, needs=("region",)),
    "ollama": _Kind("http://127.0.0.1:11434/v1", open=True),
    "llamacpp": _OWN_SERVER,
    "vllm": _OWN_SERVER,
    "tgi": _OWN_SERVER,
    "echo": _Kind("echo:"),
}
_BY_NAME = {"openai": {"api_key": ("OPENAI_API_KEY",)}, "anthropic": {"api_key": ("ANTHROPIC_API_KEY",)}}
"""A provider's *name* counts for these: their kinds have many servers, and the vendor's key must not go to all of them."""
_FOR_ONE_KIND = {
    "api_version": "azure",
    "region": "bedrock",
    "access_key_id": "bedrock",
    "secret_access_key": "bedrock",
    "session_token": "bedrock",
}
_CREDENTIALS = frozenset({"api_key", "api_keys", "api_key_file", "access_key_id", "secret_access_key", "session_token"})
_NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")
_KEY = re.compile(r"[\x21-\x7e]+")
DEFAULT_MODEL = "gpt-4o-mini"


def variable(provider: str, key: str) -> str:
    """The environment's name for a provider's key."""
    return f"PROMPTGATE_PROVIDERS_{provider.upper().replace('-', '_')}_{key.upper()}"


_MAY_HAVE_RESPONSES = frozenset({"openai", "ollama", "llamacpp", "vllm", "tgi"})
"""OpenAI's form of servers; a vendor's own form has no other one beside it."""


def has_responses(provider: Provider) -> bool:
    """Whether an upstream is spoken to in the Responses API by callers that use it; compatible servers often lack it."""
    if provider.kind not in _MAY_HAVE_RESPONSES:
        return False
    return provider.base_url == OPENAI_API if provider.responses is None else provider.responses


def is_configured(provider: Provider) -> bool:
    """Whether somebody set this upstream up: it has credentials, or it is not a service that needs them."""
    if provider.kind == "echo":
        return False
    kind = _KINDS[provider.kind]
    elsewhere = bool(kind.base_url) and provider.base_url != kind.base_url.format(region=provider.region)
    return bool(provider.api_key or provider.api_keys or provider.access_key_id) or kind.open or elsewhere


def read_providers(file: Path, given: Mapping[str, str]) -> dict[str, Any]:
    """What ``providers.toml`` and the environment say, as fields of ``Settings``. Raises :class:`SettingsError`."""
    tables = read_file(file)
    refuse_unknown(tables, ["providers", "routes", "default_model"], f"{file}: key")
    providers: dict[str, Provider] = {}
    for name, table in {"echo": {"kind": "echo"}, **as_table(tables.get("providers", {}), f"{file}: [providers]")}.items():
        where = f"{file}: [providers.{name}]"
        if _NAME.fullmatch(name) is None:
            raise SettingsError(f"{where}: a name is lower-case letters, digits and dashes, letter first")
        provider = build(Provider, table, where)
        provider = _with_environment(name, provider, given)
        providers[name] = _complete(provider, where, file.resolve().parent.parent)
    chosen = [name for name, provider in providers.items() if provider.passthrough]
    if len(chosen) > 1:
        raise SettingsError(f"{file}: passthrough is true for {' and '.join(chosen)}; it can be for one provider")
    return {
        "providers": providers,
        "routes": read_routes(tables.get("routes", []), providers, f"{file}: [[routes]]"),
        "default_model": as_value(str, tables.get("default_model", DEFAULT_MODEL), f"{file}: default_model"),
    }


def _with_environment(name: str, provider: Provider, given: Mapping[str, str]) -> Provider:
    """The account with what the environment says; the vendor's own variables count where ours is not set."""
    prefix = variable(name, "")
    ours = {key for key in PROVIDER_KEYS if given.get(prefix + key.upper())}
    borrowed: dict[str, str] = {}
    has_own = bool(ours & _CREDENTIALS) or bool(provider.api_key_file or provider.api_keys or provider.access_key_id)
    for key, names in (_KINDS[provider.kind].variables or _BY_NAME.get(name, {})).items():
        found = next((given[other] for other in names if given.get(other)), "")
        # Credentials are one thing: somebody else's token or secret would not go with this account's key.
        if found and not found.startswith(OWN_KEY_PREFIX) and key not in ours and not (has_own and key in _CREDENTIALS):
            borrowed[prefix + key.upper()] = found
    if {"api_key", "api_key_file"} <= ours:
        raise SettingsError(f"{prefix}API_KEY and {prefix}API_KEY_FILE are both set; set one")
    provider = overlay(provider, prefix, {**borrowed, **given}, only=[key for key in PROVIDER_KEYS if key != "api_keys"])
    listed = given.get(prefix + "API_KEYS")
    if listed:
        keys = [key.strip() for key in listed.split(",")]
        provider = msgspec.structs.replace(provider, api_keys=as_value(tuple[HeaderText, ...], keys, f"{prefix}API_KEYS"))
    if "api_key" in ours:
        return msgspec.structs.replace(provider, api_key_file="")
    if "api_key_file" in ours:
        return msgspec.structs.replace(provider, api_key="")
    return provider


def _complete(provider: Provider, where: str, home: Path) -> Provider:
    """The account with its kind's address and the key of its file. Raises :class:`SettingsError` for what does not fit."""
    kind = _KINDS[provider.kind]
    for key in kind.needs:
        if not getattr(provider, key):
            raise SettingsError(f"{where}: {key} is missing; a provider of kind {provider.kind} needs it")
    for key, only in _FOR_ONE_KIND.items():
        if getattr(provider, key) and provider.kind != only:
            raise SettingsError(f"{where}: {key} goes with kind {only}, and no other does")
    if provider.responses and provider.kind not in _MAY_HAVE_RESPONSES:
        raise SettingsError(f"{where}: responses goes with the kinds {', '.join(sorted(_MAY_HAVE_RESPONSES))}")
    if "" in (provider.api_keys or ()):
        raise SettingsError(f"{where}: api_keys has an empty entry")
    if bool(provider.access_key_id) != bool(provider.secret_access_key):
        raise SettingsError(f"{where}: access_key_id and secret_access_key go together; one is missing")
    base_url = (provider.base_url or kind.base_url.format(region=provider.region)).rstrip("/")
    if (provider.kind == "echo") != (base_url == "echo:"):
        raise SettingsError(f"{where}: base_url echo: goes with kind echo, and no other does")
    api_key = provider.api_key
    if provider.api_key_file:
        if api_key:
            raise SettingsError(f"{where}: api_key and api_key_file are both given; give one")
        api_key = _key_in(home / provider.api_key_file, where)
    return msgspec.structs.replace(provider, base_url=base_url, api_key=api_key)


def _key_in(file: Path, where: str) -> str:
    key = read_secret(file, f"{where}: api_key_file")
    if _KEY.fullmatch(key) is None:
        raise SettingsError(f"{where}: api_key_file: {file} holds no key: expected one line of printable ASCII without blanks")
    return key


def read_routes(tables: object, providers: Collection[str], where: str) -> tuple[Route, ...]:
    """Routes in the grammar of ``[[routes]]``. Raises :class:`SettingsError` naming ``where``, the route's number and its key."""
    routes: list[Route] = []
    for number, table in enumerate(as_value(list[dict[str, Any]], tables, where), 1):
        place = f"{where} number {number}"
        entries = as_value(list[dict[str, Any]], table.get("targets"), f"{place}: targets")
        targets = tuple(build(RouteTarget, entry, f"{place}: targets") for entry in entries)
        route = msgspec.structs.replace(build(Route, {**table, "targets": []}, place), targets=targets)
        if not route.models or not targets:
            raise SettingsError(f"{place}: give at least one of models and one of targets")
        for target in targets:
            refuse_unknown({target.provider: None}, list(providers), f"{place}: provider")
        if route.placement == "local_only" and not any(target.local for target in targets):
            raise SettingsError(f"{place}: placement is local_only, but no target is marked local = true")
        if route.max_input_tokens is not None and route.max_input_tokens < (route.min_input_tokens or 0):
            raise SettingsError(f"{place}: max_input_tokens is below min_input_tokens")
        routes.append(route)
    return tuple(routes)
