"""Stored and requested parameters."""

from typing import Any

import pytest
from msgspec import Raw

from gateway.core.documents import MessageTemplate, VersionContent
from gateway.core.errors import MALFORMED, GatewayError
from gateway.prompts.merge import Params, encode_message


def params(stored: dict[str, Any], overridable: list[str] | None = None, model: str = "") -> Params:
    return Params(
        VersionContent(messages=[MessageTemplate("user", "x")], params=stored, overridable=overridable or [], model=model)
    )


def raw(**fields: str) -> dict[str, Raw]:
    return {name: Raw(text.encode()) for name, text in fields.items()}


def test_stored_parameters_are_defaults_and_new_fields_pass():
    merged = params({"temperature": 0.5, "stop": ["a"]}).merge(raw(seed="7"))
    assert {name: bytes(value) for name, value in merged.items()} == {"temperature": b"0.5", "stop": b'["a"]', "seed": b"7"}


def test_without_stored_parameters_the_fields_are_the_requests_and_without_its_own_they_are_the_stored_ones():
    fields = raw(temperature="1")
    assert params({}).merge(fields) == fields
    assert {name: bytes(value) for name, value in params({"seed": 7}).merge({}).items()} == {"seed": b"7"}


def test_what_is_stored_is_not_changed_by_a_request():
    stored = params({"seed": 7, "max_tokens": 5}, overridable=["*"])
    stored.merge(raw(seed="8", max_completion_tokens="6", stop="[]"))
    assert {name: bytes(value) for name, value in stored.merge({}).items()} == {"seed": b"7", "max_tokens": b"5"}


@pytest.mark.parametrize("overridable", [["temperature"], ["*"]])
def test_what_is_overridable_is_overridden_byte_for_byte(overridable: list[str]):
    merged = params({"temperature": 0.5}, overridable).merge(raw(temperature="0.70"))
    assert bytes(merged["temperature"]) == b"0.70"


@pytest.mark.parametrize(
    ("stored", "sent"), [(0.5, "0.5"), (0.5, "0.50"), (1, "1.0"), ({"a": [1]}, '{ "a" : [1] }'), (None, "null"), (True, "true")]
)
def test_equal_values_are_no_conflict(stored: object, sent: str):
    assert bytes(params({"p": stored}).merge(raw(p=sent))["p"]) == sent.encode()


@pytest.mark.parametrize(("stored", "sent"), [(0.5, "0.7"), (1, "true"), (True, "1"), ("1", "1"), (None, "0"), ([1], "[1,2]")])
def test_other_values_are_refused_by_name(stored: object, sent: str):
    with pytest.raises(GatewayError) as failure:
        params({"p": stored, "q": 1}, ["q"]).merge(raw(p=sent, q="2"))
    assert failure.value.kind is MALFORMED
    assert failure.value.param == "p"
    assert failure.value.detail == "'p' is fixed by the prompt version and not listed as overridable"


@pytest.mark.parametrize(
    ("stored", "overridable", "asked", "model"),
    [
        ("", [], "", ""),
        ("", [], "b", "b"),
        ("a", [], "", "a"),
        ("a", [], "a", "a"),
        ("a", ["model"], "b", "b"),
        ("a", ["*"], "b", "b"),
    ],
)
def test_the_model(stored: str, overridable: list[str], asked: str, model: str):
    assert params({}, overridable, stored).model(asked) == model


def test_a_fixed_model_is_not_overridden():
    with pytest.raises(GatewayError) as failure:
        params({}, ["temperature"], "a").model("b")
    assert failure.value.param == "model"


@pytest.mark.parametrize("name", ["messages", "model", "n", "prompt", "stream", "stream_options", "variables"])
def test_fields_of_the_request_cannot_be_stored(name: str):
    with pytest.raises(GatewayError) as failure:
        params({name: 1})
    assert failure.value.param == f"params.{name}"


def test_messages_are_encoded_in_the_chat_form():
    message = encode_message("user", 'a "b" \n é\0</script>')
    assert message.text == 'a "b" \n é\0</script>'
    assert message.raw == '{"role":"user","content":"a \\"b\\" \\n é\\u0000</script>"}'.encode()


@pytest.mark.parametrize(
    ("stored", "asked"), [("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens")]
)
def test_a_stored_limit_holds_under_both_of_its_names(stored: str, asked: str) -> None:
    fixed = Params(VersionContent(messages=[], params={stored: 300}))
    with pytest.raises(GatewayError) as caught:
        fixed.merge({asked: Raw(b"9000")})
    assert caught.value.param == asked
    assert fixed.merge({asked: Raw(b"300")}) == {asked: Raw(b"300")}
    for listed in (stored, asked):
        free = Params(VersionContent(messages=[], params={stored: 300}, overridable=[listed]))
        assert free.merge({asked: Raw(b"9000")}) == {asked: Raw(b"9000")}
