"""Every door with both of its vendor's official clients, synchronous and asynchronous: what each of them relies on, door by door.

What a door means is tested in files of its own; here the same questions are put to all of them.
"""

import inspect
import itertools
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import anthropic
import msgspec
import openai
import pytest
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from tests.conftest import PATIENCE, until
from tests.e2e.openai_upstream import SOUND, VECTOR, OpenAIUpstream

CHAT_PATH = "/v1/chat/completions"
TEXT = "It is sunny."
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
USAGE = {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}


def chat(body: dict[str, Any]) -> Any:
    """The provider: a call of the tool if there is one, else a text; the model ``drip`` talks until it is left."""
    frame = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
    said: dict[str, Any] = {"tool_calls": [CALL]} if body.get("tools") else {"content": TEXT}
    finish = "tool_calls" if body.get("tools") else "stop"
    if not body.get("stream"):
        choice = {"index": 0, "message": {"role": "assistant", "content": None, **said}, "finish_reason": finish}
        return {**frame, "object": "chat.completion", "choices": [choice], "usage": USAGE}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {
            **frame,
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }

    if body["model"] == "drip":
        return (chunk({"content": TEXT}) for _ in itertools.count())
    pieces = [said] if "tool_calls" in said else [{"content": word} for word in ("It ", "is ", "sunny.")]
    return [
        *map(chunk, [{"role": "assistant", "content": ""}, *pieces]),
        chunk({}, finish),
        {**frame, "choices": [], "usage": USAGE},
    ]


@dataclass
class Clients:
    """The clients of one kind."""

    openai: Any
    anthropic: Any


@dataclass
class Door:
    """How a door is asked, and where its answers say what."""

    create: Callable[[Clients], Any]
    """The resource whose ``create`` it is."""
    asked: dict[str, Any]
    text: Callable[[Any], str]
    piece: Callable[[Any], str]
    """The text in an event of a stream."""
    sdk: Any = openai
    tools: dict[str, Any] = field(default_factory=dict)
    call: Callable[[Any], tuple[str, Any]] | None = None
    """Name and arguments of the tool call in a whole answer."""
    arguments: Callable[[Any], str] | None = None
    """The part of the arguments in an event of a stream."""


def _completion_piece(event: Any) -> str:
    return event.choices[0].text if event.choices else ""


def _chat_piece(event: Any) -> str:
    return (event.choices[0].delta.content or "") if event.choices else ""


def _chat_arguments(event: Any) -> str:
    calls = event.choices[0].delta.tool_calls if event.choices else None
    return (calls[0].function.arguments or "") if calls else ""


HELLO = [{"role": "user", "content": "hello"}]
DOORS = {
    "chat": Door(
        lambda c: c.openai.chat.completions,
        {"messages": HELLO},
        lambda a: a.choices[0].message.content,
        _chat_piece,
        tools={"tools": [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]},
        call=lambda a: (
            a.choices[0].message.tool_calls[0].function.name,
            a.choices[0].message.tool_calls[0].function.arguments,
        ),
        arguments=_chat_arguments,
    ),
    "responses": Door(
        lambda c: c.openai.responses,
        {"input": "hello"},
        lambda a: a.output_text,
        lambda e: e.delta if e.type == "response.output_text.delta" else "",
        tools={"tools": [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}]},
        call=lambda a: (a.output[0].name, a.output[0].arguments),
        arguments=lambda e: e.delta if e.type == "response.function_call_arguments.delta" else "",
    ),
    "completions": Door(lambda c: c.openai.completions, {"prompt": "hello"}, lambda a: a.choices[0].text, _completion_piece),
    "messages": Door(
        lambda c: c.anthropic.messages,
        {"messages": HELLO, "max_tokens": 100},
        lambda a: a.content[0].text,
        lambda e: e.delta.text if e.type == "content_block_delta" and e.delta.type == "text_delta" else "",
        anthropic,
        tools={"tools": [{"name": "weather", "input_schema": SCHEMA}]},
        call=lambda a: (a.content[0].name, msgspec.json.encode(a.content[0].input).decode()),
        arguments=lambda e: e.delta.partial_json if e.type == "content_block_delta" else "",
    ),
}
talking = pytest.mark.parametrize("door", DOORS)


@pytest.fixture(scope="module")
def upstream() -> Iterator[OpenAIUpstream]:
    with OpenAIUpstream(chat=chat) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def gateway(start_gateway: Callable[..., Any], upstream: OpenAIUpstream) -> Any:
    """Its provider fails on purpose, test after test."""
    return start_gateway(upstream=upstream.url, PROMPTGATE_RESILIENCE_BREAKER="false")


