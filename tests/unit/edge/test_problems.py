"""Failures as callers see them: status, body, what to retry and when, and what the private log says."""

import asyncio
import logging

import msgspec
import pytest

from gateway.core.errors import KINDS, GatewayError
from gateway.core.requests import Inbound
from gateway.dialects.chat import CHAT_DIALECT
from gateway.edge.problems import head_of, refuse

INBOUND = Inbound("chat", {}, b"", "call-1", "req-1", 0, 0.0, 1.0)


class Seat:
    def __init__(self, *, started: bool = False, gone: bool = False) -> None:
        self.started = started
        self.gone = gone
        self.sent: list[object] = []

    async def whole(self, status: int, head: bytes, body: bytes) -> None:
        self.sent.append((status, head, body))

    async def start(self, status: int, head: bytes) -> None:
        raise AssertionError

    async def write(self, data: bytes) -> None:
        raise AssertionError

    async def end(self, data: bytes = b"") -> None:
        self.sent.append(data)


def head(error: GatewayError) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in head_of(error, "req-1", CHAT_DIALECT).decode().split("\r\n") if line)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_kind_has_the_openai_form(name: str) -> None:
    kind = KINDS[name]
    error = GatewayError(kind, 'what "happened"', param="field", cause="private")
    assert msgspec.json.decode(CHAT_DIALECT.problem(error, "")) == {
        "error": {"message": 'what "happened"', "type": kind.openai_type, "param": "field", "code": kind.code}
    }
    assert head(error)["content-type"] == "application/json"
    assert head(error)["x-request-id"] == "req-1"
    assert b"private" not in CHAT_DIALECT.problem(error, "") + head_of(error, "req-1", CHAT_DIALECT)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_failure_that_sdks_would_retry_in_vain_says_so(name: str) -> None:
    kind = KINDS[name]
    retried_by_sdks = kind.status in {408, 409, 429} or kind.status >= 500
    said = head(GatewayError(kind, "x")).get("x-should-retry")
    assert said == ("false" if retried_by_sdks and not kind.retryable else None)


def test_when_to_come_back_is_rounded_up_in_both_units() -> None:
    lines = head(GatewayError(KINDS["rate_limited"], "x", retry_after=1.2341, target="key"))
    assert (lines["retry-after"], lines["retry-after-ms"], lines["x-ratelimit-scope"]) == ("2", "1235", "key")
    lines = head(GatewayError(KINDS["overloaded"], "x", retry_after=0.0, target="gateway"))
    assert (lines["retry-after"], "x-ratelimit-scope" in lines) == ("0", False)
    assert "retry-after" not in head(GatewayError(KINDS["rate_limited"], "x"))


def test_extra_head_lines_come_along() -> None:
    error = GatewayError(KINDS["method_not_allowed"], "x")
    error.headers = b"allow: POST\r\n"
    assert head(error)["allow"] == "POST"


async def test_a_response_or_the_last_event_of_a_stream_or_nothing() -> None:
    error = GatewayError(KINDS["upstream_rejected"], "no", status=422)
    plain, begun, gone = Seat(), Seat(started=True), Seat(gone=True)
    for seat in (plain, begun, gone):
        await refuse(error, INBOUND, seat)
    assert plain.sent == [(422, head_of(error, "req-1", CHAT_DIALECT), CHAT_DIALECT.problem(error, ""))]
    assert begun.sent == [b"data: " + CHAT_DIALECT.problem(error, "") + b"\n\n"]
    assert gone.sent == []


@pytest.mark.parametrize("name", ["malformed", "rate_limited", "client_gone", "draining"])
def test_callers_own_mistakes_are_not_logged(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    asyncio.run(refuse(GatewayError(KINDS[name], "x"), INBOUND, Seat()))
    assert [record for record in caplog.records if record.name == "gateway.calls"] == []


@pytest.mark.parametrize(
    ("name", "level"), [("internal", "ERROR"), ("upstream_timeout", "WARNING"), ("store_unavailable", "ERROR")]
)
def test_what_somebody_should_see_is_logged_with_its_cause(name: str, level: str, caplog: pytest.LogCaptureFixture) -> None:
    error = GatewayError(KINDS[name], "public", cause="private", target="openai")
    try:
        raise error from ZeroDivisionError("bug")
    except GatewayError as raised:
        asyncio.run(refuse(raised, INBOUND, Seat()))
    (record,) = [record for record in caplog.records if record.name == "gateway.calls"]
    assert record.levelname == level
    assert (record.__dict__["call_id"], record.__dict__["kind"], record.__dict__["cause"]) == ("call-1", name, "private")
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)
