"""A version compiled: what is refused at publish, and what is sent."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gateway.core.conversation import Message
from gateway.core.documents import MessageTemplate, Placeholder, VersionContent
from gateway.core.errors import MALFORMED, MISSING_VARIABLE, TEMPLATE_FAILED, GatewayError
from gateway.prompts.compiler import MAX_MESSAGES, MAX_TEMPLATE, MAX_TEMPLATES, CompiledPrompt, compile_prompt
from gateway.prompts.values import MAX_OUTPUT


def message(role: str, text: str) -> Message:
    return Message(role, text, msgspec.json.encode({"role": role, "content": text, "name": "kept"}))


HELLO = message("user", "hello")


def compiled(*messages: tuple[str, str] | Placeholder, **content: Any) -> CompiledPrompt:
    items = [item if isinstance(item, Placeholder) else MessageTemplate(item[0], item[1]) for item in messages]  # pyright: ignore[reportArgumentType]
    return compile_prompt(VersionContent(messages=items, **content))


def texts(conversation: tuple[Message, ...]) -> list[tuple[str, str]]:
    for item in conversation:
        decoded = msgspec.json.decode(item.raw)
        assert (decoded["role"], decoded["content"]) == (item.role, item.text)
    return [(item.role, item.text) for item in conversation]


@pytest.mark.parametrize("syntax", ["jinja", "simple"])
def test_request_messages_follow_the_stored_ones_byte_for_byte(syntax: str):
    prompt = compiled(("system", "About {{ topic }}."), ("user", "Static."), format=syntax)
    conversation = prompt.render({"topic": "cats"}, (HELLO,))
    assert texts(conversation) == [("system", "About cats."), ("user", "Static."), ("user", "hello")]
    assert conversation[2] is HELLO


def test_a_placeholder_says_where_they_go():
    prompt = compiled(("system", "A"), Placeholder(), ("user", "{{ x }}"))
    assert texts(prompt.render({"x": "Z"}, (HELLO, HELLO))) == [
        ("system", "A"),
        ("user", "hello"),
        ("user", "hello"),
        ("user", "Z"),
    ]
    assert texts(prompt.render({"x": "Z"}, ())) == [("system", "A"), ("user", "Z")]


def test_without_any_request_message_what_is_stored_is_sent():
    assert texts(compiled(("system", "A")).render({}, ())) == [("system", "A")]
    assert compiled(Placeholder()).render({}, ()) == ()


def test_engine_and_segments_live_side_by_side():
    prompt = compiled(
        ("system", "{% if a %}{{ a|upper }}{% endif %}"), ("user", "{{ a }}"), ("assistant", "static"), ("user", "{{ a ~ b }}")
    )
    assert [text for _, text in texts(prompt.render({"a": "x", "b": {"k": [1]}}, ()))] == ["X", "x", "static", 'x{"k":[1]}']


def test_system_messages_of_the_caller_are_refused_beside_a_stored_one():
    prompt = compiled(("system", "A"))
    with pytest.raises(GatewayError) as failure:
        prompt.render({}, (HELLO, message("developer", "B")))
    assert failure.value.kind is MALFORMED
    assert failure.value.param == "messages"


def test_they_pass_where_none_is_stored():
    assert texts(compiled(("user", "A")).render({}, (message("system", "B"),))) == [("user", "A"), ("system", "B")]


def test_append_keeps_both_in_order():
    prompt = compiled(("system", "A"), ("user", "Q"), system_policy="append")
    assert texts(prompt.render({}, (message("system", "B"), HELLO))) == [
        ("system", "A"),
        ("user", "Q"),
        ("system", "B"),
        ("user", "hello"),
    ]


def test_replace_puts_the_callers_in_the_place_of_the_first_of_ours():
    prompt = compiled(("user", "F"), ("system", "{{ x }}"), ("developer", "A2"), ("user", "Q"), system_policy="replace")
    sent = (HELLO, message("developer", "B"), message("system", "C"))
    assert texts(prompt.render({"x": "A"}, sent)) == [
        ("user", "F"),
        ("developer", "B"),
        ("system", "C"),
        ("user", "Q"),
        ("user", "hello"),
    ]
    assert texts(prompt.render({"x": "A"}, (HELLO,))) == [
        ("user", "F"),
        ("system", "A"),
        ("developer", "A2"),
        ("user", "Q"),
        ("user", "hello"),
    ]


def test_a_missing_variable_is_named_with_the_first_message_that_needs_it():
    prompt = compiled(("system", "{% if 1 %}{{ b }}{% endif %}"), ("user", "{% if 1 %}{{ a }}{{ b }}{% endif %}"))
    with pytest.raises(GatewayError) as failure:
        prompt.render({}, ())
    assert failure.value.kind is MISSING_VARIABLE
    assert failure.value.detail == "variable 'b' is required by message 0"
    assert failure.value.param == "b"
    with pytest.raises(GatewayError, match="variable 'a' is required by message 1"):
        prompt.render({"b": 1}, ())


def test_missing_in_a_plain_template_reads_the_same():
    with pytest.raises(GatewayError, match="variable 'topic' is required by message 1"):
        compiled(("system", "s"), ("user", "{{ topic }}")).render({}, ())


def test_the_contract_makes_variables_optional_or_gives_defaults():
    schema = {"properties": {"a": {"type": "string"}, "b": {"type": "string", "default": "B"}}}
    prompt = compiled(("user", "{% if a is defined %}{{ a }}{% else %}-{% endif %}{{ b }}"), variables=schema)
    assert texts(prompt.render({}, ())) == [("user", "-B")]
    assert texts(prompt.render({"a": "A"}, ())) == [("user", "AB")]
    careless = compiled(("user", "{% if 1 %}{{ a }}{% endif %}"), variables=schema)
    with pytest.raises(GatewayError, match="variable 'a' is required by message 0"):
        careless.render({}, ())


@pytest.mark.parametrize(("undefined", "text"), [("keep", "{{ a }}{{ a }}"), ("empty", "")])
def test_the_undefined_policy_holds_for_both_ways_of_rendering(undefined: str, text: str):
    assert texts(compiled(("user", "{{ a }}{{ a }}"), undefined=undefined).render({}, ())) == [("user", text)]
    assert texts(compiled(("user", "{% if 1 %}{{ a }}{{ a }}{% endif %}"), undefined=undefined).render({}, ())) == [
        ("user", text)
    ]


def test_variables_that_nobody_uses_are_fine():
    assert texts(compiled(("user", "{{ a }}")).render({"a": "x", "b": object(), "not an identifier": 1}, ())) == [("user", "x")]
    assert texts(compiled(("user", "{{ a|upper }}")).render({"a": "x", "not an identifier": 1}, ())) == [("user", "X")]


@pytest.mark.parametrize(
    ("content", "param", "words"),
    [
        ({"messages": [("system", "ok"), ("user", "{{ a b }}")]}, "messages[1].content", "unexpected identifier"),
        ({"messages": [("user", "{{ a b }}")], "format": "simple"}, "messages[0].content", "is not a variable"),
        ({"messages": [("user", "x\n{{ a|nope }}")]}, "messages[0].content", "line 2: unknown filter 'nope'"),
        ({"messages": [("user", "{% if x %}")]}, "messages[0].content", "line 1"),
        ({"messages": [("user", "x" * (MAX_TEMPLATE + 1))]}, "messages[0].content", "at most"),
        ({"messages": [("user", "x" * MAX_TEMPLATE)] * (MAX_TEMPLATES // MAX_TEMPLATE + 1)}, "messages", "in all"),
        ({"messages": []}, "messages", "1 to 200 messages"),
        ({"messages": [("user", "x")] * (MAX_MESSAGES + 1)}, "messages", "1 to 200 messages"),
        ({"messages": [Placeholder(), Placeholder("history")]}, "messages", "more than one placeholder"),
        ({"messages": [("user", "x")], "variables": {"type": "array"}}, "variables", "type object"),
        ({"messages": [("user", "x")], "params": {"stream": True}}, "params.stream", "cannot be stored"),
    ],
)
def test_broken_versions_are_refused_with_their_part(content: dict[str, Any], param: str, words: str):
    with pytest.raises(GatewayError) as failure:
        compiled(*content.pop("messages"), **content)
    assert failure.value.kind is MALFORMED
    assert failure.value.param == param
    assert words in failure.value.detail


def test_the_whole_output_is_bounded():
    prompt = compiled(("user", "{{ a }}"), ("user", "{{ a }}"))
    prompt.render({"a": "x" * (MAX_OUTPUT // 2)}, ())
    with pytest.raises(GatewayError) as failure:
        prompt.render({"a": "x" * (MAX_OUTPUT // 2 + 1)}, ())
    assert failure.value.kind is TEMPLATE_FAILED


def test_fields_and_model_are_merged_by_the_version():
    prompt = compiled(("user", "x"), params={"temperature": 0.5}, model="m", overridable=["model"])
    assert {k: bytes(v) for k, v in prompt.merge_fields({"seed": Raw(b"1")}).items()} == {"temperature": b"0.5", "seed": b"1"}
    assert prompt.merge_model("other") == "other"
    with pytest.raises(GatewayError):
        prompt.merge_fields({"temperature": Raw(b"1")})


def test_error_texts_never_contain_the_template():
    prompt = compiled(("user", "{% if 1 %}CANARY {{ a * 2 }}{{ b.c }}{% endif %}"))
    for variables in ({"a": "x", "b": {}}, {"a": 1, "b": {}}, {"a": 1}):
        with pytest.raises(GatewayError) as failure:
            prompt.render(variables, ())
        assert "CANARY" not in failure.value.detail
