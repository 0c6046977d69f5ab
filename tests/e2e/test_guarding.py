"""Guards on the real process, seen by the official SDK: masks and the way back, redaction in a stream, tool calls that are blocked."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import openai
import pytest
from openai import OpenAI

from tests.e2e.openai_upstream import OpenAIUpstream

FRAME = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini"}
EMAIL = {"pattern": r"\b[a-z]+@[a-z]+\.example\b", "name": "email"}
RAILS = {
    "pre_validation": {"validators": [{"type": "regex", "options": EMAIL, "on_fail": "mask"}]},
    "post_validation": {
        "validators": [
            {"type": "terms", "options": {"terms": ["Globex Corp"], "name": "competitor"}, "on_fail": "redact"},
            {"type": "regex", "name": "shell", "options": {"pattern": "rm -rf"}, "stage": "tools"},
        ]
    },
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[OpenAIUpstream]:
    with OpenAIUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def client(start_gateway: Callable[..., Any], upstream: OpenAIUpstream) -> Iterator[OpenAI]:
    gateway = start_gateway(upstream=upstream.url)
    with gateway.admin(base_url=f"{gateway.url}/api/v1") as api:
        content = {"messages": [{"type": "message", "role": "system", "content": "Help."}], "guardrails": RAILS}
        api.post("/prompts", json={"slug": "guarded", "content": content}).raise_for_status()
        api.post("/prompts/guarded/versions/1/publish", json={"wait": True}).raise_for_status()
    with (
        gateway.client() as http,
        OpenAI(base_url=f"{gateway.url}/v1", api_key=http.headers["authorization"][7:], max_retries=0) as made,
    ):
        yield made


def whole(message: dict[str, Any]) -> dict[str, Any]:
    return {**FRAME, "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}]}


def chunks(*deltas: dict[str, Any]) -> list[dict[str, Any]]:
    said = [{**FRAME, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    return [*said, {**FRAME, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]


def test_masks_go_out_and_values_come_back(client: OpenAI, upstream: OpenAIUpstream) -> None:
    def answer(body: dict[str, Any]) -> Any:
        assert body["messages"][-1]["content"] == "I am <EMAIL_1>."
        if not body.get("stream"):
            return whole({"content": "Hello <EMAIL_1>!"})
        return chunks(*[{"content": piece} for piece in ("Hello ", "<EMA", "IL_1", ">", "!")])

    upstream.chat = answer
    messages: Any = [{"role": "user", "content": "I am ann@home.example."}]
    said = client.chat.completions.create(model="guarded", messages=messages)
    assert said.choices[0].message.content == "Hello ann@home.example!"
    stream = client.chat.completions.create(model="guarded", messages=messages, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "Hello ann@home.example!"
    assert b"ann@" not in upstream.last.body


def test_what_is_redacted_in_a_stream_is_never_shown(client: OpenAI, upstream: OpenAIUpstream) -> None:
    pieces = ["Try us, not Glo", "BEX c", "orp", ", really. ", "Globex too"]
    upstream.chat = lambda body: chunks(*[{"content": piece} for piece in pieces])
    stream = client.chat.completions.create(model="guarded", messages=[{"role": "user", "content": "Hi"}], stream=True)
    said = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert "".join(said) == "Try us, not [COMPETITOR], really. Globex too"
    assert said[0] == "Try us, not [COMPETITOR]"


def test_a_tool_call_is_blocked_before_any_of_it_is_shown(client: OpenAI, upstream: OpenAIUpstream) -> None:
    def call(arguments: str, **more: Any) -> dict[str, Any]:
        return {"tool_calls": [{"index": 0, "function": {"arguments": arguments}, **more}]}

    upstream.chat = lambda body: chunks(call("", id="call_1", type="function"), call('{"c":"rm'), call(' -rf /"}'))
    with pytest.raises(openai.BadRequestError) as refused:
        list(client.chat.completions.create(model="guarded", messages=[{"role": "user", "content": "Hi"}], stream=True))
    assert refused.value.code == "guardrail_blocked"
    assert refused.value.param == "post:shell"
    harmless = {"id": "call_1", "type": "function", "function": {"name": "run", "arguments": '{"c": "ls <EMAIL_1>"}'}}
    upstream.chat = lambda body: whole({"content": None, "tool_calls": [harmless]})
    said = client.chat.completions.create(model="guarded", messages=[{"role": "user", "content": "of ann@home.example"}])
    assert said.choices[0].message.tool_calls is not None
    (made,) = said.choices[0].message.tool_calls
    assert msgspec.json.decode(made.function.arguments) == {"c": "ls ann@home.example"}  # type: ignore[union-attr]
