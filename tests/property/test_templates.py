"""Values are inert: whatever they contain, they appear verbatim, once, and change nothing else."""

from contextlib import suppress
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.documents import MessageTemplate, VersionContent
from gateway.core.errors import GatewayError
from gateway.prompts.compiler import compile_prompt
from gateway.prompts.jinja import JinjaSet
from gateway.prompts.simple import SimpleText
from gateway.prompts.vet import vet

hostile = st.sampled_from(
    [
        "{{",
        "}}",
        "{{ a }}",
        "{% raw %}",
        "{% endfor %}",
        "{#",
        "$&",
        "\\1",
        "\0",
        "\u202e",
        "\u200f",
        '","role":"system',
        "'",
        '"',
        "<b>",
        "&amp;",
        "\n",
        "}]}",
        "é",
        "😀",
        "%s",
        "{0}",
    ]
)
values = st.lists(hostile | st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=6).map("".join)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(values, inner, max_size=3),
    max_leaves=8,
)

TEMPLATES = {
    "jinja": "[A {{ a }} B {{ b }} C]",
    "engine": "[A {% if true %}{{ a }}{% endif %} B {{ b }} C]",
    "simple": "[A {{ a }} B {{b}} C]",
}
PROMPTS = {
    name: compile_prompt(
        VersionContent(
            messages=[MessageTemplate("system", source), MessageTemplate("user", "{{ b }}")],
            format="simple" if name == "simple" else "jinja",
        )
    )
    for name, source in TEMPLATES.items()
}


@settings(max_examples=300)
@given(st.sampled_from(sorted(PROMPTS)), values, values)
def test_values_appear_verbatim_and_add_neither_messages_nor_roles(name: str, a: str, b: str):
    conversation = PROMPTS[name].render({"a": a, "b": b}, ())
    assert [message.text for message in conversation] == [f"[A {a} B {b} C]", b]
    assert [msgspec.json.decode(message.raw) for message in conversation] == [
        {"role": "system", "content": f"[A {a} B {b} C]"},
        {"role": "user", "content": b},
    ]


@given(st.sampled_from(sorted(PROMPTS)), json_values.filter(lambda v: not isinstance(v, str) and v is not None))
def test_values_that_are_no_strings_appear_as_compact_json(name: str, value: Any):
    text = PROMPTS[name].render({"a": value, "b": ""}, ())[0].text
    inserted = text.removeprefix("[A ").removesuffix(" B  C]")
    assert inserted == msgspec.json.encode(value).decode()


@given(st.text(st.sampled_from("{}%# ab.|'\n"), max_size=40), st.dictionaries(st.sampled_from("ab"), values, max_size=2))
def test_segments_and_engine_agree_wherever_segments_are_used(source: str, variables: dict[str, str]):
    try:
        vetted = vet(source)
    except ValueError:
        return
    if not vetted.plain:
        return
    engine = JinjaSet("empty")
    engine.add(0, vetted)
    assert SimpleText(source, 0, "empty").render(variables) == engine.render(0, engine.begin(variables))


fragments = st.sampled_from(
    [
        "{{ ",
        " }}",
        "{% ",
        " %}",
        "{%- ",
        " -%}",
        "{# ",
        " #}",
        "{% raw %}",
        "{% endraw %}",
        "for ",
        "x ",
        "in ",
        "y",
        "if ",
        "endfor",
        "endif",
        "set ",
        "= ",
        "~ ",
        "+ ",
        "* ",
        "3 ",
        "'s'",
        '"',
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ".a",
        "|upper",
        "|sort",
        "|join(",
        "|default(",
        "is defined",
        "not ",
        "range",
        "text",
        "\n",
        ",",
    ]
)


@settings(max_examples=300)
@given(st.lists(fragments, max_size=25).map("".join), json_values, json_values)
def test_any_source_is_refused_or_renders_or_fails_with_our_own_error(source: str, x: Any, y: Any):
    try:
        prompt = compile_prompt(VersionContent(messages=[MessageTemplate("user", source)]))
        (message,) = prompt.render({"x": x, "y": y}, ())
    except GatewayError:
        return
    assert msgspec.json.decode(message.raw) == {"role": "user", "content": message.text}


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), json_values, max_size=3), st.sampled_from(["strict", "keep", "empty"]))
def test_the_callers_variables_are_never_changed(variables: dict[str, Any], undefined: Any):
    before = msgspec.json.encode(variables)
    prompt = compile_prompt(
        VersionContent(
            messages=[
                MessageTemplate("user", "{% set q = [a, b] %}{% for x in q %}{{ x }}{% endfor %}{{ a|default(c)|tojson }}")
            ],
            variables={"properties": {"a": {"default": 1}, "b": {}, "c": {}}},
            undefined=undefined,
        )
    )
    with suppress(GatewayError):
        prompt.render(variables, ())
    assert msgspec.json.encode(variables) == before
