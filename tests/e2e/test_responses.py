"""The official openai SDK's ``client.responses`` against the real process, before a chat-only upstream and a native one."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

HERE = Path(__file__).parent
START_SECONDS = 60
TOOL: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather in a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
PROVIDERS = """
default_model = "chatty"
[providers.plain]
kind = "openai"
base_url = "{url}/v1"
api_key = "sk-plain"
[providers.native]
kind = "openai"
base_url = "{url}/v1"
api_key = "sk-native"
responses = true
[[routes]]
models = ["native*", "fail"]
targets = [{{ provider = "native" }}]
[[routes]]
models = ["*"]
targets = [{{ provider = "plain" }}]
"""


class Weather(BaseModel):
    city: str
    degrees: int


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(HERE / "both_dialects.py"), str(port)])
    url = f"http://127.0.0.1:{port}"
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            httpx.get(f"{url}/seen", trust_env=False)
            break
        except httpx.TransportError:
            time.sleep(0.05)
    yield url
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="module")
def gateway(start_gateway: Callable[..., Any], upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    config = tmp_path_factory.mktemp("config")
    (config / "providers.toml").write_text(PROVIDERS.format(url=upstream))
    (config / "prices.toml").write_bytes((HERE.parents[1] / "config" / "prices.toml").read_bytes())
    gateway = start_gateway(PROMPTGATE_CONFIG=str(config))
    keep(gateway, "on")
    return gateway


def keep(gateway: Any, value: str) -> None:
    """By the command line, as an operator would; then wait until the worker has applied it."""
    slug = application(gateway)
    done = subprocess.run(
        [sys.executable, "-m", "admin_cli.main", "app", "set", slug, "--store-responses", value],
        env={**gateway.env, "PYTHONPATH": str(HERE.parents[1])}, cwd=gateway.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    end = time.monotonic() + START_SECONDS
    with gateway.client() as client:
        while time.monotonic() < end:
            answer = client.post("/v1/responses", json={"model": "chatty", "input": "x"}).json()
            if answer["store"] is (value == "on"):
                return
            time.sleep(0.05)
    pytest.fail(f"the setting never arrived; log:\n{gateway.log}")


def application(gateway: Any) -> str:
    with gateway.admin() as admin:
        return admin.get("/api/v1/applications").json()["items"][0]["slug"]


@pytest.fixture(scope="module")
def client(gateway: Any) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.api_key, max_retries=0, timeout=120) as client:
        yield client


def seen(upstream: str) -> dict[str, Any]:
    return httpx.get(f"{upstream}/seen", trust_env=False).json()


MODELS = ["chatty", "native-1"]


@pytest.mark.parametrize("model", MODELS)
def test_create(client: OpenAI, upstream: str, model: str) -> None:
    raw = client.responses.with_raw_response.create(model=model, input="Hello", instructions="Be brief.", metadata={"a": "b"})
    response = raw.parse()
    assert response.status == "completed"
    assert response.output_text in {"2 messages", "2 items"}
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (7, 3, 10)
    assert response.instructions == "Be brief."
    assert raw.headers["x-provider"] == ("native" if model == "native-1" else "plain")
    assert raw.headers["x-request-id"]
    sent = seen(upstream)
    assert sent["path"].endswith("/responses" if model == "native-1" else "/chat/completions")
    if model == "native-1":
        assert sent["body"]["store"] is False


@pytest.mark.parametrize("model", MODELS)
def test_stream(client: OpenAI, gateway: Any, model: str) -> None:
    with client.responses.stream(model=model, input="Hello", safety_identifier=f"stream-{model}") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.type for event in events][:2] == ["response.created", "response.in_progress"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert final.output_text
    assert text.replace(" ", "") == final.output_text.replace(" ", "")
    assert final.usage is not None
    assert final.usage.total_tokens == 10
    end = time.monotonic() + START_SECONDS
    while not (rows := gateway.rows('SELECT * FROM calls WHERE "user" = $1', f"stream-{model}")):
        assert time.monotonic() < end, gateway.log
        time.sleep(0.05)
    assert [(r["door"], r["outcome"], r["input_tokens"], r["finish_reason"]) for r in rows] == [("responses", "ok", 7, "stop")]


def test_a_reasoning_summary_where_the_provider_shows_its_reasoning(client: OpenAI) -> None:
    events = list(client.responses.create(model="chatty", input="Hello", stream=True))
    assert "".join(event.delta for event in events if event.type == "response.reasoning_summary_text.delta") == "hm"


def test_parse(client: OpenAI, upstream: str) -> None:
    response = client.responses.parse(model="chatty", input="Weather?", text_format=Weather)
    assert response.output_parsed == Weather(city="Oslo", degrees=3)
    schema = seen(upstream)["body"]["response_format"]["json_schema"]
    assert (schema["name"], schema["strict"]) == ("Weather", True)


def test_tools_over_two_turns(client: OpenAI, upstream: str) -> None:
    first = client.responses.create(model="chatty", input="Weather?", tools=[TOOL], parallel_tool_calls=False)
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert (call.name, call.arguments, call.call_id) == ("weather", '{"city":"Oslo"}', "call_weather")
    assert seen(upstream)["body"]["tools"][0]["function"]["name"] == "weather"
    second = client.responses.create(
        model="chatty",
        previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "3 degrees"}],
        tools=[TOOL],
    )
    assert second.output_text == "3 messages"
    assert second.previous_response_id == first.id
    assert [m["role"] for m in seen(upstream)["body"]["messages"]] == ["user", "assistant", "tool"]
    with client.responses.stream(model="chatty", input="Weather?", tools=[TOOL]) as stream:
        final = stream.get_final_response()
    assert [item.type for item in final.output] == ["reasoning", "function_call"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_conversation_is_kept_by_the_gateway(client: OpenAI, upstream: str, model: str, streamed: bool) -> None:
    def say(text: str, **more: Any) -> Any:
        if not streamed:
            return client.responses.create(model=f"{model}{'s' if streamed else 'w'}", input=text, **more)
        with client.responses.stream(model=f"{model}s", input=text, **more) as stream:
            return stream.get_final_response()

    first = say("one")
    second = say("two", previous_response_id=first.id, instructions="Be brief.")
    body = seen(upstream)["body"]
    said = [m["content"] for m in body.get("messages", [])] or [i["content"] for i in body["input"]]
    assert (said[0], said[1], said[-1]) == ("Be brief.", "one", "two")
    assert len(said) == 4
    assert "previous_response_id" not in body
    kept = client.responses.retrieve(second.id)
    assert kept.id == second.id
    assert kept.output_text == second.output_text
    assert kept.store is True
    replayed = list(client.responses.retrieve(second.id, stream=True))
    assert [event.sequence_number for event in replayed] == list(range(len(replayed)))
    assert replayed[-1].type == "response.completed"
    assert replayed[-1].response == kept
    assert "".join(event.delta for event in replayed if event.type == "response.output_text.delta") == kept.output_text
    assert list(client.responses.retrieve(second.id, stream=True, starting_after=3)) == replayed[4:]
    with pytest.raises(openai.BadRequestError, match=r"Cannot cancel a synchronous response\."):
        client.responses.cancel(second.id)
    items = list(client.responses.input_items.list(second.id))
    assert [item.content[0].text for item in items if item.type == "message"] == ["two"]  # type: ignore[union-attr]
    client.responses.delete(first.id)
    with pytest.raises(openai.BadRequestError) as broken:
        say("three", previous_response_id=second.id)
    assert first.id in broken.value.message
    client.responses.delete(second.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(second.id)


def test_a_response_that_shall_not_be_kept(client: OpenAI) -> None:
    response = client.responses.create(model="chatty", input="x", store=False)
    assert response.store is False
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


def test_another_application_sees_nothing(client: OpenAI, gateway: Any) -> None:
    response = client.responses.create(model="chatty", input="secret")
    with gateway.admin() as admin:
        made = admin.post("/api/v1/applications", json={"slug": "other", "store_responses": True}).json()
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=made["api_key"], max_retries=0, timeout=120) as other:
        assert other.responses.create(model="chatty", input="x").store is True
        for attempt in (
            lambda: other.responses.retrieve(response.id),
            lambda: other.responses.delete(response.id),
            lambda: other.responses.retrieve(response.id, stream=True),
            lambda: other.responses.cancel(response.id),
            lambda: other.responses.input_items.list(response.id),
        ):
            with pytest.raises(openai.NotFoundError):
                attempt()
        with pytest.raises(openai.BadRequestError) as caught:
            other.responses.create(model="chatty", input="go on", previous_response_id=response.id)
        assert caught.value.param == "previous_response_id"
    assert client.responses.retrieve(response.id).id == response.id


def test_errors_are_the_sdks_own(client: OpenAI, gateway: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="chatty", input="x", tools=[{"type": "web_search"}])
    assert caught.value.param == "tools[0].type"
    assert client.responses.create(model="native-1", input="x", tools=[{"type": "web_search"}]).status == "completed"
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="chatty", input="x", background=True)
    assert caught.value.param == "background"
    with pytest.raises(openai.APIStatusError) as teapot:
        client.responses.create(model="teapot", input="x")
    assert teapot.value.status_code == 418
    with (
        OpenAI(base_url=f"{gateway.url}/v1", api_key="pg_wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.responses.create(model="chatty", input="x")
    with gateway.client() as http:
        refused = http.put("/v1/responses/resp_1")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, DELETE")
        assert http.get("/v1/responses").headers["allow"] == "POST"


@pytest.mark.parametrize("model", ["cut", "fail"])
def test_a_stream_that_breaks_raises_in_the_sdk(client: OpenAI, model: str) -> None:
    events: list[Any] = []
    with pytest.raises(openai.APIError):
        events.extend(client.responses.create(model=model, input="x", stream=True))
    with client.responses.with_streaming_response.create(model=model, input="x", stream=True) as raw:
        lines = [line for line in raw.iter_lines() if line.startswith("event: ")]
    assert lines[-2:] == ["event: response.failed", "event: error"]


def test_an_answer_cut_by_its_limit(client: OpenAI) -> None:
    response = client.responses.create(model="chatty", input="x", max_output_tokens=1)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


def test_a_stored_prompt(client: OpenAI, gateway: Any, upstream: str) -> None:
    content = {"messages": [{"type": "message", "role": "system", "content": "You help {{ company }}."}], "model": "chatty"}
    slug = "pmpt_68c1b2"
    with gateway.admin() as admin:
        assert admin.post(
            "/api/v1/prompts", json={"slug": slug, "content": content}, params={"application": application(gateway)}
        ).is_success
        done = admin.post(
            f"/api/v1/prompts/{slug}/versions/1/publish", json={"wait": True}, params={"application": application(gateway)}
        )
        assert done.is_success, done.text
    raw = client.responses.with_raw_response.create(
        prompt={"id": slug, "variables": {"company": {"type": "input_text", "text": "Umbrella"}}}, input="Hello"
    )
    assert raw.headers["x-prompt"] == f"{slug}@production:1"
    response = raw.parse()
    assert response.prompt is not None
    assert response.prompt.id == slug
    assert [m["content"] for m in seen(upstream)["body"]["messages"]] == ["You help Umbrella.", "Hello"]
    with gateway.admin() as admin:
        own = admin.get(f"/api/v1/prompts/{slug}", params={"application": application(gateway)}).json()["id"].replace("-", "")
    by_id = client.responses.create(prompt={"id": f"pmpt_{own}", "variables": {"company": "X"}})
    assert by_id.output_text == "1 messages"
    assert (
        client.responses.create(prompt={"id": slug, "version": "1", "variables": {"company": "X"}}).output_text == "1 messages"
    )


def test_async(gateway: Any) -> None:
    async def work() -> None:
        async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.api_key, max_retries=0, timeout=120) as client:
            assert (await client.responses.create(model="chatty", input="x")).output_text == "1 messages"
            async with client.responses.stream(model="native-1", input="x") as stream:
                assert (await stream.get_final_response()).output_text == "1 items"

    asyncio.run(work())


def test_nothing_is_kept_while_the_setting_is_off(client: OpenAI, gateway: Any) -> None:
    before = client.responses.create(model="chatty", input="x")
    keep(gateway, "off")
    try:
        assert client.responses.create(model="chatty", input="x", store=True).store is False
        with pytest.raises(openai.BadRequestError, match="store_responses"):
            client.responses.create(model="chatty", input="x", previous_response_id=before.id)
        with pytest.raises(openai.NotFoundError, match="store_responses"):
            client.responses.retrieve(before.id)
    finally:
        keep(gateway, "on")
    assert client.responses.retrieve(before.id).id == before.id
