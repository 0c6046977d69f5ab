"""What the benches of a worker share: services with memory twins for the stores, a real spool, and a prompt of 1 KB with 5 variables."""

import asyncio
import tempfile
import time
from pathlib import Path

from gateway.core.documents import (
    Guardrails,
    KeyDocument,
    MessageTemplate,
    PostValidation,
    PreValidation,
    ReleaseDocument,
    VersionContent,
)
from gateway.core.keys import make
from gateway.core.upstream import Target, Transport
from gateway.pipeline.limits import Limits
from gateway.pipeline.memory import Memory
from gateway.pipeline.permits import Permits
from gateway.pipeline.releases import Releases
from gateway.pipeline.seeding import Seeding
from gateway.pipeline.services import Observer, Provider, Services
from gateway.pricing.table import load_prices
from gateway.providers.openai import OpenAITranslator
from gateway.routing.table import Route, RouteTable
from gateway.storage.ledger.folder import make_folder
from gateway.storage.ledger.spool import Spool, SpoolLimits
from gateway.storage.memory.answers import MemoryAnswers
from gateway.storage.memory.cache import MemoryCache
from gateway.storage.memory.catalog import MemoryCatalog
from gateway.storage.memory.leases import MemoryLeases
from gateway.storage.memory.limits import MemoryLimits
from gateway.storage.memory.spending import MemorySpending

VARIABLES = "abcde"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def shop(transport: Transport, observer: Observer) -> tuple[Services, Spool, str]:
    """Services that answer the prompt ``bench`` over ``transport``, their ledger, and a key for them."""
    key = make(lambda n: bytes(range(n)))
    text = "You help {{ a }} with {{ b }}. " + "Lorem ipsum dolor sit amet, consectetur. " * 20 + "{{ c }} {{ d }} {{ e }}"
    content = VersionContent(
        messages=[MessageTemplate("system", text)],
        variables={"type": "object", "properties": {n: {"type": "string"} for n in VARIABLES}},
        guardrails=Guardrails(
            PreValidation(prohibited_terms=[f"forbidden {i}" for i in range(20)]),
            PostValidation(prohibited_terms=[f"secret {i}" for i in range(20)]),
        ),
    )
    cache = MemoryCache()
    await cache.put_release(ReleaseDocument("app", "p", "bench", "@production", 1, content, "0" * 64, 1))
    await cache.put_key(key.digest, KeyDocument("k", "app", "demo", key.public_id, requests_per_minute=100_000_000))
    spool = Spool(make_folder(Path(tempfile.mkdtemp()), 0), SpoolLimits())
    counters = MemoryLimits(time.monotonic, now_ms)
    services = Services(
        memory=Memory(MemoryAnswers(time.monotonic), max_bytes=1 << 20, keep_seconds=86_400, sleep=asyncio.sleep),
        releases=Releases(MemoryCatalog(), cache, time.monotonic),
        permits=Permits(MemoryLeases(time.monotonic), time.monotonic, None),
        limits=Limits(counters, Seeding(counters, MemorySpending(lambda: ()), "bench", time.monotonic), time.monotonic, now_ms),
        routes=RouteTable([Route(("*",), (Target("openai", "", "http://upstream.invalid/v1", "sk"),))]),
        providers={"openai": Provider(OpenAITranslator(), transport)},
        prices=load_prices((Path(__file__).parents[2] / "config" / "prices.toml").read_bytes()),
        ledger=spool,
        observer=observer,
        tokens=None,  # type: ignore[arg-type]
        clock=time.monotonic,
        default_model="gpt-4o-mini",
        max_answer_bytes=1 << 25,
        server_timing=True,
    )
    return services, spool, key.text
