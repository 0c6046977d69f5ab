"""What the sentence is spoken with: everything a call may touch, frozen for the life of the worker."""

import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import msgspec
from msgspec import Struct

from gateway.core.forward import Forwarder
from gateway.core.journal import Journal
from gateway.core.keys import PLAIN, Peppers
from gateway.core.objects import UpstreamObjects
from gateway.core.ports import Ledger, Workbench
from gateway.core.stored import Keeping
from gateway.core.upstream import Target, Translator, Transport
from gateway.limits.tokens import Measure
from gateway.pipeline.abreast import Abreast
from gateway.pipeline.apart import Apart
from gateway.pipeline.consulting.examples import Examples
from gateway.pipeline.limits import Limits
from gateway.pipeline.memory import Memory
from gateway.pipeline.permits import Permits
from gateway.pipeline.releases import Releases
from gateway.pricing.table import PriceTable
from gateway.routing.breaker import Breaker
from gateway.routing.models import ModelTable
from gateway.routing.table import RouteTable


class Observer(Protocol):
    """Who counts finished calls (the metrics). Never raises."""

    def observe(self, journal: Journal, finished: float) -> None:
        """A call has ended at ``finished`` (monotonic seconds)."""
        ...


class TokenCounter(Protocol):
    """Counts tokens off the loop, for answers whose provider gave no usage."""

    async def count(self, model: str, texts: list[str]) -> list[int]:
        """Tokens of each text, for a model."""
        ...

    async def measure(self, model: str, texts: list[str]) -> list[Measure]:
        """The same, each with whether it is exact."""
        ...


class Provider(Struct, frozen=True):
    """An upstream account: how to speak to it and how to reach it."""

    translator: Translator
    transport: Transport
    forwarder: Forwarder | None = None
    """How it takes forwarded calls; None: it takes none."""
    account: Target | None = None
    """Where calls go that name no model; None where none can."""
    account_keys: tuple[str, ...] = ()
    """More keys of that account."""


class GuardEndpoint(Struct, frozen=True):
    """A service that guards may ask, from the configuration."""

    target: Target
    """Its URL as ``base_url``; the provider's name is for messages."""
    secret: bytes
    transport: Transport
    breaker: Breaker
    """Of this worker: a service that is down is not waited for by every call."""


class Services(Struct, frozen=True):
    """Ports and compiled data; every test can make one from memory twins."""

    releases: Releases
    permits: Permits
    limits: Limits
    routes: RouteTable
    providers: Mapping[str, Provider]
    prices: PriceTable
    ledger: Ledger
    observer: Observer
    tokens: TokenCounter
    clock: Callable[[], float]
    """Monotonic seconds."""
    default_model: str
    """What is asked for when nobody names a model."""
    max_answer_bytes: int
    server_timing: bool
    memory: Memory
    workbench: Workbench | None = None
    """For trials of drafts; None where there is no control plane."""
    objects: UpstreamObjects | None = None
    """Whose the files and batches at providers are; None: nobody knows, so none are served."""
    random: Callable[[], float] = random.random
    """From 0 up to 1: for draws among targets and for pauses."""
    synced: Callable[[], Awaitable[None]] | None = None
    """Awaited before the last byte when records must survive a loss of power; None when the page cache is enough."""
    keeping: Keeping | None = None
    """Where responses of applications that ask for it are kept."""
    models: ModelTable = ModelTable()
    """What is known of models, for those who ask."""
    endpoints: Mapping[str, GuardEndpoint] = {}
    """The services that guards may ask, by name."""
    peppers: Peppers = PLAIN
    """What digests of keys are made with."""
    examples: Examples = msgspec.field(default_factory=Examples)
    """The vectors that topic guards compare with."""
    apart: Apart = msgspec.field(default_factory=Apart)
    """Where long texts are judged."""
    arrivals: Abreast = msgspec.field(default_factory=Abreast)
    """The calls whose answers came in this turn of the event loop."""
