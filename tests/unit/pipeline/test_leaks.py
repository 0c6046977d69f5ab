"""Attempts to bring a refused text past the guards of an answer, in every place of it that a caller could read."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gateway.core.documents import Guardrails

SECRET = "hunter2secret"
HALVES = (SECRET[:5], SECRET[5:])
TERMS = {"post_validation": {"prohibited_terms": [SECRET]}}
REGEX = {"type": "regex", "name": "leak", "options": {"pattern": "hunter2[a-z]+"}}
GUARDS: dict[str, Any] = {
    "terms": TERMS,
    "block": {"post_validation": {"validators": [REGEX]}},
    "redact": {"post_validation": {"validators": [{**REGEX, "on_fail": "redact"}]}},
    "tools": {"post_validation": {"validators": [{**REGEX, "stage": "tools", "on_fail": "redact"}]}},
}
"""Each goes another way: the quick gate, the judging one, the one that rewrites, and tool calls."""


def token(text: str) -> dict[str, Any]:
    return {"token": text, "logprob": -0.1, "bytes": list(text.encode()), "top_logprobs": []}


def said(**fields: Any) -> Callable[[str], dict[str, Any]]:
    """A place within a message or delta; ``...`` is where the text is put."""
    return lambda text: {"said": put(fields, text)}


def put(value: Any, text: str) -> Any:
    if value is ...:
        return text
    if isinstance(value, dict):
        return {name: put(one, text) for name, one in value.items()}
    if isinstance(value, list):
        return [put(one, text) for one in value]
    return value


PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "content": said(content=...),
    "refusal": said(refusal=...),
    "a refusal beside content": said(content="fine", refusal=...),
    "reasoning_content": said(reasoning_content=...),
    "reasoning": said(reasoning=...),
    "reasoning beside another": said(reasoning_content="hm", reasoning=...),
    "reasoning_details": said(content="a", reasoning_details=[{"type": "reasoning.text", "text": ..., "index": 0}]),
    "thinking_blocks": said(content="a", thinking_blocks=[{"type": "thinking", "thinking": ..., "signature": "c2ln"}]),
    "the transcript of sound": said(audio={"id": "audio_1", "data": "AAAA", "transcript": ...}),
    "a field that nobody knows": said(content="a", thought={"of": [{"the": ...}]}),
    "the tokens of nothing": lambda text: {"choice": {"logprobs": {"content": [token(text)]}}},
    "the tokens of another text": lambda text: {"said": {"content": "a"}, "choice": {"logprobs": {"content": [token(text)]}}},
}


def event(streamed: bool, index: int, given: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    message = {"role": "assistant", **given.get("said", {})}
    choice = {"index": index, ("delta" if streamed else "message"): message, "finish_reason": finish, **given.get("choice", {})}
    return {"id": "c1", "choices": [choice], **given.get("answer", {})}


def sse(*events: dict[str, Any]) -> list[bytes]:
    return [b"data: " + msgspec.json.encode(one) + b"\n\n" for one in events]


async def shown(world: Any, say: Any, guard: str, answer: Any, *, streamed: bool, **body: Any) -> str:
    """All that the caller saw, whether or not the call ended well."""
    world.publish("faq", ("system", "Help."), guardrails=msgspec.convert(GUARDS[guard], Guardrails))
    world.script(answer)
    caller = world.caller()
    ask = say.chat(model="faq", stream=streamed, **body)
    if guard == "redact" or guard == "tools":
        await world.call(ask, caller)
    else:
        error = await world.fail("blocked", ask, caller)
        caller.pieces.append(error.frames or b"")
    return caller.body.decode()


@pytest.mark.parametrize("guard", ["terms", "block", "redact"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("index", [0, 3])
async def test_no_place_of_a_stream_says_it_though_it_comes_in_halves(world: Any, say: Any, place: str, guard: str, index: int):
    at = PLACES[place]
    pieces = sse(*[event(True, index, at(half)) for half in HALVES], event(True, index, {}, "stop"))
    body = await shown(world, say, guard, say.stream(*pieces, say.usage(), say.DONE), streamed=True, n=4)
    assert SECRET not in body
    assert HALVES[1] not in body


@pytest.mark.parametrize("guard", ["terms", "block", "redact"])
@pytest.mark.parametrize("place", PLACES)
async def test_no_place_of_a_whole_answer_says_it(world: Any, say: Any, place: str, guard: str):
    choices = [event(False, 0, {"said": {"content": "ok"}}, "stop"), event(False, 1, PLACES[place](f"x {SECRET} y"), "stop")]
    answer = say.completion(choices=[one["choices"][0] for one in choices])
    body = await shown(world, say, guard, answer, streamed=False, n=2)
    assert SECRET not in body
    if guard == "redact":
        assert '"ok"' in body


WHOLE = {
    "a list of sources": {"answer": {"citations": [f"https://one.example/?q={SECRET}"]}},
    "the message so far": {"choice": {"message": {"role": "assistant", "content": SECRET}}},
    "an annotation": {"said": {"annotations": [{"type": "url_citation", "url_citation": {"title": SECRET, "url": "u"}}]}},
    "a field of the choice": {"choice": {"text": SECRET}},
}


@pytest.mark.parametrize("guard", ["terms", "block", "redact"])
@pytest.mark.parametrize("place", WHOLE)
async def test_what_comes_at_once_beside_a_stream_is_judged_at_once(world: Any, say: Any, place: str, guard: str):
    pieces = sse(event(True, 0, {"said": {"content": "fine"}, **WHOLE[place]} if "said" not in WHOLE[place] else WHOLE[place]))
    answer = say.stream(*pieces, *sse(event(True, 0, {}, "stop")), say.usage(), say.DONE)
    body = await shown(world, say, guard, answer, streamed=True)
    assert SECRET not in body
    if guard == "redact":
        assert "[MATCH]" not in body, "what cannot be rewritten is taken away"


@pytest.mark.parametrize("streamed", [True, False])
async def test_the_tokens_of_a_rewritten_tool_call_go_too(world: Any, say: Any, streamed: bool):
    pieces = [f'{{"q":"{HALVES[0]}', f'{HALVES[1]}"}}'] if streamed else [f'{{"q":"{SECRET}"}}']
    events = [
        event(
            streamed,
            0,
            {
                "said": {
                    "tool_calls": [{"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": piece}}]
                },
                "choice": {"logprobs": {"content": [token(piece)]}},
            },
            None if streamed else "tool_calls",
        )
        for piece in pieces
    ]
    if streamed:
        answer = say.stream(*sse(*events, event(True, 0, {}, "tool_calls")), say.usage(), say.DONE)
    else:
        answer = say.completion(choices=events[0]["choices"])
    body = await shown(world, say, "tools", answer, streamed=streamed)
    assert HALVES[1] not in body
    assert "[MATCH]" in body


async def test_arguments_say_nothing_in_a_key_that_comes_twice(world: Any, say: Any):
    call = {"id": "t", "type": "function", "function": {"name": "f", "arguments": f'{{"q": "{SECRET}", "q": "fine"}}'}}
    answer = say.completion(choices=event(False, 0, {"said": {"tool_calls": [call]}}, "tool_calls")["choices"])
    body = await shown(world, say, "tools", answer, streamed=False)
    assert SECRET not in body
    assert "fine" in body


async def test_a_call_of_two_kinds_is_refused(world: Any, say: Any):
    call = {"id": "t", "custom": {"name": "f", "input": "x"}, "function": {"name": "f", "arguments": SECRET}}
    world.publish("faq", ("system", "Help."), guardrails=msgspec.convert(GUARDS["tools"], Guardrails))
    world.script(say.completion(choices=event(False, 0, {"said": {"tool_calls": [call]}}, "tool_calls")["choices"]))
    await world.fail("blocked", say.chat(model="faq"))


@pytest.mark.parametrize("guard", ["terms", "block", "redact"])
async def test_texts_beside_an_answer_pass_byte_for_byte_where_nothing_is_found(world: Any, say: Any, guard: str):
    world.publish("faq", ("system", "Help."), guardrails=msgspec.convert(GUARDS[guard], Guardrails))
    given = {
        "said": {
            "content": "Hi",
            "reasoning_details": [{"text": "hm"}],
            "images": [{"image_url": {"url": "data:image/png;base64,A"}}],
        },
        "choice": {"logprobs": {"content": [token("Hi")]}, "content_filter_results": {}},
        "answer": {"citations": ["https://one.example"], "system_fingerprint": "fp"},
    }
    pieces = sse(event(True, 0, given), event(True, 0, {}, "stop"))
    world.script(say.stream(*pieces, say.DONE))
    caller = await world.call(say.chat(model="faq", stream=True))
    assert pieces[0] in caller.body


async def test_thoughts_that_are_signed_keep_their_placeholders(world: Any, say: Any):
    mask = {**REGEX, "options": {"pattern": "[a-z]+@mail[.]example", "name": "email"}, "on_fail": "mask"}
    world.publish(
        "faq", ("system", "Help."), guardrails=msgspec.convert({"pre_validation": {"validators": [mask]}}, Guardrails)
    )
    blocks = [{"type": "thinking", "thinking": "of <EMAIL_1>", "signature": "c2ln"}]
    world.script(
        say.completion(choices=event(False, 0, said(content="to <EMAIL_1>", thinking_blocks=blocks)(""), "stop")["choices"])
    )
    caller = await world.call(say.chat("I am a@mail.example", model="faq"))
    message = caller.json["choices"][0]["message"]
    assert (message["content"], message["thinking_blocks"]) == ("to a@mail.example", blocks)


async def test_places_without_number_end_the_answer(world: Any, say: Any):
    pieces = sse(*[event(True, 0, said(**{f"field_{i}": ...})("x")) for i in range(300)])
    for guard in ("terms", "redact"):
        world.publish("faq", ("system", "Help."), guardrails=msgspec.convert(GUARDS[guard], Guardrails))
        world.script(say.stream(*pieces, say.DONE))
        await world.fail("upstream_invalid", say.chat(model="faq", stream=True))
