"""Settings -> whom we speak to: upstream accounts and the services of guards, each with its connections, and a collector of traces."""

import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING

from gateway.core.forward import FILES
from gateway.core.keys import Peppers
from gateway.core.upstream import Target, Transport
from gateway.pipeline.services import GuardEndpoint, Observer, Provider
from gateway.providers.completions import CompletionsTranslator
from gateway.providers.echo import echo
from gateway.providers.registry import forwarders, own_translator, translators
from gateway.routing.breaker import Breaker
from gateway.routing.compile import account_of, compile_rules
from gateway.settings import Provider as ProviderSettings
from gateway.settings import Settings, is_configured
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
    return Peppers(security.pepper.encode(), security.previous_pepper.encode())


def passthrough_of(settings: Settings, providers: Mapping[str, Provider]) -> str | None:
    """Who takes forwarded calls without a model: the one that says so, else the first that is set up and can."""
    known = settings.providers.items()
    names = [name for name, provider in known if provider.passthrough]
    names = names or [name for name, provider in known if is_configured(provider)]
    return next((n for n in names if (able := providers[n].forwarder) is not None and FILES in able.doors), None)


def _transport(kind: str, provider: ProviderSettings, settings: Settings) -> Transport:
    ca_file = provider.ca_file or None
    if kind == "echo":
        return LocalTransport(echo)
    if kind == "httpx":
        return HttpxTransport(max_connections=settings.upstream.max_connections, ca_file=ca_file)
    return Http1Transport(
        max_connections=settings.upstream.max_connections, idle_seconds=settings.upstream.idle_seconds, ca_file=ca_file
    )
