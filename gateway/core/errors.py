"""Every way a call can fail: one class, one table.

``GatewayError(kind, detail)`` is the only exception a phase may raise on purpose. All properties that callers and
operators see (status, dialect names, log level, whether a client may retry, whose fault it was) hang on the kind, so
adding a failure is adding one row here and nothing elsewhere.

    GatewayError
    ├─ origin "client"    malformed, unauthenticated, forbidden, unknown_prompt, blocked, rate_limited, ...
    ├─ origin "gateway"   overloaded, draining, store_unavailable, internal, ...
    └─ origin "upstream"  upstream_error, upstream_timeout, upstream_incomplete, ...
"""

from typing import Literal

from msgspec import Struct

Origin = Literal["client", "gateway", "upstream"]
LogLevel = Literal["debug", "info", "warning", "error"]


class Kind(Struct, frozen=True):
    """What a failure means to everybody who sees it."""

    name: str
    """Stable identifier: the metric label, the ledger outcome and, unless ``code`` says otherwise, the error code."""
    status: int
    """HTTP status; 499 is only ever recorded, never sent (the caller has left)."""
    openai_type: str
    """``error.type`` in the OpenAI dialect."""
    anthropic_type: str
    """``error.type`` in the Anthropic dialect."""
    origin: Origin
    level: LogLevel
    code: str
    """``error.code`` in the OpenAI dialect."""
    retryable: bool
    """Whether the same request may succeed later; becomes ``x-should-retry`` where SDKs would guess wrong."""


class GatewayError(Exception):
    """A call ends here. ``detail`` is public text; ``cause`` is for the private log only and never leaves the process."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        param: str | None = None,
        cause: str | None = None,
        retry_after: float | None = None,
        target: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.param = param
        """The field, header or variable at fault, as the caller wrote it."""
        self.cause = cause
        self.retry_after = retry_after
        """Seconds until another try makes sense."""
        self.target = target
        """Whose limit or failure it was: ``key``, ``gateway``, or a provider name."""
        self.frames: bytes | None = None
        """What ends the stream that this error cut short, in its dialect and with its state; None: the dialect's plain form."""
        self.headers = b""
        """Extra header lines for the answer (``name: value\\r\\n``), such as the limits a refusal is about."""
        self.status = status or kind.status
        """The kind's status, except for ``upstream_rejected``, which passes the provider's 4xx on."""
        self.answered: int | None = None
        """The status that the provider answered with, if it did."""
        self.unsent = False
        """Whether no byte of the request can have reached the provider: there was no connection."""


_INVALID = "invalid_request_error"


def _kind(  # noqa: PLR0913 - a row of the table has this many columns
    name: str,
    status: int,
    openai_type: str,
    anthropic_type: str,
    origin: Origin,
    level: LogLevel,
    *,
    code: str | None = None,
    retryable: bool = False,
) -> Kind:
    return Kind(name, status, openai_type, anthropic_type, origin, level, code or name, retryable)


# --- the caller's fault -------------------------------------------------------------------------------------------
MALFORMED = _kind("malformed", 400, _INVALID, _INVALID, "client", "info", code="invalid_request")
CONTRADICTION = _kind("contradiction", 400, _INVALID, _INVALID, "client", "info", code="contradictory_reference")
MISSING_VARIABLE = _kind("missing_variable", 400, _INVALID, _INVALID, "client", "info")
INVALID_VARIABLE = _kind("invalid_variable", 400, _INVALID, _INVALID, "client", "info")
TEMPLATE_FAILED = _kind("template_failed", 400, _INVALID, _INVALID, "client", "warning", code="template_error")
BLOCKED = _kind("blocked", 400, _INVALID, _INVALID, "client", "info", code="guardrail_blocked")
UNAUTHENTICATED = _kind("unauthenticated", 401, _INVALID, "authentication_error", "client", "info", code="invalid_api_key")
FORBIDDEN = _kind("forbidden", 403, _INVALID, "permission_error", "client", "info", code="insufficient_permissions")
NOT_FOUND = _kind("not_found", 404, _INVALID, "not_found_error", "client", "info")
UNKNOWN_PROMPT = _kind("unknown_prompt", 404, _INVALID, "not_found_error", "client", "info", code="prompt_not_found")
UNKNOWN_MODEL = _kind("unknown_model", 404, _INVALID, "not_found_error", "client", "info", code="model_not_found")
METHOD_NOT_ALLOWED = _kind("method_not_allowed", 405, _INVALID, _INVALID, "client", "info")
CONFLICT = _kind("conflict", 409, _INVALID, _INVALID, "client", "info")
TOO_LARGE = _kind("too_large", 413, _INVALID, "request_too_large", "client", "info", code="request_too_large")
UNSUPPORTED = _kind("unsupported", 415, _INVALID, _INVALID, "client", "info", code="unsupported_media_type")
RATE_LIMITED = _kind(
    "rate_limited",
    429,
    "rate_limit_error",
    "rate_limit_error",
    "client",
    "info",
    code="rate_limit_exceeded",
    retryable=True,
)
BUDGET_EXHAUSTED = _kind(
    "budget_exhausted", 429, "insufficient_quota", "rate_limit_error", "client", "info", code="insufficient_quota"
)
HEADERS_TOO_LARGE = _kind("headers_too_large", 431, _INVALID, _INVALID, "client", "info")
REQUEST_TIMEOUT = _kind("request_timeout", 408, _INVALID, _INVALID, "client", "info", retryable=True)
CLIENT_GONE = _kind("client_gone", 499, _INVALID, _INVALID, "client", "info")

