"""Prompt files: what is read, what is refused and how, and that nothing is lost on the way there and back."""

from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from admin_cli import promptfile
from admin_cli.promptfile import CONTENT_KEYS, DESCRIPTIVE_KEYS, PromptFile, PromptFileError, dump, name_of, parse, path_of
from gateway.core.conversation import Conversation, Message
from gateway.core.documents import VersionContent
from gateway.prompts.compiler import compile_prompt

REPOSITORY = Path(__file__).parents[3]
DEMOS = sorted((REPOSITORY / "config" / "prompts").rglob(f"*{promptfile.SUFFIX}"))
SCHEMA: Any = msgspec.json.decode((REPOSITORY / "docs" / "prompt-file.schema.json").read_bytes())

MINIMAL = "messages:\n  - {role: system, content: hello}\n"


def test_there_are_three_demo_prompts():
    assert [path.name.removesuffix(promptfile.SUFFIX) for path in DEMOS] == ["faq-bot", "summarize", "translate"]


@pytest.mark.parametrize("path", DEMOS, ids=lambda path: path.name)
def test_demo_prompts_are_valid_for_parser_server_and_editor(path: Path):
    text = path.read_text()
    prompt = parse(text, path.name, name_of(path, REPOSITORY / "config" / "prompts"))
    content = msgspec.convert(prompt.content, VersionContent)
    assert content.model == ""
    assert prompt.description
    jsonschema_rs.validator_for(SCHEMA).validate(yaml.safe_load(text))


def test_demo_prompts_render_with_at_most_one_variable():
    asked = (Message("user", "A story.", b'{"role":"user","content":"A story."}'),)

    def rendered(name: str, variables: dict[str, Any], messages: Conversation = ()) -> list[str]:
        root = REPOSITORY / "config" / "prompts"
        prompt = parse(path_of(name, root).read_text(), name, name)
        made = compile_prompt(msgspec.convert(prompt.content, VersionContent))
        return [message.text for message in made.render(variables, messages)]

    faq = rendered("faq-bot", {})
    assert faq[0] == (
        "You answer questions for customers of Acme. Be friendly.\nUse only these facts:\n"
        "- We are open Monday to Friday, 9:00 to 17:00.\n- Returns are free within 30 days.\n"
        "If they do not hold the answer, say so and offer to connect a person."
    )
    assert faq[1] == "What are your opening hours?"
    summary = rendered("summarize", {"topics": ["cost", "risk"], "sentences": 1}, asked)
    assert summary == [
        "Summarise what follows for a busy reader in one sentence.\nCover these topics, in this order:\n1. cost\n2. risk",
        "A story.",
        "Give the summary now, and nothing else.",
    ]
    assert rendered("summarize", {}, asked)[0] == "Summarise what follows for a busy reader in at most 3 sentences."
    assert rendered("translate", {"text": "Hallo"})[1] == "Hallo"


def test_the_editor_schema_knows_the_same_keys_as_the_parser():
    assert set(SCHEMA["properties"]) == {*DESCRIPTIVE_KEYS, *CONTENT_KEYS}
    assert SCHEMA["additionalProperties"] is False


def test_every_field_of_a_version_has_a_key():
    fields = set(VersionContent.__struct_fields__)
    assert {promptfile._RENAMED.get(key, key) for key in CONTENT_KEYS} == fields


