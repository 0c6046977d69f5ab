"""Forwarded calls that are billed by the piece, from the request to the row, at the prices of the package."""

import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.core.events import Usage
from gateway.core.forward import AUDIO
from gateway.core.ledger import Counts, LedgerRow
from gateway.pipeline.forwarding.placing import Errand
from tests.unit.pipeline.conftest import World
from tests.unit.pipeline.test_forward import SPEAK, Forwarding, forwarding
from tests.unit.pipeline.test_limits import rule

__all__ = ["forwarding"]
"""The fixture."""

GOLDEN = sorted((Path(__file__).parents[2] / "golden").glob("*/pieces_*.json"))
WAV = (
    b"RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"
    + struct.pack("<IIHH", 8000, 16_000, 2, 16)
    + b"data\x40\x1f\x00\x00"
)
WAV += bytes(8000)
COUNTS = LedgerRow.__struct_fields__[
    LedgerRow.__struct_fields__.index("input_tokens") : LedgerRow.__struct_fields__.index("cost_nano")
]


def counts_of(world: World) -> Counts:
    return tuple(getattr(world.row, name) for name in COUNTS)


@pytest.mark.parametrize("file", GOLDEN, ids=lambda p: p.stem)
async def test_a_published_call_is_counted_and_priced_as_by_hand(file: Path, forwarding: Forwarding) -> None:
    golden: dict[str, Any] = msgspec.json.decode(file.read_bytes())
    answer = golden["answer"]
    if answer is None:
        forwarding.answer(b"sound", b"", content_type=b"audio/mpeg")
    else:
        forwarding.answer(answer)
    errand = Errand(golden["door"], b"POST", golden["path"])
    caller = await forwarding.call(errand, golden["request"])
    row = forwarding.world.row
    assert counts_of(forwarding.world) == msgspec.structs.astuple(Usage(**golden["counts"]))
    assert (row.cost_nano, row.cost_status) == (golden["cost_nano"], "exact")
    assert row.usage_source == ("counted" if answer is None else "upstream")
    assert caller.status == 200


async def test_a_text_that_is_read_aloud_is_billed_whoever_stays_to_listen(forwarding: Forwarding) -> None:
    caller = forwarding.world.caller()
    caller.leave_at = "write"
    forwarding.answer(b"so", b"und", b"", content_type=b"audio/mpeg")
    await forwarding.call(SPEAK, {"model": "tts-1", "voice": "alloy", "input": "hello"}, caller=caller)
    assert forwarding.cut is not None
    row = forwarding.world.row
    assert (row.outcome, row.characters, row.cost_nano, row.cost_status) == ("client_gone", 5, 75_000, "exact")


async def test_a_text_that_was_refused_costs_nothing(forwarding: Forwarding, say: Any) -> None:
    forwarding.world.script(say.refusal(400, "no such voice"))
    await forwarding.fail("upstream_rejected", SPEAK, {"model": "tts-1", "voice": "x", "input": "hello"})
    row = forwarding.world.row
    assert (row.characters, row.cost_nano, row.cost_status, row.usage_source) == (None, None, None, None)


