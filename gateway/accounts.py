"""Settings -> who can be asked: upstream accounts, and the services of guards, each with its translator and its connections."""

import time
from collections.abc import Callable, Mapping

from gateway.core.forward import FILES
from gateway.core.keys import Peppers
from gateway.core.upstream import Target, Transport
from gateway.pipeline.services import GuardEndpoint, Provider
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
        account = account_of(name, provider)
        providers[name] = Provider(translator, made[shared], passing.get(provider.kind), account)
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
