"""Requests of the Responses API in chat terms."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gateway.core.errors import CONTRADICTION, MALFORMED, GatewayError
from gateway.core.references import Reference
from gateway.core.requests import ChatRequest, Inbound
from gateway.dialects.responses.dialect import RESPONSES_DIALECT
from gateway.dialects.responses.reading import after

Ask = Callable[..., ChatRequest]
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "42"}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}


def messages(request: ChatRequest) -> list[Any]:
    return [msgspec.json.decode(message.raw) for message in request.messages]


def natives(request: ChatRequest) -> list[Any]:
    """Every item as a provider of the same dialect gets it."""
    return msgspec.json.decode(b"[" + b",".join([m.native for m in request.messages if m.native is not None]) + b"]")


def fields(request: ChatRequest) -> dict[str, Any]:
    return {name: msgspec.json.decode(raw) for name, raw in request.fields.items()}


def refused(ask: Ask, **body: object) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        ask(**body)
    return caught.value


def test_a_text_is_a_message_of_the_user(ask: Ask) -> None:
    request = ask(input="Hello")
    assert messages(request) == [{"role": "user", "content": "Hello"}]
    assert natives(request) == [{"type": "message", "role": "user", "content": "Hello"}]
    assert (request.model, request.stream, request.choices) == ("m", False, 1)


def test_instructions_come_first_in_both_forms(ask: Ask) -> None:
    request = ask(input="Hello", instructions="Be brief.")
    assert messages(request)[0] == {"role": "system", "content": "Be brief."}
    assert natives(request)[0] == {"type": "message", "role": "system", "content": "Be brief."}
    assert [m.text for m in request.messages] == ["Be brief.", "Hello"]


def test_parts_have_their_chat_forms(ask: Ask) -> None:
    content = [
        {"type": "input_text", "text": "look"},
        {"type": "input_image", "image_url": "https://x.test/a.png", "detail": "low"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
        {"type": "input_file", "file_id": "file-1"},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    ]
    request = ask(input=[{"role": "user", "content": content}])
    assert messages(request)[0]["content"] == [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    ]
    assert request.untranslatable is None
    assert request.messages[0].text == "look"
    assert natives(request)[0]["content"] == content


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ({"type": "input_image", "file_id": "file-1"}, "input[0].content[0].file_id"),
        ({"type": "input_file", "file_url": "https://x.test/a.pdf"}, "input[0].content[0].file_url"),
        ({"type": "input_video"}, "input[0].content[0].type"),
        ({"type": "input_audio"}, "input[0].content[0].type"),
    ],
)
def test_parts_without_a_chat_form_are_for_native_targets(ask: Ask, part: dict[str, Any], name: str) -> None:
    request = ask(input=[{"role": "user", "content": [part]}])
    assert request.untranslatable == name
    assert natives(request)[0]["content"] == [part]


def test_calls_and_what_the_assistant_said_become_one_message(ask: Ask) -> None:
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]}
    request = ask(input=[{"role": "user", "content": "6*7"}, REASONING, said, CALL, {**CALL, "call_id": "c2"}, OUTPUT])
    assert messages(request)[1] == {
        "role": "assistant",
        "content": "Let me see.",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
            {"id": "c2", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        ],
    }
    assert messages(request)[2] == {"role": "tool", "tool_call_id": "c1", "content": "42"}
    assert [item["type"] for item in natives(request)[1:]] == [
        "reasoning",
        "message",
        "function_call",
        "function_call",
        "function_call_output",
    ]


def test_words_after_a_call_stay_in_its_message(ask: Ask) -> None:
    """A tool's answer must follow the message with its call."""
    request = ask(input=[CALL, {"role": "assistant", "content": "Wait."}, OUTPUT])
    assert [m["role"] for m in messages(request)] == ["assistant", "tool"]
    assert messages(request)[0]["content"] == "Wait."


def test_two_messages_of_the_assistant_stay_two(ask: Ask) -> None:
    request = ask(input=[{"role": "assistant", "content": "A"}, {"role": "assistant", "content": "B"}])
    assert [m["content"] for m in messages(request)] == ["A", "B"]


