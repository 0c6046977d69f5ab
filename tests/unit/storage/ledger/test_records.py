"""Records that cannot be stored word for word, and those of the format before."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple, replace

from gateway.core.events import Usage
from gateway.core.ledger import UNBILLED, Bill, Ending, Intent, LedgerRow, ServedPrompt, State, row_of
from gateway.storage.ledger.folder import make_folder, take
from gateway.storage.ledger.frames import FIRST, FORMER_MAGIC
from gateway.storage.ledger.records import (
    MAX_ENDING,
    MAX_INTENT,
    PAIR,
    as_stored,
    decode_final,
    decode_intent,
    encode,
    mended,
)
from gateway.storage.ledger.recovery import DeadSpool

GOLDEN = Path(__file__).with_name("pgspool1.segment")
"""Made by the program of that format: intents 1 and 2, finals 1 and 3 (refused), and 4 as before usage had more counts."""
PROMPT = ServedPrompt("01900000-0000-7000-8000-00000000000c", "faq-bot", 7, "production", None, "c" * 64, 3)
_decode_ending = msgspec.msgpack.Decoder(Ending).decode


def test_long_texts_are_cut_and_marked(intent_of):
    intent = intent_of(1, user="u" * 1_000_000, tags=("t" * 5000,) * 40)
    kept, body = as_stored(intent, MAX_INTENT)
    assert len(body) <= MAX_INTENT
    assert decode_intent(body) == kept
    assert kept.user is not None
    assert kept.user.startswith("uuu")
    assert kept.user.endswith("…")
    assert len(kept.tags) == 0 or len(kept.tags) <= 16
    assert replace(kept, user=intent.user, tags=intent.tags) == intent


def test_the_narrowest_cut_always_fits(intent_of, final_of):
    huge = "€" * 100_000
    labels = dict.fromkeys(("request_id", "requested_model", "provider", "model", "user", "session", "door"), huge)
    prompt = replace(PROMPT, prompt=huge, alias=huge, variant=huge)
    intent = intent_of(1, **labels, prompt=prompt, tags=(huge,) * 100, estimated_input_tokens=2**62)
    kept, body = mended(intent, MAX_INTENT)
    assert len(body) <= MAX_INTENT
    assert decode_intent(body) == kept
    assert kept.call_id == intent.call_id
    texts = dict.fromkeys(("finish_reason", "guard", "error", "outcome", "usage_source"), huge)
    numbers = dict.fromkeys(("latency_us", "first_byte_us", "upstream_us"), 2**62)
    usage = Usage(*[2**62] * 13, huge)
    _, ending = final_of(1, **texts, **numbers, counts=astuple(usage), bill=Bill(2**62, huge, huge), verdicts=[huge] * 100)
    kept, body = mended(ending, MAX_ENDING)
    assert len(body) <= MAX_ENDING
    assert _decode_ending(body) == kept
    assert kept.bill.cost_nano == 2**62
    assert kept.counts is not None
    assert kept.counts[:13] == (2**62,) * 13


def test_lone_surrogates_become_escapes(intent_of):
    intent = intent_of(1, user="a\ud800b")
    with pytest.raises(UnicodeEncodeError):
        encode(intent)
    kept, body = as_stored(intent, MAX_INTENT)
    assert kept.user == "a\\ud800b"
    assert decode_intent(body) == kept


def test_numbers_beyond_64_bits_become_unknown(final_of):
    _, ending = final_of(1, counts=astuple(Usage(10**30, -(10**30), reasoning=10**18)))
    kept, body = as_stored(ending, MAX_ENDING)
    assert kept.counts is not None
    assert kept.counts[:4] == (None, None, 0, 10**18)
    assert _decode_ending(body) == kept


def test_what_can_be_stored_is_stored_as_it_is(final_of):
    intent, ending = final_of(1)
    assert as_stored(intent, MAX_INTENT) == (intent, encode(intent))
    assert as_stored(ending, MAX_ENDING)[0] is ending
    assert decode_final(encode((intent, ending))) == (intent, ending)


_texts = st.text(st.characters(exclude_categories=()), max_size=300)


@settings(max_examples=60)
@given(user=_texts, session=st.none() | _texts, tags=st.lists(_texts, max_size=30), error=_texts, count=st.integers())
def test_whatever_texts_and_numbers_are_in_it_what_is_kept_is_what_is_read(
    user: str, session: str | None, tags: list[str], error: str, count: int
):
    intent = Intent("id", 1, "app", "key", "r", "chat", True, None, "p", "m", user, session, tuple(tags), PROMPT, 7)
    ending = Ending("ok", 200, None, None, 1, None, None, 1, None, error, [], astuple(Usage(count, 0)), UNBILLED)
    told, before = as_stored(intent, MAX_INTENT)
    ended, after = as_stored(ending, MAX_ENDING)
    assert len(before) <= MAX_INTENT
    assert len(after) <= MAX_ENDING
    assert decode_final(PAIR + before + after) == (told, ended)
    row = row_of(told, ended)
    assert (row.user, row.session, row.tags, row.error) == (told.user, told.session, told.tags, ended.error)
    assert row.prompt == PROMPT.prompt
    assert row.input_tokens in {count, None}


def test_the_columns_of_a_row_are_the_fields_of_its_parts_in_order():
    parts = (*Intent.__struct_fields__[:13], *ServedPrompt.__struct_fields__, "state", *Ending.__struct_fields__[:11])
    columns = LedgerRow.__struct_fields__
    assert columns[: len(parts)] == parts
    counts = columns[len(parts) : len(parts) + 17]
    assert [name.removesuffix("_tokens") for name in counts[:12]] == list(Usage.__struct_fields__[:12])
    assert counts[12:] == ("request_units", "service_tier", "audio_ms", "characters", "picture")
    assert [name.removeprefix("cost_") for name in columns[len(parts) + 17 : -4]] == ["nano", "status", "price_version"]
    assert columns[-4:] == Intent.__struct_fields__[-4:] == ("route", "shadowed", "credential_id", "trace_id")


def test_records_of_a_program_with_fewer_fields_are_read(final_of):
    intent, ending = final_of(1, counts=astuple(Usage(90, 20, audio_ms=5))[:15])
    body = msgspec.msgpack.encode((astuple(intent)[:-2], ending))
    read_intent, read_ending = decode_final(body)
    row = row_of(read_intent, read_ending)
    assert (row.input_tokens, row.audio_ms, row.characters, row.picture, row.credential_id) == (90, 5, None, None, None)
    assert row.cost_status == ending.bill.status
    newer = replace(ending, counts=(*astuple(Usage(90, 20, characters=7)), 5, "more"))
    row = row_of(*decode_final(msgspec.msgpack.encode((intent, newer))))
    assert (row.characters, row.picture, row.cost_status) == (7, None, ending.bill.status)


@pytest.fixture
def former(tmp_path: Path) -> DeadSpool:
    """What a program of the format before left when it was killed."""
    own = make_folder(tmp_path, 0)
    own.release()
    left = own.path.rename(tmp_path / "worker-000-1-1")
    (left / "000000000001.segment").write_bytes(GOLDEN.read_bytes())
    folder = take(left)
    assert folder is not None
    return DeadSpool(folder, lambda intent: (intent.estimated_input_tokens, "v"))


def test_a_spool_of_the_format_before_is_shipped_whole(former: DeadSpool, intent_of, tmp_path: Path):
    assert GOLDEN.read_bytes()[:FIRST] == FORMER_MAGIC
    full, refused, oldest, interrupted = former.take(10)
    assert not former.unreadable
    assert not former.damaged
    intent = intent_of(1, user="user-1", session="s", stream=True, prompt=replace(PROMPT, variant="b"))
    ending = Ending(
        *("ok", 200, "stop", "upstream", 5000, 4000, 4500, 1, "post:pii", "e"),
        ["pre:pii;action=mask"],
        astuple(Usage(90, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, "flex")),
        Bill(1234, "exact", "2026-01-01"),
    )
    assert full == replace(row_of(intent, ending), audio_ms=None, characters=None)
    assert (refused.attempt, refused.outcome, refused.status, refused.input_tokens) == (0, "rate_limited", 429, None)
    # Written before usage had more counts: what it does not say is unknown.
    assert (oldest.request_id, oldest.input_tokens, oldest.cost_nano) == ("request-4", 90, 1234)
    assert (oldest.cache_write_tokens, oldest.service_tier, oldest.verdicts) == (None, None, None)
    assert (interrupted.request_id, interrupted.state) == ("request-2", State.INTERRUPTED)
    assert (interrupted.input_tokens, interrupted.cost_nano, interrupted.prompt) == (102, 102, None)
    former.release()
    assert list(tmp_path.iterdir()) == []
