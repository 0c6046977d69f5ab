"""Failures of the admin API: always one form, never a private word."""

import logging
from typing import Any

import msgspec
import pytest
from litestar.exceptions import HTTPException, InternalServerException, MethodNotAllowedException, ValidationException

from gateway.control import problems
from gateway.core.errors import CONFLICT, STORE_UNAVAILABLE, UNAUTHENTICATED, GatewayError

REQUEST: Any = None


def seen(answer: Any) -> tuple[int, dict[str, Any]]:
    return answer.status_code, msgspec.json.decode(msgspec.json.encode(answer.content))["error"]


def test_our_errors_keep_everything_public_and_nothing_else(caplog: pytest.LogCaptureFixture):
    error = GatewayError(STORE_UNAVAILABLE, "public", param="p", cause="private", retry_after=2.4)
    answer = problems.from_gateway(REQUEST, error)
    assert seen(answer) == (503, {"message": "public", "type": "server_error", "code": "store_unavailable", "param": "p"})
    assert answer.headers["retry-after"] == "2"
    assert "private" in caplog.text


def test_a_callers_mistake_is_not_logged(caplog: pytest.LogCaptureFixture):
    assert seen(problems.from_gateway(REQUEST, GatewayError(CONFLICT, "taken")))[0] == 409
    assert caplog.text == ""


def test_a_401_says_how_to_authenticate():
    answer = problems.from_gateway(REQUEST, GatewayError(UNAUTHENTICATED, "who"))
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("handle", "error"),
    [(problems.from_anything, ValueError("private")), (problems.from_litestar, InternalServerException("private"))],
    ids=["any", "litestar"],
)
def test_a_defect_is_logged_and_not_told(handle: Any, error: Exception, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.ERROR):
        status, told = seen(handle(REQUEST, error))
    assert (status, told["code"]) == (500, "internal_error")
    assert "private" not in told["message"]
    assert "private" in caplog.text


@pytest.mark.parametrize(
    ("key", "message", "told", "param"),
    [
        ("slug", "Expected `str`, got `int`", "slug: Expected `str`, got `int`", "slug"),
        ("data", "Object contains unknown field `zip`", "zip: Object contains unknown field `zip`", "zip"),
        ("content", "Object contains unknown field `zip`", "content.zip: Object contains unknown field `zip`", "content.zip"),
        ("data", "Object missing required field `slug`", "slug: Object missing required field `slug`", "slug"),
        ("data", "'data'", "a JSON object is expected as the body", None),
        ("data", "Expected `object`, got `array`", "Expected `object`, got `array`", None),
    ],
)
def test_validation_faults_name_their_field(key: str, message: str, told: str, param: str | None):
    error = ValidationException("failed", extra=[{"key": key, "message": message, "source": "body"}])
    status, body = seen(problems.from_litestar(REQUEST, error))
    assert (status, body["message"], body["param"]) == (400, told, param)


def test_several_faults_are_all_told():
    error = ValidationException("failed", extra=[{"key": "a", "message": "bad"}, {"key": "b", "message": "worse"}])
    assert seen(problems.from_litestar(REQUEST, error))[1]["message"] == "a: bad; b: worse"


def test_the_framework_s_own_statuses_have_their_kind():
    answer = problems.from_litestar(REQUEST, MethodNotAllowedException(headers={"Allow": "GET", "x-inner": "1"}))
    assert seen(answer)[1]["code"] == "method_not_allowed"
    assert answer.headers == {"Allow": "GET"}
    assert (
        seen(problems.from_litestar(REQUEST, HTTPException(status_code=413, detail="too large")))[1]["code"]
        == "request_too_large"
    )
    assert seen(problems.from_litestar(REQUEST, HTTPException(status_code=418, detail="teapot")))[0] == 400
