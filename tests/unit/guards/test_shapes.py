"""Guards of shape: JSON, XML, choices, length. What passes, what is found, and what hostile texts do to them."""

from typing import Any

import pytest

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.catalogue import make
from gateway.guards.shipped import CATALOGUE

PERSON = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}


def kinds(guard: str, text: str, **options: Any) -> list[str]:
    detector = make(CATALOGUE[guard], options, "g")
    found = detector.find(text)
    assert all((f.start, f.end) == (0, len(text)) for f in found)
    return [f.what for f in found]


@pytest.mark.parametrize("text", ["{}", " [1, 2.5, null] ", '"x"', "1e5", "true"])
def test_json_values_pass(text: str):
    assert kinds("json", text) == []


@pytest.mark.parametrize(
    "text",
    ["", "{", "{'a': 1}", '{"a": 1,}', "NaN", "1 2", '{"a":1} ok', "\0", "// c\n1", '"\ud800"', "\ufeff{}", "```json\n{}\n```"],
)
def test_what_is_not_json_is_found(text: str):
    assert kinds("json", text) == ["not_json"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```json\n{}\n```", []),
        ("\n```\n{}\n```  \n", []),
        ("```JSON\r\n{}\r\n```", []),
        ("{}", []),
        ("```python\n{}\n```", ["not_json"]),
        ("Here:\n```json\n{}\n```", ["not_json"]),
        ("```json\n{}", ["not_json"]),
    ],
)
def test_a_code_block_may_be_allowed(text: str, expected: list[str]):
    assert kinds("json", text, allow_fence=True) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"name": "Ann", "age": 3}', []),
        ("{}", ['schema: required "name"']),
        ('{"name": "Ann", "age": "secret"}', ['schema: type "integer" at /properties/age']),
        ("[]", ['schema: type "object"']),
    ],
)
def test_a_schema_is_named_where_it_is_broken_and_the_text_is_not(text: str, expected: list[str]):
    assert kinds("json", text, schema=PERSON) == expected


def test_names_that_only_the_text_has_are_not_repeated():
    closed = {
        "properties": {"a": {"unevaluatedProperties": False}, "b": {"additionalProperties": False, "properties": {"x": {}}}}
    }
    assert kinds("json", '{"a": {"secret": 1}}', schema=closed) == ["schema: unevaluatedProperties at /properties/a"]
    assert kinds("json", '{"b": {"secret": 1}}', schema=closed) == ["schema: additionalProperties at /properties/b"]


def test_deep_and_large_json_end_in_a_finding():
    assert kinds("json", "[" * 100_000) == ["too_deep"]
    assert kinds("json", "[" * 100_000 + "]" * 100_000) == ["too_deep"]
    assert kinds("json", '{"a":' * 100_000) == ["too_deep"]
    assert kinds("json", "[" + "1," * 5_000_000 + "1]") == []
    assert kinds("json", "a" * 10_000_000) == ["not_json"]
    assert kinds("json", '"' + "a" * 1_000_000 + '!"', schema={"pattern": "^(a+)+$"}) == ['schema: pattern "^(a+)+$"']
    assert kinds("json", "```\n" + "\n" * 1_000_000, allow_fence=True) == ["not_json"]


