"""Guards through the whole sentence: what goes to the provider, what comes back, and what is written down."""

from typing import Any

import msgspec
import pytest

from gateway.core.documents import AnswerCache, Guardrails, PostValidation, PreValidation, Validator
from gateway.core.verdicts import Note
from gateway.dialects.responses.dialect import RESPONSES_DIALECT
from gateway.pipeline.guard_in import BlockedError
from tests.unit.pipeline.workers import settled

EMAIL = r"\b[a-z]+@[a-z]+\.example\b"


def validator(action: str = "mask", pattern: str = EMAIL, name: str = "email", **fields: Any) -> Validator:
    return Validator("regex", name=name, options={"pattern": pattern, "name": name}, on_fail=action, **fields)  # type: ignore[arg-type]


def guarded(world: Any, *, pre: list[Validator] = [], post: list[Validator] = [], **content: Any) -> None:
    rails = Guardrails(PreValidation(validators=pre), PostValidation(validators=post))
    world.publish("faq", ("system", "Help."), guardrails=rails, **content)


def ask(text: Any = "Hello", **fields: Any) -> dict[str, Any]:
    return {"model": "faq", "messages": [{"role": "user", "content": text}], **fields}


def sent(world: Any) -> Any:
    return msgspec.json.decode(world.transport.requests[-1][1].body)


def event(**choice: Any) -> bytes:
    fields = {"index": 0, "delta": {}, "finish_reason": None, **choice}
    return b"data: " + msgspec.json.encode({"id": "c", "choices": [fields]}) + b"\n\n"


def tool_event(arguments: str | None = None, *, index: int = 0, **function: Any) -> bytes:
    said = function if arguments is None else {**function, "arguments": arguments}
    return event(delta={"tool_calls": [{"index": index, "function": said}]})


def text_of(caller: Any, field: str = "content") -> str:
    return "".join(c["delta"].get(field) or "" for chunk in caller.chunks for c in chunk["choices"])


def arguments_of(caller: Any, index: int = 0) -> str:
    return "".join(
        call["function"].get("arguments", "")
        for chunk in caller.chunks
        for c in chunk["choices"]
        for call in c["delta"].get("tool_calls", [])
        if call["index"] == index
    )


async def test_masks_go_out_and_values_come_back(world: Any, say: Any) -> None:
    guarded(world, pre=[validator()])
    world.script(say.completion("To <EMAIL_1>, not <EMAIL_2> or <EMAIL_9>."))
    parts = [{"type": "text", "text": "I am a@b.example"}, {"type": "image_url", "image_url": {"url": "x", "n": 1.0}}]
    messages = [
        {"role": "user", "content": parts, "name": "me"},
        {"role": "assistant", "content": "ok", "z": 1e3},
        {"role": "tool", "tool_call_id": "t", "content": "c@d.example and a@b.example"},
    ]
    caller = await world.call({"model": "faq", "messages": messages})
    assert caller.json["choices"][0]["message"]["content"] == "To a@b.example, not c@d.example or <EMAIL_9>."
    body = world.transport.requests[-1][1].body
    assert b"@" not in body
    out = sent(world)["messages"]
    assert out[1] == {"role": "user", "content": [{"type": "text", "text": "I am <EMAIL_1>"}, parts[1]], "name": "me"}
    assert b'"n":1.0' in body
    assert b'"z":1e3' in body or b'"z":1000.0' in body
    assert out[3]["content"] == "<EMAIL_2> and <EMAIL_1>"


async def test_a_streamed_placeholder_is_restored_wherever_it_is_cut(world: Any, say: Any) -> None:
    guarded(world, pre=[validator()])
    pieces = ["Dear ", "<EM", "AIL_", "1", "> a", "nd <b>", " <EMAIL_2", ""]
    events = [event(delta={"content": piece}, logprobs={"content": [{"token": piece}]}) for piece in pieces]
    world.script(say.stream(*events, event(finish_reason="stop"), say.usage(), say.DONE))
    caller = await world.call(ask("a@b.example", stream=True))
    assert text_of(caller) == "Dear a@b.example and <b> <EMAIL_2"
    assert b"EM" not in caller.body.split(b"<b>")[0]
    assert caller.chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert events[0].strip() in caller.body, "an event that needs no change keeps its bytes"
    assert len(caller.chunks) == len(pieces) + 1
    # Only possible placeholders wait.
    assert text_of(caller).startswith("Dear ")
    assert [c["choices"][0].get("logprobs") is None for c in caller.chunks[:3]] == [False, True, True]


