"""CPU per call of a whole worker but for the kernel and the event loop: bytes read from a caller to bytes written back.

    python tests/bench/bench_worker.py [--calls N] [--size BYTES]

The real connection to the caller, pipeline, upstream client and spool, between sockets that only count. With ``--calls`` it makes just
so many calls and prints nothing, for a profiler that counts instructions: those of two runs, subtracted, are those of the calls.
"""

import argparse
import asyncio
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from uvicorn.config import Config
from uvicorn.server import ServerState

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
from gateway.core.upstream import Target
from gateway.edge.openai import HOT_ROUTES
from gateway.limits.admission import Admission
from gateway.pipeline.limits import Limits as RuleLimits
from gateway.pipeline.memory import Memory
from gateway.pipeline.permits import Permits
from gateway.pipeline.receive import Receiver
from gateway.pipeline.releases import Releases
from gateway.pipeline.seeding import Seeding
from gateway.pipeline.services import Provider, Services
from gateway.pricing.table import load_prices
from gateway.providers.openai import OpenAITranslator
from gateway.routing.table import Route, RouteTable
from gateway.server.protocol import FrontDoor, GatewayProtocol, Limits
from gateway.storage.ledger.folder import make_folder
from gateway.storage.ledger.spool import Spool, SpoolLimits
from gateway.storage.memory.answers import MemoryAnswers
from gateway.storage.memory.cache import MemoryCache
from gateway.storage.memory.catalog import MemoryCatalog
from gateway.storage.memory.leases import MemoryLeases
from gateway.storage.memory.limits import MemoryLimits
from gateway.storage.memory.spending import MemorySpending
from gateway.storage.postgres.copying import csv_of
from gateway.telemetry.metrics import Meter, Table
from gateway.transport.client import Http1Transport
from gateway.transport.http1 import Connection

BATCH = 64
"""Calls after which rows are made as they would be shipped, and metrics folded."""
REPEATS = 9
ANSWER = msgspec.json.encode(
    {
        "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", "object": "chat.completion", "created": 1741569952, "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "the quick brown fox " * 10, "refusal": None, "annotations": []}, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 250, "completion_tokens": 50, "total_tokens": 300},
        "service_tier": "default",
    }
)  # fmt: skip
RESPONSE = (
    b"HTTP/1.1 200 OK\r\ndate: Sun, 22 Nov 2026 01:00:00 GMT\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    b"openai-processing-ms: 412\r\nx-request-id: req_0123456789abcdef\r\n\r\n%b"
) % (len(ANSWER), ANSWER)
_HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:8080\r\naccept-encoding: gzip, deflate\r\nconnection: keep-alive\r\n"
    b"accept: application/json\r\ncontent-type: application/json\r\nuser-agent: OpenAI/Python 3.52.0\r\n"
    b"x-stainless-lang: python\r\nx-stainless-package-version: 3.52.0\r\nx-stainless-os: Linux\r\nx-stainless-arch: x64\r\n"
    b"x-stainless-runtime: CPython\r\nx-stainless-runtime-version: 3.11.7\r\nauthorization: Bearer %b\r\n"
    b"x-stainless-async: false\r\nx-stainless-retry-count: 0\r\ncontent-length: %d\r\n\r\n%b"
)


