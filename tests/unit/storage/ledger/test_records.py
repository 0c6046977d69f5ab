"""Records that cannot be stored word for word."""

import msgspec
import pytest

from gateway.core.ledger import LedgerRow
from gateway.storage.ledger.records import FINAL_EXTRA, MAX_INTENT, decode_intent, decode_row, encode, mended


def test_long_texts_are_cut_and_marked(row_of):
    row = row_of(1, user="u" * 1_000_000, tags=["t" * 5000] * 40)
    body = mended(row, 8000)
    assert len(body) <= 8000
    back = decode_row(body)
    assert back.user is not None
    assert back.user.startswith("uuu")
    assert back.user.endswith("…")
    assert 0 < len(back.tags) <= 16
    assert (back.call_id, back.cost_nano, back.content_hash) == (row.call_id, row.cost_nano, row.content_hash)


def test_the_narrowest_cut_always_fits(row_of, intent_of):
    huge = "€" * 100_000
    texts = dict.fromkeys(
        ("request_id", "prompt", "alias", "variant", "requested_model", "provider", "model", "user", "session"), huge
    )
    final = dict.fromkeys(
        ("finish_reason", "guard", "error", "outcome", "usage_source", "cost_status", "price_version", "door"), huge
    )
    numbers = {field.name: 2**62 for field in msgspec.structs.fields(LedgerRow) if field.type in (int, int | None)}
    row = row_of(1, **texts, **final, **numbers, service_tier=huge, tags=[huge] * 100)
    body = mended(row, FINAL_EXTRA)
    assert len(body) <= FINAL_EXTRA
    assert decode_row(body).cost_nano == 2**62
    intent = intent_of(1, **texts, tags=[huge] * 100)
    assert len(mended(intent, MAX_INTENT)) <= MAX_INTENT
    assert decode_intent(mended(intent, MAX_INTENT)).call_id == intent.call_id


def test_lone_surrogates_become_escapes(row_of):
    row = row_of(1, user="a\ud800b")
    with pytest.raises(UnicodeEncodeError):
        encode(row)
    assert decode_row(mended(row, 8000)).user == "a\\ud800b"


def test_numbers_beyond_64_bits_become_unknown(row_of):
    row = row_of(1, input_tokens=10**30, output_tokens=-(10**30), reasoning_tokens=10**18)
    back = decode_row(mended(row, 8000))
    assert (back.input_tokens, back.output_tokens, back.reasoning_tokens) == (None, None, 10**18)


def test_a_row_of_an_older_program_gets_the_defaults_of_newer_fields(row_of):
    class Newer(msgspec.Struct, array_like=True):
        call_id: str
        attempt: int
        added: str | None = None

    old = msgspec.msgpack.encode(["id", 1])
    assert msgspec.msgpack.decode(old, type=Newer).added is None


NEWER = 13
"""Fields that rows have had since usage has more than four counts."""


def test_rows_spooled_before_usage_had_more_counts_still_decode(row_of):
    row = row_of(1, user="u", tags=["a"])
    old = msgspec.msgpack.decode(encode(row))[:-NEWER]
    assert len(old) == 38
    assert decode_row(msgspec.msgpack.encode(old)) == row
    assert decode_row(msgspec.msgpack.encode(old)).cache_write_tokens is None


def test_rows_of_this_program_decode_in_an_older_one(row_of):
    names = LedgerRow.__struct_fields__[:-NEWER]
    older = msgspec.defstruct("Older", [(name, object) for name in names], array_like=True)
    row = row_of(1, cache_write_tokens=5, service_tier="batch")
    back = msgspec.msgpack.decode(encode(row), type=older)
    assert [getattr(back, name) for name in names] == [getattr(row, name) for name in names]