async def test_a_number_that_the_caller_wrote_is_not_used(world: Any, say: Any) -> None:
    guarded(world, pre=[validator()])
    world.script(say.completion("<EMAIL_1> <EMAIL_2> <EMAIL_3>"))
    caller = await world.call(ask("<EMAIL_1> a@b.example <EMAIL_3> c@d.example"))
    assert sent(world)["messages"][1]["content"] == "<EMAIL_1> <EMAIL_2> <EMAIL_3> <EMAIL_4>"
    assert caller.json["choices"][0]["message"]["content"] == "<EMAIL_1> a@b.example <EMAIL_3>"


async def test_redact_replace_and_observe_going_in(world: Any, say: Any) -> None:
    guarded(
        world,
        pre=[
            validator("redact"),
            validator("replace", "secret", "word", replacement="..."),
            validator("block", "Hello", "hello", mode="observe"),
            validator("annotate", "Hello", "greeting"),
        ],
    )
    world.script(say.completion("fine"))
    await world.call(ask("Hello a@b.example, secret Hello"))
    assert sent(world)["messages"][1]["content"] == "Hello [EMAIL], ... Hello"
    assert world.observed.journals[-1].notes == [
        Note("pre", "email", "redact", "enforce", {"email": 1}),
        Note("pre", "word", "replace", "enforce", {"word": 1}),
        Note("pre", "hello", "block", "observe", {"hello": 2}),
        Note("pre", "greeting", "annotate", "enforce", {"greeting": 2}),
    ]


@pytest.mark.parametrize("streamed", [False, True])
async def test_redaction_going_out(world: Any, say: Any, streamed: bool) -> None:
    guarded(world, post=[validator("redact"), validator("replace", "cat|dog", "animal", replacement="pet")])
    if streamed:
        pieces = ["my c", "at wri", "tes a@b", ".exa", "mple; the ", "dog"]
        world.script(say.stream(*[event(delta={"content": p}) for p in pieces], event(finish_reason="stop"), say.DONE))
        caller = await world.call(ask(stream=True))
        assert text_of(caller) == "my pet writes [EMAIL]; the pet"
    else:
        choices = [
            {
                "index": i,
                "message": {"role": "assistant", "content": t, "x": 1.50},
                "logprobs": {"a": 1},
                "finish_reason": "stop",
            }
            for i, t in enumerate(["my cat", "clean", "a@b.example"])
        ]
        world.script(say.completion(choices=choices))
        caller = await world.call(ask())
        got = caller.json["choices"]
        assert [c["message"]["content"] for c in got] == ["my pet", "clean", "[EMAIL]"]
        assert [c["logprobs"] for c in got] == [None, {"a": 1}, None]
        assert got[1] == choices[1]
    notes = {(n.guard, n.stage, n.action): n.kinds for n in world.observed.journals[-1].notes}
    assert notes == {
        ("email", "post", "redact"): {"email": 1},
        ("animal", "post", "replace"): {"animal": 2 if streamed else 1},
    }


async def test_reasoning_and_refusals_are_judged_too(world: Any, say: Any) -> None:
    guarded(world, post=[validator("redact"), Validator("required", options={"elements": ["done"]})])
    fields = ("reasoning_content", "reasoning", "refusal", "content")
    events = [event(delta={field: piece}) for field in fields for piece in ("a@b", ".example done")]
    world.script(say.stream(*events, event(finish_reason="stop"), say.DONE))
    caller = await world.call(ask(stream=True))
    assert [text_of(caller, field) for field in fields] == ["[EMAIL] done"] * 4
    assert b"a@b" not in caller.body


async def test_a_whole_judgement_holds_the_stream_to_its_end(world: Any, say: Any) -> None:
    guarded(world, post=[validator("block", "start.*end", "span", stage="whole")])
    world.script(
        say.stream(*[event(delta={"content": p}) for p in ("start", " x ", "end")], event(finish_reason="stop"), say.DONE)
    )
    caller = world.caller()
    error = await world.fail("blocked", ask(stream=True), caller)
    assert isinstance(error, BlockedError)
    assert (error.stage, error.verdict.guard, error.verdict.choice, error.param) == ("post", "span", 0, "post:span")
    assert caller.body == b""


