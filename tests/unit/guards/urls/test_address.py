"""Addresses as a browser reads them."""

import pytest

from gateway.guards.urls.address import Address, host_of, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://Example.COM/a?b#c", Address("https", "example.com", rest="/a?b#c")),
        ("HTTP://a.example", Address("http", "a.example")),
        ("https://a.example:8443/x", Address("https", "a.example", port=8443, rest="/x")),
        ("https://a.example:/x", Address("https", "a.example", rest="/x")),
        ("https://good.example@evil.example/", Address("https", "evil.example", user=True, rest="/")),
        ("https://good.example:443@evil.example/", Address("https", "evil.example", user=True, rest="/")),
        ("https://@evil.example/", Address("https", "evil.example", rest="/")),
        ("https://evil.example\\@good.example", Address("https", "evil.example", rest="\\@good.example")),
        ("https:\\\\evil.example\\x", Address("https", "evil.example", rest="\\x")),
        ("https:/evil.example/x", Address("https", "evil.example", rest="/x")),
        ("https:////evil.example", Address("https", "evil.example")),
        ("//evil.example/x", Address("https", "evil.example", rest="/x")),
        ("\\/evil.example/x", Address("https", "evil.example", rest="/x")),
        ("WWW.evil.example", Address("https", "www.evil.example")),
        ("https://ev\til.example\n/", Address("https", "evil.example", rest="/")),
        ("http://[2001:DB8::1]:80/", Address("http", "2001:db8::1", ip=True, port=80, rest="/")),
        ("http://127.0.0.1/", Address("http", "127.0.0.1", ip=True, rest="/")),
        ("javascript:alert(1)", Address("javascript", "", rest="alert(1)")),
        ("file:///etc/passwd", Address("file", "", rest="/etc/passwd")),
        ("app://host/x", Address("app", "host", rest="/x")),
        ("mailto:a@b.example", Address("mailto", "", rest="a@b.example")),
    ],
)
def test_where_an_address_leads(text: str, expected: Address):
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "/relative",
        "relative",
        "",
        "#top",
        "https://a..b/",
        "https://a.example:x/",
        "https://a.example:70000/",
        "http://256.0.0.1/",
        "http://[::1/",
        "http://[zz]/",
        "https:///",
        "http://a b.example/",
        "http://1.2.3.4.5/",
        "http://a.09/",
        "http://%ff%fe/",
    ],
)
def test_what_nobody_follows(text: str):
    assert parse(text) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Example.com.", "example.com"),
        ("müller.example", "xn--mller-kva.example"),
        ("MÜLLER.example", "xn--mller-kva.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("ex\uff41mple\u3002com", "example.com"),
        ("ex\u00adam\u200bple.com", "example.com"),
        ("%65xample.com", "example.com"),
        ("2130706433", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0x", "0.0.0.0"),
        ("[::FFFF:1.2.3.4]", "::ffff:102:304"),
        ("[fe80::1%25eth0]", "fe80::1"),
        ("1.2.3.256", None),
        ("4294967296", None),
        ("08.1", None),
        ("9" * 30, None),
        ("a.1", None),
        ("", None),
        ("a" * 254, None),
        ("a<b", None),
        ("[::1", None),
    ],
)
def test_a_host_has_one_form(name: str, expected: str | None):
    assert host_of(name) == expected
