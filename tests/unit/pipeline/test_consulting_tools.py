"""Tool calls before guards that ask others: what they are shown, and what becomes of arguments, whole and streamed."""

from typing import Any

import msgspec
import pytest

from tests.unit.pipeline.conftest import Exchange
from tests.unit.pipeline.test_consulting import place, sent

HTTP = {"type": "http", "name": "house", "options": {"endpoint": "rules"}, "stage": "tools"}
TOOLS = [{"type": "function", "function": {"name": "send_mail", "description": "Send a letter", "parameters": {}}}]


def mail(arguments: str, name: str = "send_mail", **more: Any) -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def calling(say: Any, *calls: dict[str, Any], streamed: bool = False, cut: int = 5) -> Exchange:
    """An answer that calls tools; streamed, the name and then the arguments in pieces."""
    if not streamed:
        message = {"role": "assistant", "content": None, "tool_calls": list(calls)}
        return say.completion(choices=[{"index": 0, "message": message, "finish_reason": "tool_calls"}])
    deltas: list[dict[str, Any]] = []
    for i, call in enumerate(calls):
        arguments = call["function"]["arguments"]
        deltas.append({**call, "index": i, "function": {"name": call["function"]["name"], "arguments": ""}})
        pieces = [arguments[at : at + cut] for at in range(0, len(arguments), cut)]
        deltas += [{"index": i, "function": {"arguments": piece}} for piece in pieces]
    events = [chunk({"tool_calls": [each]}) for each in deltas]
    return say.stream(*events, chunk({}, "tool_calls"), say.DONE)


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    body = {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": None}
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def called(caller: Any, *, streamed: bool) -> list[tuple[str, str]]:
    """Name and arguments of every call that a caller got."""
    if not streamed:
        calls = caller.json["choices"][0]["message"]["tool_calls"]
        return [(call["function"]["name"], call["function"]["arguments"]) for call in calls]
    found: dict[int, tuple[str, str]] = {}
    for line in caller.body.decode().splitlines():
        if not line.startswith("data: {"):
            continue
        for choice in msgspec.json.decode(line[6:])["choices"]:
            for call in choice["delta"].get("tool_calls", ()):
                name, arguments = found.get(call["index"], ("", ""))
                function = call["function"]
                found[call["index"]] = (name + function.get("name", ""), arguments + function.get("arguments", ""))
    return [found[index] for index in sorted(found)]


# --- coming out -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True])
async def test_name_and_arguments_are_judged_and_pass_as_they_came(guarded: Any, say: Any, streamed: bool):
    world = guarded("post", HTTP)
    world.script(calling(say, mail('{"to": "\\u0041nn"}'), mail("{}", "stop"), streamed=streamed))
    world.script(say.opinion(), provider="guard:rules")
    caller = await world.call(say.chat(model="faq", stream=streamed))
    (question,) = sent(world, "guard:rules")
    assert (question["stage"], question["texts"]) == ("post", ["send_mail", '{"to":"Ann"}', "stop", "{}"])
    assert question["roles"] == ["tool_name", "tool_arguments"] * 2
    assert called(caller, streamed=streamed) == [("send_mail", '{"to": "\\u0041nn"}'), ("stop", "{}")]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_block_leaves_nothing_of_the_call(guarded: Any, say: Any, streamed: bool):
    world = guarded("post", HTTP)
    world.script(calling(say, mail('{"to":"Ann"}'), streamed=streamed))
    world.script(say.opinion("block", what="rule_7"), provider="guard:rules")
    caller = world.caller()
    error = await world.fail("blocked", say.chat(model="faq", stream=streamed), caller)
    assert error.param == "post:house"
    assert error.headers == b'x-guardrails: tools:house;action=block;found="rule_7"\r\n'
    assert caller.pieces == []
    assert (world.row.outcome, world.row.guard) == ("blocked", "post:house")


@pytest.mark.parametrize("streamed", [False, True])
async def test_places_in_arguments_are_written_over_and_stay_json(guarded: Any, say: Any, streamed: bool):
    world = guarded("post", {**HTTP, "on_fail": "replace", "replacement": 'the "boss"'})
    world.script(calling(say, mail('{"to": "Ann", "n": 1}'), mail('{"a":"b"}'), streamed=streamed))
    world.script(say.opinion("mask", spans=[place(1, 7, 10)]), provider="guard:rules")
    caller = await world.call(say.chat(model="faq", stream=streamed))
    assert called(caller, streamed=streamed) == [
        ("send_mail", '{"to":"the \\"boss\\"","n":1}'),
        ("send_mail", '{"a":"b"}'),
    ]
    assert caller.head["x-guardrails"] == 'tools:house;action=replace;found="person"'


@pytest.mark.parametrize(("text", "start", "end"), [(0, 0, 4), (1, 0, 3), (1, 4, 7)])
async def test_a_name_and_what_is_no_string_is_not_written_over_but_blocked(
    guarded: Any, say: Any, text: int, start: int, end: int
):
    world = guarded("post", {**HTTP, "on_fail": "redact"})
    world.script(calling(say, mail('{"to":"Ann"}')))
    world.script(say.opinion("mask", spans=[place(text, start, end)]), provider="guard:rules")
    assert (await world.fail("blocked", say.chat(model="faq"))).param == "post:house"


async def test_a_key_that_comes_twice_is_shown_and_its_first_value_is_not_passed_on(guarded: Any, say: Any):
    world = guarded("post", {**HTTP, "on_fail": "redact"})
    world.script(calling(say, mail('{"to":"Ann","to":"Bob"}')), calling(say, mail('{"to":"Ann","to":"Bob"}')))
    world.script(
        say.opinion("mask", spans=[place(2, 7, 10)]),
        say.opinion("mask", spans=[place(1, 7, 10), place(2, 18, 21)]),
        provider="guard:rules",
    )
    for wanted in ('{"to":"Bob"}', '{"to":"[PERSON]"}'):
        assert called(await world.call(say.chat(model="faq")), streamed=False) == [("send_mail", wanted)]
    assert sent(world, "guard:rules")[0]["texts"] == ["send_mail", '{"to":"Bob"}', '{"to":"Ann","to":"Bob"}']


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_service_may_write_other_arguments(guarded: Any, say: Any, streamed: bool):
    world = guarded("post", {**HTTP, "options": {"endpoint": "rules", "may_rewrite": True}})
    world.script(calling(say, mail('{"to":"Ann"}'), streamed=streamed))
    world.script(say.opinion("rewrite", what="names", texts=["send_mail", '{"to":"nobody"}']), provider="guard:rules")
    caller = await world.call(say.chat(model="faq", stream=streamed))
    assert called(caller, streamed=streamed) == [("send_mail", '{"to":"nobody"}')]


@pytest.mark.parametrize("texts", [["other", "{}"], ["send_mail", "{no"]])
async def test_a_service_may_not_write_another_name_or_what_is_no_json(guarded: Any, say: Any, texts: list[str]):
    world = guarded("post", {**HTTP, "options": {"endpoint": "rules", "may_rewrite": True}})
    world.script(calling(say, mail("{}")))
    world.script(say.opinion("rewrite", texts=texts), provider="guard:rules")
    error = await world.fail("blocked", say.chat(model="faq"))
    assert (error.param, "cannot be rewritten" in error.detail) == ("post:house", True)


@pytest.mark.parametrize("streamed", [False, True])
async def test_texts_and_calls_are_judged_at_one_time_and_nobody_is_asked_about_none(guarded: Any, say: Any, streamed: bool):
    text = {"type": "http", "name": "prose", "options": {"endpoint": "rules"}}
    world = guarded("post", HTTP, text)
    answer = say.stream(say.delta("Hello."), say.delta(finish="stop"), say.DONE) if streamed else say.completion("Hello.")
    world.script(answer)
    world.script(say.opinion(), provider="guard:rules")
    await world.call(say.chat(model="faq", stream=streamed))
    (question,) = sent(world, "guard:rules")
    assert question["texts"] == ["Hello."]


async def test_who_cannot_judge_a_call_refuses_it_or_lets_it_pass(guarded: Any, say: Any):
    world = guarded("post", {**HTTP, "name": "lenient", "on_error": "open"}, HTTP)
    world.script(calling(say, mail("{}")))
    world.script(Exchange(500, b"text/plain", [b"no"]), Exchange(500, b"text/plain", [b"no"]), provider="guard:rules")
    error = await world.fail("guard_unavailable", say.chat(model="faq"))
    assert error.param == "post:house"
    assert b"tools:lenient;action=error_open" in error.headers


async def test_a_call_of_two_kinds_is_refused(guarded: Any, say: Any):
    world = guarded("post", HTTP)
    world.script(calling(say, mail("{}", custom={"name": "x", "input": "y"})))
    assert "of two kinds" in (await world.fail("blocked", say.chat(model="faq"))).detail


async def test_a_custom_tools_input_is_plain_text(guarded: Any, say: Any):
    world = guarded("post", {**HTTP, "on_fail": "redact"})
    world.script(calling(say, {"id": "c", "type": "custom", "custom": {"name": "note", "input": 'Ann said "hi"'}}))
    world.script(say.opinion("mask", spans=[place(1, 0, 3)]), provider="guard:rules")
    caller = await world.call(say.chat(model="faq"))
    (call,) = caller.json["choices"][0]["message"]["tool_calls"]
    assert call["custom"] == {"name": "note", "input": '[PERSON] said "hi"'}


# --- going in -------------------------------------------------------------------------------------------------------------


def history(say: Any, arguments: str = '{"to":"Ann"}', **more: Any) -> dict[str, Any]:
    messages = [
        {"role": "user", "content": "Write to Ann"},
        {"role": "assistant", "content": None, "tool_calls": [mail(arguments)]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sent"},
    ]
    return {**say.chat(model="faq", **more), "messages": messages}


async def test_definitions_and_calls_of_the_history_are_judged(guarded: Any, say: Any):
    world = guarded("pre", HTTP)
    world.script(say.completion("Done."))
    world.script(say.opinion(), provider="guard:rules")
    await world.call(history(say, tools=TOOLS))
    (question,) = sent(world, "guard:rules")
    assert question["roles"] == ["tool_definition", "tool_name", "tool_arguments"]
    assert question["texts"] == [msgspec.json.encode(TOOLS).decode(), "send_mail", '{"to":"Ann"}']


async def test_a_conversation_without_tools_asks_nobody(guarded: Any, say: Any):
    world = guarded("pre", HTTP)
    world.script(say.completion("Done."))
    await world.call(say.chat(model="faq"))
    assert sent(world, "guard:rules") == []


async def test_a_judge_reads_tool_calls_as_data(guarded: Any, say: Any):
    world = guarded("pre", {"type": "judge", "options": {"model": "small", "instruction": "It sends mail."}, "stage": "tools"})
    world.script(say.completion("Done."), say.completion('{"score": 1}'))
    error = await world.fail("blocked", history(say))
    assert error.param == "pre:judge"
    (question,) = [body for body in sent(world, "openai") if body["model"] == "small"]
    judged = msgspec.json.decode(question["messages"][1]["content"])
    assert judged["texts"] == [
        {"role": "tool_name", "text": "send_mail"},
        {"role": "tool_arguments", "text": '{"to":"Ann"}'},
    ]


async def test_a_definition_is_not_written_over_but_blocked(guarded: Any, say: Any):
    world = guarded("pre", {**HTTP, "on_fail": "mask"})
    world.script(say.opinion("mask", spans=[place(0, 5, 9)]), provider="guard:rules")
    assert (await world.fail("blocked", history(say, tools=TOOLS))).param == "pre:house"


@pytest.mark.parametrize("streamed", [False, True])
async def test_what_is_masked_in_a_call_is_put_back_wherever_the_answer_says_it(guarded: Any, say: Any, streamed: bool):
    text = {"type": "http", "name": "prose", "options": {"endpoint": "rules"}, "on_fail": "mask"}
    world = guarded("pre", {**HTTP, "on_fail": "mask"}, text)
    world.script(calling(say, mail('{"to": "<PERSON_1>", "cc": "<PERSON_2>"}'), streamed=streamed, cut=3))
    world.script(
        say.opinion("mask", spans=[place(1, 7, 16)]),
        say.opinion("mask", spans=[place(1, 9, 12)]),
        provider="guard:rules",
    )
    caller = await world.call(history(say, '{"to":"A \\"x\\" B"}', stream=streamed))
    ((question,),) = [sent(world, "openai")]
    texts = [message["content"] for message in question["messages"] if message["role"] == "user"]
    (call,) = question["messages"][2]["tool_calls"]
    shown = {call["function"]["arguments"], *texts}
    assert shown in ({'{"to":"<PERSON_1>"}', "Write to <PERSON_2>"}, {'{"to":"<PERSON_2>"}', "Write to <PERSON_1>"})
    ((_, arguments),) = called(caller, streamed=streamed)
    assert sorted(msgspec.json.decode(arguments).values()) == ['A "x" B', "Ann"]
