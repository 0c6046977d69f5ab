"""Our error -> the caller's dialect. The one place where failures become bytes."""

import logging
import math

from gateway.core.dialect import Dialect
from gateway.core.errors import GatewayError
from gateway.core.requests import Inbound
from gateway.dialects.chat import CHAT_DIALECT
from gateway.pipeline.reply import Reply

_log = logging.getLogger("gateway.calls")
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_RETRIED_BY_SDKS = frozenset({408, 409, 429})
"""Beside every 5xx: what the official SDKs retry unless ``x-should-retry`` says otherwise."""


def head_of(error: GatewayError, request_id: str, dialect: Dialect) -> bytes:
    """Response header lines: the id always; how and whether to retry; whose limit a 429 was."""
    lines = f"content-type: application/json\r\n{dialect.problem_head(request_id)}"
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
                "trace_id": inbound.trace and inbound.trace.name,
                "kind": error.kind.name,
                "detail": error.detail,
                "cause": error.cause,
                "target": error.target,
            },
            exc_info=error.__cause__,
        )


async def refuse(error: GatewayError, inbound: Inbound, reply: Reply, dialect: Dialect = CHAT_DIALECT) -> None:
    """Answer with the error: as a response, or as the last event of a stream that has begun (and then no ``[DONE]``)."""
    log(error, inbound)
    if reply.gone:
        return
    if reply.started:
        await reply.end(dialect.problem_frames(error) if error.frames is None else error.frames)
    else:
        body = dialect.problem(error, inbound.request_id)
        await reply.whole(error.status, head_of(error, inbound.request_id, dialect), body)
