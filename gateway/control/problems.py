"""Failures of the admin API as ``{"error": {"message", "type", "code", "param"}}``, the OpenAI form, each naming its field."""

import logging
import re
from collections.abc import Callable
from typing import Any, cast

from litestar import Request, Response
from litestar.exceptions import HTTPException
from msgspec import Struct

from gateway.core.errors import (
    INTERNAL,
    MALFORMED,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    TOO_LARGE,
    UNSUPPORTED,
    GatewayError,
    Kind,
)

_log = logging.getLogger("promptgate.control")
_KINDS: dict[int, Kind] = {kind.status: kind for kind in (NOT_FOUND, METHOD_NOT_ALLOWED, TOO_LARGE, UNSUPPORTED)}
"""What Litestar raises by itself; any other client error is a malformed request."""
_UNKNOWN_FIELD = re.compile(r"unknown field `(.+)`")
_MISSING_FIELD = re.compile(r"missing required field `(.+)`")
_ABSENT_PARAMETER = re.compile(r"Missing required \w+ parameter '([^']+)'")


class Problem(Struct, frozen=True):
    """One failure as the caller sees it."""

    message: str
    type: str
    code: str
    param: str | None


def from_gateway(_: Request[Any, Any, Any], error: GatewayError) -> Response[dict[str, Problem]]:
    """Our own errors carry everything."""
    if error.kind.level == "error":
        _log.error("%s: %s (%s)", error.kind.name, error.detail, error.cause)
    return _answer(error.kind, error.detail, error.param, retry_after=error.retry_after)


def from_litestar(_: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Problem]]:
    """Routing, decoding and validation errors of the framework."""
    kind = _KINDS.get(error.status_code, MALFORMED)
    extra = error.extra
    faults = cast("list[dict[str, str]]", extra) if isinstance(extra, list) else []
    if error.status_code >= INTERNAL.status:
        _log.error("internal: %s", error.detail, exc_info=error)
        return _answer(INTERNAL, "Something went wrong on our side.")
    if not faults:
        absent = _ABSENT_PARAMETER.search(error.detail)
        return _answer(kind, error.detail or kind.name, absent and absent[1], headers=error.headers)
    located = [_locate(fault) for fault in faults]
    return _answer(kind, "; ".join(message for message, _ in located), located[0][1])


def from_anything(_: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Problem]]:
    """A defect: the log gets all of it, the caller nothing but the fact."""
    _log.error("internal: %s", error, exc_info=error)
    return _answer(INTERNAL, "Something went wrong on our side.")


def _locate(fault: dict[str, str]) -> tuple[str, str | None]:
    """One validation fault as (message, field). An empty or absent body is reported by Litestar as a missing ``data``."""
    message, key = fault.get("message", ""), fault.get("key", "")
    if key == "data" and message in {"'data'", "Expected `object`, got `null`"}:
        return "a JSON object is expected as the body", None
    base = "" if key == "data" else key
    found = _UNKNOWN_FIELD.search(message) or _MISSING_FIELD.search(message)
    if found is not None:
        base = f"{base}.{found[1]}" if base else found[1]
    return (f"{base}: {message}" if base else message), base or None


def _answer(
    kind: Kind,
    message: str,
    param: str | None = None,
    *,
    retry_after: float | None = None,
    headers: dict[str, str] | None = None,
) -> Response[dict[str, Problem]]:
    kept = {name: value for name, value in (headers or {}).items() if name.lower() == "allow"}
    if retry_after is not None:
        kept["retry-after"] = str(round(retry_after))
    if kind.status == 401:
        kept["www-authenticate"] = "Bearer"
    body = {"error": Problem(message, kind.openai_type, kind.code, param)}
    return Response(body, status_code=kind.status, headers=kept)


HANDLERS: dict[int | type[Exception], Callable[[Request[Any, Any, Any], Any], Response[Any]]] = {
    GatewayError: from_gateway,
    HTTPException: from_litestar,
    Exception: from_anything,
}
"""For ``exception_handlers`` of the router, and of the application for paths below ``/api`` that exist nowhere."""
