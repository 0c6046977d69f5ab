"""Guards outside the process write over answers: by place, as whole texts, in streams, beside the answer, and behind masks."""

from typing import Any

import msgspec
import pytest

from gateway.core.documents import Guardrails
from gateway.dialects.messages.dialect import MESSAGES_DIALECT
from tests.unit.pipeline.conftest import Exchange

REDACT = {"type": "http", "name": "names", "options": {"endpoint": "rules"}, "on_fail": "redact"}
REWRITE = {"type": "http", "name": "tone", "options": {"endpoint": "rules", "may_rewrite": True}}
ANSWER = "Ask Ada Lovelace, or Bob."


def place(text: int, start: int, end: int, label: str = "person") -> dict[str, Any]:
    return {"text": text, "start": start, "end": end, "label": label}


def sent(world: Any, provider: str = "guard:rules") -> list[Any]:
    return [msgspec.json.decode(request.body) for target, request in world.transport.requests if target.provider == provider]


def publish(world: Any, *post: Any, pre: tuple[Any, ...] = ()) -> Any:
    world.serve_guard("rules", b"")
    sections = {"post_validation": {"validators": post}, "pre_validation": {"validators": pre}}
    world.publish("faq", ("system", "Help."), guardrails=msgspec.convert(sections, Guardrails))
    return world


def text_of(caller: Any, field: str = "content") -> str:
    return "".join([c["choices"][0]["delta"].get(field) or "" for c in caller.chunks if c["choices"]])


@pytest.mark.parametrize("size", [1, 3, 7, 100])
async def test_places_are_written_over_however_the_stream_was_cut(world: Any, say: Any, size: int):
    publish(world, REDACT)
    pieces = [ANSWER[i : i + size] for i in range(0, len(ANSWER), size)]
    world.script(say.stream(*[say.delta(piece) for piece in pieces], say.delta(finish="stop"), say.usage(), say.DONE))
    world.script(say.opinion("mask", spans=[place(0, 4, 16), place(0, 21, 24, "friend")]), provider="guard:rules")
    caller = await world.call(say.chat(model="faq", stream=True))
    assert text_of(caller) == "Ask [PERSON], or [FRIEND]."
    (question,) = sent(world)
    assert (question["stage"], question["texts"], question["roles"]) == ("post", [ANSWER], ["assistant"])
    assert 'post:names;action=redact;found="person friend"' in caller.head["x-guardrails"], "held back, so the head knows it"
    assert (world.row.outcome, world.row.output_tokens) == ("ok", 2)


@pytest.mark.parametrize("streamed", [False, True])
async def test_presidio_redacts_an_answer(world: Any, say: Any, streamed: bool):
    publish(world, {"type": "presidio", "options": {"endpoint": "rules"}, "on_fail": "replace", "replacement": "someone"})
    whole = say.completion(ANSWER)
    world.script(say.stream(say.delta(ANSWER[:8]), say.delta(ANSWER[8:], finish="stop"), say.DONE) if streamed else whole)
    found = [
        {"entity_type": "PERSON", "start": 4, "end": 16, "score": 0.85},
        {"entity_type": "X", "start": 0, "end": 3, "score": 0.1},
    ]
    world.script(answer_of(found), provider="guard:rules")
    caller = await world.call(say.chat(model="faq", stream=streamed))
    said = text_of(caller) if streamed else caller.json["choices"][0]["message"]["content"]
    assert said == "Ask someone, or Bob."


def answer_of(body: Any) -> Any:
    return Exchange(200, b"application/json", [msgspec.json.encode(body)])


async def test_every_choice_and_thought_and_what_stands_beside_is_shown_and_mended(world: Any, say: Any):
    publish(world, REDACT)
    blocks = [{"type": "thinking", "thinking": "Ada?", "signature": "c2ln"}]
    choices = [
        {
            "index": 0,
            "message": {"content": "To Ada", "reasoning_content": "Ada?", "thinking_blocks": blocks},
            "logprobs": {"x": 1},
        },
        {"index": 1, "message": {"content": "To nobody", "refusal": "Ada!"}},
    ]
    world.script(say.completion(choices=choices, citations=["https://ada.example", "https://one.example"]))
    spans = [place(0, 3, 6), place(1, 0, 3), place(4, 0, 3), place(5, 0, 3), place(2, 8, 11)]
    world.script(say.opinion("mask", spans=spans), provider="guard:rules")
    caller = await world.call(say.chat(model="faq", n=2))
    (question,) = sent(world)
    assert question["texts"] == ["To Ada", "Ada?", "https://ada.example", "https://one.example", "Ada?", "To nobody", "Ada!"]
    assert question["roles"] == ["assistant", "reasoning", "aside", "aside", "aside", "assistant", "assistant"]
    one, two = caller.json["choices"]
    assert one == {"index": 0, "message": {"content": "To [PERSON]", "reasoning_content": "[PERSON]?"}, "logprobs": None}
    assert two["message"] == {"content": "[PERSON]nobody", "refusal": "Ada!"}
    assert "citations" not in caller.json


