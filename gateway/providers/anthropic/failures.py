"""What Anthropic's refusals and stream errors mean, by status and ``error.type``. Source: the vendor's page on API errors."""

from collections.abc import Mapping

from msgspec import Raw

from gateway.core.errors import (
    UPSTREAM_AUTH,
    UPSTREAM_ERROR,
    UPSTREAM_INVALID,
    UPSTREAM_OVERLOADED,
    UPSTREAM_RATE_LIMITED,
    UPSTREAM_REJECTED,
    UPSTREAM_TIMEOUT,
    GatewayError,
    Kind,
)
from gateway.core.upstream import Target
from gateway.wire import anthropic as wire
from gateway.wire.openai import DECODE_ERRORS

_LARGEST_ERROR_TEXT = 2_000
"""Characters of a provider's message passed on: enough for every real one, too few to leak a page of HTML."""
_LONGEST_RETRY_AFTER = 120.0
"""Seconds; the SDKs give up waiting above this."""

_BY_TYPE: dict[str, Kind] = {
    "overloaded_error": UPSTREAM_OVERLOADED,
    "rate_limit_error": UPSTREAM_RATE_LIMITED,
    "authentication_error": UPSTREAM_AUTH,
    "permission_error": UPSTREAM_AUTH,
    "billing_error": UPSTREAM_AUTH,
    "timeout_error": UPSTREAM_TIMEOUT,
    "api_error": UPSTREAM_ERROR,
}
_BY_STATUS: dict[int, Kind] = {
    401: UPSTREAM_AUTH,
    402: UPSTREAM_AUTH,
    403: UPSTREAM_AUTH,
    408: UPSTREAM_ERROR,
    409: UPSTREAM_ERROR,
    425: UPSTREAM_ERROR,
    429: UPSTREAM_RATE_LIMITED,
    503: UPSTREAM_OVERLOADED,
    504: UPSTREAM_TIMEOUT,
    529: UPSTREAM_OVERLOADED,
}


def refusal(target: Target, status: int, headers: Mapping[bytes, bytes], body: bytes) -> GatewayError:
    """What a non-2xx answer means. The status decides; the type does where proxies replace an overload's status by a 500."""
    name = target.provider
    try:
        error = wire.decode_error_body(body).error or wire.WireError()
    except DECODE_ERRORS:
        error = wire.WireError()
    message = error.message[:_LARGEST_ERROR_TEXT]
    cause = f"{status} {body[:500]!r}"
    kind = _BY_STATUS.get(status)
    if kind is None and status >= 500:
        kind = _BY_TYPE.get(error.type, UPSTREAM_ERROR)
    if kind is None and status < 400:
        return GatewayError(UPSTREAM_INVALID, f"{name} answered {status}, which is no answer", cause=cause, target=name)
    if kind is None:
        return GatewayError(UPSTREAM_REJECTED, message or f"{name} answered {status}", cause=cause, target=name, status=status)
    if kind is UPSTREAM_AUTH:
        return GatewayError(kind, f"{name} refused the gateway's credentials", cause=cause, target=name)
    detail = f"{name}: {message}" if message else f"{name} answered {status}"
    return GatewayError(kind, detail, cause=cause, target=name, retry_after=_retry_after(headers))


def stream_error(raw: Raw) -> GatewayError:
    """What an ``error`` event means; the status of a stream is 200 by then."""
    try:
        error = wire.decode_error(raw)
    except DECODE_ERRORS:
        error = wire.WireError()
    kind = _BY_TYPE.get(error.type, UPSTREAM_ERROR)
    known = "the provider refused the gateway's credentials" if kind is UPSTREAM_AUTH else error.message[:_LARGEST_ERROR_TEXT]
    return GatewayError(kind, known or "the provider failed mid-stream", cause=bytes(raw)[:500].decode(errors="replace"))


def broken(what: str, error: Exception, data: bytes) -> GatewayError:
    """An answer that is not what the API promises."""
    return GatewayError(UPSTREAM_INVALID, f"the provider {what}", cause=f"{error}: {data[:200]!r}")


def _retry_after(headers: Mapping[bytes, bytes]) -> float | None:
    for name, unit in ((b"retry-after-ms", 1000.0), (b"retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, b"")) / unit
        except ValueError:
            continue
        if 0 <= seconds <= _LONGEST_RETRY_AFTER:
            return seconds
    return None