# --- our fault, or our state --------------------------------------------------------------------------------------
INTERNAL = _kind("internal", 500, "server_error", "api_error", "gateway", "error", code="internal_error", retryable=True)
OVERLOADED = _kind("overloaded", 503, "server_error", "overloaded_error", "gateway", "warning", retryable=True)
DRAINING = _kind("draining", 503, "server_error", "overloaded_error", "gateway", "info", retryable=True)
STORE_UNAVAILABLE = _kind("store_unavailable", 503, "server_error", "api_error", "gateway", "error", retryable=True)
NOT_CONFIGURED = _kind("not_configured", 501, "server_error", "api_error", "gateway", "warning")
GUARD_UNAVAILABLE = _kind("guard_unavailable", 503, "server_error", "api_error", "gateway", "error", retryable=True)
LEDGER_FULL = _kind("ledger_full", 503, "server_error", "api_error", "gateway", "error", retryable=True)
DEADLINE = _kind(
    "deadline", 504, "server_error", "timeout_error", "gateway", "warning", code="deadline_exceeded", retryable=True
)

# --- the provider's fault -----------------------------------------------------------------------------------------
UPSTREAM_REJECTED = _kind("upstream_rejected", 400, _INVALID, _INVALID, "upstream", "info")
CONTENT_FILTERED = _kind("content_filtered", 400, _INVALID, _INVALID, "upstream", "info", code="content_filter")
UPSTREAM_RATE_LIMITED = _kind(
    "upstream_rate_limited",
    429,
    "rate_limit_error",
    "rate_limit_error",
    "upstream",
    "warning",
    retryable=True,
)
UPSTREAM_ERROR = _kind("upstream_error", 502, "server_error", "api_error", "upstream", "warning", retryable=True)
UPSTREAM_AUTH = _kind("upstream_auth_error", 502, "server_error", "api_error", "upstream", "error")
UPSTREAM_INVALID = _kind(
    "upstream_invalid",
    502,
    "server_error",
    "api_error",
    "upstream",
    "error",
    code="upstream_invalid_response",
    retryable=True,
)
UPSTREAM_OVERLOADED = _kind(
    "upstream_overloaded", 503, "server_error", "overloaded_error", "upstream", "warning", retryable=True
)
UPSTREAM_INCOMPLETE = _kind("upstream_incomplete", 502, "server_error", "api_error", "upstream", "warning", retryable=True)
UPSTREAM_UNREACHABLE = _kind("upstream_unreachable", 502, "server_error", "api_error", "upstream", "error", retryable=True)
UPSTREAM_UNAVAILABLE = _kind(
    "upstream_unavailable", 503, "server_error", "overloaded_error", "upstream", "warning", retryable=True
)
UPSTREAM_TIMEOUT = _kind("upstream_timeout", 504, "server_error", "timeout_error", "upstream", "warning", retryable=True)

KINDS: dict[str, Kind] = {k.name: k for k in list(globals().values()) if isinstance(k, Kind)}
"""Every kind by name, in the order of the table: what metrics and documentation iterate over."""
