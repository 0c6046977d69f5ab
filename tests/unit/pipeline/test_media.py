"""Pictures, sound and files: a section of guardrails says whether they may pass unread. What is spoken is read either way."""

from typing import Any

import msgspec
import pytest

from tests.unit.pipeline.conftest import DONE, World, chat, completion, delta, stream, validators

BAD: dict[str, Any] = {"type": "regex", "options": {"pattern": "b[a]d"}}


def spoken(transcript: str) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "audio": {"id": "a", "data": "UklGRg==", "transcript": transcript}}


def whole(transcript: str) -> Any:
    return completion(choices=[{"index": 0, "message": spoken(transcript), "finish_reason": "stop"}])


def piece(**audio: str) -> bytes:
    body = {
        "id": "c",
        "choices": [{"index": 0, "delta": {"audio": {"id": "a", **audio}}, "finish_reason": None}],
        "usage": None,
    }
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def heard() -> dict[str, Any]:
    part = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    return {**chat(), "messages": [{"role": "user", "content": [{"type": "text", "text": "Hear"}, part]}]}


async def test_sound_passes_unread_unless_that_is_refused(world: World) -> None:
    world.allow(guardrails=validators("pre", BAD))
    world.script(completion())
    await world.call(heard())
    world.allow(guardrails=validators("pre", BAD, on_media="closed"))
    error = await world.fail("blocked", heard())
    assert (error.param, "cannot read" in error.detail) == ("pre:media", True)
    assert error.headers == b'x-guardrails: pre:media;action=block;found="unread"\r\n'
    world.script(completion())
    await world.call()


async def test_a_section_that_is_off_refuses_nothing(world: World) -> None:
    world.allow(guardrails=validators("pre", on_media="closed", enabled=False))
    world.script(completion())
    await world.call(heard())


@pytest.mark.parametrize("streamed", [False, True])
async def test_what_is_spoken_is_read(world: World, streamed: bool) -> None:
    world.allow(guardrails=validators("post", BAD))
    pieces = stream(piece(transcript="That is b"), piece(transcript="ad."), delta(finish="stop"), DONE)
    world.script(pieces if streamed else whole("That is bad."))
    caller = world.caller()
    assert (await world.fail("blocked", chat(stream=streamed), caller)).param == "post:regex"
    assert b"bad" not in caller.body
    assert b" b" not in caller.body


@pytest.mark.parametrize("streamed", [False, True])
async def test_sound_that_comes_out_unread_is_refused_where_that_is_said(world: World, streamed: bool) -> None:
    sound = piece(data="UklGRg==")
    answers = [stream(delta("Well. "), sound, delta(finish="stop"), DONE) if streamed else whole("Fine.") for _ in range(2)]
    world.allow(guardrails=validators("post", BAD))
    world.script(answers[0])
    assert b"UklGRg==" in (await world.call(chat(stream=streamed))).body
    world.allow(guardrails=validators("post", BAD, on_media="closed"))
    world.script(answers[1])
    caller = world.caller()
    assert (await world.fail("blocked", chat(stream=streamed), caller)).param == "post:media"
    assert b"UklGRg==" not in caller.body


async def test_an_answer_of_text_passes_a_section_that_refuses_sound_alone(world: World) -> None:
    world.allow(guardrails=validators("post", on_media="closed"))
    world.script(completion("Fine."))
    assert (await world.call()).json["choices"][0]["message"]["content"] == "Fine."
