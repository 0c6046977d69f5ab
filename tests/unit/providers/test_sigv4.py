"""Signature Version 4 against AWS's published vectors: its "Signature Version 4 test suite" and the IAM guide's worked example."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.sigv4 import Credentials, Request, Scope, sign, timestamp

KEYS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
SUITE = Scope("us-east-1", "service")
NOW = int(datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp())
HOST = {"host": "example.amazonaws.com"}
FORM = {**HOST, "content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("request_", "signed", "signature"),
    [
        (
            Request("GET", "/", "", HOST, b""),
            "host;x-amz-date",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            Request("POST", "/", "", HOST, b""),
            "host;x-amz-date",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            Request("GET", "/", "Param2=value2&Param1=value1", HOST, b""),
            "host;x-amz-date",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            Request("GET", "/\u1234", "", HOST, b""),
            "host;x-amz-date",
            "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
        ),
        (
            Request("POST", "/", "", FORM, b"Param1=value1"),
            "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ],
    ids=["get-vanilla", "post-vanilla", "get-vanilla-query-order-key-case", "get-utf8", "post-x-www-form-urlencoded"],
)
def test_the_vectors_of_the_test_suite(request_: Request, signed: str, signature: str) -> None:
    assert sign(request_, KEYS, SUITE, NOW) == {
        "x-amz-date": "20150830T123600Z",
        "authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={signed}, Signature={signature}",
    }


def test_the_worked_example_of_the_iam_guide() -> None:
    headers = {"host": "iam.amazonaws.com", "content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    request = Request("GET", "/", "Action=ListUsers&Version=2010-05-08", headers, b"")
    added = sign(request, KEYS, Scope("us-east-1", "iam"), NOW)
    assert added["authorization"].endswith("Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7")


def test_a_session_token_is_sent_and_signed() -> None:
    temporary = Credentials(KEYS.access_key_id, KEYS.secret_access_key, "token")
    added = sign(Request("GET", "/", "", HOST, b""), temporary, SUITE, NOW)
    assert added["x-amz-security-token"] == "token"
    assert "SignedHeaders=host;x-amz-date;x-amz-security-token," in added["authorization"]
    assert added["authorization"] != sign(Request("GET", "/", "", HOST, b""), KEYS, SUITE, NOW)["authorization"]


def test_what_is_sent_encoded_is_signed_encoded_twice() -> None:
    once = sign(Request("POST", "/model/a%3A0/converse", "", HOST, b"{}"), KEYS, SUITE, NOW)
    plain = sign(Request("POST", "/model/a:0/converse", "", HOST, b"{}"), KEYS, SUITE, NOW)
    assert once["authorization"] != plain["authorization"]


def test_blanks_in_headers_do_not_count() -> None:
    spaced = Request("GET", "/", "", {**HOST, "my-header": "  a   b "}, b"")
    plain = Request("GET", "/", "", {**HOST, "my-header": "a b"}, b"")
    assert sign(spaced, KEYS, SUITE, NOW) == sign(plain, KEYS, SUITE, NOW)


def test_credentials_do_not_show_in_logs() -> None:
    assert "wJalr" not in repr(KEYS)


@given(st.integers(0, 253_402_300_799))
def test_timestamps_are_those_of_the_calendar(now: int) -> None:
    assert timestamp(now) == datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ").rjust(16, "0")
