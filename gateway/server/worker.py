"""One worker: an event loop, an HTTP server on its own socket, and the duties that run once a second."""

import asyncio
import functools
import gc
import logging
import signal
import socket
from collections.abc import Callable
from typing import cast

import uvicorn
import uvloop

from gateway.app import build
from gateway.asgi import Application, FrontApp
from gateway.edge.doors import HOT_ROUTES
from gateway.limits.admission import Admission
from gateway.running import Running
from gateway.server.accept import Acceptor
from gateway.server.protocol import FrontDoor, GatewayProtocol, Limits
from gateway.server.supervisor import BACKLOG, supervise
from gateway.settings import Settings
from gateway.telemetry.logs import configure
from gateway.telemetry.metrics import Meter, Table

TICK_SECONDS = 1.0
"""Between two rounds of sweeping connections and refreshing gauges."""
LAG_STEPS = 20
"""Timer checks per tick: loop lag is seen to 50 ms."""

_log = logging.getLogger("gateway.worker")


def run(settings: Settings) -> int:
    """Serve until told to stop: the supervisor with its workers. Returns the exit code."""
    return supervise(settings, run_worker)


def run_worker(settings: Settings, slot: int, sock: socket.socket, table: Table, row: int, serving: Callable[[], None]) -> int:
    """The life of a forked worker. Returns its exit code."""
    configure(settings.telemetry.log_level, settings.telemetry.log_format)
    return uvloop.run(_serve(settings, slot, sock, table, row, serving))


async def _serve(
    settings: Settings, slot: int, sock: socket.socket, table: Table, row: int, serving: Callable[[], None]
) -> int:
    meter = Meter(table, row)
    servers: list[uvicorn.Server] = []
    running = await build(settings, slot, table, meter, lambda: any(s.should_exit for s in servers))
    front = _front_door(settings, running)
    sock.setblocking(False)
    front.acceptor = Acceptor(sock, asyncio.get_running_loop())
    server = _http_server(settings, running, front)
    servers.append(server)
    # uvicorn raises the signal again when it is done; by then we must live on, to drain the ledger.
    # Until it takes them over, an end that is asked for is remembered for it.
    signal.signal(signal.SIGTERM, lambda _number, _frame: setattr(server, "should_exit", True))
    duties = asyncio.ensure_future(_duties(server, front, running, meter))
    # What start-up made lives for ever: it need not be looked at by every collection.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    _log.info("worker ready", extra={"slot": slot, "generation": running.services.releases.generation})
    serving()
    try:
        await server.serve(sockets=[sock])
    finally:
        duties.cancel()
        await running.close()
    return 0


def _front_door(settings: Settings, running: Running) -> FrontDoor:
    server = settings.server
    return FrontDoor(
        hot=HOT_ROUTES if server.front == "protocol" else {},
        services=running.services,
        receiver=running.receiver,
        admission=Admission(server.max_in_flight, server.turn_target_ms / 1000),
        limits=Limits(
            max_header_bytes=server.max_header_bytes,
            max_headers=server.max_headers,
            max_body_bytes=server.max_body_bytes,
            head_seconds=server.head_timeout_ms / 1000,
            body_seconds=(server.head_timeout_ms + server.body_timeout_ms) / 1000,
            keep_alive_seconds=server.keep_alive_seconds,
            max_connections=server.max_connections,
        ),
    )


def _http_server(settings: Settings, running: Running, front: FrontDoor) -> uvicorn.Server:
    litestar = cast("Application", running.litestar)  # two libraries' words for the same ASGI callable
    app = FrontApp(running.services, running.receiver, litestar, settings.server.max_body_bytes)
    config = uvicorn.Config(
        app,  # pyright: ignore[reportArgumentType]
        http=functools.partial(GatewayProtocol, front),  # pyright: ignore[reportArgumentType]
        loop="none",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=settings.server.drain_seconds,
    )
    return uvicorn.Server(config)


async def _duties(server: uvicorn.Server, front: FrontDoor, running: Running, meter: Meter) -> None:
    loop = asyncio.get_running_loop()
    while True:
        worst = 0.0
        for _ in range(LAG_STEPS):
            due = loop.time() + TICK_SECONDS / LAG_STEPS
            await asyncio.sleep(TICK_SECONDS / LAG_STEPS)
            worst = max(worst, loop.time() - due)
            meter.flush()
        now = loop.time()
        for connection in cast("set[object]", set(server.server_state.connections)):
            if isinstance(connection, GatewayProtocol):
                connection.sweep(now)
        meter.gauge("loop_lag_seconds", worst)
        meter.gauge("in_flight", front.admission.in_flight)
        meter.gauge("connections", len(server.server_state.connections))
        meter.gauge("shed", front.shed)
        meter.gauge("admission_quota", front.admission.quota)
        running.refresh(meter.gauge)
