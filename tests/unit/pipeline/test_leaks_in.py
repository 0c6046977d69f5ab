"""Attempts to bring a text past the guards on its way in, in every place of a message that a provider is sent."""

from typing import Any

import msgspec
import pytest

from gateway.core.documents import Guardrails
from gateway.core.errors import GatewayError
from gateway.dialects.messages.dialect import MESSAGES_DIALECT
from gateway.wire.chat_asides import message_asides
from tests.unit.pipeline.conftest import Exchange

SECRET = "hunter2secret"
REGEX = {"type": "regex", "name": "leak", "options": {"pattern": "hunter2[a-z]+", "name": "leak"}}
GUARDS: dict[str, Any] = {
    "terms": {"pre_validation": {"prohibited_terms": [SECRET]}},
    "block": {"pre_validation": {"validators": [REGEX]}},
    "mask": {"pre_validation": {"validators": [{**REGEX, "on_fail": "mask"}]}},
}


def history(**message: Any) -> list[Any]:
    return [{"role": "user", "content": "a"}, {"role": "assistant", **message}, {"role": "user", "content": "b"}]


CALL = {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
PLACES: dict[str, list[Any]] = {
    "content": [{"role": "user", "content": SECRET}],
    "a part": [{"role": "user", "content": [{"type": "text", "text": SECRET}]}],
    "a refusing part": history(content=[{"type": "refusal", "refusal": SECRET}]),
    "a refusal": history(content=None, refusal=SECRET),
    "a thought": history(content="x", reasoning_content=SECRET),
    "a signed thought": history(content="x", thinking_blocks=[{"type": "thinking", "thinking": SECRET, "signature": "c2ln"}]),
    "a name": [{"role": "user", "content": "a", "name": SECRET}],
    "a tool's answer": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "t", "content": SECRET},
    ],
    "a transcript": [
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AA", "transcript": SECRET}}]}
    ],
    "the name of a file": [{"role": "user", "content": [{"type": "file", "file": {"filename": SECRET, "file_data": "AA"}}]}],
    "a document as text": [{"role": "user", "content": [{"type": "document", "source": {"type": "text", "data": SECRET}}]}],
    "a field that nobody knows": [{"role": "user", "content": "a", "note": {"of": [SECRET]}}],
}


def publish(world: Any, guard: Any) -> None:
    world.publish("faq", ("system", "Help."), guardrails=msgspec.convert(guard, Guardrails))


@pytest.mark.parametrize("guard", ["terms", "block"])
@pytest.mark.parametrize("place", PLACES)
async def test_no_place_of_a_message_is_passed_over(world: Any, say: Any, place: str, guard: str):
    publish(world, GUARDS[guard])
    world.script(say.completion("x"))
    error = await world.fail("blocked", {"model": "faq", "messages": PLACES[place]})
    assert SECRET not in error.detail or guard == "terms"
    assert world.transport.requests == []


@pytest.mark.parametrize("place", PLACES)
async def test_every_place_of_a_message_is_masked(world: Any, say: Any, place: str):
    publish(world, GUARDS["mask"])
    world.script(say.completion("of <LEAK_1>"))
    await world.call({"model": "faq", "messages": PLACES[place]})
    body = world.transport.requests[0][1].body
    assert SECRET.encode() not in body
    assert (b"<LEAK_1>" in body) is (place != "a signed thought"), "what is signed is left out"


@pytest.mark.parametrize("place", PLACES)
async def test_others_mask_every_place_too(world: Any, say: Any, place: str):
    world.serve_guard("rules", b"")
    guard = {"type": "http", "name": "names", "options": {"endpoint": "rules"}, "on_fail": "redact"}
    publish(world, {"pre_validation": {"validators": [guard, {**guard, "name": "more", "on_fail": "annotate"}]}})
    shown: list[list[str]] = []

    async def send(target: Any, request: Any, deadline: float) -> Exchange:
        if target.provider != "guard:rules":
            world.transport.requests.append((target, request))
            return say.completion("fine")
        texts = msgspec.json.decode(request.body)["texts"]
        shown.append(texts)
        spans = [
            {"text": i, "start": text.index(SECRET), "end": text.index(SECRET) + len(SECRET), "label": "leak"}
            for i, text in enumerate(texts)
            if SECRET in text
        ]
        return say.opinion("mask", spans=spans)

    world.transport.send = send
    await world.call({"model": "faq", "messages": PLACES[place]})
    assert any(SECRET in text for text in shown[0])
    assert SECRET.encode() not in world.transport.requests[0][1].body


async def test_a_message_of_another_dialect_is_judged_as_it_is_sent(world: Any, say: Any):
    publish(world, GUARDS["block"])
    world.dialect = MESSAGES_DIALECT
    source = {"type": "text", "media_type": "text/plain", "data": SECRET}
    content = [{"type": "document", "source": source, "title": "t"}, {"type": "text", "text": "Read it."}]
    await world.fail("blocked", {"model": "faq", "max_tokens": 9, "messages": [{"role": "user", "content": content}]})


@pytest.mark.parametrize("guard", ["terms", "block"])
async def test_what_is_predicted_is_judged(world: Any, say: Any, guard: str):
    publish(world, GUARDS[guard])
    prediction = {"type": "content", "content": [{"type": "text", "text": f"say {SECRET}"}]}
    await world.fail("blocked", say.chat(model="faq", prediction=prediction))
    world.script(say.completion("x"))
    assert (await world.call(say.chat(model="faq", prediction={"type": "content", "content": "fine"}))).status == 200


async def test_what_is_predicted_cannot_be_masked(world: Any, say: Any):
    publish(world, GUARDS["mask"])
    error = await world.fail("malformed", say.chat(model="faq", prediction={"type": "content", "content": "fine"}))
    assert error.param == "prediction"


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "hi"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "tool", "tool_call_id": "t", "content": "x"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,A"}}],
        },
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
    ],
)
def test_a_usual_message_has_nothing_beside_it(message: Any):
    assert message_asides(msgspec.json.encode(message)) == []


@pytest.mark.parametrize("guard", ["terms", "block", "mask"])
@pytest.mark.parametrize("depth", [900, 5000])
async def test_depth_hides_nothing(world: Any, guard: str, depth: int):
    publish(world, GUARDS[guard])
    deep = b"[" * depth + b'"' + SECRET.encode() + b'"' + b"]" * depth
    message = b'{"model":"faq","messages":[{"role":"user","content":"a","note":%b}]}' % deep
    for body in (message, b'{"model":"faq","messages":[{"role":"user","content":"a"}],"prediction":%b}' % deep):
        with pytest.raises(GatewayError) as caught:
            await world.call(body)
        sent = b"".join([request.body for _, request in world.transport.requests])
        assert SECRET.encode() not in sent
        assert caught.value.kind.name in {"blocked", "malformed"} or sent
