"""The response object: what every answer of ``/v1/responses`` is, or carries in its first and last events.

Settings are repeated as the caller gave them, with OpenAI's defaults for what it left out. Ids are made of the call's id, so that
an answer can be found in the ledger by its own id.
"""

from msgspec import Raw

from gateway.core.errors import GatewayError
from gateway.core.events import Usage
from gateway.core.requests import ChatRequest, Inbound
from gateway.wire import openai as chat

NANO = 1_000_000_000
_NULL = Raw(b"null")
_DEFAULTS: dict[str, Raw] = {
    "background": Raw(b"false"),
    "instructions": _NULL,
    "max_output_tokens": _NULL,
    "max_tool_calls": _NULL,
    "metadata": Raw(b"{}"),
    "parallel_tool_calls": Raw(b"true"),
    "prompt": _NULL,
    "prompt_cache_key": _NULL,
    "reasoning": Raw(b'{"effort":null,"summary":null}'),
    "safety_identifier": _NULL,
    "service_tier": _NULL,
    "temperature": _NULL,
    "text": Raw(b'{"format":{"type":"text"}}'),
    "tool_choice": Raw(b'"auto"'),
    "tools": Raw(b"[]"),
    "top_logprobs": Raw(b"0"),
    "top_p": _NULL,
    "truncation": Raw(b'"disabled"'),
    "user": _NULL,
}
"""What OpenAI answers where nothing was asked; null where its default is the model's own."""
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Finish reasons of the chat form that leave a response incomplete."""
_FAILURES = {"rate_limit_error": "rate_limit_exceeded", "invalid_request_error": "invalid_prompt"}
"""``error.code`` of a failed response is a closed list; by our error's type, else ``server_error``."""


def response_id(inbound: Inbound) -> str:
    """The id of the response that a call makes."""
    return f"resp_{_hex(inbound)}"


def item_id(inbound: Inbound, prefix: str, index: int) -> str:
    """The id of the output item at ``index``."""
    return f"{prefix}_{_hex(inbound)}{index:02x}"


def response_object(request: ChatRequest, inbound: Inbound) -> dict[str, object]:
    """A response that has just begun: every field there, nothing generated."""
    turn = request.turn
    assert turn is not None
    given = {**request.native, **turn.echo}
    body: dict[str, object] = {
        "id": response_id(inbound),
        "object": "response",
        "created_at": inbound.started_ms // 1000,
        "status": "in_progress",
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "model": request.model,
        "output": [],
        "previous_response_id": turn.previous,
        "store": turn.keep,
        "usage": None,
    }
    for name, default in _DEFAULTS.items():
        raw = given.get(name, default)
        body[name] = raw if chat.is_given(raw) else default
    return body


def outcome(finish: str | None) -> tuple[str, dict[str, str] | None]:
    """(status, incomplete_details) for a finish reason of the chat form."""
    reason = _INCOMPLETE.get(finish or "")
    return ("completed", None) if reason is None else ("incomplete", {"reason": reason})


def usage_object(usage: Usage | None, cost: int | None) -> dict[str, object] | None:
    """``usage`` with our cost (nano-dollars) in it, when it is known."""
    if usage is None:
        return None
    counts: dict[str, object] = {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }
    if cost is not None:
        counts["cost_usd"] = cost / NANO
    return counts


def failure_object(error: GatewayError) -> dict[str, object]:
    """``error`` of a failed response."""
    return {"code": _FAILURES.get(error.kind.openai_type, "server_error"), "message": error.detail}


def error_event(error: GatewayError, sequence: int) -> bytes:
    """The last frame of a stream cut short: the published flat fields, and the object by which the SDKs raise."""
    kind = error.kind
    problem = {"message": error.detail, "type": kind.openai_type, "param": error.param, "code": kind.code}
    return frame(
        "error",
        {
            "type": "error",
            "sequence_number": sequence,
            "code": kind.code,
            "message": error.detail,
            "param": error.param,
            "error": problem,
        },
    )


def frame(kind: str, event: dict[str, object]) -> bytes:
    """One server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), chat.encode(event))


def _hex(inbound: Inbound) -> str:
    return inbound.call_id.replace("-", "")
