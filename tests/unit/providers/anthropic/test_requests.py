"""Requests as the vendor's schema wants them: golden pairs, each checked against the official SDK's types too."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from anthropic.types.message_create_params import MessageCreateParamsBase
from msgspec import Raw
from pydantic import TypeAdapter

from gateway.core.conversation import Message
from gateway.core.errors import GatewayError
from gateway.core.upstream import Target, UpstreamCall
from gateway.providers.anthropic.translator import AnthropicTranslator

GOLDEN: list[dict[str, Any]] = msgspec.json.decode(
    (Path(__file__).parents[3] / "golden" / "anthropic" / "requests.json").read_bytes()
)
TARGET = Target("anthropic", "claude-sonnet-4-6", "https://api.anthropic.com/v1", "sk-ant-test")
TRANSLATOR = AnthropicTranslator(lambda: 0)
VENDOR = TypeAdapter(MessageCreateParamsBase)


def raws(fields: dict[str, Any]) -> dict[str, Raw]:
    return {name: Raw(msgspec.json.encode(value)) for name, value in fields.items()}


def chat_call(body: dict[str, Any], *, model: str = "claude-sonnet-4-6", stream: bool = False) -> UpstreamCall:
    body = dict(body)
    messages = body.pop("messages", [{"role": "user", "content": "hi"}])
    conversation = tuple(Message(m["role"], "", msgspec.json.encode(m)) for m in messages)
    return UpstreamCall(model, conversation, stream, raws(body))


def sent(call: UpstreamCall) -> dict[str, Any]:
    return msgspec.json.decode(TRANSLATOR.request(TARGET, call).body)


@pytest.mark.parametrize("case", GOLDEN, ids=[case["about"] for case in GOLDEN])
def test_a_chat_call_becomes_the_vendors_request(case: dict[str, Any]) -> None:
    call = chat_call(case["chat"], model=case["model"], stream=case.get("stream", False))
    body = sent(call)
    assert body == case["anthropic"]
    VENDOR.validate_python(body)
    assert TRANSLATOR.request(TARGET, call) == TRANSLATOR.request(TARGET, call)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("logprobs", True),
        ("seed", 7),
        ("frequency_penalty", 0.5),
        ("metadata", {"a": "b"}),
        ("audio", {"voice": "x"}),
        ("functions", []),
        ("web_search_options", {}),
        ("something_new", 1),
        ("temperature", 1.5),
        ("temperature", "hot"),
        ("max_tokens", "many"),
        ("max_completion_tokens", 1.5),
        ("stop", 7),
        ("user", 7),
        ("service_tier", "flex"),
        ("response_format", {"type": "json_object"}),
        ("response_format", {"type": "json_schema"}),
        ("response_format", []),
        ("tool_choice", "sometimes"),
        ("tool_choice", {"type": "allowed_tools"}),
        ("tools", [{"type": "custom", "custom": {"name": "x"}}]),
        ("tools", {}),
        ("reasoning_effort", "huge"),
        ("parallel_tool_calls", "no"),
        ("verbosity", "high"),
    ],
)
def test_a_field_without_a_form_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(GatewayError) as caught:
        sent(chat_call({field: value}))
    assert (caught.value.kind.name, caught.value.param) == ("malformed", field)
    assert field in caught.value.detail


@pytest.mark.parametrize(
    "message",
    [
        {"role": "function", "name": "f", "content": "x"},
        {"role": "tool", "content": "no id"},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "ftp://x/y"}}]},
        {"role": "user", "content": [{"type": "file", "file": {}}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_data": "data:text/csv;base64,YQ=="}}]},
        {"role": "system", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
        {"role": "assistant", "tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "x", "input": ""}}]},
        {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "x", "arguments": "[1]"}}]},
        {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "x", "arguments": "{"}}]},
        {"role": "assistant", "content": 7},
    ],
)
def test_a_message_without_a_form_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        sent(chat_call({"messages": [message]}))
    assert (caught.value.kind.name, caught.value.param) == ("malformed", "messages")


def test_a_budget_that_does_not_fit_is_refused() -> None:
    with pytest.raises(GatewayError) as caught:
        sent(chat_call({"max_tokens": 1024, "reasoning_effort": "low"}, model="claude-3-7-sonnet-20250219"))
    assert caught.value.param == "reasoning_effort"


def test_an_effort_beside_own_thinking_means_nothing_to_a_budgeted_model() -> None:
    thinking = {"type": "enabled", "budget_tokens": 2000}
    body = sent(chat_call({"reasoning_effort": "low", "thinking": thinking}, model="claude-haiku-4-5"))
    assert body["thinking"] == thinking
    assert "output_config" not in body


@pytest.mark.parametrize(
    ("model", "thinking"),
    [
        ("claude-3-7-sonnet-20250219", "enabled"),
        ("claude-sonnet-4-20250514", "enabled"),
        ("claude-4-opus-20250514", "enabled"),
        ("claude-opus-4-1", "enabled"),
        ("claude-haiku-4-5-20251001", "enabled"),
        ("claude-sonnet-4@20250514", "enabled"),
        ("anthropic.claude-opus-4-5-20251101-v1:0", "enabled"),
        ("claude-opus-4-6", "adaptive"),
        ("claude-sonnet-4-6-20260101", "adaptive"),
        ("claude-opus-5", "adaptive"),
        ("claude-haiku-5-5", "adaptive"),
        ("claude-fable-5-2", "adaptive"),
        ("somebody-elses-model", "adaptive"),
    ],
)
def test_which_models_are_given_a_budget(model: str, thinking: str) -> None:
    assert sent(chat_call({"reasoning_effort": "low"}, model=model))["thinking"]["type"] == thinking


@pytest.mark.parametrize(("choice", "sent_on"), [("auto", False), ("none", False), ("required", True)])
def test_a_choice_among_no_tools(choice: str, sent_on: bool) -> None:
    assert ("tool_choice" in sent(chat_call({"tool_choice": choice}))) == sent_on


def test_what_says_nothing_is_not_sent() -> None:
    empty = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": ""},
        {"role": "tool", "tool_call_id": "t", "content": ""},
    ]
    body = sent(chat_call({"messages": empty, "tools": [], "parallel_tool_calls": True}))
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "tool_result", "tool_use_id": "t"}]}
    ]
    assert "tools" not in body
    assert "tool_choice" not in body


def test_headers_of_a_translated_call() -> None:
    request = TRANSLATOR.request(TARGET, chat_call({}))
    assert request.path == "/messages"
    assert dict(request.headers) == {
        b"content-type": b"application/json",
        b"anthropic-version": b"2023-06-01",
        b"x-api-key": b"sk-ant-test",
    }
    keyless = TRANSLATOR.request(msgspec.structs.replace(TARGET, api_key=""), chat_call({}))
    assert b"x-api-key" not in dict(keyless.headers)


# --- native calls -------------------------------------------------------------------------------------------------------
def native_call(conversation: tuple[Message, ...], native: dict[str, bytes], **stored: object) -> UpstreamCall:
    fields = {name: Raw(value) for name, value in native.items()}
    headers = {b"anthropic-version": b"2026-10-21", b"anthropic-beta": b"files-api-2025-04-14"}
    return UpstreamCall("claude-opus-5-5", conversation, False, {}, "messages", fields, raws(stored), headers)


STORED = Message("system", "Be brief.", b'{"role":"system","content":"Be brief."}')
ASKED = Message("user", "hi", b'{"role":"user","content":"hi"}', b'{"role": "user",  "content":"hi"}')


def test_a_native_call_goes_on_byte_for_byte_with_its_headers() -> None:
    request = TRANSLATOR.request(TARGET, native_call((ASKED,), {"max_tokens": b"10", "container": b'{"id":  "c"}'}))
    assert ASKED.native is not None
    assert ASKED.native in request.body
    assert b'"container":{"id":  "c"}' in request.body
    headers = dict(request.headers)
    assert headers[b"anthropic-version"] == b"2026-10-21"
    assert headers[b"anthropic-beta"] == b"files-api-2025-04-14"
    assert msgspec.json.decode(request.body) == {
        "max_tokens": 10,
        "container": {"id": "c"},
        "model": "claude-opus-5-5",
        "messages": [{"role": "user", "content": "hi"}],
    }


def test_stored_messages_and_parameters_come_in_under_the_callers() -> None:
    own = Message("system", "Own.", b"{}", b'[{"type":"text","text":"Own.","cache_control":{"type":"ephemeral"}}]')
    example = Message("assistant", "yes", b'{"role":"assistant","content":"yes"}')
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    call = native_call(
        (STORED, own, ASKED, example),
        {"output_config": b'{"effort":"low"}'},
        temperature=0.5,
        stop=["END"],
        response_format=schema,
    )
    assert sent(call) == {
        "max_tokens": 16384,
        "temperature": 0.5,
        "stop_sequences": ["END"],
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "model": "claude-opus-5-5",
        "system": [
            {"type": "text", "text": "Be brief."},
            {"type": "text", "text": "Own.", "cache_control": {"type": "ephemeral"}},
        ],
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [{"type": "text", "text": "yes"}]}],
    }


@pytest.mark.parametrize(
    ("native", "expected"),
    [
        (b'"Own."', "Own."),
        (b'[ {"type":"text","text":"Own."} ]', [{"type": "text", "text": "Own."}]),
        (b'""', None),
        (b'{"role":"system","content":"Own."}', None),
        (
            b'[{"type":"text","text":"Own."},{"type":"text","text":"Two."}]',
            [{"type": "text", "text": "Own."}, {"type": "text", "text": "Two."}],
        ),
    ],
)
def test_the_callers_system_keeps_its_form(native: bytes, expected: object) -> None:
    own = Message("system", "Own.", b"{}", native)
    body = sent(native_call((own, ASKED), {}))
    assert body.get("system") == expected
    assert [m["role"] for m in body["messages"]] == (["system", "user"] if native.startswith(b"{") else ["user"])


def test_one_stored_text_is_sent_as_a_text_and_parts_of_a_message_once() -> None:
    part = Message("user", "more", b'{"role":"user","content":"more"}', b"")
    body = sent(native_call((STORED, ASKED, part), {}))
    assert body["system"] == "Be brief."
    assert body["messages"] == [{"role": "user", "content": "hi"}]


def test_a_question_for_a_count_has_nothing_that_bears_on_the_answer() -> None:
    call = native_call((ASKED,), {"max_tokens": b"1", "temperature": b"0", "tools": b"[]", "thinking": b'{"type":"adaptive"}'})
    request = TRANSLATOR.count_request(TARGET, call)
    assert request.path == "/messages/count_tokens"
    assert set(msgspec.json.decode(request.body)) == {"model", "messages", "tools", "thinking"}
    assert TRANSLATOR.counted(b'{"input_tokens":42}') == 42
    with pytest.raises(GatewayError):
        TRANSLATOR.counted(b'{"tokens":42}')