async def test_what_comes_before_a_block_may_be_shown_and_nothing_of_it(world: Any, say: Any) -> None:
    verdict = validator("fallback", "bad", "bad", fallback="faq@safe", message="Sorry.")
    guarded(world, post=[verdict, validator("annotate", "[a-z]+", "words")])
    pieces = ["fine. ", "ba", "d things"]
    world.script(say.stream(*[event(delta={"content": p}) for p in pieces], say.DONE))
    caller = world.caller()
    error = await world.fail("blocked", ask(stream=True), caller)
    assert text_of(caller) == "fine. "
    assert (error.verdict.on_fail, error.verdict.fallback, error.verdict.message) == ("fallback", "faq@safe", "Sorry.")
    notes = {n.guard: n.kinds for n in world.observed.journals[-1].notes}
    assert notes == {"bad": {"bad": 1}, "words": {"words": 1}}


async def test_tool_calls_wait_until_they_are_judged(world: Any, say: Any) -> None:
    guarded(world, post=[validator("block", "rm -rf", "shell", stage="tools")])
    events = [
        event(delta={"content": "I will "}),
        tool_event("", name="run"),
        tool_event('{"c":"rm '),
        tool_event('\\u002drf"}'),
        event(finish_reason="tool_calls"),
    ]
    world.script(say.stream(*events, say.DONE))
    caller = world.caller()
    await world.fail("blocked", ask(stream=True), caller)
    assert text_of(caller) == "I will "
    assert b"rm" not in caller.body
    assert world.observed.journals[-1].notes == [Note("tools", "shell", "block", "enforce", {"shell": 1})]


async def test_tool_calls_are_rewritten_whole_and_masks_restored_in_them(world: Any, say: Any) -> None:
    guarded(
        world,
        pre=[validator(pattern='[A-Z]+"[A-Z]+', name="nick"), validator()],
        post=[validator("redact", "secret", "secret", stage="tools")],
    )
    events = [
        tool_event("", name="mail"),
        tool_event('{"to":"<EMA'),
        tool_event('IL_1>","as":"\\u003cNICK_1\\u003e","n":1.50}'),
        tool_event('{"a":"sec', index=1, name="x"),
        tool_event('ret"}', index=1),
        event(delta={"content": "Done, <EMAIL_1>."}, finish_reason="tool_calls"),
    ]
    world.script(say.stream(*events, say.DONE))
    caller = await world.call(ask('a@b.example is O"B', stream=True))
    assert msgspec.json.decode(arguments_of(caller)) == {"to": "a@b.example", "as": 'O"B', "n": 1.5}
    assert arguments_of(caller, 1) == '{"a":"[SECRET]"}'
    assert text_of(caller) == "Done, a@b.example."
    assert len(caller.chunks) == len(events)


async def test_a_whole_answers_tool_calls(world: Any, say: Any) -> None:
    guarded(world, pre=[validator()], post=[validator("redact", "secret", "secret", stage="tools")])
    calls = [
        {"id": "1", "type": "function", "function": {"name": "a", "arguments": '{"x":"<EMAIL_1>"}'}},
        {"id": "2", "type": "custom", "custom": {"name": "b", "input": 'say "secret"'}},
        {"id": "3", "type": "function", "function": {"name": "c", "arguments": '{"x":1.0}'}},
    ]
    message = {"role": "assistant", "content": None, "tool_calls": calls, "function_call": {"name": "f", "arguments": "secret"}}
    world.script(say.completion(choices=[{"index": 0, "message": message, "finish_reason": "tool_calls"}]))
    caller = await world.call(ask("a@b.example"))
    got = caller.json["choices"][0]["message"]
    assert got["tool_calls"][0]["function"]["arguments"] == '{"x":"a@b.example"}'
    assert got["tool_calls"][1]["custom"] == {"name": "b", "input": 'say "[SECRET]"'}
    assert got["tool_calls"][2] == calls[2]
    assert got["function_call"]["arguments"] == "[SECRET]"


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "function", "function": {"name": "rm_all"}}]},
        {"functions": [{"name": "x", "description": "rm_all"}]},
        b'{"model":"faq","messages":[{"role":"user","content":"x"}],"tools":[{"name":"\\u0072m_all"}]}',
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "1", "function": {"name": "rm_all", "arguments": "{}"}}],
                }
            ]
        },
        {"messages": [{"role": "assistant", "content": None, "function_call": {"name": "x", "arguments": "rm_all"}}]},
    ],
)
async def test_tools_are_judged_going_in(world: Any, say: Any, fields: Any) -> None:
    guarded(world, pre=[validator("block", "rm_", "danger", stage="tools")], overridable=["*"])
    error = await world.fail("blocked", fields if isinstance(fields, bytes) else ask(**fields))
    assert error.param == "pre:danger"
    assert world.transport.requests == []
    assert world.observed.journals[-1].notes == [Note("tools", "danger", "block", "enforce", {"danger": 1})]
    world.script(say.completion("ok"))
    await world.call(ask("rm_all", tools=[]))