def test_a_refusal_is_kept(ask: Ask) -> None:
    request = ask(input=[{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}])
    assert messages(request) == [{"role": "assistant", "content": None, "refusal": "No."}]
    assert request.messages[0].text == "No."


def test_reasoning_travels_with_its_neighbour_to_native_targets_only(ask: Ask) -> None:
    request = ask(input=[REASONING, {"role": "user", "content": "go on"}, REASONING])
    assert messages(request) == [{"role": "user", "content": "go on"}]
    assert [item["type"] for item in natives(request) if "type" in item] == ["reasoning", "reasoning"]
    assert len(natives(request)) == 3


def test_output_of_a_tool_in_parts(ask: Ask) -> None:
    request = ask(input=[CALL, {**OUTPUT, "output": [{"type": "input_text", "text": "42"}]}])
    assert messages(request)[1]["content"] == [{"type": "text", "text": "42"}]


def test_hosted_items_are_for_native_targets(ask: Ask) -> None:
    request = ask(input=[{"role": "user", "content": "x"}, {"type": "web_search_call", "id": "ws_1", "status": "completed"}])
    assert request.untranslatable == "input[1].type"
    assert natives(request)[1]["id"] == "ws_1"


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"type": "function_call", "name": "f", "arguments": "{}"}, "input[0].call_id"),
        ({"type": "function_call", "call_id": "c", "arguments": "{}"}, "input[0].name"),
        ({"type": "function_call", "call_id": "c", "name": "f"}, "input[0].arguments"),
        ({"type": "function_call_output", "output": "x"}, "input[0].call_id"),
        ({"type": "function_call_output", "call_id": "c"}, "input[0].output"),
        ({"type": "item_reference", "id": "msg_1"}, "input[0]"),
        ({"role": "user"}, "input[0].content"),
        ({"content": "x"}, "input[0].role"),
        ({"role": "wizard", "content": "x"}, "input[0].role"),
        ({"role": "user", "content": [{"text": "x"}]}, "input[0].content[0]"),
        ({"role": "user", "content": [{"type": "input_text", "text": 7}]}, "input[0].content[0].text"),
        (7, "input[0]"),
    ],
)
def test_broken_items_are_named(ask: Ask, item: object, param: str) -> None:
    error = refused(ask, input=[item])
    assert (error.kind, error.param) == (MALFORMED, param)


