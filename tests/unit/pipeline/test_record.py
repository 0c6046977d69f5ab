"""One row per call, never two, and estimates only where something was made."""

from typing import Any

import msgspec
import pytest

from gateway.core.events import Usage
from gateway.core.journal import Journal
from gateway.core.ledger import row_of
from gateway.core.requests import Caller, ChatRequest
from gateway.core.upstream import Target
from gateway.dialects.chat import CHAT_DIALECT
from gateway.pipeline.record import ending_of, intent_of, record, settle
from gateway.pipeline.serve import serve


@pytest.fixture
def journal(world: Any) -> Journal:
    made = Journal(world.inbound({}))
    made.caller = Caller("app-1", "demo", "key-1", "pub", None, None)
    made.target = Target("openai", "gpt-4o-mini", "http://x", "")
    return made


def test_a_call_is_recorded_once(world: Any, journal: Journal) -> None:
    for _ in range(3):
        record(journal, world.services)
    assert len(world.ledger.rows) == len(world.observed.journals) == 1


def test_without_a_caller_there_is_no_row_but_a_count(world: Any, journal: Journal) -> None:
    journal.caller = None
    record(journal, world.services)
    assert world.ledger.rows == []
    assert len(world.observed.journals) == 1


@pytest.mark.parametrize(("intended", "generated", "source"), [(True, 40, "estimated"), (True, 0, None), (False, 40, None)])
def test_what_was_made_is_estimated(world: Any, journal: Journal, intended: bool, generated: int, source: str | None) -> None:
    journal.generated, journal.input_chars = generated, 400
    journal.intent = intent_of(journal, 1) if intended else None
    record(journal, world.services)
    row = world.row
    assert (row.usage_source, row.cost_status) == (source, source)
    assert (row.input_tokens, row.output_tokens) == ((100, 10) if source else (None, None))


def test_money_is_settled_once_and_exactly(world: Any, journal: Journal) -> None:
    journal.usage, journal.usage_source = Usage(1_000_000, 1_000_000, 500_000), "upstream"
    assert settle(journal, world.services) == (500_000 * 150 + 500_000 * 75 + 1_000_000 * 600)
    bill = journal.bill
    journal.usage = Usage(1, 1)
    settle(journal, world.services)
    assert journal.bill is bill
    assert bill.price_version == world.services.prices.version


def test_unknown_is_none_and_never_zero(world: Any, journal: Journal) -> None:
    row = row_of(intent_of(journal, 0), ending_of(journal, world.services.clock()))
    empty = (
        "input_tokens",
        "output_tokens",
        "cached_tokens",
        "reasoning_tokens",
        "cost_nano",
        "first_byte_us",
        "upstream_us",
        "prompt",
        "version",
        "user",
    )
    assert [getattr(row, name) for name in empty] == [None] * len(empty)
    assert row.attempt == 0


async def test_where_records_must_survive_a_loss_of_power_the_last_byte_waits(world: Any, say: Any) -> None:
    async def synced() -> None:
        world.steps.append("synced")

    services = msgspec.structs.replace(world.services, synced=synced)
    for stream in (False, True):
        world.steps.clear()
        world.script(say.stream(say.delta("x"), say.usage() + say.DONE) if stream else say.completion())
        await serve(world.inbound(say.chat(stream=stream)), services, world.caller(), CHAT_DIALECT)
        assert world.steps[-3:] == ["row 1 ok", "synced", "end" if stream else "whole"]


def test_all_that_is_billed_is_in_the_row(world: Any, journal: Journal) -> None:
    journal.usage = Usage(100, 60, 20, 10, 11, 5, 25, 4, 21, 15, 12, 2, 3, "batch", 1500)
    journal.usage_source = "upstream"
    record(journal, world.services)
    row = world.row
    assert (row.cache_write_tokens, row.cache_write_1h_tokens) == (11, 5)
    assert (row.audio_input_tokens, row.audio_cached_tokens, row.audio_output_tokens) == (25, 4, 21)
    assert (row.image_input_tokens, row.image_output_tokens, row.images) == (15, 12, 2)
    assert (row.request_units, row.service_tier, row.audio_ms) == (3, "batch", 1500)


@pytest.mark.parametrize(("asked", "tier"), [(None, None), ("flex", "flex"), ("default", None)])
def test_an_estimate_is_in_the_tier_that_was_asked_for(
    world: Any, journal: Journal, asked: str | None, tier: str | None
) -> None:
    journal.request = asking(asked)
    journal.generated, journal.input_chars = 40, 400
    journal.intent = intent_of(journal, 1)
    record(journal, world.services)
    assert world.row.service_tier == tier
    assert world.row.cost_status == "estimated"


def asking(tier: str | None) -> ChatRequest:
    fields = {} if tier is None else {"service_tier": msgspec.Raw(msgspec.json.encode(tier))}
    return ChatRequest("m", None, {}, (), False, False, 1, None, None, None, (), fields)


BILLED = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 10},
    "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 0},
}


@pytest.mark.parametrize("stream", [False, True])
async def test_what_the_provider_says_it_billed_reaches_the_row(world: Any, say: Any, stream: bool) -> None:
    if stream:
        closing = msgspec.json.encode({"id": "x", "choices": [], "usage": BILLED, "service_tier": "priority"})
        world.script(say.stream(say.delta("a"), b"data: " + closing + b"\n\n" + say.DONE))
    else:
        answer = say.completion("a", None, service_tier="priority")
        body = msgspec.json.decode(answer.pieces[0]) | {"usage": BILLED}
        answer.pieces = [msgspec.json.encode(body)]
        world.script(answer)
    await world.call(say.chat(model="gpt-5.6", stream=stream))
    row = world.row
    assert (row.input_tokens, row.cached_tokens, row.cache_write_tokens, row.output_tokens) == (100, 40, 10, 50)
    assert (row.reasoning_tokens, row.service_tier, row.cost_status) == (30, "priority", "exact")
    # 50 fresh at 10, 40 cached at 1, 10 written at 12.50, 50 out at 60 USD per million tokens.
    assert row.cost_nano == 500_000 + 40_000 + 125_000 + 3_000_000