async def test_a_model_that_bills_tokens_has_no_price_where_it_tells_none(forwarding: Forwarding) -> None:
    forwarding.answer(b"sound", b"", content_type=b"audio/mpeg")
    await forwarding.call(SPEAK, {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": "hello"})
    row = forwarding.world.row
    assert (row.characters, row.cost_nano, row.cost_status, row.usage_source) == (5, None, "unpriced", "counted")


async def test_tokens_that_the_last_event_tells_go_before_the_characters(forwarding: Forwarding) -> None:
    done = b'data: {"type":"speech.audio.done","usage":{"input_tokens":14,"output_tokens":101,"total_tokens":115}}\n\n'
    forwarding.answer(b'data: {"type":"speech.audio.delta","audio":"aGk="}\n\n', done, b"", content_type=b"text/event-stream")
    asked = {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": "hello", "stream_format": "sse"}
    await forwarding.call(SPEAK, asked)
    row = forwarding.world.row
    assert (row.input_tokens, row.output_tokens, row.characters, row.usage_source) == (14, 101, 0, "upstream")
    assert (row.cost_nano, row.cost_status) == (14 * 600 + 101 * 12_000, "exact")


async def test_what_pieces_will_cost_is_reserved_before_they_are_asked_for(forwarding: Forwarding) -> None:
    money = rule("money", "cost_nano", 100_000_000, "month", scope="application")
    forwarding.world.allow(limits=[money])
    asked = {"model": "dall-e-3", "prompt": "a cat", "n": 2, "quality": "hd"}
    refused = await forwarding.fail("budget_exhausted", Errand("images", b"POST", "/images/generations"), asked)
    assert "money" in refused.detail
    refused = await forwarding.fail("budget_exhausted", SPEAK, {"model": "tts-1", "input": "x" * 6_667})
    assert "money" in refused.detail
    assert forwarding.world.transport.requests == []
    forwarding.answer(b"sound", b"", content_type=b"audio/mpeg")
    caller = await forwarding.call(SPEAK, {"model": "tts-1", "input": "x" * 6_000})
    assert (caller.status, forwarding.world.ledger.rows[-1].cost_nano) == (200, 90_000_000)
    await forwarding.fail("budget_exhausted", SPEAK, {"model": "tts-1", "input": "x" * 1_000})


async def test_a_text_that_is_none_is_refused_by_name(forwarding: Forwarding) -> None:
    error = await forwarding.fail("malformed", SPEAK, {"model": "tts-1", "voice": "alloy", "input": ["a"]})
    assert "input" in error.detail
    assert forwarding.world.transport.requests == []


def recording(model: str = "whisper-1", sound: bytes = WAV) -> tuple[bytes, dict[str, str]]:
    """A form with half a second of sound, and its content type."""
    head = b'--b\r\nContent-Disposition: form-data; name="%b"'
    fields = head % b"model" + b"\r\n\r\n" + model.encode() + b"\r\n"
    file = head % b"file" + b'; filename="a.wav"\r\n\r\n' + sound + b"\r\n--b--\r\n"
    return fields + file, {"content_type": "multipart/form-data; boundary=b"}


@pytest.mark.parametrize("path", ["/audio/transcriptions", "/audio/translations"])
async def test_a_transcription_that_tells_no_usage_is_estimated_by_the_length_of_its_sound(
    forwarding: Forwarding, path: str
) -> None:
    body, head = recording()
    forwarding.answer(b"1\n00:00:00,000 --> 00:00:00,500\nhello\n", b"", content_type=b"text/plain; charset=utf-8")
    caller = await forwarding.call(Errand(AUDIO, b"POST", path), body, **head)
    row = forwarding.world.row
    assert (row.audio_ms, row.usage_source, row.cost_nano, row.cost_status) == (500, "estimated", 50_000, "estimated")
    assert caller.body.endswith(b"hello\n")


@pytest.mark.parametrize(
    ("answer", "ms", "source"),
    [
        ({"text": "hello"}, 500, "estimated"),
        ({"text": "hello", "duration": 0.4}, 400, "estimated"),
        ({"text": "hello", "duration": "0.4"}, 400, "estimated"),
        ({"text": "hello", "duration": "long"}, 500, "estimated"),
        ({"text": "hello", "duration": [1]}, 500, "estimated"),
        ({"text": "hello", "duration": 0.4, "usage": {"type": "duration", "seconds": 1}}, 1000, "upstream"),
    ],
)
async def test_what_a_transcription_says_of_its_length_goes_before_the_file(
    forwarding: Forwarding, answer: object, ms: int, source: str
) -> None:
    body, head = recording()
    forwarding.answer(answer)
    await forwarding.call(Errand(AUDIO, b"POST", "/audio/transcriptions"), body, **head)
    row = forwarding.world.row
    assert (row.audio_ms, row.usage_source) == (ms, source)


async def test_a_sound_that_does_not_say_how_long_it_is_has_no_price(forwarding: Forwarding) -> None:
    body, head = recording(sound=b"no sound")
    forwarding.answer(b"hello", b"", content_type=b"text/plain")
    await forwarding.call(Errand(AUDIO, b"POST", "/audio/transcriptions"), body, **head)
    row = forwarding.world.row
    assert (row.audio_ms, row.usage_source, row.cost_nano, row.cost_status) == (None, None, None, None)


async def test_a_budget_holds_the_length_of_a_sound(forwarding: Forwarding) -> None:
    body, head = recording()
    forwarding.world.allow(limits=[rule("money", "cost_nano", 40_000, "month", scope="application")])
    await forwarding.fail("budget_exhausted", Errand(AUDIO, b"POST", "/audio/transcriptions"), body, **head)
