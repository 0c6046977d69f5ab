"""A base URL, parsed once, and the bytes of a request to it. Pure."""

import re
from urllib.parse import urlsplit

from gateway.core.upstream import HttpRequest, Target
from gateway.transport.failures import unreachable, unsendable

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110 section 5.6.2."""
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""CR and LF would start a header of the caller's making, NUL ends strings in some servers; no value needs the others."""
_PATH = re.compile(r"/[!-~]*|")
_METHODS = frozenset((b"POST", b"GET", b"DELETE"))
"""What providers' APIs are made of. An answer to HEAD or CONNECT would be framed in another way than we read it."""
_OURS = frozenset((b"host", b"content-length", b"transfer-encoding", b"connection", b"accept-encoding"))
_KEPT = 256
"""Encoded pairs of path and header set kept per origin. There is one per (key, endpoint) as a rule; if a translator makes them
unique per call, the memory stays bounded and the cost is one encoding per call."""

Key = tuple[str, str, int]
"""Scheme, host and port: what may share connections."""


class Origin:
    """Where a base URL points. Raises ``upstream_unreachable`` if it is no http(s) URL."""

    __slots__ = ("_lines", "_prefix", "authority", "host", "port", "scheme")

    def __init__(self, target: Target) -> None:
        try:
            url = urlsplit(target.base_url)
            host, port = (url.hostname or "").encode("idna").decode(), url.port
        except ValueError as error:
            raise unreachable(target.provider, f"base_url {target.base_url!r}: {error}") from error
        if (
            url.scheme not in {"http", "https"}
            or not host
            or _PATH.fullmatch(f"/{host}{url.path}") is None
            or url.username is not None
            or url.query
            or url.fragment
        ):
            raise unreachable(target.provider, f"base_url {target.base_url!r}: want http(s)://host[:port][/path]")
        self.scheme = url.scheme
        self.host = host
        self.port = port or (443 if url.scheme == "https" else 80)
        name = f"[{host}]" if ":" in host else host
        self.authority = name if port is None else f"{name}:{port}"
        self._prefix = url.path.rstrip("/")
        self._lines: dict[tuple[str, tuple[tuple[bytes, bytes], ...]], bytes] = {}

    @property
    def key(self) -> Key:
        """What may share connections with it."""
        return self.scheme, self.host, self.port

    def head(self, target: Target, request: HttpRequest) -> bytes:
        """The request's head, blank line included. Raises ``internal`` for a path or header that would break out of it."""
        if request.method != b"POST":
            return self._other_head(target, request)
        place = (request.path, request.headers)
        lines = self._lines.get(place)
        if lines is None:
            lines = self._encode_line(target, request.path) + self._encode_fields(target, request.headers)
            if len(self._lines) >= _KEPT:
                self._lines.clear()
            self._lines[place] = lines
        return b"%bcontent-length: %d\r\n\r\n" % (lines, len(request.body))

    def _other_head(self, target: Target, request: HttpRequest) -> bytes:
        """Of a GET or DELETE: their paths name objects, so none is worth keeping; without a body they say no length."""
        if request.method not in _METHODS:
            raise unsendable(target.provider, f"method {request.method!r}")
        line = self._encode_line(target, request.path, request.method.decode())
        fields = self._encode_fields(target, request.headers)
        length = b"content-length: %d\r\n" % len(request.body) if request.body else b""
        return b"%b%b%b\r\n" % (line, fields, length)

    def _encode_line(self, target: Target, path: str, method: str = "POST") -> bytes:
        if _PATH.fullmatch(path) is None:
            raise unsendable(target.provider, f"path {path!r}")
        return (
            f"{method} {self._prefix}{path} HTTP/1.1\r\nhost: {self.authority}\r\n"
            "accept-encoding: identity\r\nconnection: keep-alive\r\n"
        ).encode()

    def _encode_fields(self, target: Target, headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
        for name, value in headers:
            if _TOKEN.fullmatch(name) is None or name.lower() in _OURS:
                raise unsendable(target.provider, f"header name {name!r}")
            if _CONTROL.search(value) is not None:
                raise unsendable(target.provider, f"control character in header {name!r}")
        return b"".join([b"%b: %b\r\n" % header for header in headers])
