"""CPU per call of the pipeline alone: everything between the parsed request and the written answer, without sockets.

    python tests/bench/bench_pipeline.py

Real spool, memory twins for the stores, a canned provider. Prints the best of several repeats, whole and per phase.
"""

import random
import sys
import time
from pathlib import Path

import msgspec
import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))

from gateway.core.journal import PHASES, Journal
from gateway.core.upstream import HttpRequest
from gateway.dialects.chat import CHAT_DIALECT
from gateway.pipeline.receive import KNOWN_HEADERS, Receiver
from gateway.pipeline.serve import serve
from gateway.telemetry.metrics import Meter, Table
from gateway.transport.local import LocalTransport
from tests.bench.parts import VARIABLES, now_ms, shop

CALLS = 2000
REPEATS = 7
ANSWER = msgspec.json.encode(
    {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "the quick brown fox " * 10}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 250, "completion_tokens": 50, "total_tokens": 300},
    }
)  # fmt: skip
DELTAS = [
    b"data: "
    + msgspec.json.encode({"id": "c", "choices": [{"index": 0, "delta": {"content": f"word{i} "}, "finish_reason": None}]})
    + b"\n\n"
    for i in range(50)
]
CLOSING = [
    b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":250,"completion_tokens":50,"total_tokens":300}}\n\ndata: [DONE]\n\n',
]


class Nowhere:
    """A reply to nobody."""

    started = gone = False

    async def whole(self, status: int, head: bytes, body: bytes) -> None:
        assert status == 200

    async def start(self, status: int, head: bytes) -> None: ...

    async def write(self, data: bytes) -> None: ...

    async def end(self, data: bytes = b"") -> None: ...


class Laps:
    """Keeps the phases of every call beside the real meter."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.sums = dict.fromkeys(PHASES, 0.0)
        self.calls = 0

    def observe(self, journal: Journal, finished: float) -> None:
        self.meter.observe(journal, finished)
        previous = journal.inbound.started
        for phase, end in zip(PHASES, journal.laps, strict=False):
            self.sums[phase] += end - previous
            previous = end
        self.calls += 1


def canned(request: HttpRequest) -> tuple[int, dict[bytes, bytes], list[bytes]]:
    if b'"stream":true' in request.body:
        return 200, {b"content-type": b"text/event-stream"}, [b"".join(DELTAS[i : i + 10]) for i in range(0, 50, 10)] + CLOSING
    return 200, {b"content-type": b"application/json"}, [ANSWER]


async def main() -> None:
    laps = Laps(Meter(Table(1, ["openai"]), 0))
    services, _, key = await shop(LocalTransport(canned), laps)
    receiver = Receiver(time.monotonic, now_ms, random.getrandbits, 600)
    headers = {
        n: v
        for n, v in {
            b"authorization": b"Bearer " + key.encode(),
            b"content-type": b"application/json",
            b"x-stainless-os": b"Linux",
        }.items()
        if n in KNOWN_HEADERS
    }
    body = {
        "model": "bench",
        "messages": [{"role": "user", "content": "Say in one short sentence what a gateway does."}],
        "variables": dict.fromkeys(VARIABLES, "value"),
        "user": "u1",
    }
    for name, stream in (("whole", False), ("stream of 50", True)):
        data = msgspec.json.encode({**body, "stream": stream})
        best, phases = 1e9, {}
        for _ in range(REPEATS):
            laps.sums, laps.calls = dict.fromkeys(PHASES, 0.0), 0
            began = time.process_time()
            for _ in range(CALLS):
                await serve(receiver.receive("chat", headers, data), services, Nowhere(), CHAT_DIALECT)
            spent = (time.process_time() - began) / CALLS * 1e6
            if spent < best:
                best, phases = spent, {p: s / laps.calls * 1e6 for p, s in laps.sums.items()}
        print(f"{name}: {best:.1f} us per call; " + ", ".join(f"{p} {us:.1f}" for p, us in phases.items()))


if __name__ == "__main__":
    uvloop.run(main())
