"""CPU per upstream exchange: our own client beside its httpx twin, many exchanges in flight, a tiny upstream in a child.

Run it by hand (``python tests/bench/bench_transport.py [--in-flight 64] [--seconds 3]``); pin it to one core and the
child to another with ``--pin`` where there are two. Prints microseconds of this process's user + system time per
exchange, for whole answers and for streams of 50 events.
"""

import argparse
import asyncio
import multiprocessing
import os
import time

import uvloop

from gateway.core.upstream import HttpRequest, Target
from gateway.transport.client import Http1Transport
from gateway.transport.httpx_twin import HttpxTransport

BODY = b'{"id":"chatcmpl-1","object":"chat.completion","choices":[{"index":0,"message":{"content":"' + b"x" * 330 + b'"}}]}'
FIELDS = b"content-type: application/json\r\ndate: Sat, 21 Nov 2026 00:00:00 GMT\r\nx-request-id: req_123456\r\nserver: t\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\n\r\n%b" % (FIELDS, len(BODY), BODY)
EVENT = b"data: " + b"x" * 252 + b"\n\n"
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
HEAD = b"HTTP/1.1 200 OK\r\n%btransfer-encoding: chunked\r\n\r\n" % FIELDS
EVENTS = 50


class Upstream(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.tasks: set[asyncio.Task[None]] = set()

    def data_received(self, data: bytes) -> None:
        for request in data.split(b"POST ")[1:]:
            if request.startswith(b"/stream"):
                task = asyncio.ensure_future(self.stream())
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
            else:
                self.transport.write(WHOLE)

    async def stream(self) -> None:
        self.transport.write(HEAD)
        for _ in range(EVENTS):
            await asyncio.sleep(0.002)
            self.transport.write(CHUNK)
        self.transport.write(b"0\r\n\r\n")


def upstream(port: "multiprocessing.Queue[int]", core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(main())


async def measure(
    transport: Http1Transport | HttpxTransport, port: int, path: str, in_flight: int, seconds: float
) -> tuple[float, float]:
    target = Target("bench", "m", f"http://127.0.0.1:{port}", "k")
    headers = ((b"content-type", b"application/json"), (b"authorization", b"Bearer sk-0123456789"))
    request = HttpRequest(path, headers, b'{"model":"m","messages":[{"role":"user","content":"' + b"y" * 200 + b'"}]}')
    done = 0
    until = 0.0

    async def whole() -> None:
        nonlocal done
        while time.monotonic() < until:
            exchange = await transport.send(target, request, until + 60)
            await exchange.read(1 << 25)
            exchange.close()
            done += 1

    async def stream() -> None:
        nonlocal done
        while time.monotonic() < until:
            exchange = await transport.send(target, request, until + 60)
            while await exchange.chunk():
                pass
            exchange.close()
            done += 1

    async def run(length: float) -> tuple[float, float]:
        nonlocal done, until
        done = 0
        until = time.monotonic() + length
        wall, cpu = time.monotonic(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(stream() if path == "/stream" else whole())
        return (time.process_time() - cpu) / done * 1e6, done / (time.monotonic() - wall)

    await run(0.3)
    return await run(seconds)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--in-flight", type=int, default=64)
    arguments.add_argument("--seconds", type=float, default=3.0)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--only", choices=["own", "httpx"])
    arguments.add_argument("--pin", action="store_true")
    options = arguments.parse_args()
    context = multiprocessing.get_context("spawn")
    ports: multiprocessing.Queue[int] = context.Queue()
    child = context.Process(target=upstream, args=(ports, 0 if options.pin else None), daemon=True)
    child.start()
    port = ports.get()
    if options.pin:
        os.sched_setaffinity(0, {1})

    async def series() -> None:
        for path in ("/whole", "/stream"):
            for name, make in (("own", Http1Transport), ("httpx", HttpxTransport)):
                if options.only not in {None, name}:
                    continue
                transport = make()
                rounds = [
                    await measure(transport, port, path, options.in_flight, options.seconds) for _ in range(options.rounds)
                ]
                await transport.close()
                cpu, rate = sorted(rounds)[len(rounds) // 2]
                print(f"{path[1:]:8}{name:8}{cpu:12.1f} us CPU{rate:12.0f} /s   best {min(rounds)[0]:.1f}")

    uvloop.run(series())
    child.terminate()
    child.join()


if __name__ == "__main__":
    main()