def test_settings_in_chat_terms(ask: Ask) -> None:
    schema = {"type": "object", "properties": {}}
    request = ask(
        tools=[{"type": "function", "name": "f", "description": "d", "parameters": schema, "strict": True}],
        tool_choice={"type": "function", "name": "f"},
        text={"format": {"type": "json_schema", "name": "n", "schema": schema, "strict": True}, "verbosity": "low"},
        reasoning={"effort": "low", "summary": "auto"},
        max_output_tokens=10,
        temperature=0.5,
        top_p=0.9,
        top_logprobs=3,
        parallel_tool_calls=False,
        service_tier="flex",
        safety_identifier="u-1",
        prompt_cache_key="k",
        metadata={"a": "b"},
        include=["reasoning.encrypted_content"],
        truncation="disabled",
        stream_options={"include_obfuscation": False},
        max_tool_calls=None,
    )
    assert request.untranslatable is None
    assert fields(request) == {
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": schema, "strict": True}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}},
        "verbosity": "low",
        "reasoning_effort": "low",
        "max_tokens": 10,
        "temperature": 0.5,
        "top_p": 0.9,
        "logprobs": True,
        "top_logprobs": 3,
        "parallel_tool_calls": False,
        "service_tier": "flex",
        "safety_identifier": "u-1",
        "prompt_cache_key": "k",
    }
    assert request.user == "u-1"
    assert "metadata" in request.native
    assert "model" not in request.native


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        ({"text": {"format": {"type": "text"}}}, {}),
        ({"text": None}, {}),
        ({"tool_choice": "required"}, {"tool_choice": "required"}),
        (
            {"tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]}},
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
                }
            },
        ),
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
        ({"tools": []}, {}),
        ({"reasoning": {"effort": None}}, {}),
        ({"top_logprobs": 0}, {}),
        ({"temperature": None}, {}),
    ],
)
def test_more_settings(ask: Ask, given: dict[str, Any], made: dict[str, Any]) -> None:
    request = ask(**given)
    assert fields(request) == made
    assert request.untranslatable is None


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"tools": [{"type": "function", "name": "f"}, {"type": "web_search"}]}, "tools[1].type"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "tools[0].type"),
        ({"tool_choice": {"type": "file_search"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "allowed_tools", "tools": [{"type": "mcp"}]}}, "tool_choice.type"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"reasoning": {"context": "all_turns"}}, "reasoning.context"),
        ({"truncation": "auto"}, "truncation"),
        ({"max_tool_calls": 3}, "max_tool_calls"),
        ({"stop": ["x"]}, "stop"),
    ],
)
def test_what_chat_cannot_say_is_named(ask: Ask, given: dict[str, Any], name: str) -> None:
    assert ask(**given).untranslatable == name


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"previous_response_id": "x" * 129}, "previous_response_id"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": "many"}, "max_output_tokens"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": "f"}, "tools"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format"),
        ({"text": {"colour": "red"}}, "text"),
        ({"reasoning": "high"}, "reasoning"),
        ({"input": 7}, "input"),
        ({"stream": "yes"}, "stream"),
        ({"model": "m" * 257}, "model"),
        ({"prompt": {"id": "p", "alias": "x"}}, "prompt"),
        ({"prompt": {"id": "p", "variables": {"v": {"type": "input_image", "image_url": "u"}}}}, "prompt.variables.v"),
    ],
)
def test_what_is_refused_names_its_field(ask: Ask, given: dict[str, Any], param: str) -> None:
    error = refused(ask, **given)
    assert (error.kind, error.param) == (MALFORMED, param)
    assert param in error.detail


def test_a_body_that_is_no_object_is_malformed() -> None:
    for body in (b"[]", b"{", b"\xff", b'{"input":' + b"[" * 3000 + b"]" * 3000 + b"}"):
        with pytest.raises(GatewayError) as caught:
            RESPONSES_DIALECT.read(Inbound("responses", {}, body, "i", "r", 0, 0.0, 1.0))
        assert caught.value.kind is MALFORMED


def test_a_stored_prompt_by_its_id(ask: Ask) -> None:
    variables = {"company": "Umbrella", "question": {"type": "input_text", "text": "free?"}, "n": 3, "o": {"type": "car"}}
    request = ask(model=None, input=None, prompt={"id": "pmpt_abc123", "version": "2", "variables": variables})
    assert request.reference == Reference("pmpt_abc123", version=2)
    assert request.variables == {"company": "Umbrella", "question": "free?", "n": 3, "o": {"type": "car"}}
    assert request.messages == ()
    assert "prompt" not in request.native
    assert request.turn is not None
    assert msgspec.json.decode(request.turn.echo["prompt"])["id"] == "pmpt_abc123"


def test_namings_must_agree(ask: Ask) -> None:
    assert refused(ask, model="other@staging", prompt={"id": "pmpt_abc"}).kind is CONTRADICTION


def test_the_turn(ask: Ask) -> None:
    turn = ask(previous_response_id="resp_1", store=False).turn
    assert turn is not None
    assert (turn.previous, turn.keep) == ("resp_1", False)
    default = ask(input=[{"role": "user", "content": "x"}]).turn
    assert default is not None
    assert (default.previous, default.keep) == (None, True)
    assert [msgspec.json.decode(item) for item in default.items] == [{"role": "user", "content": "x"}]


def test_earlier_items_come_between_instructions_and_input(ask: Ask) -> None:
    earlier = [Raw(msgspec.json.encode(item)) for item in ({"role": "user", "content": "6*7"}, CALL)]
    request = after(ask(input=[OUTPUT], instructions="Be brief."), earlier)
    assert [m["role"] for m in messages(request)] == ["system", "user", "assistant", "tool"]
    assert len(natives(request)) == 4
