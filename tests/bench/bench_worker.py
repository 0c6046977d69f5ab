"""CPU per call of a whole worker but for the kernel and the event loop: bytes read from a caller to bytes written back.

    python tests/bench/bench_worker.py [--calls N] [--size BYTES] [--abreast N]

The real connections to the callers, pipeline, upstream client and spool, between sockets that only count. ``--abreast``: calls that are
ready in the same turn of the event loop. With ``--calls`` it makes just
so many calls and prints nothing, for a profiler that counts instructions: those of two runs, subtracted, are those of the calls.
"""

import argparse
import asyncio
import random
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from uvicorn.config import Config
from uvicorn.server import ServerState

sys.path.insert(0, str(Path(__file__).parents[2]))

from gateway.edge.openai import HOT_ROUTES
from gateway.limits.admission import Admission
from gateway.pipeline.receive import Receiver
from gateway.server.protocol import FrontDoor, GatewayProtocol, Limits
from gateway.storage.postgres.copying import csv_of
from gateway.telemetry.metrics import Meter, Table
from gateway.transport.client import Http1Transport
from gateway.transport.http1 import Connection
from tests.bench.parts import VARIABLES, now_ms, shop

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


async def main(calls: int | None, size: int, abreast: int = 1) -> None:
    transport, meter = Http1Transport(), Meter(Table(1, ["openai"]), 0)
    services, spool, key = await shop(transport, meter)
    front = FrontDoor(
        hot=HOT_ROUTES,
        services=services,
        receiver=Receiver(time.monotonic, now_ms, random.getrandbits, 600),
        admission=Admission(1000),
        limits=Limits(1 << 16, 100, 1 << 24, 10, 10, 60, 100),
    )
    state = ServerState()
    state.default_headers = [(b"date", b"Sun, 22 Nov 2026 01:00:00 GMT")]
    loop = asyncio.get_running_loop()
    config = Config(None, lifespan="off", log_config=None, ws="none", access_log=False)  # type: ignore[arg-type]
    question = "Say in one short sentence what a gateway does. ".ljust(size, "x")
    body = msgspec.json.encode(
        {
            "model": "bench",
            "messages": [{"role": "user", "content": question}],
            "variables": dict.fromkeys(VARIABLES, "value"),
            "user": "u1",
        }
    )
    request = _HEAD % (key.encode(), len(body), body)
    (target,) = services.routes.plan("gpt-4o-mini").stops[0].targets
    _, pool = transport._know(target)  # pyright: ignore[reportPrivateUsage]
    ways: list[tuple[Socket, GatewayProtocol, Connection]] = []
    for _ in range(abreast):
        caller, protocol = Socket(), GatewayProtocol(front, config, state, {}, loop)
        protocol.connection_made(caller)
        upstream = Connection(pool, transport._wheel, transport._outbox, time.monotonic)  # pyright: ignore[reportPrivateUsage]
        upstream.connection_made(Socket())
        pool.size += 1
        pool.give(upstream)
        ways.append((caller, protocol, upstream))
    # What is looked up once: the key, the prompt, permits.
    for caller, protocol, _ in [*ways, *ways, *ways]:
        protocol.data_received(request)
        while not caller.written:
            await asyncio.sleep(0.001)
            for _, _, upstream in ways:
                if upstream.busy:
                    upstream.data_received(RESPONSE)
        caller.written = 0

    async def batch() -> None:
        """Calls side by side, and what is done for all of them together."""
        for _ in range(0, BATCH, abreast):
            for _, protocol, _ in ways:
                protocol.data_received(request)
            while not all(upstream.busy for _, _, upstream in ways):  # permits are being fetched: now and then at first
                await asyncio.sleep(0)
            transport._outbox.flush()  # pyright: ignore[reportPrivateUsage]
            for _, _, upstream in ways:
                upstream.data_received(RESPONSE)
            while not all(protocol.cycle.response_complete for _, protocol, _ in ways):
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
        began, sent = time.process_time(), ways[0][0].written
        for _ in range(32):
            await batch()
        best = min(best, (time.process_time() - began) / 32 / BATCH * 1e6)
        assert ways[0][0].written - sent > 32 * BATCH // abreast * len(ANSWER)
    print(f"{best:.1f} us per call with a question of {len(question)} bytes, {abreast} abreast")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int)
    parser.add_argument("--size", type=int, default=47)
    parser.add_argument("--abreast", type=int, choices=[1, 2, 4, 8, 16, 32, 64], default=16)
    given = parser.parse_args()
    uvloop.run(main(given.calls, given.size, given.abreast))
