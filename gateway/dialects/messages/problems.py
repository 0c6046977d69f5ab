"""Failures in Anthropic's words."""

from gateway.core.errors import GatewayError
from gateway.wire.openai import encode

_BY_STATUS = {404: "not_found_error", 413: "request_too_large"}
"""A provider's own refusal is passed on with its status, and so must be its type."""


def problem(error: GatewayError, request_id: str | None) -> bytes:
    """The error object. ``details.error_code`` is the vendor's place for a stable code; ``param`` beside it is ours."""
    kind = error.kind
    name = _BY_STATUS.get(error.status, kind.anthropic_type) if kind.origin == "upstream" else kind.anthropic_type
    details: dict[str, object] = {"error_code": kind.code}
    if error.param is not None:
        details["param"] = error.param
    body: dict[str, object] = {"type": "error", "error": {"type": name, "message": error.detail, "details": details}}
    if request_id:
        body["request_id"] = request_id
    return encode(body)
