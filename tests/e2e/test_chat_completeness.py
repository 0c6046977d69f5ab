"""Everything a chat call can carry, there and back, against the real process: what the gateway does not act on it does not touch."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import msgspec
import openai
import pytest
from msgspec import Raw
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.e2e.openai_upstream import OpenAIUpstream

USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 4, "accepted_prediction_tokens": 0},
}
LOGPROBS = {"content": [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}], "refusal": None}
PICTURE = "data:image/png;base64," + base64.b64encode(b"\x89PNG" * 5000).decode()
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "d",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
            "strict": True,
        },
    }
    for name in ("weather", "time")
]
CALLS = [("call_1", "weather", '{"city":"Rome"}'), ("call_2", "time", '{"city":"Oslo \u00e9"}')]
ASK: list[Any] = [{"role": "user", "content": "hello"}]


def said(message: dict[str, Any], finish: str = "stop", index: int = 0) -> dict[str, Any]:
    return {"index": index, "message": {"role": "assistant", **message}, "logprobs": LOGPROBS, "finish_reason": finish}


def whole(*choices: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": list(choices),
        "usage": USAGE,
        "service_tier": "flex",
        "system_fingerprint": "fp_1",
        "x_new": {"a": 1.0},
    }


def delta(content: dict[str, Any], finish: str | None = None, index: int = 0) -> dict[str, Any]:
    choice = {"index": index, "delta": content, "logprobs": None, "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "flex",
        "choices": [choice],
        "obfuscation": "x1",
    }


def closing() -> dict[str, Any]:
    return {**delta({}), "choices": [], "usage": USAGE}


def tool_deltas() -> list[dict[str, Any]]:
    """Two calls, one after the other, their arguments in pieces."""
    chunks = [delta({"role": "assistant", "content": None})]
    for index, (call_id, name, args) in enumerate(CALLS):
        start = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
        chunks.append(delta({"tool_calls": [start]}))
        pieces = [args[i : i + 4] for i in range(0, len(args), 4)]
        chunks.extend(delta({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}) for piece in pieces)
    return [*chunks, delta({}, "tool_calls")]


def answer(body: dict[str, Any]) -> list[dict[str, Any]] | dict[str, Any]:
    """What the fake model says: it is asked by the body alone."""
    wants = (body.get("response_format") or {}).get("type")
    if body.get("tools") and body.get("stream"):
        return [*tool_deltas(), closing()]
    if body.get("tools"):
        calls = [{"id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in CALLS]
        return whole(said({"content": None, "tool_calls": calls, "refusal": None}, "tool_calls"))
    text = '{"city":"Rome","warm":true}' if wants in {"json_schema", "json_object"} else "Hi"
    if body.get("stream"):
        pieces = [text[i : i + 5] for i in range(0, len(text), 5)]
        first = delta({"role": "assistant", "content": "", "reasoning_content": "thinking"})
        return [first, *[delta({"content": piece}) for piece in pieces], delta({}, "stop"), closing()]
    return whole(
        *[said({"content": text, "reasoning_content": "why", "annotations": []}, index=i) for i in range(body.get("n", 1))]
    )


@pytest.fixture(scope="module")
def upstream() -> Iterator[OpenAIUpstream]:
    with OpenAIUpstream(chat=answer) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def gateway(start_gateway: Callable[..., Any], upstream: OpenAIUpstream) -> Any:
    return start_gateway(upstream=upstream.url)


@pytest.fixture(scope="module")
def client(gateway: Any) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.api_key, max_retries=0, timeout=120) as client:
        yield client


# --- bytes ------------------------------------------------------------------------------------------------------------

FIELDS: dict[str, bytes] = {
    "tools": b'[ {"type":"function","function":{"name":"f","parameters":{"type" : "object"}}} ]',
    "tool_choice": b'{"type":"function","function":{"name":"f"}}',
    "parallel_tool_calls": b"false",
    "response_format": b'{"type":"json_schema","json_schema":{"name":"n","schema":{"a":1.0},"strict":true}}',
    "n": b"2",
    "logprobs": b"true",
    "top_logprobs": b"5",
    "seed": b"9007199254740993",
    "stop": b'["\\u0041","b"]',
    "temperature": b"1.0",
    "top_p": b"1e-1",
    "max_tokens": b"10",
    "max_completion_tokens": b"10",
    "frequency_penalty": b"0.0",
    "presence_penalty": b"null",
    "logit_bias": b'{"50256":-100}',
    "reasoning_effort": b'"high"',
    "verbosity": b'"low"',
    "service_tier": b'"flex"',
    "store": b"false",
    "metadata": b'{"k":"v"}',
    "modalities": b'["text","audio"]',
    "audio": b'{"voice":"alloy","format":"wav"}',
    "prediction": b'{"type":"content","content":"x"}',
    "web_search_options": b"{}",
    "safety_identifier": b'"s"',
    "prompt_cache_key": b'"p"',
    "user": b'"u1"',
    "functions": b"[]",
    "x_vendor": b'{ "nested": [1.50, null, {"\\u00e9":true}] }',
}
MESSAGES = (
    b'[ {"role":"developer","content":"d"},'
    b'{"role":"user","content":[{"type":"text","text":"\\u0068i"},{"type":"image_url","image_url":{"url":"%b","detail":"low"}},'
    b'{"type":"input_audio","input_audio":{"data":"eA==","format":"wav"}},{"type":"file","file":{"file_data":"eA=="}}],"name":"n"},'
    b'{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},'
    b'{"role":"tool","tool_call_id":"c","content":"ok"} ]'
) % PICTURE.encode()


@pytest.mark.parametrize("stream", [False, True])
def test_every_field_arrives_byte_for_byte(gateway: Any, upstream: OpenAIUpstream, stream: bool) -> None:
    given = {**FIELDS, "messages": MESSAGES, "model": b'"gpt-4o-mini"'}
    if stream:
        given["stream"] = b"true"
    body = b"{" + b",".join(b'"%b":%b' % (name.encode(), value) for name, value in given.items()) + b"}"
    with gateway.client() as client:
        response = client.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert response.is_success, response.text
    sent = msgspec.json.decode(upstream.last.body, type=dict[str, Raw])
    assert {name: bytes(sent[name]) for name in FIELDS} == FIELDS
    assert set(sent) == set(given) | ({"stream_options"} if stream else set())
    messages = msgspec.json.decode(sent["messages"], type=list[Raw])
    assert [bytes(m) for m in messages] == [bytes(m) for m in msgspec.json.decode(MESSAGES, type=list[Raw])]


def test_a_whole_answer_comes_back_byte_for_byte(gateway: Any) -> None:
    with gateway.client() as client:
        response = client.post("/v1/chat/completions", json={"model": "gpt-4o-mini", "messages": ASK, "n": 2})
    # The fake upstream writes with the standard library's separators, which nobody else here does.
    assert b'", "' in response.content
    assert response.json() == answer({"n": 2})


def test_chunks_come_back_byte_for_byte(gateway: Any) -> None:
    body = {"model": "gpt-4o-mini", "messages": ASK, "stream": True, "tools": TOOLS}
    with gateway.client() as client:
        response = client.post("/v1/chat/completions", json=body)
    frames = [frame.removeprefix("data: ").encode() for frame in response.text.split("\n\n") if frame]
    assert frames == [*[msgspec.json.encode(chunk) for chunk in tool_deltas()], b"[DONE]"]


# --- the SDK ----------------------------------------------------------------------------------------------------------


def test_parallel_tool_calls(client: OpenAI) -> None:
    answered = client.chat.completions.create(model="gpt-4o-mini", messages=ASK, tools=TOOLS, parallel_tool_calls=True)
    choice = answered.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    calls: list[Any] = list(choice.message.tool_calls or [])
    assert [(c.id, c.function.name, c.function.arguments) for c in calls] == CALLS
    assert answered.service_tier == "flex"
    assert answered.usage is not None
    assert answered.usage.completion_tokens_details is not None
    assert answered.usage.completion_tokens_details.reasoning_tokens == 4
    # The answer to the calls goes the same way.
    history = [*ASK, choice.message, *[{"role": "tool", "tool_call_id": c.id, "content": "sunny"} for c in calls]]
    assert client.chat.completions.create(model="gpt-4o-mini", messages=history).choices[0].message.content == "Hi"


def test_tool_calls_streamed(client: OpenAI, upstream: OpenAIUpstream) -> None:
    with client.chat.completions.stream(
        model="gpt-4o-mini", messages=ASK, tools=TOOLS, stream_options={"include_usage": True}
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"tool_calls.function.arguments.delta", "tool_calls.function.arguments.done"} <= kinds
    assert [(c.id, c.function.name, c.function.arguments) for c in final.choices[0].message.tool_calls or []] == CALLS
    assert final.usage is not None
    assert final.usage.total_tokens == 29
    assert final.usage.prompt_tokens_details is not None
    assert final.usage.prompt_tokens_details.cached_tokens == 5


class Weather(BaseModel):
    """What is asked for."""

    city: str
    warm: bool


def test_structured_output(client: OpenAI, upstream: OpenAIUpstream) -> None:
    parsed = client.chat.completions.parse(model="gpt-4o-mini", messages=ASK, response_format=Weather)
    assert parsed.choices[0].message.parsed == Weather(city="Rome", warm=True)
    assert upstream.last.json["response_format"]["json_schema"]["strict"] is True
    with client.chat.completions.stream(model="gpt-4o-mini", messages=ASK, response_format=Weather) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == Weather(city="Rome", warm=True)
    plain = client.chat.completions.create(model="gpt-4o-mini", messages=ASK, response_format={"type": "json_object"})
    assert msgspec.json.decode(plain.choices[0].message.content or "") == {"city": "Rome", "warm": True}


async def test_the_async_client_on_all_of_it(gateway: Any) -> None:
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.api_key, max_retries=0) as client:
        parsed = await client.chat.completions.parse(model="gpt-4o-mini", messages=ASK, response_format=Weather)
        assert parsed.choices[0].message.parsed == Weather(city="Rome", warm=True)
        async with client.chat.completions.stream(model="gpt-4o-mini", messages=ASK, tools=TOOLS) as stream:
            final = await stream.get_final_completion()
        assert [c.function.arguments for c in final.choices[0].message.tool_calls or []] == [args for _, _, args in CALLS]
        raw = await client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=ASK, n=2, logprobs=True)
        assert raw.headers["x-provider"] == "openai"
        several = raw.parse()
        assert [choice.index for choice in several.choices] == [0, 1]
        assert several.choices[1].logprobs is not None
        assert several.choices[1].logprobs.content is not None
        assert several.choices[1].logprobs.content[0].bytes == [72, 105]


def test_pictures_reach_the_model_as_they_are(client: OpenAI, upstream: OpenAIUpstream) -> None:
    content: list[Any] = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": PICTURE}}]
    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": content}])
    assert upstream.last.json["messages"][0]["content"] == content


def test_reasoning_is_passed_on(client: OpenAI) -> None:
    whole = client.chat.completions.create(model="gpt-4o-mini", messages=ASK, reasoning_effort="low")
    assert (whole.choices[0].message.model_extra or {})["reasoning_content"] == "why"
    first = next(iter(client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True)))
    assert (first.choices[0].delta.model_extra or {})["reasoning_content"] == "thinking"


def test_a_refused_call_raises_the_sdks_class_with_the_providers_words(client: OpenAI, upstream: OpenAIUpstream) -> None:
    upstream.fail["/v1/chat/completions"] = (422, {})
    try:
        for stream in (False, True):
            with pytest.raises(openai.UnprocessableEntityError) as caught:
                client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=stream)
            assert "refused with 422" in caught.value.message
    finally:
        upstream.fail.clear()


def test_tools_of_a_stored_prompt_are_the_versions_unless_it_lets_them_go(gateway: Any, upstream: OpenAIUpstream) -> None:
    with gateway.client() as client:
        body = {"model": "faq-bot", "messages": ASK, "tools": TOOLS}
        response: httpx.Response = client.post("/v1/chat/completions", json=body)
    assert response.is_success, "a field that the version says nothing of is the caller's"
    assert upstream.last.json["tools"] == TOOLS
