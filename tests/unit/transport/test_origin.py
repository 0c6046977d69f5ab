"""Base URLs and request heads."""

import pytest

from gateway.core.errors import INTERNAL, UPSTREAM_UNREACHABLE, GatewayError
from gateway.core.upstream import HttpRequest, Target
from gateway.transport.origin import Origin


def target(url: str) -> Target:
    return Target("acme", "m", url, "k")


@pytest.mark.parametrize(
    ("url", "key", "host", "line"),
    [
        ("https://api.acme.com/v1", ("https", "api.acme.com", 443), b"api.acme.com", b"/v1/x"),
        ("http://localhost:8000", ("http", "localhost", 8000), b"localhost:8000", b"/x"),
        ("http://LOCALHOST/", ("http", "localhost", 80), b"localhost", b"/x"),
        ("https://acme.com:443/a/b/", ("https", "acme.com", 443), b"acme.com:443", b"/a/b/x"),
        ("http://[::1]:9/v1", ("http", "::1", 9), b"[::1]:9", b"/v1/x"),
        ("https://b\u00fccher.example/v1", ("https", "xn--bcher-kva.example", 443), b"xn--bcher-kva.example", b"/v1/x"),
    ],
)
def test_where_a_base_url_points(url: str, key: tuple[str, str, int], host: bytes, line: bytes) -> None:
    origin = Origin(target(url))
    assert origin.key == key
    head = origin.head(target(url), HttpRequest("/x", (), b""))
    assert head.startswith(b"POST %b HTTP/1.1\r\nhost: %b\r\n" % (line, host))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "acme",
        "//acme",
        "ftp://acme",
        "http://",
        "http://:80",
        "http://acme:99999",
        "http://acme:x",
        "http://u@acme",
        "http://u:p@acme",
        "http://acme?q",
        "http://acme#f",
        "http://ac me/",
        "http://acme/a b",
        "http://acme/\u00e9",
        "http://acme/a\x7fb",
        "http://[::1",
    ],
)
def test_what_is_no_base_url(url: str) -> None:
    with pytest.raises(GatewayError) as caught:
        Origin(target(url))
    assert caught.value.kind is UPSTREAM_UNREACHABLE
    assert caught.value.detail == "Provider 'acme' cannot be reached."


def test_a_head_in_full() -> None:
    acme = target("https://acme.com/v1")
    origin = Origin(acme)
    headers = ((b"authorization", b"Bearer k"), (b"x-tab", b"a\tb\xff"))
    expected = (
        b"POST /v1/chat HTTP/1.1\r\nhost: acme.com\r\naccept-encoding: identity\r\nconnection: keep-alive\r\n"
        b"authorization: Bearer k\r\nx-tab: a\tb\xff\r\ncontent-length: 4\r\n\r\n"
    )
    for _ in range(2):
        assert origin.head(acme, HttpRequest("/chat", headers, b"abcd")) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [(b"x-a", bad) for bad in (b"a\r\nb", b"a\nb", b"a\rb", b"a\0b", b"a\x1bb", b"\x7f")]
    + [
        (bad, b"1")
        for bad in (b"", b"x a", b"x:a", b"x\r\na", b"x\xff", b"Host", b"content-length", b"Transfer-Encoding", b"connection")
    ],
)
def test_a_header_that_would_break_out_or_contradict_ours(name: bytes, value: bytes) -> None:
    acme = target("https://acme.com/v1")
    origin = Origin(acme)
    for _ in range(2):
        with pytest.raises(GatewayError) as caught:
            origin.head(acme, HttpRequest("/x", ((b"x-good", b"1"), (name, value)), b""))
        assert caught.value.kind is INTERNAL


@pytest.mark.parametrize("path", ["x", "/a b", "/a\r\nx: y", "/\u00e9", "http://elsewhere/"])
def test_a_path_that_would_break_out(path: str) -> None:
    acme = target("https://acme.com/v1")
    with pytest.raises(GatewayError) as caught:
        Origin(acme).head(acme, HttpRequest(path, (), b""))
    assert caught.value.kind is INTERNAL


def test_memory_stays_bounded_when_every_call_is_different() -> None:
    acme = target("https://acme.com/v1")
    origin = Origin(acme)
    for i in range(1000):
        value = b"%d" % i
        head = origin.head(acme, HttpRequest(f"/{i}", ((b"x-id", value),), b""))
        assert head.startswith(b"POST /v1/%d HTTP" % i)
        assert b"x-id: %b\r\n" % value in head
    assert len(origin._lines) <= 256