async def test_a_history_that_cannot_be_judged_is_refused_by_name(world: Any) -> None:
    guarded(world, pre=[validator(stage="tools")])
    call = {"id": "1", "type": "function", "function": {"name": "x", "arguments": {"a": 1}}}
    error = await world.fail("malformed", ask(messages=[{"role": "assistant", "content": None, "tool_calls": [call]}]))
    assert error.param == "messages"


async def test_arguments_of_the_history_are_masked_like_texts(world: Any, say: Any) -> None:
    guarded(world, pre=[validator(), validator(name="email", stage="tools")])
    call = {"id": "1", "type": "function", "function": {"name": "mail", "arguments": '{"to": "a\\u0040b.example"}', "x": 1}}
    world.script(say.completion("<EMAIL_1>"))
    messages = [*ask("for a@b.example")["messages"], {"role": "assistant", "content": None, "tool_calls": [call]}]
    caller = await world.call({"model": "faq", "messages": messages})
    assert sent(world)["messages"][2]["tool_calls"][0]["function"] == {
        "name": "mail",
        "arguments": '{"to":"<EMAIL_1>"}',
        "x": 1,
    }
    assert caller.json["choices"][0]["message"]["content"] == "a@b.example"


async def test_callers_of_other_dialects_are_served_through_the_chat_form(world: Any, say: Any) -> None:
    guarded(world, pre=[validator()])
    world.dialect = RESPONSES_DIALECT
    world.script(say.completion("Hi <EMAIL_1>"))
    caller = await world.call({"model": "faq", "input": "I am a@b.example"})
    assert caller.json["output"][0]["content"][0]["text"] == "Hi a@b.example"
    assert world.transport.requests[-1][1].path == "/chat/completions"
    error = await world.fail("malformed", {"model": "faq", "input": "Hi", "tools": [{"type": "web_search"}]})
    assert error.param == "tools[0].type" or "guardrails" in error.detail


async def test_a_kept_answer_is_restored_for_each_caller(world: Any, say: Any) -> None:
    guarded(world, pre=[validator()], cache=AnswerCache(ttl_seconds=60))
    world.script(say.completion("Hi <EMAIL_1>"))
    first = await world.call(ask("a@b.example"))
    await settled(world.memory)
    second = await world.call(ask("c@d.example"))
    assert second.head["x-cache"] == "hit"
    said = [caller.json["choices"][0]["message"]["content"] for caller in (first, second)]
    assert said == ["Hi a@b.example", "Hi c@d.example"]


async def test_what_is_held_back_is_bounded(world: Any, say: Any) -> None:
    guarded(world, post=[validator("block", "x.*y", "span", stage="whole")])
    big = event(delta={"content": "z" * 300_000})
    world.script(say.stream(big, big, big, big, say.DONE))
    error = await world.fail("upstream_invalid", ask(stream=True))
    assert "held back" in error.detail


async def test_an_answer_that_cannot_be_read_is_not_shown(world: Any, say: Any) -> None:
    guarded(world, post=[validator("redact")])
    world.script(say.stream(event(delta={"tool_calls": [{"index": 0, "function": {"arguments": {"a": 1}}}]}), say.DONE))
    await world.fail("upstream_invalid", ask(stream=True))
