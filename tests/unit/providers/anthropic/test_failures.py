import msgspec
import pytest
from msgspec import Raw

from gateway.core.upstream import Target
from gateway.providers.anthropic.failures import stream_error
from gateway.providers.anthropic.translator import AnthropicTranslator

TARGET = Target("claude", "claude-opus-5-5", "https://api.anthropic.com/v1", "sk")


def body(kind: str, message: str = "why") -> bytes:
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"})


@pytest.mark.parametrize(
    ("status", "type_", "kind", "answered"),
    [
        (400, "invalid_request_error", "upstream_rejected", 400),
        (401, "authentication_error", "upstream_auth_error", 502),
        (402, "billing_error", "upstream_auth_error", 502),
        (403, "permission_error", "upstream_auth_error", 502),
        (404, "not_found_error", "upstream_rejected", 404),
        (413, "request_too_large", "upstream_rejected", 413),
        (429, "rate_limit_error", "upstream_rate_limited", 429),
        (500, "api_error", "upstream_error", 502),
        (500, "overloaded_error", "upstream_overloaded", 503),
        (504, "timeout_error", "upstream_timeout", 504),
        (529, "overloaded_error", "upstream_overloaded", 503),
        (503, "", "upstream_overloaded", 503),
        (409, "", "upstream_error", 502),
        (302, "", "upstream_invalid", 502),
    ],
)
def test_refusals_by_status_and_type(status: int, type_: str, kind: str, answered: int) -> None:
    error = AnthropicTranslator(lambda: 0).failure(TARGET, status, {}, body(type_))
    assert (error.kind.name, error.status, error.target) == (kind, answered, "claude")
    assert "sk" not in error.detail.split()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({b"retry-after": b"7"}, 7),
        ({b"retry-after-ms": b"250", b"retry-after": b"7"}, 0.25),
        ({b"retry-after": b"soon"}, None),
        ({b"retry-after": b"7200"}, None),
        ({}, None),
    ],
)
def test_when_to_try_again(headers: dict[bytes, bytes], seconds: float | None) -> None:
    error = AnthropicTranslator(lambda: 0).failure(TARGET, 429, headers, body("rate_limit_error"))
    assert error.retry_after == seconds
    assert error.detail == "claude: why"


@pytest.mark.parametrize("data", [b"<html>", b"[]", b'{"error":null}', b"\xff"])
def test_a_refusal_that_cannot_be_read_still_has_a_kind(data: bytes) -> None:
    error = AnthropicTranslator(lambda: 0).failure(TARGET, 400, {}, data)
    assert (error.kind.name, error.detail) == ("upstream_rejected", "claude answered 400")


def test_credentials_are_not_talked_about() -> None:
    error = AnthropicTranslator(lambda: 0).failure(TARGET, 401, {}, body("authentication_error", "key sk-ant-1 is bad"))
    assert "sk-ant-1" not in error.detail


@pytest.mark.parametrize(
    ("raw", "kind", "detail"),
    [
        (b'{"type":"overloaded_error","message":"Overloaded"}', "upstream_overloaded", "Overloaded"),
        (
            b'{"type":"authentication_error","message":"sk"}',
            "upstream_auth_error",
            "the provider refused the gateway's credentials",
        ),
        (b'{"type":"newest","message":""}', "upstream_error", "the provider failed mid-stream"),
        (b"7", "upstream_error", "the provider failed mid-stream"),
        (b"", "upstream_error", "the provider failed mid-stream"),
    ],
)
def test_errors_within_a_stream(raw: bytes, kind: str, detail: str) -> None:
    error = stream_error(Raw(raw))
    assert (error.kind.name, error.detail) == (kind, detail)
