"""Our error -> the caller's dialect. The one place where failures become bytes."""

import logging
import math

import msgspec

from gateway.core.errors import GatewayError
from gateway.core.requests import Inbound
from gateway.pipeline.reply import Reply

_log = logging.getLogger("gateway.calls")
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_encode = msgspec.json.Encoder().encode
_RETRIED_BY_SDKS = frozenset({408, 409, 429})
"""Beside every 5xx: what the official SDKs retry unless ``x-should-retry`` says otherwise."""


def openai_body(error: GatewayError) -> bytes:
    """The error object of the OpenAI dialect."""
    kind = error.kind
    return _encode({"error": {"message": error.detail, "type": kind.openai_type, "param": error.param, "code": kind.code}})


def head_of(error: GatewayError, request_id: str) -> bytes:
    """Response header lines: the id always; how and whether to retry; whose limit a 429 was."""
    lines = f"content-type: application/json\r\nx-request-id: {request_id}\r\n"
    if error.retry_after is not None:
        lines += f"retry-after: {math.ceil(error.retry_after)}\r\nretry-after-ms: {math.ceil(error.retry_after * 1000)}\r\n"
    if not error.kind.retryable and (error.status in _RETRIED_BY_SDKS or error.status >= 500):
        lines += "x-should-retry: false\r\n"
    if error.status == 429 and error.target is not None:
        lines += f"x-ratelimit-scope: {error.target}\r\n"
    return lines.encode() + error.headers


def log(error: GatewayError, inbound: Inbound) -> None:
    """One private line for failures that somebody should see; callers' own mistakes are counted, not logged."""
    level = _LEVELS[error.kind.level]
    if level >= logging.WARNING:
        _log.log(
            level,
            "call failed",
            extra={
                "call_id": inbound.call_id,
                "kind": error.kind.name,
                "detail": error.detail,
                "cause": error.cause,
                "target": error.target,
            },
            exc_info=error.__cause__,
        )


async def refuse(error: GatewayError, inbound: Inbound, reply: Reply) -> None:
    """Answer with the error: as a response, or as the last event of a stream that has begun (and then no ``[DONE]``)."""
    log(error, inbound)
    if reply.gone:
        return
    body = openai_body(error)
    if reply.started:
        await reply.end(b"data: " + body + b"\n\n")
    else:
        await reply.whole(error.status, head_of(error, inbound.request_id), body)
