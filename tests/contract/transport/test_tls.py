"""TLS to upstreams: whom both network transports trust, and what they tell the other side."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from gateway.core import errors
from gateway.core.errors import GatewayError
from gateway.core.upstream import HttpRequest
from gateway.transport.client import Http1Transport
from gateway.transport.httpx_twin import HttpxTransport
from tests.conftest import PATIENCE

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
Make = Callable[[str | None], Http1Transport | HttpxTransport]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture(params=[Http1Transport, HttpxTransport], ids=["own", "httpx"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    made: list[Any] = []

    def factory(ca_file: str | None) -> Any:
        made.append(request.param(ca_file=ca_file))
        return made[-1]

    yield factory
    for transport in made:
        await transport.close()


def context(authority: trustme.CA, *names: str, seen: list[str | None] | None = None) -> ssl.SSLContext:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(server)
    if seen is not None:
        server.sni_callback = lambda _socket, name, _context: seen.append(name)
    return server


async def answering(wire: Any) -> None:
    while True:
        await wire.request()
        await wire.send(OK)


async def call(transport: Any, target: Any, ask: HttpRequest) -> bytes:
    exchange = await transport.send(target, ask, time.monotonic() + 600)
    try:
        return await exchange.read(1000)
    finally:
        exchange.close()


async def test_a_trusted_name_is_asked_for_by_name(
    upstream: Any, make: Make, ask: HttpRequest, authority: trustme.CA, ca_file: str
) -> None:
    seen: list[str | None] = []
    await upstream.play(answering, tls=context(authority, "localhost", seen=seen))
    transport = make(ca_file)
    for _ in range(3):
        assert await call(transport, upstream.target(host="localhost", scheme="https"), ask) == b"hello"
    assert set(seen) == {"localhost"}
    # One handshake where connections are kept.
    assert len(seen) == (1 if isinstance(transport, Http1Transport) else 3)


async def test_an_address_in_the_certificate_will_do(
    upstream: Any, make: Make, ask: HttpRequest, authority: trustme.CA, ca_file: str
) -> None:
    await upstream.play(answering, tls=context(authority, "127.0.0.1"))
    assert await call(make(ca_file), upstream.target(scheme="https"), ask) == b"hello"


@pytest.mark.parametrize("case", ["wrong name", "unknown authority", "no tls at all", "old tls"])
async def test_anybody_else_gets_not_one_byte_of_the_request(
    upstream: Any, make: Make, ask: HttpRequest, authority: trustme.CA, ca_file: str, case: str
) -> None:
    asked = False

    async def script(wire: Any) -> None:
        nonlocal asked
        if case == "no tls at all":
            await wire.reader.read(10)
            await wire.send(OK)
            return
        asked = bool(await wire.reader.read(1))

    tls = context(authority, "elsewhere.example" if case == "wrong name" else "localhost")
    if case == "old tls":
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            tls.maximum_version = ssl.TLSVersion.TLSv1_1
    await upstream.play(script, tls=None if case == "no tls at all" else tls)
    with pytest.raises(GatewayError) as caught:
        await call(
            make(None if case == "unknown authority" else ca_file), upstream.target(host="localhost", scheme="https"), ask
        )
    assert caught.value.kind is errors.UPSTREAM_UNREACHABLE
    assert caught.value.detail == "Provider 'acme' cannot be reached."
    await asyncio.sleep(0.02)
    assert not asked


async def test_a_handshake_that_stalls_is_part_of_the_connect_timeout(upstream: Any, make: Make, ask: HttpRequest) -> None:
    async def script(wire: Any) -> None:
        await wire.gone()

    await upstream.play(script)
    with pytest.raises(GatewayError) as caught:
        await call(make(None), upstream.target(host="localhost", scheme="https", connect=0.2), ask)
    assert caught.value.kind is errors.UPSTREAM_TIMEOUT


async def test_cancelling_over_tls_closes_the_upstream(
    upstream: Any, make: Make, ask: HttpRequest, authority: trustme.CA, ca_file: str
) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def script(wire: Any) -> None:
        await wire.request()
        asked.set()
        await wire.gone()
        left.set()

    await upstream.play(script, tls=context(authority, "localhost"))
    task = asyncio.ensure_future(call(make(ca_file), upstream.target(host="localhost", scheme="https"), ask))
    await asked.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.wait_for(left.wait(), PATIENCE)


async def test_a_big_body_over_tls_with_a_slow_reader(
    upstream: Any, make: Make, ask: HttpRequest, authority: trustme.CA, ca_file: str
) -> None:
    body = bytes(range(256)) * 16384

    async def script(wire: Any) -> None:
        while True:
            await wire.request()
            await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    await upstream.play(script, tls=context(authority, "localhost"))
    exchange = await make(ca_file).send(upstream.target(host="localhost", scheme="https"), ask, time.monotonic() + 600)
    got = []
    while piece := await exchange.chunk():
        got.append(piece)
        await asyncio.sleep(0.001)
    exchange.close()
    assert b"".join(got) == body


async def test_a_ca_file_that_cannot_be_read_says_so(upstream: Any, ask: HttpRequest) -> None:
    transport = Http1Transport(ca_file="no-such-file.pem")
    await upstream.play(answering)
    with pytest.raises(GatewayError) as caught:
        await call(transport, upstream.target(scheme="https"), ask)
    assert caught.value.kind is errors.UPSTREAM_UNREACHABLE
    await transport.close()
