"""Reading an address as a browser would (WHATWG URL Standard), for what decides where a request goes: scheme, user, host, port.

Where the standard and RFC 3986 disagree, the browser's reading counts, for it is the browser that asks: a backslash is a slash, slashes
may be missing or too many, a host may be percent-encoded or full-width, an IPv4 address may be one number, octal or hexadecimal.
"""

import ipaddress
import re
import unicodedata
from urllib.parse import unquote

from msgspec import Struct

SPECIAL = frozenset({"http", "https", "ftp", "ws", "wss"})
"""Schemes whose addresses have a host, and are read leniently (URL Standard, 3.1)."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_SLASHES = re.compile(r"[/\\]*")
_AUTHORITY = re.compile(r"[^/\\?#]*")
_REMOVED = re.compile(r"[\t\n\r]")
_IGNORED = re.compile("[\u00ad\u034f\u180b-\u180d\u200b\u2060\u2064\ufe00-\ufe0f\ufeff]")
"""What a host's name loses on its way (UTS 46, status ignored)."""

_DOTS = re.compile("[\u3002\uff0e\uff61]")
_NUMBER = re.compile(r"0[xX][0-9A-Fa-f]*|[0-9]+")
_FORBIDDEN = re.compile(r"[\x00-\x20#/:<>?@\[\\\]^|%\x7f\ufffd]")
"""Characters that no host has (URL Standard, forbidden domain code points)."""


class Address(Struct, frozen=True):
    """Where an address leads."""

    scheme: str
    """Lower case; ``https`` where none was given (``//host``, ``www.host``)."""
    host: str
    """Lower case, in punycode, without a last dot; an IP address in its usual form; empty if there is none."""
    ip: bool = False
    port: int | None = None
    """None: the scheme's own."""
    user: bool = False
    """Whether a name stands before the host (``https://bank.example@evil.example``)."""
    rest: str = ""
    """Path, query and fragment."""


def parse(text: str) -> Address | None:
    """Read an address; None for one that is relative, or that no browser would follow."""
    text = _REMOVED.sub("", text).strip("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x1b\x1f ")
    match = _SCHEME.match(text)
    if match is not None:
        scheme, rest = match[1].lower(), text[match.end() :]
        if scheme not in SPECIAL and not rest.startswith("//"):
            return Address(scheme, "", rest=rest)
    elif text[:2] in {"//", "\\\\", "/\\", "\\/"} or text[:4].lower() == "www.":
        scheme, rest = "https", text
    else:
        return None
    slashes = _SLASHES.match(rest)
    rest = rest[slashes.end() :] if slashes is not None and scheme in SPECIAL else rest[2:]
    found = _AUTHORITY.match(rest) if scheme in SPECIAL else re.match(r"[^/?#]*", rest)
    authority = found[0] if found is not None else ""
    return _located(scheme, authority, rest[len(authority) :])


def _located(scheme: str, authority: str, rest: str) -> Address | None:
    if not authority and scheme not in SPECIAL:
        return Address(scheme, "", rest=rest)
    user, at, place = authority.rpartition("@")
    name, port = place, ""
    if not place.startswith("["):
        name, _, port = place.partition(":")
    elif "]" in place:
        name, _, port = place.partition("]")
        name, port = name + "]", port.removeprefix(":")
    if port and not (port.isascii() and port.isdigit() and int(port[:6]) <= 65_535):
        return None
    host = host_of(name)
    if host is None:
        return None
    return Address(scheme, host, is_ip(host), int(port) if port else None, bool(at and user), rest)


def host_of(name: str) -> str | None:
    """A host's name in the one form in which names are compared; None for what is none."""
    if name.startswith("["):
        try:
            return str(ipaddress.IPv6Address(name[1:-1].partition("%")[0])) if name.endswith("]") else None
        except ValueError:
            return None
    name = _DOTS.sub(".", _IGNORED.sub("", unquote(name)))
    name = unicodedata.normalize("NFKC", name).lower()
    labels = name.removesuffix(".").split(".")
    if "" in labels or len(name) > 253 or _FORBIDDEN.search(name):
        return None
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4(labels)
    try:
        return ".".join([label if label.isascii() else "xn--" + label.encode("punycode").decode() for label in labels])
    except UnicodeError:
        return None


def _ipv4(parts: list[str]) -> str | None:
    """One to four numbers, decimal, octal or hexadecimal; the last fills what is left (URL Standard, IPv4 parser)."""
    if len(parts) > 4 or not all(map(_NUMBER.fullmatch, parts)):
        return None
    try:
        numbers = [_number(part) for part in parts]
    except ValueError:
        return None
    *first, last = numbers
    if any(number > 255 for number in first) or last >= 256 ** (5 - len(numbers)):
        return None
    return str(ipaddress.IPv4Address(sum(number << 8 * (3 - i) for i, number in enumerate(first)) + last))


def _number(part: str) -> int:
    if len(part) > 20:
        raise ValueError(part)
    if part[:2] in {"0x", "0X"}:
        return int(part[2:] or "0", 16)
    return int(part, 8) if len(part) > 1 and part[0] == "0" else int(part)


def is_ip(host: str) -> bool:
    """Whether a host, as :func:`host_of` gives it, is an IP address."""
    return ":" in host or (host[-1:].isdigit() and _NUMBER.fullmatch(host.rpartition(".")[2]) is not None)