class Socket(asyncio.Transport):
    """A peer that reads all and says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0

    def write(self, data: Any) -> None:
        self.written += len(data)

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        raise AssertionError("the connection was given up")

    close = abort

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def build(folder: Path) -> tuple[FrontDoor, Services, Meter, Spool, bytes]:
    """A worker without sockets: its front door, and the key to it."""
    key = make(lambda n: bytes(range(n)))
    text = "You help {{ a }} with {{ b }}. " + "Lorem ipsum dolor sit amet, consectetur. " * 20 + "{{ c }} {{ d }} {{ e }}"
    content = VersionContent(
        messages=[MessageTemplate("system", text)],
        variables={"type": "object", "properties": {n: {"type": "string"} for n in "abcde"}},
        guardrails=Guardrails(
            PreValidation(prohibited_terms=[f"forbidden {i}" for i in range(20)]),
            PostValidation(prohibited_terms=[f"secret {i}" for i in range(20)]),
        ),
    )
    cache = MemoryCache()
    await cache.put_release(ReleaseDocument("app", "p", "bench", "@production", 1, content, "0" * 64, 1))
    await cache.put_key(key.digest, KeyDocument("k", "app", "demo", key.public_id, requests_per_minute=100_000_000))
    meter = Meter(Table(1, ["openai"]), 0)
    spool = Spool(make_folder(folder, 0), SpoolLimits())
    counters = MemoryLimits(time.monotonic, _now_ms)
    services = Services(
        memory=Memory(MemoryAnswers(time.monotonic), max_bytes=1 << 20, keep_seconds=86_400, sleep=asyncio.sleep),
        releases=Releases(MemoryCatalog(), cache, time.monotonic),
        permits=Permits(MemoryLeases(time.monotonic), time.monotonic, None),
        limits=RuleLimits(
            counters, Seeding(counters, MemorySpending(lambda: ()), "bench", time.monotonic), time.monotonic, _now_ms
        ),
        routes=RouteTable([Route(("*",), (Target("openai", "", "http://upstream.invalid/v1", "sk"),))]),
        providers={"openai": Provider(OpenAITranslator(), Http1Transport())},
        prices=load_prices((Path(__file__).parents[2] / "config" / "prices.toml").read_bytes()),
        ledger=spool,
        observer=meter,
        tokens=None,  # type: ignore[arg-type]
        clock=time.monotonic,
        default_model="gpt-4o-mini",
        max_answer_bytes=1 << 25,
        server_timing=True,
    )
    front = FrontDoor(
        hot=HOT_ROUTES,
        services=services,
        receiver=Receiver(time.monotonic, _now_ms, random.getrandbits, 600),
        admission=Admission(1000),
        limits=Limits(1 << 16, 100, 1 << 24, 10, 10, 60, 100),
    )
    return front, services, meter, spool, key.text.encode()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def main(calls: int | None, size: int) -> None:
    front, services, meter, spool, key = await build(Path(tempfile.mkdtemp()))
    state = ServerState()
    state.default_headers = [(b"date", b"Sun, 22 Nov 2026 01:00:00 GMT")]
    loop = asyncio.get_running_loop()
    config = Config(None, lifespan="off", log_config=None, ws="none", access_log=False)  # type: ignore[arg-type]
    caller = Socket()
    protocol = GatewayProtocol(front, config, state, {}, loop)
    protocol.connection_made(caller)
    question = "Say in one short sentence what a gateway does. ".ljust(size, "x")
    body = msgspec.json.encode(
        {
            "model": "bench",
            "messages": [{"role": "user", "content": question}],
            "variables": dict.fromkeys("abcde", "value"),
            "user": "u1",
        }
    )
    request = _HEAD % (key, len(body), body)
    transport = services.providers["openai"].transport
    assert isinstance(transport, Http1Transport)
    (target,) = services.routes.plan("gpt-4o-mini").stops[0].targets
    _, pool = transport._know(target)  # pyright: ignore[reportPrivateUsage]
    upstream = Connection(pool, transport._wheel, transport._outbox, time.monotonic)  # pyright: ignore[reportPrivateUsage]
    upstream.connection_made(Socket())
    pool.size += 1
    pool.give(upstream)
    # What is looked up once: the key, the prompt, permits.
    for _ in range(3):
        protocol.data_received(request)
        while not caller.written:
            await asyncio.sleep(0.001)
            if upstream.busy:
                upstream.data_received(RESPONSE)
        caller.written = 0

    async def batch() -> None:
        """Calls one after the other, and what is done for all of them together."""
        for _ in range(BATCH):
            protocol.data_received(request)
            while not upstream.busy:  # permits are being fetched: now and then at first
                await asyncio.sleep(0)
            transport._outbox.flush()  # pyright: ignore[reportPrivateUsage]
            upstream.data_received(RESPONSE)
            while not protocol.cycle.response_complete:
                await asyncio.sleep(0)
            front.outbox.flush()
        await asyncio.sleep(0)
        csv_of(spool.take(BATCH))
        spool.release()
        meter.flush()

    if calls is not None:
        for _ in range(calls // BATCH):
            await batch()
        return
    best = 1e9
    for _ in range(REPEATS):
        began, sent = time.process_time(), caller.written
        for _ in range(32):
            await batch()
        best = min(best, (time.process_time() - began) / 32 / BATCH * 1e6)
        assert caller.written - sent > 32 * BATCH * len(ANSWER)
    assert services.ledger is spool
    print(f"{best:.1f} us per call with a question of {len(question)} bytes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int)
    parser.add_argument("--size", type=int, default=47)
    given = parser.parse_args()
    uvloop.run(main(given.calls, given.size))
