"""Bodies of Anthropic clients, read into the chat form with the caller's bytes beside it."""

from typing import Any

import msgspec
import pytest

from gateway.core.errors import GatewayError
from gateway.core.requests import ChatRequest, Inbound
from gateway.dialects.messages.dialect import MESSAGES_DIALECT


def read(body: dict[str, Any] | bytes, **headers: str) -> ChatRequest:
    data = body if isinstance(body, bytes) else msgspec.json.encode({"model": "claude-opus-5-5", "max_tokens": 100, **body})
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return MESSAGES_DIALECT.read(Inbound("messages", named, data, "call", "req", 0, 0.0, 9.0))


def chat(request: ChatRequest) -> list[Any]:
    return [msgspec.json.decode(message.raw) for message in request.messages]


def fields(request: ChatRequest) -> dict[str, Any]:
    return {name: msgspec.json.decode(raw) for name, raw in request.fields.items()}


def test_a_plain_call() -> None:
    body = b'{"model":"claude-opus-5-5", "max_tokens": 9, "messages":[{"role":"user",  "content":"hi"}], "stream":true, "metadata":{"user_id":"u"}}'
    request = read(body, anthropic_version="2026-10-21", anthropic_beta="a,b", x_session_id="s", x_tags="x, y")
    assert (request.model, request.stream, request.choices, request.user, request.unit) == (
        "claude-opus-5-5",
        True,
        1,
        "u",
        "u",
    )
    assert (request.session, request.tags) == ("s", ("x", "y"))
    assert request.headers == {b"anthropic-version": b"2026-10-21", b"anthropic-beta": b"a,b"}
    (message,) = request.messages
    assert (message.role, message.text) == ("user", "hi")
    assert message.native == b'{"role":"user",  "content":"hi"}'
    assert message.raw == b'{"role":"user","content":"hi"}'
    assert fields(request) == {"max_completion_tokens": 9, "user": "u"}
    assert {name: bytes(raw) for name, raw in request.native.items()} == {"max_tokens": b"9", "metadata": b'{"user_id":"u"}'}
    assert request.untranslatable is None


@pytest.mark.parametrize("how", ["model", "body", "header"])
def test_prompts_are_named_as_on_every_door(how: str) -> None:
    body, headers = {
        "model": ({"model": "faq-bot@staging"}, {}),
        "body": ({"prompt": {"id": "faq-bot", "variables": {"q": 1}}}, {"x_prompt_alias": "staging"}),
        "header": ({"model": ""}, {"x_prompt": "faq-bot@staging"}),
    }[how]
    request = read(body, **headers)
    assert str(request.reference) == "faq-bot@staging"
    assert request.variables == ({"q": 1} if how == "body" else {})
    assert request.messages == ()
    assert not {"prompt", "variables"} & set(request.native)


@pytest.mark.parametrize(
    ("system", "text"),
    [
        ("Be brief.", "Be brief."),
        (
            [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief.", "cache_control": {"type": "ephemeral"}}],
            "Be\nbrief.",
        ),
    ],
)
def test_the_system_prompt_is_the_first_message(system: object, text: str) -> None:
    request = read({"system": system, "messages": [{"role": "user", "content": "hi"}]})
    assert [m.role for m in request.messages] == ["system", "user"]
    assert request.messages[0].text == text
    assert chat(request)[0] == {"role": "system", "content": text}
    assert request.messages[0].native == msgspec.json.encode(system)
    assert "system" not in request.native


def test_a_turn_with_tools_and_back() -> None:
    request = read(
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "weather?", "cache_control": {"type": "ephemeral"}}]},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                        {"type": "text", "text": "Checking."},
                        {"type": "tool_use", "id": "t1", "name": "w", "input": {"a": 1}},
                        {"type": "tool_use", "id": "t2", "name": "n", "input": {}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "t1", "content": "15"},
                        {
                            "type": "tool_result",
                            "tool_use_id": "t2",
                            "is_error": True,
                            "content": [
                                {"type": "text", "text": "broken"},
                                {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
                            ],
                        },
                        {"type": "text", "text": "And now?"},
                    ],
                },
                {"role": "assistant", "content": "15 degrees."},
                {"role": "system", "content": [{"type": "text", "text": "Hurry."}]},
            ]
        }
    )
    assert chat(request) == [
        {"role": "user", "content": "weather?"},
        {
            "role": "assistant",
            "content": "Checking.",
            "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "w", "arguments": '{"a":1}'}},
                {"id": "t2", "type": "function", "function": {"name": "n", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "15"},
        {"role": "tool", "tool_call_id": "t2", "content": "Error: broken"},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                {"type": "text", "text": "And now?"},
            ],
        },
        {"role": "assistant", "content": "15 degrees."},
        {"role": "system", "content": "Hurry."},
    ]
    assert [m.native == b"" for m in request.messages] == [False, False, False, True, True, False, False]
    assert [m.text for m in request.messages][2:5] == ["15", "broken", "And now?"]
    assert request.untranslatable is None


