"""The guard ``format``: what stands where in JSON, and what hostile texts do. The corpus has the formats themselves."""

from typing import Any, get_args

import pytest

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.catalogue import make
from gateway.guards.formats import MAX_VALUE, Format
from gateway.guards.shipped import CATALOGUE


def kinds(text: str, **options: Any) -> list[str]:
    found = make(CATALOGUE["format"], options, "g").find(text)
    assert all((f.start, f.end) == (0, len(text)) for f in found)
    return [f.what for f in found]


@pytest.mark.parametrize("name", get_args(Format))
@pytest.mark.parametrize(
    "text", ["", " ", "\x00", "\ud800", "1" * (MAX_VALUE + 1), "-", "[" * 100_000, "+" * 1_000, "a@" * 1_000]
)
def test_no_format_takes_these(name: str, text: str):
    assert kinds(text, format=name) == [f"wrong_format: {name}"]


@pytest.mark.parametrize(
    ("text", "field", "expected"),
    [
        ('{"a": {"b": "1"}}', "/a/b", []),
        ('{"a~b": {"c/d": "1"}}', "/a~0b/c~1d", []),
        ('{"": "1"}', "/", []),
        ('["1"]', "/0", []),
        ('["1"]', "/1", ["missing_field"]),
        ('["1"]', "/-1", ["missing_field"]),
        ('["1"]', "/00", ["missing_field"]),
        ('["1"]', "/99999999999999999999", ["missing_field"]),
        ('"1"', "/a", ["missing_field"]),
        ("[" * 100_000, "/0", ["not_json"]),
        ('"\ud800"', "/0", ["not_json"]),
        ('{"a": "1"} {}', "/a", ["not_json"]),
    ],
)
def test_a_field_is_found_by_its_pointer(text: str, field: str, expected: list[str]):
    assert kinds(text, format="duration", field=field) == (expected or ["wrong_format: duration"])
    assert kinds(text.replace('"1"', '"P1D"'), format="duration", field=field) == expected


def test_a_value_of_its_own_is_no_text_in_json():
    for name, value in (("number", "1.5"), ("integer", "1"), ("boolean", "true")):
        assert kinds(value, format=name) == []
        assert kinds(f'{{"a": {value}}}', format=name, field="/a") == []
        assert kinds(f'{{"a": "{value}"}}', format=name, field="/a") == [f"wrong_format: {name}"]


@pytest.mark.parametrize(
    ("options", "place"),
    [({}, "g.options"), ({"format": "zip"}, "g.options.format"), ({"format": "date", "field": "a"}, "g.options.field")],
)
def test_errors_name_the_option(options: dict[str, Any], place: str):
    with pytest.raises(GatewayError) as caught:
        make(CATALOGUE["format"], options, "g")
    assert (caught.value.kind, caught.value.param) == (MALFORMED, place)