@pytest.mark.parametrize(
    ("guard", "options", "param"),
    [
        ("json", {"schema": {"type": "strin"}}, "g.options.schema"),
        ("json", {"schema": {"$ref": "https://example.com/x"}}, "g.options.schema"),
        ("json", {"schema": 5}, "g.options.schema"),
        ("length", {}, "g.options"),
        ("length", {"min_words": 5, "max_words": 3}, "g.options.min_words"),
        ("length", {"max_words": -1}, "g.options.max_words"),
        ("choices", {}, "g.options"),
        ("choices", {"choices": []}, "g.options.choices"),
        ("choices", {"choices": ["Yes", "yes "], "ignore_case": True}, "g.options.choices"),
        ("xml", {"tags": [""]}, "g.options.tags[0]"),
        ("sql", {"dialect": "oracle"}, "g.options.dialect"),
        ("sql", {"kinds": []}, "g.options.kinds"),
    ],
)
def test_bad_options_are_named(guard: str, options: dict[str, Any], param: str):
    with pytest.raises(GatewayError) as failure:
        make(CATALOGUE[guard], options, "g")
    assert failure.value.kind is MALFORMED
    assert failure.value.param == param


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("<a/>", {}, []),
        ('<?xml version="1.0"?>\n<a b="c">&lt;&#65;<!-- x --><![CDATA[<]]></a>', {}, []),
        (" \n<?xml version='1.0' encoding='utf-8'?><a/>\n", {}, []),
        ("", {}, ["not_xml"]),
        ("plain", {}, ["not_xml"]),
        ("<a>", {}, ["not_xml"]),
        ("<a></b>", {}, ["not_xml"]),
        ("<a/><b/>", {}, ["not_xml"]),
        ("<a b=c/>", {}, ["not_xml"]),
        ("<a>&undefined;</a>", {}, ["not_xml"]),
        ("<a>\0</a>", {}, ["not_xml"]),
        ("<a>\ud800</a>", {}, ["not_xml"]),
        ("<!DOCTYPE html><html/>", {}, ["document_type"]),
        ('<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>&c;</a>', {}, ["document_type"]),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', {}, ["document_type"]),
        ("<a/>", {"root": "a"}, []),
        ("<b/>", {"root": "a"}, ["wrong_root"]),
        ("<a><b/></a>", {"tags": ["a", "b"]}, []),
        ("<a><script/></a>", {"tags": ["a", "b"]}, ["tag_not_allowed"]),
        ("```xml\n<a/>\n```", {}, ["not_xml"]),
        ("```xml\n<a/>\n```", {"allow_fence": True}, []),
        ("<a>" * 100_000, {}, ["too_deep"]),
        ("<a>" * 1_000 + "</a>" * 1_000, {}, []),
        ("<a>" + "x" * 10_000_000 + "</a>", {}, []),
        ("<a " + " ".join(f'b{i}=""' for i in range(50_000)) + "/>", {}, []),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_xml(text: str, options: dict[str, Any], expected: list[str]):
    assert kinds("xml", text, **options) == expected


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("yes", {}, []),
        ("  yes\n", {}, []),
        ("not  sure", {}, []),
        ("Yes", {}, ["not_a_choice"]),
        ("Yes", {"ignore_case": True}, []),
        ("yes.", {}, ["not_a_choice"]),
        ("yes.", {"ignore_end": True}, []),
        (" yes", {"ignore_space": False}, ["not_a_choice"]),
        ("yes and no", {}, ["not_a_choice"]),
        ("", {}, ["not_a_choice"]),
        ("y\0es", {}, ["not_a_choice"]),
        ("yes" * 3_000_000, {}, ["not_a_choice"]),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_choices(text: str, options: dict[str, Any], expected: list[str]):
    assert kinds("choices", text, choices=["yes", "no", "not sure"], **options) == expected


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("abc", {"max_characters": 3}, []),
        ("abcd", {"max_characters": 3}, ["too_long: characters"]),
        ("", {"min_characters": 1}, ["too_short: characters"]),
        ("\U0001f600" * 3, {"max_characters": 3}, []),
        ("one two  three", {"min_words": 3, "max_words": 3}, []),
        ("one two", {"min_words": 3}, ["too_short: words"]),
        ("one two three four", {"max_words": 3}, ["too_long: words"]),
        ("One. Two! Three?", {"min_sentences": 3, "max_sentences": 3}, []),
        ("It costs 3.5 francs", {"max_sentences": 1}, []),
        ("It costs 3.5 francs. Yes", {"max_sentences": 1}, ["too_long: sentences"]),
        ("\u3053\u308c\u3002\u305d\u308c\u3002", {"min_sentences": 2, "max_sentences": 2}, []),
        ('He said "yes." Then he left...', {"min_sentences": 2, "max_sentences": 2}, []),
        ("", {"max_sentences": 0, "max_lines": 0}, []),
        ("a\nb\n", {"min_lines": 2, "max_lines": 2}, []),
        ("a\nb\nc", {"max_lines": 2}, ["too_long: lines"]),
        ("a", {"min_lines": 2}, ["too_short: lines"]),
        ("." * 1_000_000, {"max_sentences": 1}, []),
        ("a." * 1_000_000, {"max_sentences": 1}, []),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_length(text: str, options: dict[str, Any], expected: list[str]):
    assert kinds("length", text, **options) == expected
