"""The media type of ``/metrics`` is sent as the exposition gives it."""

from litestar.testing import create_test_client

from gateway.edge.ops import Readiness, ops_handlers


def test_the_charset_is_named_once() -> None:
    async def readiness() -> tuple[bool, Readiness]:
        raise AssertionError

    with create_test_client(ops_handlers(readiness, lambda: (b"text/plain; version=0.0.4; charset=utf-8", b""))) as client:
        assert client.get("/metrics").headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
