"""A provider that speaks the caller's Responses API, through the whole sentence: guards, the ledger, and fallback to chat."""

from typing import Any

import msgspec
import pytest

from gateway.core.upstream import Target
from gateway.dialects.responses.dialect import RESPONSES_DIALECT
from gateway.providers.openai import OpenAITranslator
from tests.unit.pipeline.conftest import World, guardrails

USAGE = {"input_tokens": 8, "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 1}}


def event(kind: str, **fields: object) -> bytes:
    return b"data: " + msgspec.json.encode({"type": f"response.{kind}", **fields}) + b"\n\n"


def delta(text: str) -> bytes:
    return event("output_text.delta", delta=text)


def response(status: str, text: str = "") -> dict[str, Any]:
    output = [{"type": "message", "content": [{"type": "output_text", "text": text}]}] if text else []
    return {"id": "resp_up", "status": status, "output": output, "usage": USAGE if text else None}


def ask(**fields: object) -> dict[str, object]:
    return {"model": "gpt-4o-mini", "input": "Hello", **fields}


@pytest.fixture
def native(world: World) -> World:
    world.dialect = RESPONSES_DIALECT
    world.translator = OpenAITranslator(has_responses=True)
    return world


async def test_a_stream_passes_and_is_recorded(native: World, say: Any) -> None:
    pieces = [event("created", response=response("in_progress")), delta("Hi"), delta(" there")]
    native.script(say.stream(*pieces, event("completed", response=response("completed", "Hi there"))))
    caller = await native.call(ask(stream=True, tools=[{"type": "web_search"}]))
    assert pieces[1].removesuffix(b"\n\n") in caller.body
    assert caller.body.rstrip().endswith(caller.pieces[-1].rstrip())
    assert b"response.completed" in caller.pieces[-1]
    row = native.row
    assert (row.outcome, row.finish_reason, row.usage_source) == ("ok", "stop", "upstream")
    assert (row.input_tokens, row.output_tokens, row.reasoning_tokens) == (8, 4, 1)
    request = native.transport.requests[0][1]
    assert request.path == "/responses"
    assert msgspec.json.decode(request.body)["tools"] == [{"type": "web_search"}]


@pytest.mark.parametrize(
    "pieces",
    [
        [delta("a for"), delta("bidden word")],
        [event("output_text.done", text="a forbidden word")],
        [delta("a friendly word"), event("output_text.done", text="a forbidden word")],
        [event("content_part.added", part={"type": "output_text", "text": "a forbidden word"})],
        [delta("a"), event("content_part.done", part={"type": "refusal", "refusal": "a forbidden word"})],
        [event("output_item.done", item={"type": "message", "content": [{"type": "output_text", "text": "a forbidden word"}]})],
        [event("reasoning_text.delta", delta="a for"), event("reasoning_text.delta", delta="bidden word")],
        [event("reasoning_summary_text.done", text="a forbidden word")],
        [event("output_item.done", item={"type": "reasoning", "summary": [{"type": "summary_text", "text": "forbidden"}]})],
        [delta("a friendly word")],
        [],
    ],
    ids=[
        "in deltas", "only when the part is done", "otherwise when the part is done", "in a part from its beginning",
        "in a part of another kind", "only in the item", "in thoughts", "only when a thought is done", "only in an item of thoughts",
        "otherwise at the end", "only at the end",
    ],
)  # fmt: skip
async def test_guards_see_every_text(native: World, say: Any, pieces: list[bytes]) -> None:
    native.publish("faq", ("system", "Help."), guardrails=guardrails(post=["forbidden"]))
    end = event("completed", response=response("completed", "a forbidden word"))
    native.script(say.stream(event("created", response=response("in_progress")), *pieces, end))
    caller = native.caller()
    await native.fail("blocked", ask(stream=True, model="faq"), caller)
    assert b"forbidden" not in caller.body
    assert not caller.ended


async def test_a_whole_answer_is_guarded_too(native: World, say: Any) -> None:
    native.publish("faq", ("system", "Help."), guardrails=guardrails(post=["forbidden"]))
    native.script(say.completion(**response("completed", "a forbidden word")))
    await native.fail("blocked", ask(model="faq"))


async def test_a_failure_before_the_first_byte_falls_back_to_chat(native: World, say: Any) -> None:
    native.translators["plain"] = OpenAITranslator()
    native.targets = (*native.targets, Target("plain", "", "http://two", "sk-2"))
    native.script(say.stream(event("failed", response=response("failed"))))
    native.script(say.stream(say.delta("From chat."), say.delta(finish="stop"), say.usage(), say.DONE), provider="plain")
    caller = await native.call(ask(stream=True, instructions="Be brief."))
    assert [request.path for _, request in native.transport.requests] == ["/responses", "/chat/completions"]
    assert b'"delta":"From chat."' in caller.body
    assert [row.outcome for row in native.ledger.rows] == ["upstream_error", "ok"]


async def test_what_only_a_native_target_can_do_is_refused_elsewhere(native: World) -> None:
    native.translator = OpenAITranslator()
    error = await native.fail("malformed", ask(tools=[{"type": "function", "name": "f"}, {"type": "web_search"}]))
    assert error.param == "tools[1].type"
    assert not native.transport.requests