def clients_of(gateway: Any, kind: str, key: str | None = None) -> Clients:
    def options(sdk: Any) -> dict[str, Any]:
        # Reading the certificates of every authority takes longer than these tests.
        client = (sdk.DefaultHttpxClient if kind == "sync" else sdk.DefaultAsyncHttpxClient)(verify=False, trust_env=False)
        return {"api_key": key or gateway.api_key, "max_retries": 0, "timeout": PATIENCE, "http_client": client}

    both = (OpenAI, Anthropic) if kind == "sync" else (AsyncOpenAI, AsyncAnthropic)
    return Clients(
        both[0](base_url=f"{gateway.url}/v1", **options(openai)), both[1](base_url=gateway.url, **options(anthropic))
    )


@pytest.fixture(params=["sync", "async"])
async def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def clients(gateway: Any, kind: str) -> AsyncIterator[Clients]:
    async with AsyncExitStack() as opened:
        clients = clients_of(gateway, kind)
        opened.push_async_callback(closed, clients)
        yield clients


async def closed(clients: Clients) -> None:
    await got(clients.openai.close())
    await got(clients.anthropic.close())


async def got(value: Any) -> Any:
    """What a call of either client gives."""
    return await value if inspect.isawaitable(value) else value


async def events_of(stream: Any) -> list[Any]:
    """Everything that a stream of either client says."""
    return [event async for event in stream] if hasattr(stream, "__aiter__") else list(stream)


@talking
async def test_a_whole_answer_and_its_headers(clients: Clients, door: str) -> None:
    asked, request_id = DOORS[door], str(uuid.uuid4())
    raw = await got(
        asked.create(clients).with_raw_response.create(
            model="gpt-4o-mini", **asked.asked, extra_headers={"x-request-id": request_id}
        )
    )
    answer = await got(raw.parse())
    assert asked.text(answer) == TEXT
    assert raw.headers["x-request-id"] == request_id == raw.headers.get("request-id", request_id)
    assert answer._request_id == request_id
    assert raw.headers["content-type"] == "application/json"
    assert (raw.headers["x-provider"], raw.headers["x-attempts"]) == ("openai", "1")
    assert float(raw.headers["x-cost-usd"]) > 0


@talking
async def test_a_stream_and_its_headers(clients: Clients, door: str) -> None:
    asked = DOORS[door]
    raw = await got(asked.create(clients).with_raw_response.create(model="gpt-4o-mini", **asked.asked, stream=True))
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert raw.headers["x-request-id"]
    assert "".join(map(asked.piece, await events_of(await got(raw.parse())))) == TEXT


@pytest.mark.parametrize("door", [name for name, door in DOORS.items() if door.tools])
async def test_tools_whole_and_streamed(clients: Clients, door: str) -> None:
    asked = DOORS[door]
    assert asked.call is not None
    assert asked.arguments is not None
    call: dict[str, Any] = {"model": "gpt-4o-mini", **asked.asked, **asked.tools}
    assert asked.call(await got(asked.create(clients).create(**call))) == ("weather", '{"city":"Oslo"}')
    events = await events_of(await got(asked.create(clients).create(**call, stream=True)))
    assert "".join(map(asked.arguments, events)) == '{"city":"Oslo"}'


@talking
@pytest.mark.parametrize("stream", [False, True])
async def test_a_providers_refusals_raise_the_sdks_own_classes(
    clients: Clients, upstream: OpenAIUpstream, door: str, stream: bool
) -> None:
    asked = DOORS[door]
    for status, kind in ((429, "RateLimitError"), (500, "InternalServerError"), (400, "BadRequestError")):
        upstream.fail[CHAT_PATH] = (status, {"retry-after": "7"})
        try:
            with pytest.raises(getattr(asked.sdk, kind)) as caught:
                await got(asked.create(clients).create(model="gpt-4o-mini", **asked.asked, stream=stream))
        finally:
            upstream.fail.clear()
        assert caught.value.response.headers["x-request-id"]
        if status == 429:
            assert 0 < int(caught.value.response.headers["retry-after"]) <= 7


@talking
async def test_our_own_refusals_raise_the_sdks_own_classes(gateway: Any, clients: Clients, kind: str, door: str) -> None:
    asked = DOORS[door]
    with pytest.raises(asked.sdk.BadRequestError) as bad:
        await got(asked.create(clients).create(model="gpt-4o-mini", **asked.asked, extra_body={"variables": 7}))
    assert "variables" in str(bad.value)
    with pytest.raises(asked.sdk.NotFoundError):
        await got(asked.create(clients).create(model="gpt-4o-mini", **asked.asked, extra_headers={"x-prompt": "nobody"}))
    strangers = clients_of(gateway, kind, "pg_nobody")
    with pytest.raises(asked.sdk.AuthenticationError):
        await got(asked.create(strangers).create(model="gpt-4o-mini", **asked.asked))
    await closed(strangers)


