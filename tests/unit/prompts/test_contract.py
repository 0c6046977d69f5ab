"""The variable contract: defaults, verdicts, and words."""

from typing import Any

import pytest

from gateway.core.errors import INVALID_VARIABLE, MALFORMED, MISSING_VARIABLE, GatewayError
from gateway.prompts.contract import Contract
from gateway.wire.schema import MAX_SCHEMA_BYTES, _validator

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "topic": {"type": "string", "maxLength": 5},
        "count": {"type": ["integer", "null"]},
        "tone": {"enum": ["warm", "dry"], "default": "dry"},
        "code": {"type": "string", "pattern": "^a+$"},
        "user": {"type": "object", "required": ["name"]},
        "any": {"anyOf": [{"type": "string"}, {"type": "array"}]},
        "open": True,
    },
    "required": ["topic"],
    "additionalProperties": False,
}


def test_an_empty_contract_lets_everything_pass_untouched():
    variables = {"x": object}
    assert Contract({}).check(variables) is variables


def test_defaults_fill_what_is_absent_and_nothing_else():
    contract = Contract(SCHEMA)
    assert contract.check({"topic": "x"}) == {"topic": "x", "tone": "dry"}
    given = {"topic": "x", "tone": "warm"}
    assert contract.check(given) is given
    assert given == {"topic": "x", "tone": "warm"}


def test_a_required_variable_with_a_default_may_be_left_out():
    contract = Contract({"properties": {"a": {"type": "string", "default": ""}}, "required": ["a"]})
    assert contract.check({}) == {"a": ""}


def test_what_may_be_absent_is_known():
    assert Contract(SCHEMA).optional == {"count", "code", "user", "any", "open"}


@pytest.mark.parametrize(
    ("variables", "kind", "param", "detail"),
    [
        ({}, MISSING_VARIABLE, "topic", "variable 'topic' is required by the prompt's contract"),
        ({"count": "x"}, MISSING_VARIABLE, "topic", "variable 'topic' is required by the prompt's contract"),
        ({"topic": 5}, INVALID_VARIABLE, "topic", "variable 'topic' must satisfy type \"string\""),
        ({"topic": "abcdef"}, INVALID_VARIABLE, "topic", "variable 'topic' must satisfy maxLength 5"),
        ({"topic": "x", "count": 1.5}, INVALID_VARIABLE, "count", 'variable \'count\' must satisfy type ["null","integer"]'),
        ({"topic": "x", "tone": "odd"}, INVALID_VARIABLE, "tone", 'variable \'tone\' must satisfy enum ["warm","dry"]'),
        ({"topic": "x", "code": "b"}, INVALID_VARIABLE, "code", "variable 'code' must satisfy pattern \"^a+$\""),
        ({"topic": "x", "user": {}}, INVALID_VARIABLE, "user", "variable 'user' must satisfy required \"name\""),
        ({"topic": "x", "any": 1}, INVALID_VARIABLE, "any", "variable 'any' must satisfy anyOf"),
        ({"topic": "x", "zz": 1}, INVALID_VARIABLE, "zz", "variable 'zz' is not in the prompt's contract"),
    ],
)
def test_errors_name_the_variable_and_what_was_expected(variables: dict[str, Any], kind: object, param: str, detail: str):
    with pytest.raises(GatewayError) as failure:
        Contract(SCHEMA).check(variables)
    assert failure.value.kind is kind
    assert failure.value.param == param
    assert failure.value.detail == detail


def test_errors_never_repeat_the_value():
    secret = "my password is hunter2"
    for variables in (
        {"topic": secret},
        {"topic": [secret]},
        {"topic": "x", "any": {"k": secret}},
        {"topic": "x", "code": secret},
    ):
        with pytest.raises(GatewayError) as failure:
            Contract(SCHEMA).check(variables)
        assert "hunter2" not in failure.value.detail


