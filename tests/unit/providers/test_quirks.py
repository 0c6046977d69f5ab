"""What fits every server of OpenAI's form, and the failures that all providers share."""

import msgspec
import pytest
from msgspec import Raw

from gateway.core.errors import KINDS, GatewayError
from gateway.core.upstream import Target
from gateway.providers.failures import judge, read_retry_after
from gateway.providers.quirks import NO_OPS, QUIRKS, Quirks, fit, is_no_op, refuse

TARGET = Target("here", "m", "http://h/v1", "")


@pytest.mark.parametrize("kind", QUIRKS)
def test_values_that_ask_for_nothing_are_left_out_in_silence(kind: str) -> None:
    quirks = QUIRKS[kind]
    fields = {name: Raw(min(values)) for name, values in NO_OPS.items()} | {"user": Raw(b'"ann"'), "seed": Raw(b"null")}
    kept = {name: value for name, value in fields.items() if name not in quirks.lacking and name not in quirks.renamed}
    fit("here", quirks, fields)
    assert fields == kept


@pytest.mark.parametrize("kind", QUIRKS)
def test_what_a_server_lacks_is_refused_by_name(kind: str) -> None:
    for name in QUIRKS[kind].lacking - {"user"}:
        with pytest.raises(GatewayError) as caught:
            fit("here", QUIRKS[kind], {name: Raw(b'{"something":1}')})
        assert caught.value.param == name
        assert caught.value.kind.name == "malformed"


def test_a_renamed_field_keeps_its_bytes() -> None:
    fields = {"max_completion_tokens": Raw(b" 5 "), "max_tokens": Raw(b"null")}
    fit("here", QUIRKS["ollama"], fields)
    assert fields == {"max_tokens": Raw(b" 5 ")}


def test_openai_itself_has_no_quirks() -> None:
    assert QUIRKS["openai"] == QUIRKS["azure"] == Quirks()


def test_spaces_do_not_make_a_value_another() -> None:
    assert is_no_op("response_format", Raw(b'{ "type" : "text" }'))
    assert not is_no_op("n", Raw(b"true"))
    with pytest.raises(GatewayError):
        refuse("here", "anything", Raw(b"0"))


@pytest.mark.parametrize("status", [400, 404, 422])
def test_an_exact_kind_goes_before_the_status(status: int) -> None:
    error = judge(TARGET, status, {}, b"", kind=KINDS["upstream_rate_limited"], retry_after=3.0)
    assert (error.kind.name, error.status, error.retry_after) == ("upstream_rate_limited", 429, 3.0)


def test_a_wait_that_nobody_would_wait_is_not_told() -> None:
    assert judge(TARGET, 429, {}, b"", retry_after=9999.0).retry_after is None
    assert judge(TARGET, 503, {b"retry-after": b"-1"}, b"").retry_after is None
    assert read_retry_after({b"retry-after-ms": b"x", b"retry-after": b"2"}) == 2.0


def test_a_filter_that_answers_late_keeps_its_own_status() -> None:
    error = judge(TARGET, 500, {}, b"", kind=KINDS["content_filtered"])
    assert error.status == KINDS["content_filtered"].status


def test_a_providers_page_is_cut() -> None:
    error = judge(TARGET, 400, {}, b"x" * 9999, message="y" * 9999)
    assert len(error.detail) == 2000
    assert len(error.cause or "") < 600
    assert msgspec.json.encode(error.detail)
