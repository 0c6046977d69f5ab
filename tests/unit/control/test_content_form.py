"""The two forms in which content may be sent."""

from typing import Any

import msgspec
import pytest

from gateway.control.versions.schemas import ContentForm, NewVersion
from gateway.core.documents import MessageTemplate, VersionContent
from gateway.core.errors import GatewayError


def form(**fields: Any) -> ContentForm:
    return msgspec.convert(fields, NewVersion)


def test_an_object_is_the_content_itself():
    content = {"messages": [{"type": "message", "role": "user", "content": "x"}], "params": {"seed": 1}}
    assert form(content=content).resolved() == VersionContent(messages=[MessageTemplate("user", "x")], params={"seed": 1})


def test_a_text_with_its_fields_is_mapped():
    found = form(
        content="Explain {{ topic }}",
        system_prompt="Be {{ tone }}",
        required_fields=[
            {"name": "topic", "description": "What about."},
            {"name": "tone", "required": True, "default": "kind"},
            {"name": "depth", "type": "number", "required": False},
            {"name": "note", "required": False, "default": None},
        ],
        model_params={"temperature": 0.5},
    ).resolved()
    assert found == VersionContent(
        messages=[MessageTemplate("system", "Be {{ tone }}"), MessageTemplate("user", "Explain {{ topic }}")],
        variables={
            "type": "object",
            "properties": {
                "topic": {"type": "string", "description": "What about."},
                "tone": {"type": "string", "default": "kind"},
                "depth": {"type": "number"},
                "note": {"type": "string", "default": None},
            },
            "required": ["topic"],
        },
        params={"temperature": 0.5},
    )


def test_a_bare_text_is_one_user_message():
    assert form(content="hi", format="simple").resolved() == VersionContent(
        messages=[MessageTemplate("user", "hi")], format="simple"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("system_prompt", "x"), ("required_fields", []), ("model_params", {}), ("format", "jinja")],
)
def test_mixing_the_forms_names_the_field(name: str, value: Any):
    content = {"messages": [{"type": "message", "role": "user", "content": "x"}]}
    with pytest.raises(GatewayError) as caught:
        form(content=content, **{name: value}).resolved()
    assert caught.value.param == name
