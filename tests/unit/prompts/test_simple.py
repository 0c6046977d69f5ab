"""Templates without logic."""

from typing import Any

import pytest

from gateway.core.errors import MISSING_VARIABLE, TEMPLATE_FAILED, GatewayError
from gateway.prompts.simple import SimpleText, Undefined
from gateway.prompts.values import MAX_OUTPUT


def render(source: str, undefined: Undefined = "strict", **values: Any) -> str:
    return SimpleText(source, 1, undefined).render(values)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("<b>&'\"", "<b>&'\""),
        ("", ""),
        (3, "3"),
        (1.5, "1.5"),
        (True, "true"),
        (None, ""),
        ([1, "é"], '[1,"é"]'),
        ({"a": None}, '{"a":null}'),
    ],
)
def test_strings_go_in_as_they_are_and_everything_else_as_json(value: object, text: str):
    assert render("[{{x}}|{{ x }}]", x=value) == f"[{text}|{text}]"


def test_dots_follow_objects():
    assert render("{{ user.name.first }} {{ user.age }}", user={"name": {"first": "Ada"}, "age": 36}) == "Ada 36"


@pytest.mark.parametrize("values", [{}, {"user": {}}, {"user": "Ada"}, {"user": {"name": "x"}}, {"user": None}])
def test_undefined_by_policy(values: dict[str, Any]):
    assert SimpleText("a {{ user.name.first }} b", 1, "keep").render(values) == "a {{ user.name.first }} b"
    assert SimpleText("a {{ user.name.first }} b", 1, "empty").render(values) == "a  b"
    with pytest.raises(GatewayError) as failure:
        SimpleText("a {{ user.name.first }} b", 1, "strict").render(values)
    assert failure.value.kind is MISSING_VARIABLE
    assert failure.value.detail == "variable 'user.name.first' is required by message 1"
    assert failure.value.param == "user.name.first"


def test_undefined_by_policy_for_plain_names():
    assert render("{{x}}", "keep") == "{{x}}"
    assert render("{{x}}", "empty") == ""
    with pytest.raises(GatewayError, match="'x'"):
        render("{{x}}")


def test_single_braces_and_percent_signs_are_text():
    text = '{"a": {"b": {1}}} {% if x %} {# no comment #} %s $x'
    assert render(text) == text


def test_the_roots_of_all_tags_are_known():
    assert SimpleText("{{ a }}{{ b.c }}{{a}} {{ d-e }}", 0, "strict").names == {"a", "b", "d-e"}


@pytest.mark.parametrize(
    "source", ["{{ a b }}", "{{ }}", "{{ 1x }}", "{{ a.}}", "{{ a|upper }}", "{{{x}}}", "a {{ b", "{{ x }} {{"]
)
def test_a_tag_that_is_no_variable_is_refused(source: str):
    with pytest.raises(ValueError, match=r"is not a variable|without '}}'"):
        SimpleText(source, 0, "strict")


def test_the_length_is_bounded_before_the_text_is_made():
    with pytest.raises(GatewayError) as failure:
        render("{{x}}" * 1000, x="y" * 2000)
    assert failure.value.kind is TEMPLATE_FAILED
    assert len(render("{{x}}", x="y" * MAX_OUTPUT)) == MAX_OUTPUT


def test_cutting_takes_linear_time():
    import time

    started = time.process_time()
    with pytest.raises(ValueError, match="without"):
        SimpleText("{{ " * 20_000, 0, "strict")
    SimpleText("{{ a }}" * 9000, 0, "strict")
    assert time.process_time() - started < 10, "unbounded, it takes minutes"
