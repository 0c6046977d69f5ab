"""The official openai SDK in front, vendors' own APIs behind: the caller sees no difference."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI

from tests.e2e.native_upstreams import ARGUMENTS, KEYS, REGION, running

ROOT = Path(__file__).parents[2]
NATIVE = ["gemini", "cohere", "bedrock"]
ALL = [*NATIVE, "azure"]
HELLO: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello there"}]
WEATHER: Any = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
PROVIDERS = """
[providers.gemini]
kind = "gemini"
base_url = "{url}/gemini"
api_key_file = "key-file"

[providers.cohere]
kind = "cohere"
base_url = "{url}/cohere"

[providers.azure]
kind = "azure"
base_url = "{url}/azure"
api_version = "2024-10-21"

[providers.bedrock]
kind = "bedrock"
base_url = "{url}/bedrock"
"""
ROUTE = """
[[routes]]
models = ["{name}-*"]
targets = [{{ provider = "{name}" }}]
"""


@pytest.fixture(scope="module")
def gateway(start_gateway: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running() as url:
        home = tmp_path_factory.mktemp("native")
        shutil.copytree(ROOT / "config", home / "config")
        routes = "".join([ROUTE.format(name=name) for name in ALL])
        (home / "config" / "providers.toml").write_text(PROVIDERS.format(url=url) + routes)
        (home / "key-file").write_text("key-of-gemini\n")
        yield start_gateway(
            PROMPTGATE_CONFIG=str(home / "config"),
            PROMPTGATE_PROVIDERS_AZURE_API_KEY="key-of-azure",
            CO_API_KEY="key-of-cohere",
            AWS_REGION=REGION,
            AWS_ACCESS_KEY_ID=KEYS.access_key_id,
            AWS_SECRET_ACCESS_KEY=KEYS.secret_access_key,
            AWS_SESSION_TOKEN=KEYS.session_token,
        )


@pytest.fixture(scope="module")
def client(gateway: Any) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.api_key, max_retries=0, timeout=120) as client:
        yield client


@pytest.mark.parametrize("provider", ALL)
def test_a_whole_answer(client: OpenAI, provider: str) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=f"{provider}-1", messages=HELLO, max_completion_tokens=50, temperature=0.1, n=1, user="ann", logprobs=False
    )
    answer = raw.parse()
    assert answer.choices[0].message.content == "hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.object == "chat.completion"
    assert answer.id
    if provider in {"bedrock", "cohere"}:
        assert answer.model == f"{provider}-1", "what was asked: these two name none"
    assert (raw.headers["x-provider"], raw.headers["x-model"]) == (provider, f"{provider}-1")
    assert answer.usage.prompt_tokens == 11
    assert answer.usage.completion_tokens == (7 if provider == "gemini" else 3)
    assert answer.usage.prompt_tokens_details.cached_tokens == (0 if provider == "cohere" else 5)


@pytest.mark.parametrize("provider", ALL)
def test_a_stream(client: OpenAI, provider: str) -> None:
    with client.chat.completions.create(
        model=f"{provider}-1", messages=HELLO, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert "".join([choice.delta.content or "" for choice in choices]) == "hello there"
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["stop"]
    assert choices[0].delta.role == "assistant"
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].choices == []
    assert chunks[-1].usage.prompt_tokens == 11


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("streamed", [False, True])
def test_tools_there_and_back(client: OpenAI, provider: str, streamed: bool) -> None:
    call: dict[str, Any] = {"model": f"{provider}-tools", "messages": HELLO, "tools": [WEATHER], "tool_choice": "required"}
    if streamed:
        with client.chat.completions.stream(**call) as stream:
            choice = stream.get_final_completion().choices[0]
    else:
        choice = client.chat.completions.create(**call).choices[0]
    assert choice.finish_reason == "tool_calls"
    (tool,) = choice.message.tool_calls
    assert tool.function.name == "get_weather"
    assert tool.id
    assert msgspec.json.decode(tool.function.arguments) == ARGUMENTS
    said = choice.message.model_dump(exclude={"parsed"})
    for one in said["tool_calls"]:
        one["function"].pop("parsed_arguments", None)
    result = {"role": "tool", "tool_call_id": tool.id, "content": "sunny"}
    answer = client.chat.completions.create(model=f"{provider}-1", messages=[*HELLO, said, result], tools=[WEATHER])
    assert answer.choices[0].message.content in {"sunny", "a result"}


signed = pytest.mark.parametrize(("provider", "streamed"), [(p, s) for p in ("gemini", "bedrock") for s in (False, True)])


@signed
def test_signed_thoughts_there_and_back(client: OpenAI, provider: str, streamed: bool) -> None:
    call: dict[str, Any] = {"model": f"{provider}-signed", "messages": HELLO[1:], "tools": [WEATHER]}
    if streamed:
        with client.chat.completions.stream(**call) as stream:
            message = stream.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(**call).choices[0].message
    said = message.model_dump(exclude={"parsed"})
    for one in said["tool_calls"]:
        one["function"].pop("parsed_arguments", None)
    result = {"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": "sunny"}
    answer = client.chat.completions.create(**{**call, "messages": [*HELLO[1:], said, result]})
    assert answer.choices[0].message.content == "sunny"


@signed
def test_signed_thoughts_through_responses(client: OpenAI, provider: str, streamed: bool) -> None:
    tool = {"type": "function", **WEATHER["function"], "strict": False}
    call: dict[str, Any] = {"model": f"{provider}-signed", "input": HELLO[1:], "tools": [tool]}
    if streamed:
        with client.responses.stream(**call) as stream:
            answer: Any = stream.get_final_response()
    else:
        answer = client.responses.create(**call)
    said = [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in answer.output]
    result = {"type": "function_call_output", "call_id": answer.output[-1].call_id, "output": "sunny"}
    assert client.responses.create(**{**call, "input": [*HELLO[1:], *said, result]}).output_text == "sunny"


@signed
def test_signed_thoughts_through_messages(gateway: Any, provider: str, streamed: bool) -> None:
    tool = {"name": "get_weather", "input_schema": WEATHER["function"]["parameters"]}
    call: dict[str, Any] = {"model": f"{provider}-signed", "max_tokens": 99, "messages": HELLO[1:], "tools": [tool]}
    with Anthropic(base_url=gateway.url, api_key=gateway.api_key, max_retries=0, timeout=120) as claude:
        if streamed:
            with claude.messages.stream(**call) as stream:
                message = stream.get_final_message()
        else:
            message = claude.messages.create(**call)
        assert [block.type for block in message.content] == ["thinking", "tool_use"]
        assert message.content[0].thinking == "Look it up."
        result = {"type": "tool_result", "tool_use_id": message.content[1].id, "content": "sunny"}
        turns = [*HELLO[1:], {"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
        assert claude.messages.create(**{**call, "messages": turns}).content[0].text == "sunny"


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("streamed", [False, True])
def test_no_quota_left(client: OpenAI, provider: str, streamed: bool) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model=f"{provider}-limited", messages=HELLO, stream=streamed)
    assert caught.value.code == "upstream_rate_limited"
    assert provider in caught.value.message
    assert caught.value.response.headers.get("retry-after") == (None if provider == "bedrock" else "7")


@pytest.mark.parametrize("provider", ALL)
def test_a_stream_cut_short_has_no_invented_end(client: OpenAI, provider: str) -> None:
    seen = []
    with (
        pytest.raises(openai.APIError) as caught,
        client.chat.completions.create(model=f"{provider}-cut", messages=HELLO, stream=True) as stream,
    ):
        for chunk in stream:
            seen += [choice.finish_reason for choice in chunk.choices]
    assert caught.value.code == "upstream_incomplete"
    assert not any(seen)


@pytest.mark.parametrize("provider", NATIVE)
def test_what_has_no_form_is_refused_by_name(client: OpenAI, provider: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=f"{provider}-1", messages=HELLO, logit_bias={"50256": -100})
    assert caught.value.param == "logit_bias"
    assert provider in caught.value.message


def test_prompts_that_a_filter_refuses(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="azure-filtered", messages=HELLO)
    assert (caught.value.code, caught.value.param) == ("content_filter", "prompt")
    answer = client.chat.completions.create(model="gemini-filtered", messages=HELLO)
    assert answer.choices[0].finish_reason == "content_filter"
    assert "SAFETY" in answer.choices[0].message.refusal


@pytest.mark.parametrize("provider", ALL)
def test_stored_prompts_reach_every_provider(client: OpenAI, provider: str) -> None:
    answer = client.chat.completions.create(
        model=f"{provider}-1",
        messages=[],
        extra_headers={"x-prompt": "faq-bot"},
        extra_body={"variables": {"question": "are returns free?"}},
    )
    assert "are returns free?" in answer.choices[0].message.content


def test_a_model_tells_what_it_can_do(client: OpenAI) -> None:
    model = client.models.retrieve("gemini-2.5-flash")
    assert model.id == "gemini-2.5-flash"
    known = model.model_extra["promptgate"]
    assert (known["context"], known["max_output"], known["reasoning"]) == (1_048_576, 65_536, True)