def test_errors_about_the_whole_say_so():
    with pytest.raises(GatewayError) as failure:
        Contract({"minProperties": 1}).check({})
    assert (failure.value.detail, failure.value.param) == ("the set of variables must satisfy minProperties 1", "variables")


def test_long_expectations_and_names_are_shortened():
    contract = Contract(
        {"properties": {"a": {"enum": ["x" * 100] * 1 + [str(i) * 50 for i in range(10)]}}, "additionalProperties": False}
    )
    for variables in ({"a": 1}, {"n" * 5000: 1}):
        with pytest.raises(GatewayError) as failure:
            contract.check(variables)
        assert len(failure.value.detail) < 300


def test_of_a_million_violations_one_is_enough():
    import time

    contract = Contract({"properties": {"a": {"items": {"type": "string"}}}})
    started = time.process_time()
    with pytest.raises(GatewayError, match=r"variable 'a.0' must satisfy type"):
        contract.check({"a": [1] * 1_000_000})
    with pytest.raises(GatewayError, match="variable 'a' must satisfy"):
        Contract({"properties": {"a": {"type": "string"}}}).check({"a": ["x" * 100] * 300_000})
    assert time.process_time() - started < 10, "unbounded, it takes minutes"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string"}, "must be of type object"),
        ({"type": ["object", "null"]}, "must be of type object"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "draft is 2020-12"),
        ({"$schema": 5}, "draft is 2020-12"),
        ({"properties": {"a": {"type": "strin"}}}, "at variables['properties']['a']['type']"),
        ({"properties": 5}, "at variables['properties']"),
        ({"required": 5}, "at variables['required']"),
        ({"properties": {"a": {"pattern": "(?=x)"}}}, "['pattern']"),
        ({"properties": {"a": {"pattern": r"(\w{1000}){1000}"}}}, "['pattern']"),
        ({"properties": {"a": {"$ref": "https://example.com/s.json"}}}, "references must be local"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "references must be local"),
        ({"properties": {"a": {"$dynamicRef": "#a"}}}, "references must be local"),
        ({"$defs": {"a": {"$id": "https://example.com/", "$ref": "#/$defs/b"}}}, "references must be local"),
        ({"$defs": {"a": {"properties": {"b": {"$ref": "#/$defs/a"}}}}}, "leads back to itself"),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "not a JSON Schema"),
        ({"properties": {"a": {"type": "integer", "default": "x"}}}, "the default of variable 'a'"),
        ({"description": "x" * MAX_SCHEMA_BYTES}, "bytes"),
        ({"default": object()}, "not JSON"),
    ],
)
def test_what_is_no_safe_schema_is_refused(schema: dict[str, Any], words: str):
    with pytest.raises(GatewayError) as failure:
        Contract(schema)
    assert failure.value.kind is MALFORMED
    assert failure.value.param == "variables"
    assert words in failure.value.detail


def test_references_may_be_shared_but_not_explode():
    shared = {"$defs": {"n~a/me": {"type": "string"}}, "properties": {k: {"$ref": "#/$defs/n~0a~1me"} for k in "abcdef"}}
    Contract(shared).check({"a": "x"})
    doubling = {"$defs": {f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(30)} | {"d30": {}}}
    with pytest.raises(GatewayError, match="parts when its references are followed"):
        Contract(doubling)


def test_a_pattern_takes_linear_time():
    import time

    contract = Contract({"properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}})
    started = time.process_time()
    with pytest.raises(GatewayError):
        contract.check({"a": "a" * 100_000 + "!"})
    assert time.process_time() - started < 10, "unbounded, it takes minutes"


def test_defaults_that_only_break_rules_about_the_whole_are_fine():
    assert Contract({"properties": {"a": {"default": 1}}, "minProperties": 2}).check({"b": 1}) == {"a": 1, "b": 1}


def test_the_validator_itself_cannot_fetch_either():
    with pytest.raises(GatewayError) as failure:
        _validator({"$ref": "http://127.0.0.1:9/schema.json"}, "variables")
    assert "never fetched" in (failure.value.cause or "")