async def test_one_that_may_rewrite_is_asked_last_and_its_texts_take_the_place_of_the_answer(world: Any, say: Any):
    publish(world, REWRITE, REDACT)
    world.script(say.stream(say.delta("Ada "), say.delta("is"), say.delta(" mad.", finish="stop"), say.DONE))
    world.script(
        say.opinion("mask", spans=[place(0, 0, 3)]),
        say.opinion("rewrite", what="tone", texts=["They are busy."]),
        provider="guard:rules",
    )
    caller = await world.call(say.chat(model="faq", stream=True))
    assert [question["texts"] for question in sent(world)] == [["Ada is mad."], ["[PERSON] is mad."]]
    assert text_of(caller) == "They are busy."
    assert caller.frames[-1] == "[DONE]"


async def test_callers_of_another_dialect_get_the_mended_answer(world: Any, say: Any):
    publish(world, REDACT)
    world.dialect = MESSAGES_DIALECT
    world.script(say.completion(ANSWER))
    world.script(say.opinion("mask", spans=[place(0, 4, 16)]), provider="guard:rules")
    caller = await world.call({"model": "faq", "max_tokens": 9, "messages": [{"role": "user", "content": "Who?"}]})
    assert caller.json["content"] == [{"type": "text", "text": "Ask [PERSON], or Bob."}]


@pytest.mark.parametrize("streamed", [False, True])
async def test_who_must_not_see_a_value_going_in_does_not_see_it_coming_out(world: Any, say: Any, streamed: bool):
    """A judge may be a model of the very provider that the value is kept from."""
    mask = {"type": "pii", "on_fail": "mask"}
    publish(world, {**REDACT, "on_fail": "block"}, {**REDACT, "name": "more"}, pre=(mask,))
    world.script(
        say.stream(say.delta("To <EM"), say.delta("AIL_1> and Ada", finish="stop"), say.DONE)
        if streamed
        else say.completion("To <EMAIL_1> and Ada")
    )
    world.script(say.opinion(), say.opinion("mask", spans=[place(0, 17, 20)]), provider="guard:rules")
    caller = await world.call(say.chat("I am ada@mail.example", model="faq", stream=streamed))
    assert [question["texts"] for question in sent(world)] == [["To <EMAIL_1> and Ada"]] * 2
    said = text_of(caller) if streamed else caller.json["choices"][0]["message"]["content"]
    assert said == "To ada@mail.example and [PERSON]"


@pytest.mark.parametrize("on_error", ["closed", "open"])
async def test_one_that_cannot_say_where_could_not_judge(world: Any, say: Any, on_error: str):
    publish(world, {**REDACT, "on_error": on_error})
    world.script(say.completion(ANSWER))
    world.script(say.opinion("mask", spans=[place(0, 4, 160)]), provider="guard:rules")
    if on_error == "closed":
        assert (await world.fail("guard_unavailable", say.chat(model="faq"))).param == "post:names"
    else:
        caller = await world.call(say.chat(model="faq"))
        assert caller.json["choices"][0]["message"]["content"] == ANSWER


async def test_observing_changes_nothing(world: Any, say: Any):
    publish(world, {**REDACT, "mode": "observe"})
    world.script(say.completion(ANSWER))
    world.script(say.opinion("mask", spans=[place(0, 4, 16)]), provider="guard:rules")
    caller = await world.call(say.chat(model="faq"))
    assert caller.json["choices"][0]["message"]["content"] == ANSWER
    assert world.row.verdicts == ['post:names;action=redact;observe;found="person"']


async def test_a_text_that_is_repeated_in_every_chunk_is_shown_once(world: Any, say: Any):
    publish(world, REDACT)
    so_far = ""
    events = []
    for piece in ("Ask ", "Ada", " now"):
        so_far += piece
        choice = {"index": 0, "delta": {"content": piece}, "message": {"role": "assistant", "content": so_far}}
        events.append(b"data: " + msgspec.json.encode({"choices": [choice], "citations": ["https://one.example"]}) + b"\n\n")
    world.script(say.stream(*events, say.delta(finish="stop"), say.DONE))
    world.script(say.opinion("mask", spans=[place(0, 4, 7), place(2, 4, 7)]), provider="guard:rules")
    caller = await world.call(say.chat(model="faq", stream=True))
    (question,) = sent(world)
    assert question["texts"] == ["Ask Ada now", "https://one.example", "Ask Ada now"]
    assert text_of(caller) == "Ask [PERSON] now"
    assert b"Ada" not in caller.body
    assert [chunk["choices"][0].get("message") for chunk in caller.chunks[:3]] == [
        {"role": "assistant", "content": "Ask "},
        None,
        None,
    ]
    assert all("citations" in chunk for chunk in caller.chunks[:3])


async def test_endless_texts_beside_an_answer_end_it(world: Any, say: Any):
    publish(world, REDACT)
    world.script(say.completion("x", citations=[f"{i:07}" for i in range(160_000)]))
    await world.fail("upstream_invalid", say.chat(model="faq"))
