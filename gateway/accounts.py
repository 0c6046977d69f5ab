"""Settings -> whom we speak to: upstream accounts and the services of guards, each with its connections, and a collector of traces."""

import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from gateway.control.targets.schemas import FleetState, HereState, KeyState, Survey, TargetState
from gateway.core.forward import FILES
from gateway.core.keys import Peppers
from gateway.core.upstream import Target, Transport
from gateway.pipeline.accounts import Accounts
from gateway.pipeline.services import GuardEndpoint, Observer, Provider
from gateway.providers.completions import CompletionsTranslator
from gateway.providers.echo import echo
from gateway.providers.registry import forwarders, own_translator, translators
from gateway.routing.breaker import Breaker
from gateway.routing.compile import account_of, compile_rules
from gateway.routing.table import RouteTable
from gateway.settings import Provider as ProviderSettings
from gateway.settings import Route, Settings, effective_routes
from gateway.telemetry.metrics import Table
from gateway.transport.client import Http1Transport
from gateway.transport.httpx_twin import HttpxTransport
from gateway.transport.local import LocalTransport

if TYPE_CHECKING:
    from gateway.telemetry.traces.tracing import Tracing


def providers_of(settings: Settings, new_id: Callable[[], str]) -> tuple[dict[str, Provider], list[Transport]]:
    """Every account by name, and the transports they share: one for each kind of wire and CA file. ``new_id`` makes UUIDv7 texts."""
    made: dict[tuple[str, str], Transport] = {}
    largest, now = settings.upstream.max_event_bytes, lambda: int(time.time())
    families, passing = translators(largest, now), forwarders()
    providers: dict[str, Provider] = {}
    for name, provider in settings.providers.items():
        kind = "echo" if provider.kind == "echo" else provider.transport
        shared = (kind, provider.ca_file)
        if shared not in made:
            made[shared] = _transport(kind, provider, settings)
        translator = own_translator(provider, largest, now, lambda: f"chatcmpl-{new_id()}") or families[provider.kind]
        if provider.completions:
            translator = CompletionsTranslator(translator, largest)
        account, forwarder = account_of(name, provider), passing.get(provider.kind)
        providers[name] = Provider(translator, made[shared], forwarder, account.target, account.keys)
    return providers, list(made.values())


def endpoints_of(settings: Settings, transports: list[Transport]) -> dict[str, GuardEndpoint]:
    """The services that guards may ask; each has its own connections, and its own breaker with the rules of targets."""
    made: dict[str, GuardEndpoint] = {}
    for name, endpoint in settings.guard_endpoints.items():
        transport = Http1Transport(
            max_connections=settings.upstream.max_connections,
            idle_seconds=settings.upstream.idle_seconds,
            ca_file=endpoint.ca_file or None,
        )
        transports.append(transport)
        target = Target(f"guard:{name}", "", endpoint.url.rstrip("/"), "")
        breaker = Breaker(compile_rules(settings.resilience).breaker)
        made[name] = GuardEndpoint(target, endpoint.secret.encode(), transport, breaker)
    return made


def tracing_of(settings: Settings, counting: Observer, slot: int) -> "Tracing | None":
    """Spans of sampled calls, which are told of beside ``counting``; None where the settings name no collector."""
    if not settings.traces.endpoint:
        return None
    # Here, because OpenTelemetry takes half a second to load.
    from gateway.telemetry.traces.attributes import vendor
    from gateway.telemetry.traces.tracing import open_tracing

    vendors = {name: vendor(provider.kind) for name, provider in settings.providers.items()}
    return open_tracing(settings.traces, counting, slot=slot, version=version("promptgate"), vendors=vendors)


def peppers_of(settings: Settings) -> Peppers:
    """What digests of API keys are made with."""
    security = settings.security
    return Peppers(security.pepper.encode(), security.previous_pepper.encode(), security.plain_keys == "refuse")


def takers_of(providers: Mapping[str, Provider]) -> list[str]:
    """Who takes forwarded calls whatever they are about, in the order of the configuration. Whoever keeps files has all the doors."""
    return [
        name for name, provider in providers.items() if provider.forwarder is not None and FILES in provider.forwarder.doors
    ]


def _transport(kind: str, provider: ProviderSettings, settings: Settings) -> Transport:
    ca_file = provider.ca_file or None
    if kind == "echo":
        return LocalTransport(echo)
    if kind == "httpx":
        return HttpxTransport(max_connections=settings.upstream.max_connections, ca_file=ca_file)
    return Http1Transport(
        max_connections=settings.upstream.max_connections, idle_seconds=settings.upstream.idle_seconds, ca_file=ca_file
    )


def survey(settings: Settings, accounts: Accounts, table: Table, clock: Callable[[], float]) -> Survey:
    """What the admin API tells of targets: from the answering worker's tables, and from the rows that all workers share."""

    def states(routes: Sequence[Route] | None, application_id: str | None) -> list[TargetState]:
        listed = effective_routes(settings, accounts.stored()) if routes is None else routes
        patterns: dict[tuple[str, str], list[str]] = {}
        local: dict[tuple[str, str], bool] = {}
        for route in listed:
            for target in route.targets:
                place = (target.provider, target.model)
                patterns.setdefault(place, []).extend(route.models)
                local[place] = local.get(place, False) or target.local
        held, now = accounts.table_for(application_id), clock()
        return [
            TargetState(
                provider,
                model or None,
                list(dict.fromkeys(patterns[provider, model])),
                local[provider, model],
                _keys_of(held, settings, provider, now),
                _here(held, provider, model, now),
                _fleet(table, provider, model),
            )
            for provider, model in patterns
        ]

    return states


def _keys_of(held: RouteTable, settings: Settings, provider: str, now: float) -> KeyState:
    keys = held.account_for(account_of(provider, settings.providers[provider]), held.accounts).keys
    refused, limited = keys.dead(now), keys.resting(now)
    return KeyState(keys.size, keys.size - refused - limited, refused, limited, held.has_stored(provider))


def _here(held: RouteTable, provider: str, model: str, now: float) -> HereState:
    met = held.met(provider, model)
    worst = ("open", "half_open", "closed")
    seen = [health.latency for health in met if health.latency.p95]
    return HereState(
        min((health.breaker.state(now) for health in met), key=worst.index, default="closed"),
        sum(health.in_flight for health in met),
        min((int(health.limiter.limit) for health in met), default=None),
        _ms(max((latency.mean(now) for latency in seen), default=None)),
        _ms(max((latency.p95 for latency in seen), default=None)),
    )


def _fleet(table: Table, provider: str, model: str) -> FleetState | None:
    label = f"{provider}/{model or '*'}"
    if label not in table.targets:
        return None

    def of(name: str, label: str) -> float:
        return table.of_label(name, label) or 0.0

    return FleetState(
        table.running,
        int(of("target_open", label)),
        int(of("target_in_flight", label)),
        int(of("target_limit", label)) or None,
        _ms(of("target_first_byte_seconds", label) or None),
        int(of("provider_keys_refused", provider)),
        int(of("provider_keys_limited", provider)),
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