@talking
async def test_a_stream_that_is_left_is_left_upstream_too(
    gateway: Any, clients: Clients, upstream: OpenAIUpstream, door: str
) -> None:
    asked, request_id = DOORS[door], str(uuid.uuid4())
    upstream.left.clear()
    stream = await got(
        asked.create(clients).create(model="drip", **asked.asked, stream=True, extra_headers={"x-request-id": request_id})
    )
    if hasattr(stream, "__aiter__"):
        async for event in stream:
            if asked.piece(event):
                break
    else:
        next(event for event in stream if asked.piece(event))
    await got(stream.close())
    await until(upstream.left.is_set)

    def rows() -> list[Any]:
        return gateway.rows("SELECT outcome, usage_source FROM calls WHERE request_id = $1", request_id)

    await until(rows)
    assert [tuple(row) for row in rows()] == [("client_gone", "estimated")]


async def test_tokens_are_counted_for_anthropics_clients(clients: Clients) -> None:
    raw = await got(clients.anthropic.messages.with_raw_response.count_tokens(model="gpt-4o-mini", messages=HELLO))
    assert (await got(raw.parse())).input_tokens > 0
    assert raw.headers["x-token-count"] == "estimated"
    counted = await got(
        clients.openai.responses.input_tokens.count(model="gpt-4o-mini", input="Hello", instructions="Be brief.")
    )
    assert (counted.object, counted.input_tokens > 0) == ("response.input_tokens", True)


async def test_doors_that_pass_on(clients: Clients) -> None:
    client = clients.openai
    raw = await got(client.embeddings.with_raw_response.create(model="text-embedding-3-small", input=["a", "b"]))
    assert [item.embedding for item in raw.parse().data] == [list(VECTOR)] * 2
    assert raw.headers["x-request-id"]
    assert (await got(client.moderations.create(input="a"))).results[0].flagged
    image = await got(client.images.generate(model="gpt-image-1", prompt="a cat"))
    assert image.data[0].b64_json == "eA=="
    stream = await got(client.images.generate(model="gpt-image-1", prompt="a cat", stream=True))
    assert [event.type for event in await events_of(stream)] == [
        "image_generation.partial_image",
        "image_generation.completed",
    ]
    speech = await got(client.audio.speech.with_raw_response.create(model="tts-1", voice="alloy", input="hi"))
    assert speech.content == SOUND
    heard = await got(client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"RIFF")))
    assert heard.text == "4 bytes to whisper-1"


async def test_files_and_batches(clients: Clients) -> None:
    client = clients.openai
    made = await got(client.files.create(file=("a.jsonl", b"{}"), purpose="batch"))
    batch = await got(client.batches.create(input_file_id=made.id, endpoint="/v1/chat/completions", completion_window="24h"))
    assert (await got(client.batches.retrieve(batch.id))).status == "validating"
    assert (await got(client.batches.cancel(batch.id))).status == "cancelling"
    assert batch.id in [item.id for item in await events_of(await got(client.batches.list()))]
    assert (await got(client.files.retrieve(made.id))).filename == "a.jsonl"
    assert made.id in [item.id for item in await events_of(await got(client.files.list()))]
    assert (await got(client.files.delete(made.id))).deleted
    with pytest.raises(openai.NotFoundError):
        await got(client.files.retrieve(made.id))


@pytest.mark.parametrize(
    ("path", "ask"),
    [
        ("/v1/embeddings", lambda c: c.embeddings.create(model="text-embedding-3-small", input="a")),
        ("/v1/moderations", lambda c: c.moderations.create(input="a")),
        ("/v1/images/generations", lambda c: c.images.generate(model="gpt-image-1", prompt="a")),
        ("/v1/audio/speech", lambda c: c.audio.speech.create(model="tts-1", voice="alloy", input="a")),
    ],
)
async def test_refusals_that_are_passed_on(clients: Clients, upstream: OpenAIUpstream, path: str, ask: Any) -> None:
    upstream.fail[path] = (429, {"retry-after": "7"})
    try:
        with pytest.raises(openai.RateLimitError) as caught:
            await got(ask(clients.openai))
    finally:
        upstream.fail.clear()
    assert caught.value.response.headers["x-request-id"]
    assert 0 < int(caught.value.response.headers["retry-after"]) <= 7


async def test_models_are_listed_and_told(clients: Clients) -> None:
    listed = await events_of(await got(clients.openai.models.list()))
    assert "faq-bot" in {model.id for model in listed}
    assert (await got(clients.openai.models.retrieve("faq-bot"))).id == "faq-bot"
    with pytest.raises(openai.NotFoundError):
        await got(clients.openai.models.retrieve("nobody-has-this"))
