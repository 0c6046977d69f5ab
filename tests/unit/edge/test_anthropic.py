"""Anthropic's doors on a pipeline from memory twins: in front of OpenAI-form providers, of Anthropic, and of both."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.core.upstream import Target
from gateway.edge import doors
from gateway.providers.anthropic.translator import AnthropicTranslator
from gateway.routing.breaker import BreakerRules
from gateway.routing.health import Rules
from gateway.routing.table import Route, RouteTable

STREAMS = Path(__file__).parents[2] / "golden" / "anthropic" / "streams"
CLAUDE = Target("claude", "", "https://claude", "sk-ant")


async def ask(world: Any, body: dict[str, Any], path: str = "/v1/messages", method: str = "POST", **headers: str) -> Any:
    """One request through the doors."""
    inbound = world.inbound({"model": "claude-opus-5-5", "max_tokens": 50, **body}, **headers)
    caller = world.caller()
    await doors.answer(method, path, msgspec.structs.replace(inbound, door=doors.name_of(method, path)), world.services, caller)
    return caller


def hello(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Hello"}], **fields}


def events(caller: Any) -> list[Any]:
    frames = [frame.split("\n", 1) for frame in caller.body.decode().split("\n\n") if frame]
    made = [msgspec.json.decode(data.removeprefix("data: ")) for _, data in frames]
    assert [name for name, _ in frames] == [f"event: {event['type']}" for event in made]
    return made


@pytest.fixture
def claude(world: Any) -> Any:
    """A world whose provider is Anthropic."""
    world.targets = (CLAUDE,)
    world.translators["claude"] = AnthropicTranslator(lambda: 0)
    return world


def message(world: Any, say: Any, text: str = "Hi there", **fields: Any) -> Any:
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5-5",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 2},
        **fields,
    }
    exchange = say.completion()
    exchange.pieces = [msgspec.json.encode(body)]
    return exchange


async def test_a_message_from_an_openai_provider(world: Any, say: Any) -> None:
    world.script(say.completion("Hi there"))
    answer = await ask(world, hello(system="Be kind.", tools=[{"name": "f", "input_schema": {"type": "object"}}]))
    assert answer.status == 200
    assert answer.json["content"] == [{"type": "text", "text": "Hi there"}]
    assert answer.json["usage"]["input_tokens"] == 10
    assert answer.json["id"] == f"msg_{world.row.call_id.replace('-', '')}"
    assert answer.head["request-id"] == answer.head["x-request-id"] == world.row.request_id
    sent = msgspec.json.decode(world.transport.requests[0][1].body)
    assert sent["messages"] == [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]
    assert sent["max_completion_tokens"] == 50
    assert sent["tools"] == [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    assert (world.row.door, world.row.outcome, world.row.output_tokens) == ("messages", "ok", 2)


async def test_a_message_without_usage_is_counted(world: Any, say: Any) -> None:
    world.script(say.completion("Hi there", usage=None))
    answer = await ask(world, hello())
    assert answer.json["usage"]["output_tokens"] == 2
    assert world.row.usage_source == "estimated"


async def test_a_stream_from_an_openai_provider(world: Any, say: Any) -> None:
    world.script(say.stream(say.delta("Hi"), say.delta(" there", finish="stop"), say.usage() + say.DONE))
    made = events(await ask(world, hello(stream=True)))
    assert [event["type"] for event in made] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert made[-2]["delta"]["stop_reason"] == "end_turn"
    assert made[-2]["usage"]["output_tokens"] == 2
    assert world.row.outcome == "ok"


async def test_a_stream_cut_short_ends_in_an_error_event(world: Any, say: Any) -> None:
    world.script(say.stream(say.delta("Hi")))
    made = events(await ask(world, hello(stream=True)))
    assert made[-1]["type"] == "error"
    assert made[-1]["error"]["type"] == "api_error"
    assert "message_stop" not in {event["type"] for event in made}
    assert world.row.outcome == "upstream_incomplete"


async def test_a_native_message_passes_byte_for_byte(claude: Any, say: Any) -> None:
    exchange = message(claude, say, container={"id": "c"})
    claude.script(exchange, provider="claude")
    body = exchange.pieces[0]
    answer = await ask(claude, hello(container="c", thinking={"type": "adaptive"}), anthropic_version="2026-10-21")
    assert answer.body == body
    request = claude.transport.requests[0][1]
    assert request.path == "/messages"
    assert dict(request.headers)[b"anthropic-version"] == b"2026-10-21"
    assert msgspec.json.decode(request.body) == {
        "max_tokens": 50,
        "container": "c",
        "thinking": {"type": "adaptive"},
        "model": "claude-opus-5-5",
        "messages": [{"role": "user", "content": "Hello"}],
    }
    assert (claude.row.input_tokens, claude.row.output_tokens, claude.row.finish_reason) == (10, 2, "stop")


@pytest.mark.parametrize("name", ["text", "tools", "thinking"])
async def test_a_native_stream_passes_byte_for_byte(claude: Any, say: Any, name: str) -> None:
    source = (STREAMS / f"{name}.sse").read_bytes()
    claude.script(say.stream(source[:100], source[100:]), provider="claude")
    answer = await ask(claude, hello(stream=True))
    assert answer.body == source
    assert claude.row.outcome == "ok"
    assert claude.row.output_tokens > 0


async def test_stored_prompts_serve_anthropic_clients(claude: Any, say: Any) -> None:
    claude.publish("faq", ("system", "You are {{ tone }}."), params={"temperature": 0.5}, model="claude-haiku-4-5")
    claude.script(message(claude, say), provider="claude")
    answer = await ask(claude, hello(model="faq", variables={"tone": "kind"}, max_tokens=9))
    assert answer.head["x-prompt"] == "faq@production:1"
    assert msgspec.json.decode(claude.transport.requests[0][1].body) == {
        "temperature": 0.5,
        "max_tokens": 9,
        "model": "claude-haiku-4-5",
        "system": "You are kind.",
        "messages": [{"role": "user", "content": "Hello"}],
    }


@pytest.mark.parametrize("stream", [False, True])
async def test_guards_judge_native_answers(claude: Any, say: Any, stream: bool) -> None:
    claude.publish("faq", ("user", "Hi"), guardrails=say.guardrails(post=["there"]))
    source = (STREAMS / "text.sse").read_bytes().replace(b'"!"', b'" there"')
    first, rest = source.split(b'"Hello"')
    claude.script(
        say.stream(first + b'"Hello"}}\n\n', rest.removeprefix(b"}}\n\n")) if stream else message(claude, say),
        provider="claude",
    )
    answer = await ask(claude, {"model": "faq", "stream": stream})
    error = (events(answer)[-1] if stream else answer.json)["error"]
    assert error["details"]["error_code"] == "guardrail_blocked"
    assert b'" there"' not in answer.body
    assert answer.status == (200 if stream else 400)
    assert claude.row.outcome == "blocked"


async def test_a_fallback_crosses_dialects_and_fields_decide_where_it_may_go(claude: Any, say: Any) -> None:
    claude.targets = (CLAUDE, Target("openai", "gpt-4o", "http://one", "sk"))
    overloaded = say.refusal(529)
    claude.script(overloaded, provider="claude")
    claude.script(say.completion("From afar"))
    answer = await ask(claude, hello())
    assert answer.json["content"][0]["text"] == "From afar"
    assert [row.outcome for row in claude.ledger.rows] == ["upstream_overloaded", "ok"]
    claude.script(say.refusal(529), provider="claude")
    refused = await ask(claude, hello(container="c"))
    assert refused.status == 400
    assert refused.json["error"]["details"] == {"error_code": "invalid_request", "param": "container"}


async def test_an_openai_client_in_front_of_anthropic(claude: Any, say: Any) -> None:
    claude.script(message(claude, say), say.stream((STREAMS / "tools.sse").read_bytes()), provider="claude")
    answer = await ask(claude, hello(), "/v1/chat/completions")
    assert answer.json["choices"][0]["message"]["content"] == "Hi there"
    streamed = await ask(claude, hello(stream=True, stream_options={"include_usage": True}), "/v1/chat/completions")
    assert streamed.frames[-1] == "[DONE]"
    assert streamed.chunks[-1]["usage"]["completion_tokens"] == 89
    assert [c["choices"][0]["finish_reason"] for c in streamed.chunks[:-1]][-1] == "tool_calls"
    refused = await ask(claude, hello(seed=7), "/v1/chat/completions")
    assert (refused.status, refused.json["error"]["param"]) == (400, "seed")


async def test_the_key_may_come_as_x_api_key(world: Any, say: Any) -> None:
    world.script(say.completion(), say.completion())
    inbound = world.inbound(hello(model="m"))
    for headers, status in (
        ({b"x-api-key": world.key.text.encode()}, 200),
        ({b"x-api-key": b"pg_wrong"}, 401),
        ({b"x-api-key": world.key.text.encode(), b"authorization": b"Bearer pg_wrong"}, 401),
        ({b"x-api-key": world.key.text.encode(), b"authorization": b"Basic x"}, 401),
        ({}, 401),
    ):
        caller = world.caller()
        await doors.answer("POST", "/v1/messages", msgspec.structs.replace(inbound, headers=headers), world.services, caller)
        assert caller.status == status
        if status == 401:
            assert caller.json["error"]["type"] == "authentication_error"
            assert caller.json["request_id"] == caller.head["request-id"]


async def test_refusals_of_the_routes_themselves_are_in_the_dialect(world: Any) -> None:
    wrong = await ask(world, {}, method="GET")
    assert (wrong.status, wrong.json["type"], wrong.head["allow"]) == (405, "error", "POST")
    missing = await ask(world, {}, "/v1/messages/batches")
    assert (missing.status, missing.json["error"]["type"]) == (404, "not_found_error")


# --- counting -----------------------------------------------------------------------------------------------------------
async def count(world: Any, **fields: Any) -> Any:
    return await ask(world, hello(**fields), "/v1/messages/count_tokens")


async def test_anthropic_counts_itself(claude: Any, say: Any) -> None:
    exchange = say.completion()
    exchange.pieces = [b'{"input_tokens": 2095}']
    claude.script(exchange, provider="claude")
    answer = await count(claude, system="Be brief.")
    assert answer.json == {"input_tokens": 2095}
    assert (answer.head["x-token-count"], answer.head["x-provider"]) == ("exact", "claude")
    request = claude.transport.requests[0][1]
    assert request.path == "/messages/count_tokens"
    assert msgspec.json.decode(request.body) == {
        "model": "claude-opus-5-5",
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Hello"}],
    }
    assert (claude.row.attempt, claude.row.outcome, claude.row.provider) == (1, "ok", "claude")
    assert (claude.row.input_tokens, claude.row.cost_status) == (None, None)
    assert exchange.closed == 1


async def test_a_refused_count_is_an_error_in_the_dialect(claude: Any, say: Any) -> None:
    claude.script(refused := say.refusal(429), provider="claude")
    answer = await count(claude)
    assert (answer.status, answer.json["error"]["type"]) == (429, "rate_limit_error")
    assert refused.closed == 1


async def test_the_next_target_counts_and_one_that_cannot_estimates(claude: Any, say: Any) -> None:
    opus, gpt = claude.targets[0], Target("gpt", "gpt-4o", "http://two", "")
    twin = msgspec.structs.replace(opus, provider="twin")
    claude.translators["twin"] = claude.translators["claude"]
    claude.targets = (opus, twin, gpt)
    claude.table = RouteTable([Route(("*",), claude.targets)], Rules(breaker=BreakerRules(failures=2)))
    exchange = say.completion()
    exchange.pieces = [b'{"input_tokens": 7}']
    claude.script(say.refusal(529), say.refusal(500), provider="claude")
    claude.script(exchange, say.refusal(500), say.refusal(500), provider="twin")
    first = await count(claude)
    assert (first.json, first.head["x-provider"], first.head["x-token-count"]) == ({"input_tokens": 7}, "twin", "exact")
    second = await count(claude)
    assert (second.head["x-provider"], second.head["x-model"]) == ("gpt", "gpt-4o")
    assert second.head["x-token-count"] == "estimated"
    assert [(row.attempt, row.provider, row.outcome) for row in claude.ledger.rows] == [
        (1, "claude", "upstream_overloaded"), (2, "twin", "ok"),
        (1, "claude", "upstream_error"), (2, "twin", "upstream_error"), (0, None, "ok"),
    ]  # fmt: skip
    await count(claude)
    assert [target.provider for target, _ in claude.transport.requests][4:] == ["twin"], "the first one's breaker is open"
    assert all(health.in_flight == 0 for health in claude.table.health.values())


async def test_a_count_that_is_none_is_not_believed(claude: Any, say: Any) -> None:
    exchange = say.completion()
    exchange.pieces = [b'{"input_tokens": "many"}']
    claude.script(exchange, provider="claude")
    assert (await count(claude)).status == 502
    assert exchange.closed == 1


async def test_other_providers_are_estimated_and_said_so(world: Any) -> None:
    answer = await count(world, system="one two", tools=[{"name": "f", "description": "three"}])
    assert answer.head["x-token-count"] == "estimated"
    assert answer.json["input_tokens"] == 4
    assert world.transport.requests == []
    bare = await count(world)
    assert bare.json == {"input_tokens": 1}


async def test_prompts_guards_and_keys_hold_for_counts(world: Any, say: Any) -> None:
    world.publish("faq", ("user", "one two three"), guardrails=say.guardrails(pre=["Hello"]))
    blocked = await count(world, model="faq")
    assert blocked.json["error"]["details"]["error_code"] == "guardrail_blocked"
    unknown = await count(world, model="faq@nowhere")
    assert unknown.status == 404


async def count_response(world: Any, **fields: Any) -> Any:
    body = {"input": "Hello", **fields}
    inbound = world.inbound({"model": "claude-opus-5-5", **body})
    path, caller = "/v1/responses/input_tokens", world.caller()
    name = doors.name_of("POST", path)
    assert name == "count_tokens"
    await doors.answer("POST", path, msgspec.structs.replace(inbound, door=name), world.services, caller)
    return caller


async def test_the_input_of_a_response_is_counted_by_anthropic(claude: Any, say: Any) -> None:
    exchange = say.completion()
    exchange.pieces = [b'{"input_tokens": 12}']
    claude.script(exchange, provider="claude")
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
    answer = await count_response(claude, instructions="Be brief.", tools=[tool], temperature=0.5)
    assert answer.json == {"object": "response.input_tokens", "input_tokens": 12}
    assert answer.head["x-token-count"] == "exact"
    request = claude.transport.requests[0][1]
    assert request.path == "/messages/count_tokens"
    sent = msgspec.json.decode(request.body)
    assert sent["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
    assert (sent["system"], [each["name"] for each in sent["tools"]]) == ("Be brief.", ["f"])
    assert "temperature" not in sent


async def test_what_only_the_responses_api_can_say_is_estimated(claude: Any) -> None:
    answer = await count_response(claude, tools=[{"type": "web_search"}])
    assert answer.json["object"] == "response.input_tokens"
    assert answer.json["input_tokens"] >= 1
    assert answer.head["x-token-count"] == "estimated"
    assert claude.transport.requests == []


async def test_a_count_of_a_response_is_refused_in_openais_form(world: Any) -> None:
    refused = await count_response(world, input=7)
    assert (refused.status, refused.json["error"]["param"]) == (400, "input")
    unkept = await count_response(world, previous_response_id="resp_1")
    assert (unkept.status, unkept.json["error"]["param"]) == (400, "previous_response_id")
