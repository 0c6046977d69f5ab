"""The admin API over HTTP: one method per verb, failures as exit codes."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import click
import httpx
import msgspec

_TIMEOUT = httpx.Timeout(35.0, connect=5.0)
"""Seconds. A publish that waits for propagation may take 30 by itself."""
_PAGE = 100
"""Rows per page while following cursors; the most the API gives."""
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


_ACTOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
"""What the API takes for a name; a stranger login name is left out."""


class ApiError(click.ClickException):
    """The gateway refused, or could not be reached."""

    def __init__(self, message: str, *, status: int | None = None, error: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error = error or {"message": message, "type": "client_error", "code": "unreachable", "param": None}


class ConflictError(ApiError):
    """Somebody else was faster, or the name is taken. 1 is any other failure, 2 is click's own for wrong usage."""

    exit_code = 3


def trusts_proxies(url: str) -> bool:
    """Whether a proxy named in the environment may be used: never for an address of this machine."""
    return urlsplit(url).hostname not in _LOOPBACK


def in_path(slug: str) -> str:
    """A slug as one path segment: the API reads ``~`` (which no slug contains) as ``/``."""
    return slug.replace("/", "~")


class Api:
    """A client of ``/api/v1`` for one application."""

    def __init__(
        self,
        url: str,
        token: str | None,
        application: str | None = None,
        actor: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        if application:
            headers["x-application"] = application
        if actor and _ACTOR.fullmatch(actor):
            headers["x-actor"] = actor
        self.url = url
        self._http = httpx.Client(
            base_url=f"{url}/api/v1",
            headers=headers,
            timeout=_TIMEOUT,
            transport=transport,
            trust_env=trusts_proxies(url),
        )

    def get(self, path: str, **query: Any) -> Any:
        return self._call("GET", path, query=query)

    def post(self, path: str, body: Any = None) -> Any:
        return self._call("POST", path, body)

    def put(self, path: str, body: Any) -> Any:
        return self._call("PUT", path, body)

    def delete(self, path: str, **query: Any) -> Any:
        return self._call("DELETE", path, query=query)

    def all(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Every item of a listing, page after page."""
        cursor: str | None = None
        while True:
            page = self.get(path, **query, cursor=cursor, limit=_PAGE)
            yield from page["items"]
            cursor = page.get("next_cursor")
            if cursor is None:
                return

    def close(self) -> None:
        self._http.close()

    def _call(self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None) -> Any:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"content-type": "application/json"}
        try:
            answer = self._http.request(method, path, params=given, content=content, headers=headers)
        except httpx.InvalidURL as error:
            raise ApiError(f"PROMPTGATE_URL {self.url!r} is not a URL: {error}") from None
        except httpx.TransportError as error:
            raise ApiError(
                f"cannot reach the gateway at {self.url}: {error or type(error).__name__}\n"
                "Start it with `make up`, set PROMPTGATE_URL, or ask `promptgate doctor`."
            ) from None
        if answer.is_success:
            return _decode(answer) if answer.content else None
        raise _refusal(answer)


def _decode(answer: httpx.Response) -> Any:
    try:
        return msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        raise ApiError(f"{answer.url} did not answer JSON: is this a promptgate gateway?", status=answer.status_code) from None


def _refusal(answer: httpx.Response) -> ApiError:
    try:
        error = msgspec.json.decode(answer.content)["error"]
        message = str(error["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return ApiError(f"{answer.request.method} {answer.url.path}: HTTP {answer.status_code}", status=answer.status_code)
    if answer.status_code == 409:
        return ConflictError(message, status=409, error=error)
    if answer.status_code == 401:
        message += "\nSet PROMPTGATE_ADMIN_TOKEN, or run from the folder that holds .promptgate/env."
    return ApiError(message, status=answer.status_code, error=error)
