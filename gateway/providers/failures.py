"""What a provider's non-2xx answer means, by status and structured fields only: prose repeats requests, so it proves nothing."""

from collections.abc import Mapping

from gateway.core.errors import (
    UPSTREAM_AUTH,
    UPSTREAM_ERROR,
    UPSTREAM_INVALID,
    UPSTREAM_RATE_LIMITED,
    UPSTREAM_REJECTED,
    GatewayError,
    Kind,
)
from gateway.core.upstream import Target

LARGEST_ERROR_TEXT = 2_000
"""Characters of a provider's message passed on: enough for every real one, too few to leak a page of HTML."""
LONGEST_RETRY_AFTER = 120.0
"""Seconds; the SDKs give up waiting above this."""
LARGEST_CAUSE = 500
"""Bytes of a provider's body kept for the private log."""
_NOT_THE_REQUEST = frozenset({408, 409, 424, 425, 499})
"""4xx that say nothing about the request: time-outs, conflicts, a failing model behind the provider, a closed connection."""


def judge(  # noqa: PLR0913 - what a provider may say of a failure
    target: Target,
    status: int,
    headers: Mapping[bytes, bytes],
    body: bytes,
    *,
    message: str = "",
    param: str | None = None,
    kind: Kind | None = None,
    retry_after: float | None = None,
) -> GatewayError:
    """The failure that a status means; ``message`` and ``param`` as the provider's own error form names them.

    ``kind`` is what a structured field of the body says, where that is more exact than the status. ``retry_after`` is in seconds,
    from the body; without it the headers are read.
    """
    name = target.provider
    text = message[:LARGEST_ERROR_TEXT]
    cause = f"{status} {body[:LARGEST_CAUSE]!r}"
    wait = read_retry_after(headers) if retry_after is None else _bounded(retry_after)
    found = kind or _kind(status)
    if found is UPSTREAM_AUTH:
        return GatewayError(found, f"{name} refused the gateway's credentials", cause=cause, target=name)
    if found is UPSTREAM_RATE_LIMITED:
        return GatewayError(found, f"{name}: {text or 'rate limited'}", cause=cause, target=name, retry_after=wait)
    if found is UPSTREAM_INVALID:
        return GatewayError(found, f"{name} answered {status}, which is no answer", cause=cause, target=name)
    if found is UPSTREAM_ERROR:
        return GatewayError(found, f"{name} answered {status}", cause=cause, target=name, retry_after=wait)
    absent = f"{name} knows no such model" if status == 404 else f"{name} answered {status}"
    return GatewayError(
        found, text or absent, param=param, cause=cause, target=name, status=status if 400 <= status < 500 else None
    )


def _kind(status: int) -> Kind:
    if status in {401, 403}:
        return UPSTREAM_AUTH
    if status == 429:
        return UPSTREAM_RATE_LIMITED
    if status < 400:
        return UPSTREAM_INVALID
    return UPSTREAM_ERROR if status >= 500 or status in _NOT_THE_REQUEST else UPSTREAM_REJECTED


def read_retry_after(headers: Mapping[bytes, bytes]) -> float | None:
    """Seconds until another try makes sense, from ``retry-after-ms`` or ``retry-after``; None if absent or beyond use."""
    for name, unit in ((b"retry-after-ms", 1000.0), (b"retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) / unit
        except ValueError:
            continue
        if (bounded := _bounded(seconds)) is not None:
            return bounded
    return None


def _bounded(seconds: float) -> float | None:
    return seconds if 0 <= seconds <= LONGEST_RETRY_AFTER else None


def broken_answer(what: str, error: Exception, body: bytes) -> GatewayError:
    """``upstream_invalid`` for bytes that are not ``what``."""
    return GatewayError(UPSTREAM_INVALID, f"the provider's answer is not {what}", cause=f"{error}: {body[:200]!r}")


def broken_event(error: Exception, payload: bytes) -> GatewayError:
    """``upstream_invalid`` for a stream's event that cannot be read."""
    return GatewayError(UPSTREAM_INVALID, "the provider sent a broken stream event", cause=f"{error}: {payload[:200]!r}")


def failed_midway(message: str, payload: bytes) -> GatewayError:
    """``upstream_error`` for a failure that the provider reports inside a stream."""
    return GatewayError(
        UPSTREAM_ERROR,
        message[:LARGEST_ERROR_TEXT] or "the provider failed mid-stream",
        cause=payload[:LARGEST_CAUSE].decode(errors="replace"),
    )