def test_pictures_and_documents() -> None:
    request = read(
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                        {"type": "document", "title": "T", "source": {"type": "text", "media_type": "text/plain", "data": "D"}},
                        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}},
                    ],
                }
            ]
        }
    )
    assert chat(request)[0]["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        {"type": "text", "text": "T\nD"},
        {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
    ]
    assert request.messages[0].text == "T\nD"


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"container": "c"}, "container"),
        ({"mcp_servers": []}, "mcp_servers"),
        ({"tools": [{"type": "web_search_20260318", "name": "web_search"}]}, "tools"),
        ({"service_tier": "new"}, "service_tier"),
        ({"output_config": {"format": {"type": "new"}}}, "output_config"),
        ({"messages": [{"role": "user", "content": [{"type": "search_result", "content": []}]}]}, "messages[0].content[0]"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}]},
            "messages[0].content[0]",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "server_tool_use", "name": "x"}]}]},
            "messages[0].content[0]",
        ),
    ],
)
def test_what_has_no_chat_form_is_noted(body: dict[str, Any], name: str) -> None:
    assert read(body).untranslatable == name


def test_guards_see_texts_wherever_they_are() -> None:
    block = {"type": "search_result", "title": "T", "source": {"type": "x"}, "content": [{"type": "text", "text": "found"}]}
    request = read({"messages": [{"role": "user", "content": [block]}]})
    assert request.messages[0].text == "T\nfound"


def test_fields_in_chat_terms() -> None:
    schema = {"type": "object"}
    request = read(
        {
            "temperature": 0.5,
            "top_k": 3,
            "top_p": 0.9,
            "stop_sequences": ["END"],
            "service_tier": "standard_only",
            "cache_control": {"type": "ephemeral"},
            "diagnostics": None,
            "tools": [
                {"name": "f", "description": "d", "input_schema": schema, "strict": True, "cache_control": {}},
                {"name": "g", "type": "custom"},
            ],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
            "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": schema}},
            "thinking": {"type": "adaptive"},
        }
    )
    assert fields(request) == {
        "max_completion_tokens": 100,
        "temperature": 0.5,
        "top_k": 3,
        "top_p": 0.9,
        "stop": ["END"],
        "service_tier": "default",
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": schema, "strict": True}},
            {"type": "function", "function": {"name": "g"}},
        ],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "reasoning_effort": "high",
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}},
    }
    assert request.untranslatable is None


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"reasoning_effort": "low"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 8000}}, {"reasoning_effort": "medium"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 20_000}}, {"reasoning_effort": "high"}),
        (
            {"output_config": {"effort": "low"}, "thinking": {"type": "enabled", "budget_tokens": 20_000}},
            {"reasoning_effort": "low"},
        ),
        ({"thinking": {"type": "disabled"}}, {}),
        ({"tool_choice": {"type": "auto"}, "output_config": {}}, {"tool_choice": "auto"}),
        ({"thinking": None, "output_config": None, "tool_choice": None, "tools": [], "stop_sequences": []}, {}),
        ({"tool_choice": {"type": "tool", "name": "f"}}, {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
        ({"tool_choice": {"type": "none"}}, {"tool_choice": "none"}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
    ],
)
def test_choices_among_forms(given: dict[str, Any], made: dict[str, Any]) -> None:
    request = read(given)
    assert fields(request) == {"max_completion_tokens": 100, **made}
    assert request.untranslatable is None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        ({"model": 7}, "model"),
        ({"model": "x" * 257}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"metadata": {"user_id": "a\0b"}}, "user"),
        ({"system": 7}, "system"),
        ({"system": [{"text": "x"}]}, "system[0]"),
        ({"messages": {}}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0]"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 7}]}]}, "messages[0].content[0].text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": "x"}]}]},
            "messages[0].content[0].tool_use_id",
        ),
        ({"tools": 7}, "tools"),
        ({"tools": [{"description": "x"}]}, "tools[0].name"),
        ({"tool_choice": {"type": "perhaps"}}, "tool_choice.type"),
        ({"tool_choice": {}}, "tool_choice"),
        ({"thinking": {"type": "enabled", "budget_tokens": "x"}}, "thinking.budget_tokens"),
        ({"output_config": {"effort": 7}}, "output_config.effort"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"service_tier": 7}, "service_tier"),
        ({"prompt": {}}, "prompt"),
    ],
)
def test_bad_input_is_refused_by_name(body: dict[str, Any] | bytes, param: str | None) -> None:
    with pytest.raises(GatewayError) as caught:
        read(body)
    assert (caught.value.kind.name, caught.value.param) == ("malformed", param)


def test_thinking_of_another_provider_is_not_shown_to_anthropic() -> None:
    ours = {"type": "thinking", "thinking": "hm", "signature": ""}
    signed = {"type": "thinking", "thinking": "aha", "signature": "c2ln"}
    text = {"type": "text", "text": "yes", "citations": []}
    request = read(
        {"messages": [{"role": "assistant", "content": [ours, text, signed]}, {"role": "assistant", "content": [ours]}]}
    )
    assert msgspec.json.decode(request.messages[0].native or b"") == {"role": "assistant", "content": [text, signed]}
    assert request.messages[1].native == msgspec.json.encode({"role": "assistant", "content": [ours]})
    assert chat(request)[1] == {"role": "assistant", "content": ""}