def test_a_file_becomes_version_content():
    prompt = parse(
        """
name: billing/refund
description: Refunds.
tags: [a, b]
format: simple
inputs: {type: object}
messages:
  - role: system
    content: |
      Hi {{x}}
      there
  - placeholder: messages
""",
        "f",
    )
    assert prompt == PromptFile(
        "billing/refund",
        {
            "format": "simple",
            "variables": {"type": "object"},
            "messages": [
                {"type": "message", "role": "system", "content": "Hi {{x}}\nthere\n"},
                {"type": "placeholder", "name": "messages"},
            ],
        },
        "Refunds.",
        ["a", "b"],
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1]", "f: a prompt file is a mapping of keys, not a list"),
        ("", "f: a prompt file is a mapping of keys, not nothing"),
        ("messages: [", "f: not valid YAML"),
        (MINIMAL + "modle: gpt\n", "f: modle: unknown key; accepted: name, description"),
        (MINIMAL + "params: 3\n", "f: params: expected a mapping, got 3"),
        (MINIMAL + "model:\n", "f: model: expected a text, got nothing"),
        (MINIMAL + "tags: [1]\n", "f: tags: expected a list of texts"),
        (MINIMAL + "name: other\n", "f: name: 'other', but the file's path says 'here'"),
        ("name: here\n", "f: messages: missing"),
        ("messages: []\n", "f: messages: missing"),
        ("messages: [hello]\n", "f: messages[0]: expected `role` and `content`, or `placeholder`, got a text"),
        ("messages: [{role: user, text: x}]\n", "f: messages[0].text: unknown key; accepted: content, role"),
        ("messages: [{role: user}]\n", "f: messages[0].content: expected a text, got nothing"),
        ("messages: [{role: user, content: 5}]\n", "f: messages[0].content: expected a text, got 5"),
        ("messages: [{placeholder: 1}]\n", "f: messages[0].placeholder: expected a text, got 1"),
        (MINIMAL + "model: a\nmodel: b\n", "'model' appears twice"),
        (MINIMAL + "params: {[a]: b}\n", "['a'] is no text"),
        (MINIMAL + "metadata: {1: b}\n", "1 is no text"),
        ("messages: [{role: user, role: system, content: x}]\n", "'role' appears twice"),
    ],
)
def test_a_slip_names_file_and_key(text: str, expected: str):
    with pytest.raises(PromptFileError) as caught:
        parse(text, "f", "here")
    assert expected in str(caught.value)


def test_a_file_without_a_name_or_a_path_is_refused():
    with pytest.raises(PromptFileError, match="f: name: missing"):
        parse(MINIMAL, "f")


def test_yaml_does_not_turn_texts_into_other_things():
    prompt = parse(MINIMAL + "metadata: {country: no, day: 2024-01-31, on: yes, really: true}\n", "f", "here")
    assert prompt.content["metadata"] == {"country": "no", "day": "2024-01-31", "on": "yes", "really": True}


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
MESSAGES = st.builds(lambda role, content: {"type": "message", "role": role, "content": content}, NAMES, TEXTS)
PLACEHOLDERS = st.builds(lambda name: {"type": "placeholder", "name": name}, NAMES)


@given(
    messages=st.lists(MESSAGES | PLACEHOLDERS, min_size=1, max_size=4),
    params=st.dictionaries(TEXTS, JSON, min_size=1, max_size=3),
    description=TEXTS,
    tags=st.lists(TEXTS, max_size=3),
)
def test_what_is_written_is_read_back_the_same(messages: Any, params: Any, description: str, tags: list[str]):
    prompt = PromptFile("a/b", {"messages": messages, "params": params}, description, tags)
    assert parse(dump(prompt), "f", "a/b") == prompt


def test_long_texts_are_written_as_blocks():
    prompt = PromptFile("a", {"messages": [{"type": "message", "role": "user", "content": "one\ntwo: {{ x }}\n"}]})
    assert "content: |\n    one\n    two: {{ x }}\n" in dump(prompt)


def test_paths_and_names_correspond(tmp_path: Path):
    path = path_of("billing/refund", tmp_path)
    assert path == tmp_path / "billing" / "refund.prompt.yaml"
    assert name_of(path, tmp_path) == "billing/refund"


@pytest.mark.parametrize("name", ["../etc", "/etc/x", "a/../../b", ".."])
def test_a_name_cannot_leave_its_folder(name: str, tmp_path: Path):
    with pytest.raises(PromptFileError, match="not a path under"):
        path_of(name, tmp_path)
